/** An object store in memory: what the contract means, and what tests use where no process is worth it. */
import { createHash, randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import type { CompletedPart, ObjectInfo, ObjectStore, ReadOptions } from './object-store.ts'
import { StoreError } from './store-error.ts'

interface StoredObject {
  readonly body: Buffer
  readonly modifiedAt: number
  readonly metadata: Readonly<Record<string, string>>
}

interface OpenUpload {
  readonly key: string
  readonly metadata: Readonly<Record<string, string>>
  readonly parts: Map<number, { readonly body: Buffer; readonly etag: string }>
}

export class MemoryStore implements ObjectStore {
  readonly #objects = new Map<string, StoredObject>()
  readonly #uploads = new Map<string, OpenUpload>()
  readonly #now: () => number

  /** `now` gives the time of modification, ms since the epoch. */
  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  /** Keys of the open uploads. */
  openUploads(): readonly string[] {
    return [...this.#uploads.values()].map(upload => upload.key)
  }

  async put(key: string, body: Uint8Array, signal?: AbortSignal) {
    signal?.throwIfAborted()
    this.#store(key, Buffer.from(body), {})
  }

  async putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal) {
    signal?.throwIfAborted()
    if (this.#objects.has(key)) return 'exists' as const
    this.#store(key, Buffer.from(body), {})
    return 'created' as const
  }

  async get(key: string, maxBytes: number, signal?: AbortSignal) {
    signal?.throwIfAborted()
    const { body } = this.#find(key)
    if (body.length > maxBytes)
      throw new StoreError('StoreRejected', `${key} has ${body.length} bytes, more than the ${maxBytes} expected`)
    return Buffer.from(body)
  }

  async getTagged(key: string, maxBytes: number, signal?: AbortSignal) {
    const body = await this.get(key, maxBytes, signal)
    return { body, etag: etagOf(body) }
  }

  async replaceIfUnchanged(key: string, body: Uint8Array, etag: string, signal?: AbortSignal) {
    signal?.throwIfAborted()
    const found = this.#objects.get(key)
    if (!found || etagOf(found.body) !== etag) return 'changed' as const
    this.#store(key, Buffer.from(body), {})
    return 'replaced' as const
  }

  async read(key: string, { range, signal }: ReadOptions = {}) {
    signal?.throwIfAborted()
    const { body } = this.#find(key)
    if (range && range.end > body.length)
      throw new StoreError(
        'RangeNotSatisfiable',
        `${key} has ${body.length} bytes, and those up to ${range.end} were asked for`,
      )
    const bytes = range ? body.subarray(range.start, range.end) : body
    return Readable.from([bytes], { objectMode: false, signal })
  }

  async head(key: string, signal?: AbortSignal) {
    signal?.throwIfAborted()
    const found = this.#objects.get(key)
    return found && { bytes: found.body.length, metadata: found.metadata, answeredAt: this.#now() }
  }

  async *list(
    prefix: string,
    options: { readonly after?: string; readonly signal?: AbortSignal } = {},
  ): AsyncIterable<ObjectInfo> {
    const { after = '', signal } = options
    const keys = [...this.#objects.keys()].filter(key => key.startsWith(prefix) && byBytes(key, after) > 0)
    for (const key of keys.sort(byBytes)) {
      signal?.throwIfAborted()
      const found = this.#objects.get(key)
      if (found) yield { key, bytes: found.body.length, modifiedAt: found.modifiedAt }
    }
  }

  async delete(keys: readonly string[], signal?: AbortSignal) {
    signal?.throwIfAborted()
    for (const key of keys) this.#objects.delete(key)
  }

  async createUpload(
    key: string,
    options: { readonly metadata?: Readonly<Record<string, string>>; readonly signal?: AbortSignal } = {},
  ) {
    options.signal?.throwIfAborted()
    const uploadId = randomUUID()
    this.#uploads.set(uploadId, { key, metadata: options.metadata ?? {}, parts: new Map() })
    return uploadId
  }

  async listUploads(key: string, signal?: AbortSignal) {
    signal?.throwIfAborted()
    return [...this.#uploads].filter(([, upload]) => upload.key === key).map(([uploadId]) => uploadId)
  }

  async uploadPart(key: string, uploadId: string, number: number, body: Uint8Array, signal?: AbortSignal) {
    signal?.throwIfAborted()
    const copy = Buffer.from(body)
    const etag = etagOf(copy)
    this.#upload(key, uploadId).parts.set(number, { body: copy, etag })
    return { number, etag }
  }

  async completeUpload(
    key: string,
    uploadId: string,
    parts: readonly CompletedPart[],
    bytes: number,
    signal?: AbortSignal,
  ) {
    signal?.throwIfAborted()
    if (this.#objects.get(key)?.body.length === bytes) return
    const upload = this.#upload(key, uploadId)
    const bodies = parts.map(({ number, etag }) => {
      const part = upload.parts.get(number)
      if (part?.etag !== etag)
        throw new StoreError('StoreRejected', `part ${number} of ${key} is not the one that was sent`)
      return part.body
    })
    const body = Buffer.concat(bodies)
    if (body.length !== bytes)
      throw new StoreError('StoreRejected', `${key} has ${body.length} bytes instead of ${bytes}`)
    this.#uploads.delete(uploadId)
    this.#store(key, body, upload.metadata)
  }

  async abortUpload(_key: string, uploadId: string, signal?: AbortSignal) {
    signal?.throwIfAborted()
    this.#uploads.delete(uploadId)
  }

  close() {}

  #store(key: string, body: Buffer, metadata: Readonly<Record<string, string>>) {
    this.#objects.set(key, { body, metadata, modifiedAt: this.#now() })
  }

  #find(key: string): StoredObject {
    const found = this.#objects.get(key)
    if (!found) throw new StoreError('NotFound', `there is no object ${key}`)
    return found
  }

  #upload(key: string, uploadId: string): OpenUpload {
    const upload = this.#uploads.get(uploadId)
    if (upload?.key !== key) throw new StoreError('NotFound', `there is no upload ${uploadId} of ${key}`)
    return upload
  }
}

function etagOf(body: Buffer): string {
  return `"${createHash('md5').update(body).digest('hex')}"`
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
