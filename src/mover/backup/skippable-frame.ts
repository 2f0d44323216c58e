/** A frame that every decoder of zstd skips: https://www.rfc-editor.org/rfc/rfc8878#name-skippable-frames */

export function skippableFrame(magic: number, ...content: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(magic)
  header.writeUInt32LE(
    content.reduce((sum, { length }) => sum + length, 0),
    4,
  )
  return Buffer.concat([header, ...content])
}
