/** Chunks of any size as one run of bytes, of which as many are held as the caller looks ahead. */
export class BytesAhead {
  readonly #chunks: AsyncIterator<Buffer>
  readonly #held: Buffer[] = []
  #length = 0
  #ended = false

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /** Whether so many bytes more are to come. */
  async has(length: number): Promise<boolean> {
    while (this.#length < length && !this.#ended) {
      const { done, value } = await this.#chunks.next()
      if (done) this.#ended = true
      else {
        this.#held.push(value)
        this.#length += value.length
      }
    }
    return this.#length >= length
  }

  /** How many bytes are held. */
  get length(): number {
    return this.#length
  }

  /** A few bytes from `offset` on, which `has` has seen. */
  peek(offset: number, length: number): Buffer {
    const found: Buffer[] = []
    let start = offset
    let left = length
    for (const chunk of this.#held) {
      if (left === 0) break
      if (start < chunk.length) {
        const slice = chunk.subarray(start, start + left)
        found.push(slice)
        left -= slice.length
      }
      start = Math.max(0, start - chunk.length)
    }
    return found[0]?.length === length ? found[0] : Buffer.concat(found)
  }

  /** The next bytes, which `has` has seen. */
  take(length: number): Buffer {
    const bytes = this.peek(0, length)
    let left = length
    for (let first = this.#held.shift(); first; first = this.#held.shift()) {
      if (first.length > left) {
        this.#held.unshift(first.subarray(left))
        break
      }
      left -= first.length
      if (left === 0) break
    }
    this.#length -= length
    return bytes
  }

  /** Ends what the chunks come from. */
  async close(): Promise<void> {
    await this.#chunks.return?.()
  }
}
