/** Ranges of an artifact's stored bytes, out of verified parts. The part that was read last is kept: what is asked for is near. */
import type { ByteRange } from '../../storage/object-store.ts'
import { checkSizes, partsOf, readPart, type Part, type PartsOptions, type StoredArtifact } from './parts.ts'

export class StoredRanges {
  readonly bytes: number
  readonly #parts: readonly Part[]
  readonly #options: PartsOptions
  #last: { readonly part: Part; readonly bytes: Buffer } | undefined

  /** @throws MoverFailure DataTampered where the sizes of the manifest contradict each other. */
  constructor(artifact: StoredArtifact, options: PartsOptions) {
    checkSizes(artifact)
    this.bytes = artifact.storedBytes
    this.#parts = [...partsOf(artifact)]
    this.#options = options
  }

  /** What of the range there is: less only behind the end. @throws as `readParts`. */
  async read({ start, end }: ByteRange): Promise<Buffer> {
    const found: Buffer[] = []
    for (const part of this.#parts) {
      const partEnd = part.offset + part.range.end - part.range.start
      if (partEnd <= start || part.offset >= end) continue
      const bytes = this.#last?.part === part ? this.#last.bytes : await readPart(part, this.#options)
      this.#last = { part, bytes }
      found.push(bytes.subarray(Math.max(0, start - part.offset), end - part.offset))
    }
    return Buffer.concat(found)
  }
}
