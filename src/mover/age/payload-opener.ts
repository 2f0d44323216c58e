/** The payload of an age file → plain bytes: any range of it, and no byte before its chunk has proved to be what was written. */
import { createDecipheriv, type KeyObject } from 'node:crypto'
import { AgeError } from './age-error.ts'
import { chunkCipher, chunkCipherOptions, chunkNonce, payloadKey } from './chunk-cipher.ts'
import {
  chunkBytes,
  sealedChunkBytes,
  sealedRange,
  tagBytes,
  type ByteRange,
  type PayloadLayout,
} from './payload-layout.ts'

export interface PayloadSource {
  readonly fileKey: KeyObject
  /** The first 16 bytes of the payload. */
  readonly nonce: Uint8Array
  readonly layout: PayloadLayout
  /** The sealed bytes of the last chunk. */
  readonly last: Uint8Array
}

export class PayloadOpener {
  readonly layout: PayloadLayout
  readonly #key: Buffer

  /**
   * Opens the last chunk, so that the size is proved before any range is trusted: what ends at the border of a chunk looks whole otherwise.
   * @throws AgeError Tampered.
   */
  constructor({ fileKey, nonce, layout, last }: PayloadSource) {
    this.layout = layout
    this.#key = payloadKey(fileKey, nonce)
    this.openChunk(layout.chunks - 1, last)
  }

  /**
   * @param index of the chunk, from 0
   * @param sealed all of its bytes, with the tag
   * @throws AgeError Tampered.
   */
  openChunk(index: number, sealed: Uint8Array): Buffer {
    const { chunks, plainBytes } = this.layout
    if (!(Number.isSafeInteger(index) && 0 <= index && index < chunks))
      throw new RangeError(`no chunk ${index} is among ${chunks}`)
    const isLast = index === chunks - 1
    const wanted = (isLast ? plainBytes - index * chunkBytes : chunkBytes) + tagBytes
    if (sealed.length !== wanted)
      throw new AgeError('Tampered', `chunk ${index} of the payload has ${sealed.length} bytes instead of ${wanted}`)
    const decipher = createDecipheriv(chunkCipher, this.#key, chunkNonce(index, isLast), chunkCipherOptions)
    decipher.setAuthTag(sealed.subarray(-tagBytes))
    const plain = decipher.update(sealed.subarray(0, -tagBytes))
    try {
      decipher.final()
    } catch {
      throw new AgeError(
        'Tampered',
        `chunk ${index} of the payload's ${chunks} is not what was written there: changed, moved, cut, or of another file`,
      )
    }
    return plain
  }

  /** Begins to read a range of plain bytes. */
  range(plain: ByteRange): RangeOpener {
    return new RangeOpener(this, plain)
  }
}

/** Reads one range: push the bytes of {@link RangeOpener.sealed} in order, in pieces of any size, then finish. */
export class RangeOpener {
  /** What to push, as a range of the payload. */
  readonly sealed: ByteRange
  readonly #opener: PayloadOpener
  readonly #plain: ByteRange
  readonly #partial = Buffer.allocUnsafeSlow(sealedChunkBytes)
  #partialBytes = 0
  #chunk: number
  /** Sealed bytes that have not come yet. */
  #missing: number

  constructor(opener: PayloadOpener, plain: ByteRange) {
    const { start, end, firstChunk } = sealedRange(opener.layout, plain)
    this.sealed = { start, end }
    this.#opener = opener
    this.#plain = plain
    this.#chunk = firstChunk
    this.#missing = end - start
  }

  /**
   * @param sealed is the caller's again at once
   * @returns plain bytes of the chunks that are whole now, none outside of the range
   * @throws AgeError Tampered; what was returned before is sound nevertheless.
   */
  push(sealed: Uint8Array): readonly Buffer[] {
    if (sealed.length > this.#missing)
      throw new AgeError('Tampered', `${sealed.length - this.#missing} bytes more came than were asked for`)
    const pieces: Buffer[] = []
    for (let taken = 0; taken < sealed.length;) {
      const chunk = Math.min(sealedChunkBytes, this.#partialBytes + this.#missing)
      const part = sealed.subarray(taken, taken + chunk - this.#partialBytes)
      if (part.length === chunk) this.#open(pieces, part)
      else {
        this.#partial.set(part, this.#partialBytes)
        this.#partialBytes += part.length
        if (this.#partialBytes === chunk) {
          this.#open(pieces, this.#partial.subarray(0, chunk))
          this.#partialBytes = 0
        }
      }
      taken += part.length
      this.#missing -= part.length
    }
    return pieces
  }

  /** @throws AgeError Tampered when something is missing. */
  finish(): void {
    if (this.#missing > 0)
      throw new AgeError('Tampered', `the last ${this.#missing} bytes that were asked for did not come`)
  }

  #open(pieces: Buffer[], sealed: Uint8Array) {
    const plain = this.#opener.openChunk(this.#chunk, sealed)
    const before = this.#chunk * chunkBytes
    pieces.push(plain.subarray(Math.max(0, this.#plain.start - before), this.#plain.end - before))
    this.#chunk += 1
  }
}
