/** The keys and nonces of an age payload's chunks: ChaCha20-Poly1305 as STREAM (https://age-encryption.org/v1, "Payload"). */
import { hkdfSync, type KeyObject } from 'node:crypto'
import { tagBytes } from './payload-layout.ts'

export const chunkCipher = 'chacha20-poly1305'
export const chunkCipherOptions = { authTagLength: tagBytes } as const

/** @param nonce of the payload, its first 16 bytes */
export function payloadKey(fileKey: KeyObject, nonce: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', fileKey, nonce, 'payload', 32))
}

/** 11 bytes count the chunks from 0; the twelfth tells the last one, so that no file is the beginning of another. */
export function chunkNonce(index: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeUIntBE(index, 5, 6)
  nonce[11] = isLast ? 1 : 0
  return nonce
}
