// Whole age files in memory, made and read as the mover does it with parts and ranges.
import type { KeyObject } from 'node:crypto'
import { mostHeaderBytes, openHeader, sealHeader } from '../../src/mover/age/header.ts'
import type { Identities } from '../../src/mover/age/identities.ts'
import { lastChunk, nonceBytes, payloadLayout, type ByteRange } from '../../src/mover/age/payload-layout.ts'
import { PayloadOpener } from '../../src/mover/age/payload-opener.ts'
import { PayloadSealer } from '../../src/mover/age/payload-sealer.ts'
import type { Recipients } from '../../src/mover/age/recipients.ts'

export async function sealFile(plain: Uint8Array, recipients: Recipients): Promise<Buffer> {
  const { header, fileKey } = await sealHeader(recipients)
  return Buffer.concat([header, sealPayload(plain, fileKey)])
}

/** @param pieceBytes so many are pushed at a time */
export function sealPayload(plain: Uint8Array, fileKey: KeyObject, pieceBytes = 100_000): Buffer {
  const sealer = new PayloadSealer(fileKey)
  const pieces: Buffer[] = []
  for (const piece of cut(plain, pieceBytes)) pieces.push(...sealer.push(piece))
  return Buffer.concat([...pieces, ...sealer.finish()])
}

export async function openFile(file: Uint8Array, identities: Identities): Promise<Buffer> {
  const { fileKey, headerBytes } = await openHeader(file.subarray(0, mostHeaderBytes), identities)
  return openPayload(file.subarray(headerBytes), fileKey)
}

export type OpenOptions = {
  /** Default: all of it. */
  readonly range?: ByteRange
  readonly pieceBytes?: number
  /** Told what is given out, as it is. */
  readonly onPlain?: (plain: Buffer) => void
}

export function openPayload(payload: Uint8Array, fileKey: KeyObject, options: OpenOptions = {}): Buffer {
  const opener = payloadOpener(payload, fileKey)
  const { range = { start: 0, end: opener.layout.plainBytes }, pieceBytes = 100_000, onPlain } = options
  const reader = opener.range(range)
  const plain: Buffer[] = []
  for (const piece of cut(payload.subarray(reader.sealed.start, reader.sealed.end), pieceBytes))
    for (const part of reader.push(piece)) {
      onPlain?.(part)
      plain.push(part)
    }
  reader.finish()
  return Buffer.concat(plain)
}

export function payloadOpener(payload: Uint8Array, fileKey: KeyObject): PayloadOpener {
  const layout = payloadLayout(payload.length)
  const { start, end } = lastChunk(layout)
  return new PayloadOpener({
    fileKey,
    nonce: payload.subarray(0, nonceBytes),
    layout,
    last: payload.subarray(start, end),
  })
}

function cut(bytes: Uint8Array, pieceBytes: number): readonly Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, nth) =>
    bytes.subarray(nth * pieceBytes, (nth + 1) * pieceBytes),
  )
}
