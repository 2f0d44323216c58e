/**
 * The frames of a zstd stream, found by walking over the heads of their blocks: nothing has to be believed to know where one ends.
 * https://www.rfc-editor.org/rfc/rfc8878#name-zstandard-frames
 */
import { MoverFailure } from '../failure.ts'
import { BytesAhead } from './bytes-ahead.ts'

export type Frame =
  | {
      readonly kind: 'data'
      /** With its header and its checksum. */
      readonly bytes: Buffer
      /** What it says that it holds; undefined where it does not say. */
      readonly plainBytes: number | undefined
      /** The lower half of the XXH64 of what it holds: zstd compares it. */
      readonly checksum: number
    }
  | { readonly kind: 'skippable'; readonly magic: number; readonly bytes: Buffer; readonly content: Buffer }

const magic = 0xfd2fb528
const skippableMagic = 0x184d2a50
/** Writers make frames of 4 MiB: what claims far more is meant to exhaust us. */
export const longestPlain = 64 << 20
/** What cannot be compressed becomes a little longer. */
const longestFrame = longestPlain + (1 << 20)

const longestHeader = 18
const checksumBytes = 4
const blockHeaderBytes = 3
const blockKinds = { raw: 0, repeated: 1, compressed: 2 } as const

/** @throws MoverFailure DataTampered for what is no frame of ours, or ends too early. */
export async function* framesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  const ahead = new BytesAhead(chunks)
  try {
    for (let number = 1; await ahead.has(1); number++) {
      const fail = (why: string) => new MoverFailure('DataTampered', `frame ${number} of the stored stream ${why}`)
      if (!(await ahead.has(4))) throw fail('is cut')
      const first = ahead.peek(0, 4).readUInt32LE()
      if (first === magic) yield await dataFrame(ahead, fail)
      else if ((first & 0xfffffff0) >>> 0 === skippableMagic) yield await skippableFrame(ahead, first, fail)
      else throw fail('is no frame of zstd')
    }
  } finally {
    await ahead.close()
  }
}

type Fail = (why: string) => MoverFailure

async function skippableFrame(ahead: BytesAhead, magicOfIt: number, fail: Fail): Promise<Frame> {
  if (!(await ahead.has(8))) throw fail('is cut')
  const length = 8 + ahead.peek(4, 4).readUInt32LE()
  if (length > longestFrame) throw fail(`is longer than ${longestFrame} bytes`)
  if (!(await ahead.has(length))) throw fail('is cut')
  const bytes = ahead.take(length)
  return { kind: 'skippable', magic: magicOfIt, bytes, content: bytes.subarray(8) }
}

async function dataFrame(ahead: BytesAhead, fail: Fail): Promise<Frame> {
  await ahead.has(longestHeader)
  const header = headerOf(ahead.peek(0, Math.min(longestHeader, ahead.length)), fail)
  let length = header.length
  for (let isLast = false; !isLast;) {
    if (!(await ahead.has(length + blockHeaderBytes))) throw fail('is cut')
    const head = ahead.peek(length, blockHeaderBytes).readUIntLE(0, blockHeaderBytes)
    isLast = (head & 1) === 1
    length += blockHeaderBytes + bytesOfBlock((head >> 1) & 3, head >> 3, fail)
    if (length > longestFrame) throw fail(`is longer than ${longestFrame} bytes`)
  }
  length += checksumBytes
  if (!(await ahead.has(length))) throw fail('is cut')
  const bytes = ahead.take(length)
  const checksum = bytes.readUInt32LE(length - checksumBytes)
  return { kind: 'data', bytes, plainBytes: header.plainBytes, checksum }
}

function bytesOfBlock(kind: number, size: number, fail: Fail): number {
  switch (kind) {
    case blockKinds.raw:
    case blockKinds.compressed:
      return size
    case blockKinds.repeated:
      return 1
    default:
      throw fail('has a block of a kind that does not exist')
  }
}

function headerOf(bytes: Buffer, fail: Fail): { readonly length: number; readonly plainBytes: number | undefined } {
  const descriptor = bytes[4] ?? 0
  const isSingleSegment = (descriptor & 0x20) !== 0
  const hasChecksum = (descriptor & 0x04) !== 0
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0
  const windowAt = 5
  const dictionaryAt = windowAt + (isSingleSegment ? 0 : 1)
  const sizeAt = dictionaryAt + ([0, 1, 2, 4][descriptor & 3] ?? 0)
  const length = sizeAt + sizeBytes
  if (bytes.length < length) throw fail('is cut')
  if (!hasChecksum) throw fail('has no checksum')
  const plainBytes = plainSizeOf(bytes, sizeAt, sizeBytes)
  const window = isSingleSegment ? (plainBytes ?? 0) : windowOf(bytes[windowAt] ?? 0)
  if (Math.max(window, plainBytes ?? 0) > longestPlain) throw fail(`says that it holds more than ${longestPlain} bytes`)
  return { length, plainBytes }
}

function plainSizeOf(bytes: Buffer, at: number, length: number): number | undefined {
  switch (length) {
    case 1:
      return bytes.readUInt8(at)
    case 2:
      return bytes.readUInt16LE(at) + 256
    case 4:
      return bytes.readUInt32LE(at)
    case 8:
      return Number(bytes.readBigUInt64LE(at))
    default:
      return undefined
  }
}

function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3))
  return base + (base / 8) * (descriptor & 7)
}
