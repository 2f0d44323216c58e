/**
 * FIFO → sha256 → zstd → chunks, in bounded memory. Two measured things decide the speed: 64 KiB reads are gathered in buffers of
 * 1 MiB (16 times fewer jobs for the compressor's thread), and the compressor accepts 4 MiB ahead, so that reading overlaps it.
 */
import { createHash } from 'node:crypto'
import type { TransformOptions } from 'node:stream'
import { constants, createZstdCompress, type ZstdOptions } from 'node:zlib'
import type { MoverFailure } from '../failure.ts'
import { emptyForm } from './emptiness.ts'
import { openFifo } from '../protocol/fifo.ts'

const MiB = 1 << 20
/** A pipe holds 64 KiB: a buffer with less room than that would make short reads. */
const longestRead = 64 << 10

const outputBytes = MiB

const zstdOptions: ZstdOptions & TransformOptions = {
  chunkSize: outputBytes,
  writableHighWaterMark: 4 * MiB,
  readableHighWaterMark: outputBytes,
  params: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 },
}

export interface StreamOptions {
  /** Copies the compressed bytes, which are gone afterwards; its promise holds the stream back. */
  readonly write: (chunk: Buffer) => Promise<void>
  /** No plain byte for so long, while there was room for one, ends it with `stalled`. */
  readonly stallTimeoutMs: number
  /** By `performance.now()`: when something else than a byte came from the command last. */
  readonly lastSign: () => number
  readonly stalled: (bytes: number) => Promise<MoverFailure>
  /** Told the sum of plain bytes. */
  readonly onBytes: (bytes: number) => void
  readonly signal: AbortSignal
}

export interface Streamed {
  /** Plain bytes and their digest. */
  readonly bytes: number
  readonly sha256: string
  /** What it is that holds nothing, for example `a gzip stream`. Absent: there is something in it. */
  readonly empty?: string
}

/**
 * Reads the FIFO until its last writer has gone, as one zstd frame with a checksum. That it ended says nothing about the command: a
 * writer that was killed ends it too.
 */
export async function compressFifo(path: string, options: StreamOptions): Promise<Streamed> {
  const { signal } = options
  signal.throwIfAborted()
  const zstd = createZstdCompress(zstdOptions)
  const plain = createHash('sha256')
  const free: Buffer<ArrayBuffer>[] = []
  let current = Buffer.allocUnsafeSlow(MiB)
  let filled = 0
  let bytes = 0
  let empty: string | undefined
  let last = performance.now()
  /** False while the store is the slow side: then silence is ours, not the command's. */
  let listening = true

  /** @returns whether the compressor wants more now. `written` runs when it has taken these bytes. */
  function flush(written?: () => void): boolean {
    const buffer = current
    const view = buffer.subarray(0, filled)
    current = free.pop() ?? Buffer.allocUnsafeSlow(MiB)
    filled = 0
    plain.update(view)
    return zstd.write(view, () => {
      free.push(buffer)
      written?.()
    })
  }

  const source = openFifo(path, {
    buffer: () => current.subarray(filled),
    callback(count) {
      filled += count
      bytes += count
      last = performance.now()
      options.onBytes(bytes)
      if (filled <= MiB - longestRead || flush()) return true
      listening = false
      zstd.once('drain', () => {
        last = performance.now()
        listening = true
        source.resume()
      })
      return false
    },
  })
  source.on('error', error => zstd.destroy(error))
  source.on('end', () => {
    listening = false
    // Whatever is longer than one buffer is not empty.
    if (filled === bytes) empty = emptyForm(current.subarray(0, filled))
    // `end` with writes still queued would append an empty frame (nodejs/node#66078): it waits for the last one.
    if (filled > 0) flush(() => zstd.end())
    else if (zstd.writableLength > 0) zstd.write(Buffer.alloc(0), () => zstd.end())
    else zstd.end()
  })
  source.resume()

  const stop = () => zstd.destroy(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  const watch = setInterval(
    () => {
      if (!listening || performance.now() - Math.max(last, options.lastSign()) < options.stallTimeoutMs) return
      clearInterval(watch)
      // The data may end while it is being found out why they do not: then they are whole.
      options.stalled(bytes).then(
        failure => zstd.destroy(failure),
        (error: Error) => zstd.destroy(error),
      )
    },
    Math.min(1000, options.stallTimeoutMs),
  )
  try {
    for await (const chunk of zstd as AsyncIterable<Buffer<ArrayBuffer>>) {
      await options.write(chunk)
      release(chunk)
    }
    return { bytes, sha256: plain.digest('hex'), ...(empty ? { empty } : {}) }
  } finally {
    clearInterval(watch)
    signal.removeEventListener('abort', stop)
    source.destroy()
    zstd.destroy()
  }
}

/**
 * Frees the memory of a chunk that has been copied. The compressor takes a new buffer for each one that it fills; left to the garbage
 * collector, many would wait for it at once. A chunk that does not end with its buffer is left alone: the compressor still writes there.
 */
function release({ buffer, byteOffset, length }: Buffer<ArrayBuffer>) {
  if (buffer.byteLength === outputBytes && byteOffset + length === outputBytes) buffer.transfer(0)
}
