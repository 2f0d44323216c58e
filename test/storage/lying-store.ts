// A store that loses objects, damages them, and does not tell the truth: what proxies, caches, replicas and lifecycle rules make of a
// good one. Of LIST, HEAD and GET one lies about a key at a time; what two of them say is so.
import { Readable } from 'node:stream'
import type { ObjectHead, ObjectInfo, ObjectStore } from '../../src/storage/object-store.ts'
import { StoreError } from '../../src/storage/store-error.ts'

export type Teller = 'list' | 'head' | 'get'

export type Lie =
  /** LIST leaves it out, HEAD answers 404, GET answers NoSuchKey. */
  | 'absent'
  /** It is told as it was when it was written, whatever has become of it; GET of what is gone answers with what it was. */
  | 'stale'
  /** 403. LIST leaves it out. */
  | 'refused'
  /** 503. LIST fails as a whole. */
  | 'unavailable'
  /** What a proxy answers with: a web page, whose status HEAD shows as 404. LIST fails as a whole. */
  | 'web-page'

export type Damage = 'lost' | 'cut' | 'archived'

/** What was written at first: what a stale teller tells of. */
type Remembered = { readonly info: ObjectInfo; readonly head: ObjectHead; readonly body: Buffer }

const largest = 1 << 30

export class LyingStore implements ObjectStore {
  /** What is really there; without the class of archived objects, which it does not know. */
  readonly #truth: ObjectStore
  readonly #archived = new Set<string>()
  readonly #written = new Map<string, Remembered>()
  readonly #lies = new Map<string, { readonly teller: Teller; readonly lie: Lie }>()
  readonly #undeletable = new Set<string>()

  constructor(truth: ObjectStore) {
    this.#truth = truth
  }

  /** From now on this teller lies about the key; what another one lied before about it, it takes back. */
  lie(key: string, teller: Teller, lie: Lie) {
    this.#lies.set(key, { teller, lie })
  }

  /** Every deletion of the key is refused. */
  keep(key: string) {
    this.#undeletable.add(key)
  }

  /** All tell the truth again, and everything can be deleted. */
  repent() {
    this.#lies.clear()
    this.#undeletable.clear()
  }

  /** Nobody asked for it, and nobody is told. */
  async damage(key: string, damage: Damage) {
    await this.#remember(key)
    if (damage === 'archived') {
      this.#archived.add(key)
      return
    }
    this.#archived.delete(key)
    if (damage === 'lost') await this.#truth.delete([key])
    else await this.#truth.put(key, halfOf(await this.#truth.get(key, largest)))
  }

  /** The bytes as somebody would get them who really needs them; undefined when they do not come, or not at once. */
  async reallyReadable(key: string): Promise<Buffer | undefined> {
    if (this.#archived.has(key)) return undefined
    try {
      return await this.#truth.get(key, largest)
    } catch {
      return undefined
    }
  }

  put: ObjectStore['put'] = (key, body, signal) => this.#truth.put(key, body, signal)
  putIfAbsent: ObjectStore['putIfAbsent'] = (key, body, signal) => this.#truth.putIfAbsent(key, body, signal)

  get: ObjectStore['get'] = async (key, maxBytes, signal) => {
    const lie = this.#lieOf(key, 'get')
    if (lie === 'stale') return this.#written.get(key)?.body ?? this.#truth.get(key, maxBytes, signal)
    if (lie) throw refusal(lie, key)
    if (this.#archived.has(key)) throw new StoreError('AccessDenied', `${key}: InvalidObjectState`)
    return this.#truth.get(key, maxBytes, signal)
  }

  getTagged: ObjectStore['getTagged'] = async (key, maxBytes, signal) => {
    const body = await this.get(key, maxBytes, signal)
    return { body, etag: (await this.#truth.getTagged(key, maxBytes, signal)).etag }
  }

  replaceIfUnchanged: ObjectStore['replaceIfUnchanged'] = (key, body, etag, signal) =>
    this.#truth.replaceIfUnchanged(key, body, etag, signal)

  read: ObjectStore['read'] = async (key, { range, signal } = {}) => {
    const body = await this.get(key, largest, signal)
    if (range && range.end > body.length) throw new StoreError('RangeNotSatisfiable', `${key} has ${body.length} bytes`)
    return Readable.from([range ? body.subarray(range.start, range.end) : body], { objectMode: false })
  }

  head: ObjectStore['head'] = async (key, signal) => {
    const lie = this.#lieOf(key, 'head')
    if (lie === 'absent' || lie === 'web-page') return undefined
    if (lie === 'stale') return this.#written.get(key)?.head ?? this.#truth.head(key, signal)
    if (lie) throw refusal(lie, key)
    const head = await this.#truth.head(key, signal)
    return head && { ...head, ...(this.#archived.has(key) ? { archived: true as const } : {}) }
  }

  list: ObjectStore['list'] = (prefix, options) => this.#list(prefix, options?.after ?? '', options?.signal)

  async *#list(prefix: string, after: string, signal?: AbortSignal): AsyncIterable<ObjectInfo> {
    const told = new Map<string, ObjectInfo>()
    for await (const info of this.#truth.list(prefix, { signal }))
      told.set(info.key, { ...info, ...(this.#archived.has(info.key) ? { archived: true as const } : {}) })
    for (const [key, { teller, lie }] of this.#lies) {
      if (teller !== 'list' || !key.startsWith(prefix)) continue
      const written = this.#written.get(key)
      if (lie === 'unavailable' || lie === 'web-page') throw refusal(lie, prefix)
      if (lie === 'stale' && written) told.set(key, written.info)
      if (lie !== 'stale') told.delete(key)
    }
    const keys = [...told.keys()].filter(key => key > after).sort()
    for (const key of keys) yield told.get(key) ?? { key, bytes: 0, modifiedAt: 0 }
  }

  delete: ObjectStore['delete'] = async (keys, signal) => {
    const refused = keys.find(key => this.#undeletable.has(key))
    for (const key of keys) {
      if (this.#undeletable.has(key)) continue
      await this.#remember(key)
      await this.#truth.delete([key], signal)
    }
    if (refused !== undefined) throw new StoreError('AccessDenied', `${refused} is locked`)
  }

  createUpload: ObjectStore['createUpload'] = (key, options) => this.#truth.createUpload(key, options)
  listUploads: ObjectStore['listUploads'] = (key, signal) => this.#truth.listUploads(key, signal)
  uploadPart: ObjectStore['uploadPart'] = (key, id, number, body, signal) =>
    this.#truth.uploadPart(key, id, number, body, signal)
  completeUpload: ObjectStore['completeUpload'] = (key, id, parts, bytes, signal) =>
    this.#truth.completeUpload(key, id, parts, bytes, signal)
  abortUpload: ObjectStore['abortUpload'] = (key, id, signal) => this.#truth.abortUpload(key, id, signal)
  close() {
    this.#truth.close()
  }

  #lieOf(key: string, teller: Teller): Lie | undefined {
    const found = this.#lies.get(key)
    return found?.teller === teller ? found.lie : undefined
  }

  async #remember(key: string) {
    const head = await this.#truth.head(key)
    if (!head || this.#written.has(key)) return
    const info = (await Array.fromAsync(this.#truth.list(key))).find(object => object.key === key)
    if (info) this.#written.set(key, { info, head, body: await this.#truth.get(key, largest) })
  }
}

function refusal(lie: Lie, key: string): StoreError {
  switch (lie) {
    case 'absent':
      return new StoreError('NotFound', `there is no object ${key}`)
    case 'refused':
      return new StoreError('AccessDenied', `${key}: not for you`)
    case 'web-page':
      return new StoreError('InvalidEndpoint', `${key}: what answers is a web page`)
    case 'stale':
    case 'unavailable':
      return new StoreError('StoreUnavailable', `${key}: try again later`)
  }
}

function halfOf(body: Buffer): Buffer {
  return body.subarray(0, body.length / 2)
}
