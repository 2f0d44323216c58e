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

  /** One call at a time. The chunk is the caller's again when the promise settles. */
  async write(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; at += sliceBytes)
      for (const piece of this.#sealer.push(chunk.subarray(at, at + sliceBytes))) await this.#write(piece)
  }

  /** Without it the file is a cut one. */
  async finish(): Promise<void> {
    for (const piece of this.#sealer.finish()) await this.#write(piece)
  }
}

/** What is sealed is new memory, which is copied into a part at once: so much of it is there at a time. */
const sliceBytes = 256 << 10
