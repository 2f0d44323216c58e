/**
 * FIFOs without ever blocking a thread: an `open` or `read` that waits in Node's thread pool can neither be ended nor let the process
 * exit. Opened with O_NONBLOCK and read through epoll, a FIFO whose writer has not come yet is simply silent.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { Socket, type OnReadOpts } from 'node:net'
import { MoverFailure } from '../failure.ts'

/** The read end as a socket: it ends when the last writer has gone. `onread` gathers into buffers of the caller. */
export function openFifo(path: string, onread?: OnReadOpts): Socket {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  return new Socket({ fd, readable: true, writable: false, onread })
}

/**
 * The write end of a FIFO that the command's container has made, and has open.
 * @throws MoverFailure Protocol where it is something else: who runs there could lead us to a file.
 */
export function openFifoToWrite(path: string): Socket {
  return new Socket({ fd: openPipe(path), readable: false, writable: true })
}

/** Says one word in such a FIFO. Never a wait: a few bytes of 64 KiB. */
export function sayOnce(path: string, word: string) {
  const fd = openPipe(path)
  try {
    writeSync(fd, `${word}\n`)
  } finally {
    closeSync(fd)
  }
}

function openPipe(path: string): number {
  let fd: number | undefined
  try {
    fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
    if (fstatSync(fd).isFIFO()) return fd
  } catch (cause) {
    throw new MoverFailure('Protocol', `cannot open ${path}: ${(cause as Error).message}`, { cause })
  }
  closeSync(fd)
  throw new MoverFailure('Protocol', `${path} is not a FIFO`)
}

/** What the mover says to the command's container: all data have come to their end; who still writes? */
export type LifelineWord = 'eof' | 'writers'

export interface Lifeline {
  readonly tell: (word: LifelineWord) => void
  /** Tells the command's container that the mover is done with it. */
  readonly cut: () => void
}

/** Held open for as long as the mover lives: its end, however it comes, is an EOF in the command's container. */
export function holdLifeline(path: string): Lifeline {
  let fd: number | undefined = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  return {
    tell(word) {
      // Never EPIPE: this end reads as well. Never a wait: a few bytes of 64 KiB.
      if (fd !== undefined) writeSync(fd, `${word}\n`)
    },
    cut() {
      if (fd !== undefined) closeSync(fd)
      fd = undefined
    },
  }
}
