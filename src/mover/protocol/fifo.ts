/**
 * FIFOs without ever blocking a thread: an `open` or `read` that waits in Node's thread pool can neither be ended nor let the process
 * exit. Opened with O_NONBLOCK and read through epoll, a FIFO whose writer has not come yet is simply silent.
 */
import { closeSync, constants, openSync } from 'node:fs'
import { Socket, type OnReadOpts } from 'node:net'

/** The read end as a socket: it ends when the last writer has gone. `onread` gathers into buffers of the caller. */
export function openFifo(path: string, onread?: OnReadOpts): Socket {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  return new Socket({ fd, readable: true, writable: false, onread })
}

export interface Lifeline {
  /** Tells the command's container that the mover is done with it. */
  readonly cut: () => void
}

/** Held open for as long as the mover lives: its end, however it comes, is an EOF in the command's container. */
export function holdLifeline(path: string): Lifeline {
  let fd: number | undefined = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  return {
    cut() {
      if (fd !== undefined) closeSync(fd)
      fd = undefined
    },
  }
}
