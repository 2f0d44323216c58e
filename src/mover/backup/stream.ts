/**
 * A FIFO, read to its end into buffers of the caller: 64 KiB reads fill them one after the other, and nothing is copied. While one is
 * filled, others may be compressed and digested.
 */
import type { MoverFailure } from '../failure.ts'
import { openFifo } from '../protocol/fifo.ts'

/** What a pipe holds, and so the longest read. */
const longestRead = 64 << 10

export interface StreamOptions {
  /** Of one size; at least one. They are the reader's until it returns. */
  readonly buffers: readonly Buffer[]
  /**
   * Takes the next bytes; the promise settles when they may be overwritten. All calls but the last have a whole buffer. Not called again
   * before its promise settles where all other buffers are taken, too.
   */
  readonly take: (bytes: Buffer) => Promise<void>
  /** No byte for so long, while there was room for one, ends it with `stalled`. */
  readonly stallTimeoutMs: number
  /** By `performance.now()`: when something else than a byte came from the command last. */
  readonly lastSign: () => number
  readonly stalled: (bytes: number) => Promise<MoverFailure>
  /** Told the sum of bytes. */
  readonly onBytes: (bytes: number) => void
  readonly signal: AbortSignal
}

/**
 * Reads the FIFO until its last writer has gone, and returns when all that came was taken. That it ended says nothing about the command:
 * a writer that was killed ends it too.
 * @throws what `take` throws; the failure of `stalled`; the signal's reason.
 */
export async function readFifo(path: string, options: StreamOptions): Promise<number> {
  const { signal } = options
  signal.throwIfAborted()
  const free = [...options.buffers]
  /** Undefined while all are taken: silence is ours then, and not the command's. */
  let current = free.pop()
  /** Where the read after a pause goes: Node asks for its place before the pause, when there is none. */
  const scratch = Buffer.allocUnsafeSlow(longestRead)
  let filled = 0
  let bytes = 0
  let last = performance.now()
  const taking = new Set<Promise<void>>()
  const ended = Promise.withResolvers<void>()
  const failed = Promise.withResolvers<never>()

  function hand(buffer: Buffer, length: number) {
    const taken = takeAndReuse(buffer, length)
    taking.add(taken)
    taken.then(() => taking.delete(taken), failed.reject)
  }

  async function takeAndReuse(buffer: Buffer, length: number): Promise<void> {
    await options.take(buffer.subarray(0, length))
    if (current) return void free.push(buffer)
    current = buffer
    last = performance.now()
    source.resume()
  }

  const source = openFifo(path, {
    buffer: () => current?.subarray(filled) ?? scratch,
    callback(count, read) {
      const buffer = current
      if (!buffer) throw new Error('bytes came while there was no room for them')
      if (read.buffer === scratch.buffer) scratch.copy(buffer, 0, 0, count)
      filled += count
      bytes += count
      last = performance.now()
      options.onBytes(bytes)
      if (filled < buffer.length) return true
      current = free.pop()
      filled = 0
      hand(buffer, buffer.length)
      return current !== undefined
    },
  })
  source.on('error', failed.reject)
  source.on('end', () => {
    if (current && filled > 0) hand(current, filled)
    ended.resolve()
  })
  source.resume()

  const stop = () => failed.reject(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  const watch = setInterval(
    () => {
      if (!current || performance.now() - Math.max(last, options.lastSign()) < options.stallTimeoutMs) return
      clearInterval(watch)
      // The data may end while it is being found out why they do not: then they are whole.
      options.stalled(bytes).then(failed.reject, failed.reject)
    },
    Math.min(1000, options.stallTimeoutMs),
  )
  try {
    await Promise.race([failed.promise, ended.promise.then(() => Promise.all(taking))])
    return bytes
  } finally {
    clearInterval(watch)
    signal.removeEventListener('abort', stop)
    source.destroy()
  }
}
