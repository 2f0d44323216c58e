/** Opens small compressed outputs, in the formats that commands are piped into: gzip, zstd and lz4 here, xz and bzip2 by the image's busybox. */
import { spawnSync } from 'node:child_process'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'

export interface Decoder {
  /** For example `a gzip stream`. */
  readonly form: string
  readonly magic: Buffer
  /** @throws Error for what is damaged, or longer than `maxBytes` when it is open. */
  readonly decode: (stream: Buffer, maxBytes: number) => Buffer
}

const hex = (digits: string) => Buffer.from(digits, 'hex')

export const decoders: readonly Decoder[] = [
  {
    form: 'a gzip stream',
    magic: hex('1f8b'),
    decode: (stream, maxBytes) => gunzipSync(stream, { maxOutputLength: maxBytes }),
  },
  {
    form: 'a zstd frame',
    magic: hex('28b52ffd'),
    decode: (stream, maxBytes) => zstdDecompressSync(stream, { maxOutputLength: maxBytes }),
  },
  { form: 'an lz4 frame', magic: hex('04224d18'), decode: lz4 },
  { form: 'an xz stream', magic: hex('fd377a585a00'), decode: byBusybox('unxz') },
  { form: 'a bzip2 stream', magic: hex('425a68'), decode: byBusybox('bunzip2') },
]

function byBusybox(applet: string): Decoder['decode'] {
  return (stream, maxBytes) => {
    const options = { input: stream, maxBuffer: maxBytes, timeout: 10_000, env: {} }
    const { status, stdout, error } = spawnSync('/bin/busybox', [applet, '-c'], options)
    // One whose output is too long may have ended well before it was killed for it.
    if (error || status !== 0) throw new Error(`${applet} ended with ${status}`, { cause: error })
    return stdout
  }
}

/** Frames one after the other: https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md. Checksums are not compared. */
function lz4(stream: Buffer, maxBytes: number): Buffer {
  const output = Buffer.alloc(maxBytes)
  let length = 0
  for (let offset = 0; offset < stream.length;) {
    if (stream.readUInt32LE(offset) !== 0x184d2204) throw new Error('what follows the lz4 frame is none')
    const flags = stream.readUInt8(offset + 4)
    offset += 4 + 2 + (flags & 8 ? 8 : 0) + (flags & 1 ? 4 : 0) + 1
    for (;;) {
      const size = stream.readUInt32LE(offset)
      offset += 4
      if (size === 0) break
      const end = offset + (size & 0x7fffffff)
      if (end > stream.length) throw new Error('the lz4 frame is cut')
      const block = stream.subarray(offset, end)
      if (length + block.length > maxBytes) throw new Error('the lz4 frame is too long')
      length = size & 0x80000000 ? length + block.copy(output, length) : lz4Block(block, output, length)
      offset = end + (flags & 16 ? 4 : 0)
    }
    if (flags & 4) offset += 4
    if (offset > stream.length) throw new Error('the lz4 frame is cut')
  }
  return output.subarray(0, length)
}

/** https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md. @returns the length of the output with this block. @throws RangeError beyond either end. */
function lz4Block(block: Buffer, output: Buffer, at: number): number {
  let offset = 0
  let length = at
  const more = (start: number) => {
    let sum = start
    if (start === 15)
      for (let byte = 255; byte === 255;) {
        byte = block.readUInt8(offset++)
        sum += byte
      }
    return sum
  }
  for (;;) {
    const token = block.readUInt8(offset++)
    const literals = more(token >> 4)
    if (offset + literals > block.length || length + literals > output.length) throw new RangeError('literals')
    length += block.copy(output, length, offset, offset + literals)
    offset += literals
    // The last sequence has no match.
    if (offset === block.length) return length
    const distance = block.readUInt16LE(offset)
    offset += 2
    const matched = more(token & 15) + 4
    if (distance === 0 || distance > length || length + matched > output.length) throw new RangeError('match')
    for (let count = 0; count < matched; count++, length++) output[length] = output[length - distance] ?? 0
  }
}
