/**
 * What we need of an object store, and all that we rely on. Every implementation and every wrapper keeps these contracts, and
 * `object-store.contract.ts` holds them to it.
 *
 * Every method throws a `StoreError` when the store says no or cannot be reached, and the signal's reason when aborted. A method
 * that threw may still have taken effect. Keys are from the root of the bucket.
 */
import type { Readable } from 'node:stream'

export interface ObjectInfo {
  readonly key: string
  readonly bytes: number
  /** By the store's clock, ms since the epoch. */
  readonly modifiedAt: number
  /** By its class it must be brought back from an archive before it can be read; `perhaps`: only a look at the object tells. */
  readonly archived?: true | 'perhaps'
}

export interface ObjectHead {
  readonly bytes: number
  /** When the store answered, by its own clock, ms since the epoch. Undefined where its replies have no `Date`. */
  readonly answeredAt: number | undefined
  /** What `createUpload` was given; names in lower case. */
  readonly metadata: Readonly<Record<string, string>>
  /** It must be brought back from an archive before it can be read. */
  readonly archived?: true
}

/** What the store said of a part, and will be told again when the upload is completed. */
export interface CompletedPart {
  /** From 1, without gaps. */
  readonly number: number
  readonly etag: string
  /** base64 of the part's CRC32 (big endian), where the upload was opened with that algorithm. */
  readonly crc32?: string
}

export interface TaggedObject {
  readonly body: Buffer
  readonly etag: string
}

export interface CreateUploadOptions {
  readonly metadata?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  /**
   * Told, whenever it changes, how many uploads of this key the store may have opened, or may yet open, whose ids nobody has learnt: tries
   * without an answer, or with one that does not tell. Those that were found and aborted do not count any more.
   */
  readonly onDoubt?: (uploads: number) => void
}

export interface ReadOptions {
  readonly range?: ByteRange
  readonly signal?: AbortSignal
}

/** From `start` to before `end`, from 0; at least one byte. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

export interface ObjectStore {
  /** Creates or replaces the object. For small bodies. */
  put(key: string, body: Uint8Array, signal?: AbortSignal): Promise<void>

  /**
   * Creates the object if there is none (`If-None-Match: *`); exactly one of several callers gets `created`. Throws
   * `ConditionalUnsupported` where the store does not know the header; a store that ignores it says `created` each time.
   */
  putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal): Promise<'created' | 'exists'>

  /**
   * The whole object, for small ones. Throws `NotFound` only when the store itself says that there is no such key: a reply of 404
   * without that word may come from anything in between, and is an error like any other. Throws `StoreRejected` when the object is
   * larger than `maxBytes`, and `ObjectArchived` when it cannot be read at once.
   */
  get(key: string, maxBytes: number, signal?: AbortSignal): Promise<Buffer>

  /** As `get`, with what `replaceIfUnchanged` knows this very content by. */
  getTagged(key: string, maxBytes: number, signal?: AbortSignal): Promise<TaggedObject>

  /**
   * Replaces the object if it is still the one of that tag (`If-Match`); `changed`: it is another by now, or gone. Throws
   * `ConditionalUnsupported` where the store does not know the header; a store that ignores it says `replaced` each time.
   */
  replaceIfUnchanged(key: string, body: Uint8Array, etag: string, signal?: AbortSignal): Promise<'replaced' | 'changed'>

  /**
   * The object, or exactly the bytes of `range`, as a stream, which the caller must read to its end or destroy: a reader that waits holds
   * a connection, and is taken for a store that is silent. Throws as `get` does, and `RangeNotSatisfiable` where the object has not all
   * of the bytes asked for. What else is answered than those bytes is an error, never given out. A stream that breaks off fails with a
   * `StoreError`.
   */
  read(key: string, options?: ReadOptions): Promise<Readable>

  /**
   * Undefined only when it is certain that there is no such object. A reply to HEAD has no body, so that its 404 carries no code and
   * proves nothing: absence is what HEAD and a read (GET) both say, the latter in the store's own words. Anything else throws.
   */
  head(key: string, signal?: AbortSignal): Promise<ObjectHead | undefined>

  /** All objects whose key begins with `prefix` and sorts after `after`, in the order of their keys (UTF-8 bytes), page by page. */
  list(prefix: string, options?: { readonly after?: string; readonly signal?: AbortSignal }): AsyncIterable<ObjectInfo>

  /** Deletes the objects; those that do not exist are no error. Throws the first refusal, after having tried all. */
  delete(keys: readonly string[], signal?: AbortSignal): Promise<void>

  /** Opens a multipart upload. Nothing is visible at `key` before it is completed. */
  createUpload(key: string, options?: CreateUploadOptions): Promise<string>

  /** Ids of the open uploads of exactly this key (stores list them by a shorter prefix unreliably). */
  listUploads(key: string, signal?: AbortSignal): Promise<readonly string[]>

  /**
   * Sends one part; sending it again replaces it. All but the last have the same size, at least 5 MiB. The body must not be touched
   * before the promise settles. @returns what `completeUpload` wants to know of it.
   * @param sha256 of the body, hex, where the caller has it: it is not computed again
   */
  uploadPart(
    key: string,
    uploadId: string,
    number: number,
    body: Uint8Array,
    signal?: AbortSignal,
    sha256?: string,
  ): Promise<CompletedPart>

  /**
   * Makes the object of `bytes` bytes visible, and returns only when it is there at that size: a reply that reports success proves
   * nothing (some stores answer 200 with an error in the body), nor does a lost one prove failure. Keys of uploads are used
   * once, so that an object of that size at `key` is this upload's.
   */
  completeUpload(
    key: string,
    uploadId: string,
    parts: readonly CompletedPart[],
    bytes: number,
    signal?: AbortSignal,
  ): Promise<void>

  /** Drops the upload and its parts. An upload that does not exist (any more) is no error. */
  abortUpload(key: string, uploadId: string, signal?: AbortSignal): Promise<void>

  /** Closes connections. */
  close(): void
}
