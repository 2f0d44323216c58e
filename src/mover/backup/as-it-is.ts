/** `compression: none`: the plain bytes are what is stored. */
import type { Digests } from './digests.ts'
import type { Encoded, Encoder, WriteStored } from './encoder.ts'

export class AsItIs implements Encoder {
  readonly #digests: Digests
  readonly #write: WriteStored
  #written: Promise<void> = Promise.resolve()
  #bytes = 0

  constructor(digests: Digests, write: WriteStored) {
    this.#digests = digests
    this.#write = write
  }

  async push(plain: Buffer): Promise<void> {
    const digested = this.#digests.append(plain)
    this.#written = this.#written.then(() => this.#write(plain))
    this.#bytes += plain.length
    await Promise.all([digested, this.#written])
  }

  async end(): Promise<Encoded> {
    await this.#written
    return { bytes: this.#bytes, sha256: await this.#digests.finish() }
  }

  close() {}
}
