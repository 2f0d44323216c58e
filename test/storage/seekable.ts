// Independent zstd frames with the seek table of zstd's seekable format, as a backup stores them.
import { constants, zstdCompressSync } from 'node:zlib'

const params = { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 }

export type Entry = { readonly stored: number; readonly plain: number; readonly checksum: number }

export function frameOf(plain: Uint8Array): Buffer {
  return zstdCompressSync(plain, { params })
}

export function skippable(content: Buffer, magic = 0x184d2a50): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32LE(magic)
  head.writeUInt32LE(content.length, 4)
  return Buffer.concat([head, content])
}

/** @param checksums whether its entries have the checksum of their frame */
export function seekTable(entries: readonly Entry[], checksums = true): Buffer {
  const lines = entries.map(({ stored, plain, checksum }) => {
    const line = Buffer.alloc(checksums ? 12 : 8)
    line.writeUInt32LE(stored)
    line.writeUInt32LE(plain, 4)
    if (checksums) line.writeUInt32LE(checksum, 8)
    return line
  })
  const footer = Buffer.alloc(9)
  footer.writeUInt32LE(entries.length)
  footer.writeUInt8(checksums ? 0x80 : 0, 4)
  footer.writeUInt32LE(0x8f92eab1, 5)
  return skippable(Buffer.concat([...lines, footer]), 0x184d2a5e)
}

export function entryOf(frame: Buffer, plain: Uint8Array): Entry {
  return { stored: frame.length, plain: plain.length, checksum: frame.readUInt32LE(frame.length - 4) }
}

export function seekable(plain: Buffer, frameBytes = 4 << 20, checksums = true): Buffer {
  const frames: Buffer[] = []
  const entries: Entry[] = []
  for (let at = 0; at < plain.length; at += frameBytes) {
    const slice = plain.subarray(at, at + frameBytes)
    const frame = frameOf(slice)
    frames.push(frame)
    entries.push(entryOf(frame, slice))
  }
  return Buffer.concat([...frames, seekTable(entries, checksums)])
}
