/**
 * Where what is in the payload of an age file: a nonce, then chunks of 64 KiB, each with a tag behind it; only the last may be shorter,
 * and only the one of an empty file holds nothing (https://age-encryption.org/v1). All numbers are bytes; ranges include `start` and not `end`.
 */
import { AgeError } from './age-error.ts'

export const nonceBytes = 16
export const chunkBytes = 64 << 10
export const tagBytes = 16
export const sealedChunkBytes = chunkBytes + tagBytes

export interface ByteRange {
  readonly start: number
  readonly end: number
}

export interface PayloadLayout {
  readonly plainBytes: number
  readonly chunks: number
}

/** The size of the payload that so many plain bytes make. */
export function payloadBytes(plainBytes: number): number {
  return nonceBytes + plainBytes + tagBytes * chunksOf(plainBytes)
}

/**
 * @param bytes of the payload, which is the stored file without its header
 * @throws AgeError Tampered for a size that no payload has.
 */
export function payloadLayout(bytes: number): PayloadLayout {
  const sealed = bytes - nonceBytes
  const chunks = Math.ceil(sealed / sealedChunkBytes)
  const plainBytes = sealed - chunks * tagBytes
  if (sealed < tagBytes || chunks !== chunksOf(plainBytes))
    throw new AgeError('Tampered', `no age payload has ${bytes} bytes: it was cut, or something was added`)
  return { plainBytes, chunks }
}

/** Where the last chunk is in the payload: read it first, {@link PayloadOpener} wants it. */
export function lastChunk({ chunks, plainBytes }: PayloadLayout): ByteRange {
  return { start: nonceBytes + (chunks - 1) * sealedChunkBytes, end: payloadBytes(plainBytes) }
}

/** Where the chunks are in the payload that hold these plain bytes, and the number of the first. */
export function sealedRange(
  { plainBytes }: PayloadLayout,
  { start, end }: ByteRange,
): ByteRange & { readonly firstChunk: number } {
  if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end && end <= plainBytes))
    throw new RangeError(`no range from ${start} to ${end} is in ${plainBytes} bytes`)
  const firstChunk = Math.floor(start / chunkBytes)
  const from = nonceBytes + firstChunk * sealedChunkBytes
  if (start === end) return { firstChunk, start: from, end: from }
  const chunkAfter = Math.ceil(end / chunkBytes)
  return {
    firstChunk,
    start: from,
    end: Math.min(nonceBytes + chunkAfter * sealedChunkBytes, payloadBytes(plainBytes)),
  }
}

function chunksOf(plainBytes: number): number {
  return Math.max(1, Math.ceil(plainBytes / chunkBytes))
}
