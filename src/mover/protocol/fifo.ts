/**
 * FIFOs without ever blocking a thread: an `open` or `read` that waits in Node's thread pool can neither be ended nor let the process
 * exit. Opened with O_NONBLOCK and read through epoll, a FIFO whose writer has not come yet is simply silent.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { Socket, type OnReadOpts } from 'node:net'

/** The read end as a socket: it ends when the last writer has gone. `onread` gathers into buffers of the caller. */
export function openFifo(path: string, onread?: OnReadOpts): Socket {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  return new Socket({ fd, readable: true, writable: false, onread })
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
