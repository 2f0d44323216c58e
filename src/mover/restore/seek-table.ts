/**
 * The last frame of a stored stream: a table of all frames before it, in zstd's seekable format. It proves that none is missing.
 * https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md
 */

/** A frame as it was seen. Skippable ones hold nothing. */
export interface SeenFrame {
  readonly storedBytes: number
  readonly plainBytes: number
  /** Undefined for skippable frames. */
  readonly checksum: number | undefined
}

export const seekTableMagic = 0x184d2a5e
const footerMagic = 0x8f92eab1
/** Of the end of a table. */
export const footerBytes = 9
const frameHeaderBytes = 8
const checksumFlag = 0x80
const reservedBits = 0x7c

/** Other skippable frames may have the same magic number. */
export function isSeekTable(magic: number, content: Buffer): boolean {
  return (
    magic === seekTableMagic &&
    content.length >= footerBytes &&
    content.readUInt32LE(content.length - 4) === footerMagic
  )
}

/** How long the whole frame is whose last bytes these are; undefined where they are no footer. */
export function tableBytesOf(footer: Buffer): number | undefined {
  if (footer.length < footerBytes || footer.readUInt32LE(footer.length - 4) !== footerMagic) return undefined
  return frameHeaderBytes + footer.readUInt32LE(footer.length - footerBytes) * entryBytesOf(footer) + footerBytes
}

/** Sizes of the frame before the table. */
export function lastEntryOf(content: Buffer): Pick<SeenFrame, 'storedBytes' | 'plainBytes'> | undefined {
  const at = content.length - footerBytes - entryBytesOf(content)
  return at < 0 ? undefined : { storedBytes: content.readUInt32LE(at), plainBytes: content.readUInt32LE(at + 4) }
}

/** @param content what ends with a footer */
function entryBytesOf(content: Buffer): number {
  return (content.readUInt8(content.length - footerBytes + 4) & checksumFlag) === 0 ? 8 : 12
}

/** Why this is not the table of these frames; undefined where it is. */
export function seekTableProblem(content: Buffer, seen: readonly SeenFrame[]): string | undefined {
  const footer = content.subarray(content.length - footerBytes)
  const count = footer.readUInt32LE(0)
  const descriptor = footer.readUInt8(4)
  if ((descriptor & reservedBits) !== 0) return 'is of a kind that this program does not know'
  const hasChecksums = (descriptor & checksumFlag) !== 0
  const entryBytes = hasChecksums ? 12 : 8
  if (content.length !== count * entryBytes + footerBytes) return `has not the length of ${count} frames`
  if (count !== seen.length) return `tells of ${count} frames, and ${seen.length} are there`
  for (const [index, { storedBytes, plainBytes, checksum }] of seen.entries()) {
    const at = index * entryBytes
    const isAnother =
      content.readUInt32LE(at) !== storedBytes ||
      content.readUInt32LE(at + 4) !== plainBytes ||
      (hasChecksums && checksum !== undefined && content.readUInt32LE(at + 8) !== checksum)
    if (isAnother) return `tells of another frame ${index + 1} than is there`
  }
  return undefined
}
