// What chance decides, from a seed: the same on every machine and in every order of the campaigns.
import { createCipheriv, createHash } from 'node:crypto'

export class Draw {
  readonly #seed: string
  #count = 0

  /** Seeds that are neighbours have nothing in common: each number is a digest. */
  constructor(seed: string) {
    this.#seed = seed
  }

  /** A whole number from 0 to less than `limit`. */
  below(limit: number): number {
    const digest = createHash('sha256')
      .update(`${this.#seed}/${this.#count++}`)
      .digest()
    return Math.floor((digest.readUIntBE(0, 6) / 2 ** 48) * limit)
  }

  /** A whole number, both ends among them. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1)
  }

  pick<T>(from: readonly T[]): T {
    const chosen = from[this.below(from.length)]
    if (chosen === undefined) throw new Error('there is nothing to choose from')
    return chosen
  }

  /** True in so many of a hundred draws. */
  chance(percent: number): boolean {
    return this.below(100) < percent
  }

  /** Bytes that do not compress. */
  bytes(count: number): Buffer {
    const key = createHash('sha256')
      .update(`${this.#seed}/${this.#count++}`)
      .digest()
      .subarray(0, 16)
    return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(count))
  }
}
