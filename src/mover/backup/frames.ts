/**
 * Independent zstd frames of 4 MiB plain bytes, compressed side by side on Node's thread pool and written in order, with a seek table
 * behind them (docs/decisions/0018-frames.md).
 *
 * A lane is one stream of Node that lives for the whole artifact: with `flush: ZSTD_e_end` each write becomes a frame of its own, with its
 * size and checksum, in memory that is there already. `zstdCompress` would take new memory for each frame (twice the CPU time, 90 MiB
 * more at the peak); `ZSTD_c_nbWorkers` ends Node's stream early, without an error (Node 26.10).
 */
import type { TransformOptions } from 'node:stream'
import { constants, createZstdCompress, type ZstdCompress, type ZstdOptions } from 'node:zlib'
import type { BackupTask } from '../../api/mover/task.ts'
import { hasShrunk, levelOf, zstdParameters, type FrameLevel } from './compression-level.ts'
import type { Digests } from './digests.ts'
import { frameBytes, type Encoded, type Encoder, type LastFrame, type WriteStored } from './encoder.ts'
import { SeekTable } from './seek-table.ts'

/** What is longer comes in pieces. A frame of 4 MiB in one buffer would be no faster, and hold the memory for longer. */
const pieceBytes = 1 << 20

export interface FrameOptions {
  readonly compression: BackupTask['compression']
  /** Frames that are compressed at once. */
  readonly lanes: number
  readonly digests: Digests
  readonly write: WriteStored
}

interface Lane {
  readonly level: FrameLevel
  readonly zstd: ZstdCompress
  pieces: Buffer<ArrayBuffer>[]
  fail: (error: Error) => void
}

export class Frames implements Encoder {
  readonly #options: FrameOptions
  readonly #table = new SeekTable()
  readonly #lanes: Lane[] = []
  readonly #idle: Lane[] = []
  readonly #waiting: { readonly level: FrameLevel; readonly resolve: (lane: Lane) => void }[] = []
  #written: Promise<void> = Promise.resolve()
  #frames = 0
  #shrank: boolean | undefined
  #bytes = 0

  constructor(options: FrameOptions) {
    this.#options = options
  }

  async push(plain: Buffer): Promise<void> {
    const digested = this.#options.digests.append(plain)
    this.#bytes += plain.length
    const level = levelOf(this.#options.compression, this.#frames++, this.#shrank)
    const before = this.#written
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#written = promise
    // Whoever waits for the order hears of a failure; so does the caller.
    promise.catch(() => {})
    try {
      const lane = await this.#take(level)
      const pieces = await compress(lane, plain)
      void this.#writeInOrder(before, lane, pieces, plain.length).then(resolve, reject)
    } catch (error) {
      reject(error)
      throw error
    }
    await digested
  }

  async end(last?: LastFrame): Promise<Encoded> {
    const { write, digests } = this.#options
    await this.#written
    const encoded = { bytes: this.#bytes, sha256: await digests.finish() }
    if (last) {
      const frame = last(encoded)
      this.#table.add(frame.length, 0)
      await write(frame)
    }
    await write(this.#table.encode())
    return encoded
  }

  close() {
    for (const { zstd } of this.#lanes) zstd.destroy()
  }

  /** The lane is busy until its frame is written: else frames would pile up before a slow store. */
  async #writeInOrder(before: Promise<void>, lane: Lane, pieces: readonly Buffer<ArrayBuffer>[], plainBytes: number) {
    await before
    let stored = 0
    for (const piece of pieces) {
      await this.#options.write(piece)
      stored += piece.length
      release(piece)
    }
    this.#table.add(stored, plainBytes)
    if (lane.level === 'usual') this.#shrank = hasShrunk(plainBytes, stored)
    this.#give(lane)
  }

  async #take(level: FrameLevel): Promise<Lane> {
    const idle = this.#idle.find(lane => lane.level === level)
    if (idle) {
      this.#idle.splice(this.#idle.indexOf(idle), 1)
      return idle
    }
    const { lanes } = this.#options
    // What is only copied needs no second one: it is as fast as ten cores compress.
    const most = level === 'usual' ? lanes : 1
    if (this.#lanes.filter(lane => lane.level === level).length < most) {
      const lane = makeLane(level)
      this.#lanes.push(lane)
      return lane
    }
    const { promise, resolve } = Promise.withResolvers<Lane>()
    this.#waiting.push({ level, resolve })
    return promise
  }

  #give(lane: Lane) {
    const next = this.#waiting.findIndex(({ level }) => level === lane.level)
    if (next >= 0) this.#waiting.splice(next, 1)[0]?.resolve(lane)
    else if (this.#isSpare(lane)) this.#close(lane)
    else this.#idle.push(lane)
  }

  /** Where nothing shrinks one lane is enough for the looks; the tables of another would only take memory. */
  #isSpare({ level }: Lane): boolean {
    return level === 'usual' && this.#shrank === false && this.#lanes.filter(lane => lane.level === level).length > 1
  }

  #close(lane: Lane) {
    this.#lanes.splice(this.#lanes.indexOf(lane), 1)
    lane.zstd.destroy()
  }
}

function makeLane(level: FrameLevel): Lane {
  const options: ZstdOptions & Pick<TransformOptions, 'readableHighWaterMark' | 'writableHighWaterMark'> = {
    chunkSize: pieceBytes,
    flush: constants.ZSTD_e_end,
    writableHighWaterMark: 2 * frameBytes,
    // A frame that does not become smaller is longer than its plain bytes.
    readableHighWaterMark: 2 * frameBytes,
    params: { ...zstdParameters[level], [constants.ZSTD_c_checksumFlag]: 1 },
  }
  const zstd = createZstdCompress(options)
  const lane: Lane = { level, zstd, pieces: [], fail() {} }
  zstd.on('data', (piece: Buffer<ArrayBuffer>) => lane.pieces.push(piece))
  zstd.on('error', error => lane.fail(error))
  return lane
}

/** One frame. @throws what ended the stream. */
async function compress(lane: Lane, plain: Buffer): Promise<readonly Buffer<ArrayBuffer>[]> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  lane.fail = reject
  lane.zstd.write(plain, error => (error ? reject(error) : resolve()))
  await promise
  // Each piece is given out before the write is called done; one that was not would end up in the next frame.
  if (lane.zstd.readableLength > 0) throw new Error('the compressor holds back a part of its frame')
  const { pieces } = lane
  lane.pieces = []
  return pieces
}

/**
 * Frees the memory of a piece that has been copied. The compressor takes a new buffer for each one that it fills; left to the garbage
 * collector, many would wait for it at once. A piece that does not end with its buffer is left alone: the compressor still writes there.
 */
function release({ buffer, byteOffset, length }: Buffer<ArrayBuffer>) {
  if (buffer.byteLength === pieceBytes && byteOffset + length === pieceBytes) buffer.transfer(0)
}
