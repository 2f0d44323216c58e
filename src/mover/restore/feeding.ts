/** Gives the bytes of one artifact to the command that wants it (`src/mover/shell/feed`). */
import type { Socket } from 'node:net'
import { MoverFailure } from '../failure.ts'
import { openFifoToWrite, sayOnce } from '../protocol/fifo.ts'

export interface FeedingOptions {
  /** `r.<sequence>` in the shared directory. */
  readonly fifo: string
  /** They end only when all of them were verified. */
  readonly chunks: (signal: AbortSignal) => AsyncIterable<Buffer>
  /** The command takes no byte for so long, while there are some. */
  readonly stallTimeoutMs: number
  /** Told how many more were verified, and taken by the command or not wanted any more. */
  readonly onBytes: (bytes: number) => void
  readonly signal: AbortSignal
}

export interface Feeding {
  /** Settles when the command was told `verified`; rejects with why it never will be. */
  readonly verified: Promise<void>
  /** The command ended with 0: what is left is verified all the same, and nobody takes it. */
  readonly commandEnded: () => void
  /** No more of it is wanted: the command has failed. */
  readonly stop: () => void
  /** Closes our end. After a failure only when the command is dead: it could take that for the end of its input. */
  readonly release: () => void
}

/** One wait for the command at a time is for so much. */
const sliceBytes = 256 << 10

/** @throws MoverFailure Protocol when there is no such FIFO. */
export function startFeeding(options: FeedingOptions): Feeding {
  const ended = new AbortController()
  const stopped = new AbortController()
  const signal = AbortSignal.any([options.signal, stopped.signal])
  const pipe = openFifoToWrite(options.fifo)
  // Of a pipe that broke the control FIFO tells why.
  pipe.on('error', () => {})
  return {
    verified: give(pipe, { ...options, signal }, ended.signal),
    commandEnded: () => ended.abort(),
    stop: () => stopped.abort(new MoverFailure('SourceExit', 'the command failed')),
    release: () => void pipe.destroy(),
  }
}

/**
 * The last bytes come after everything was verified. `verified` is said when the pipe has them all, so that the command's end of input is
 * never anything else.
 */
async function give(pipe: Socket, options: FeedingOptions, ended: AbortSignal): Promise<void> {
  const { fifo, chunks, onBytes, signal } = options
  sayOnce(`${fifo}.say`, 'go')
  try {
    for await (const chunk of chunks(signal)) {
      signal.throwIfAborted()
      for (let at = 0; at < chunk.length && !ended.aborted; at += sliceBytes)
        await taken(pipe, chunk.subarray(at, at + sliceBytes), options, ended)
      onBytes(chunk.length)
    }
  } catch (error) {
    signal.throwIfAborted()
    if (!ended.aborted || !(error instanceof MoverFailure) || error.reason !== 'DataTampered') throw error
    const why = `the command ended with status 0 before it had all of the artifact, and the rest is false: ${error.message}`
    throw new MoverFailure('RestoreUnproven', why, { cause: error })
  }
  signal.throwIfAborted()
  pipe.destroy()
  sayOnce(`${fifo}.say`, 'verified')
}

/** Until the pipe has the bytes, or nobody wants them. */
async function taken(pipe: Socket, bytes: Buffer, { stallTimeoutMs, signal }: FeedingOptions, ended: AbortSignal) {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const seconds = Math.round(stallTimeoutMs / 1000)
  const stalled = () => reject(new MoverFailure('SourceStalled', `the command has taken no byte for ${seconds} s`))
  const stop = () => reject(signal.reason)
  // A longer one would be taken for none at all.
  const timer = setTimeout(stalled, Math.min(stallTimeoutMs, 2 ** 31 - 1))
  const done = () => resolve()
  signal.addEventListener('abort', stop, { once: true })
  ended.addEventListener('abort', done, { once: true })
  if (signal.aborted) stop()
  if (ended.aborted) done()
  pipe.write(bytes, error => {
    if (!error) resolve()
  })
  try {
    await promise
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
    ended.removeEventListener('abort', done)
  }
}
