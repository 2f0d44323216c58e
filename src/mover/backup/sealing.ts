/** One age file: its header, and then whatever is written, as its payload. */
import type { Recipients } from '../age/recipients.ts'
import type { PayloadSealer } from '../age/payload-sealer.ts'
import type { WriteStored } from './encoder.ts'

export class Sealing {
  readonly #sealer: PayloadSealer
  readonly #write: WriteStored

  private constructor(sealer: PayloadSealer, write: WriteStored) {
    this.#sealer = sealer
    this.#write = write
  }

  /** Makes a file key of its own, and writes the header. */
  static async begin(recipients: Recipients, write: WriteStored): Promise<Sealing> {
    const [{ sealHeader }, { PayloadSealer: Sealer }] = await Promise.all([
      import('../age/header.ts'),
      import('../age/payload-sealer.ts'),
    ])
    const { header, fileKey } = await sealHeader(recipients)
    await write(header)
    return new Sealing(new Sealer(fileKey), write)
  }

  /** One call at a time. The chunks are the caller's again when the promise settles. */
  async write(...chunks: readonly Buffer[]): Promise<void> {
    for (const chunk of chunks)
      for (let at = 0; at < chunk.length; at += sliceBytes) {
        const pieces = this.#sealer.push(chunk.subarray(at, at + sliceBytes))
        await this.#write(...pieces)
        for (const piece of pieces) release(piece)
      }
  }

  /** Without it the file is a cut one. */
  async finish(): Promise<void> {
    await this.#write(...this.#sealer.finish())
  }
}

/** What is sealed is new memory, which is copied into a part at once: so much of it is there at a time. */
const sliceBytes = 256 << 10

/**
 * Frees the memory of a sealed chunk that has been copied: each is new memory, and left to the garbage collector they cost as much time as
 * the cipher.
 */
function release({ buffer, byteLength }: Buffer) {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}
