/**
 * An encrypted artifact that an identity opens: what it says of itself, which is at its end, and its payload. No message tells a name, a
 * plain size or a digest of it.
 */
import { parseSealedArtifact, sealedMagic, type SealedArtifact } from '../../api/sealed-artifact.ts'
import { AgeError } from '../age/age-error.ts'
import { mostHeaderBytes, openHeader, recipientKindsOf } from '../age/header.ts'
import type { Identities } from '../age/identities.ts'
import { lastChunk, nonceBytes, payloadLayout, type ByteRange } from '../age/payload-layout.ts'
import { PayloadOpener } from '../age/payload-opener.ts'
import { MoverFailure } from '../failure.ts'
import type { PartsOptions, StoredArtifact } from './parts.ts'
import { StoredRanges } from './ranges.ts'
import { tableBytesOf, isSeekTable, lastEntryOf, footerBytes } from './seek-table.ts'

/** An age file whose end was seen and was right. */
export interface OpenedPayload {
  readonly opener: PayloadOpener
  readonly headerBytes: number
}

export interface OpenedArtifact {
  readonly sealed: SealedArtifact
  readonly payload: OpenedPayload
}

/** A table of 64 GiB frames has fewer; what claims more is meant to exhaust us. Bytes. */
const longestTable = 16 << 20
/** Facts and engine have at most 1 MiB each. Bytes. */
const longestSealed = 4 << 20
const frameHeaderBytes = 8

/** @throws MoverFailure NoIdentityMatches, DataTampered; as `readParts`. */
export async function openSealed(
  artifact: StoredArtifact,
  identities: Identities,
  options: PartsOptions,
): Promise<OpenedArtifact> {
  const stored = new StoredRanges(artifact, options)
  const payload = await openPayload(stored, identities)
  return { payload, sealed: await readSealed(stored, payload) }
}

async function openPayload(stored: StoredRanges, identities: Identities): Promise<OpenedPayload> {
  const start = await stored.read({ start: 0, end: mostHeaderBytes + nonceBytes })
  const { fileKey, headerBytes } = await openHeader(start, identities).catch((error: unknown) => {
    throw error instanceof AgeError && error.reason === 'NoIdentityMatches' ? noneMatches(start) : failureOf(error)
  })
  return inPayload(async () => {
    const layout = payloadLayout(stored.bytes - headerBytes)
    const last = await stored.read(behind(headerBytes, lastChunk(layout)))
    const nonce = start.subarray(headerBytes, headerBytes + nonceBytes)
    return { headerBytes, opener: new PayloadOpener({ fileKey, nonce, layout, last }) }
  })
}

/** The frame before the seek table, which tells where it begins. */
async function readSealed(stored: StoredRanges, payload: OpenedPayload): Promise<SealedArtifact> {
  const { plainBytes } = payload.opener.layout
  const read = (range: ByteRange) => readPlain(stored, payload, range)
  const footer = await read({ start: Math.max(0, plainBytes - footerBytes), end: plainBytes })
  const tableBytes = tableBytesOf(footer)
  if (tableBytes === undefined || tableBytes > Math.min(plainBytes, longestTable)) throw tampered('has no seek table')
  const tableAt = plainBytes - tableBytes
  const table = await read({ start: tableAt, end: plainBytes })
  if (!isSeekTable(table.readUInt32LE(), table.subarray(frameHeaderBytes))) throw tampered('has no seek table')
  const { storedBytes = 0, plainBytes: held } = lastEntryOf(table.subarray(frameHeaderBytes)) ?? {}
  if (held !== 0 || storedBytes < frameHeaderBytes || storedBytes > Math.min(tableAt, longestSealed))
    throw tampered('does not say of itself what it is')
  const frame = await read({ start: tableAt - storedBytes, end: tableAt })
  if (frame.readUInt32LE() !== sealedMagic || frame.readUInt32LE(4) !== frame.length - frameHeaderBytes)
    throw tampered('does not say of itself what it is')
  try {
    return parseSealedArtifact(frame.subarray(frameHeaderBytes))
  } catch (error) {
    throw new MoverFailure(
      'FormatUnsupported',
      `what an encrypted artifact says of itself is ${(error as Error).message}`,
    )
  }
}

async function readPlain(stored: StoredRanges, { opener, headerBytes }: OpenedPayload, plain: ByteRange) {
  const reader = opener.range(plain)
  const bytes = await stored.read(behind(headerBytes, reader.sealed))
  return inPayload(() => {
    const pieces = reader.push(bytes)
    reader.finish()
    return Buffer.concat(pieces)
  })
}

/** Bytes are opened as they are taken: so much at a time. */
const sliceBytes = 256 << 10

/** The payload's plain bytes, of all stored ones. @throws MoverFailure DataTampered; what `stored` throws. */
export async function* openedPayload(
  stored: AsyncIterable<Buffer>,
  { opener, headerBytes }: OpenedPayload,
): AsyncGenerator<Buffer> {
  const reader = opener.range({ start: 0, end: opener.layout.plainBytes })
  let before = headerBytes + reader.sealed.start
  for await (const part of stored) {
    const skipped = Math.min(before, part.length)
    before -= skipped
    for (let at = skipped; at < part.length; at += sliceBytes)
      yield* await inPayload(() => reader.push(part.subarray(at, at + sliceBytes)))
  }
  await inPayload(() => reader.finish())
}

function behind(headerBytes: number, { start, end }: ByteRange): ByteRange {
  return { start: headerBytes + start, end: headerBytes + end }
}

async function inPayload<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw failureOf(error)
  }
}

function failureOf(error: unknown): unknown {
  return error instanceof AgeError ? tampered(`cannot be opened: ${error.message}`) : error
}

function tampered(what: string): MoverFailure {
  return new MoverFailure('DataTampered', `an encrypted artifact ${what}`)
}

function noneMatches(start: Buffer): MoverFailure {
  const kinds = recipientKindsOf(start)
  const form = kinds.includes('hybrid post-quantum') ? 'AGE-SECRET-KEY-PQ-1…' : 'AGE-SECRET-KEY-1…'
  return new MoverFailure(
    'NoIdentityMatches',
    `none of the identities given opens the backup, which is encrypted to ${kinds.join(' and ') || 'unknown'} recipients; create another Restore whose spec.identities names a Secret with the identity (${form}) of one that the policy named when the backup was made`,
  )
}
