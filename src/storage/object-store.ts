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
}

export interface ObjectHead {
  readonly bytes: number
  /** What `createUpload` was given; names in lower case. */
  readonly metadata: Readonly<Record<string, string>>
}

export interface CompletedPart {
  /** From 1, without gaps. */
  readonly number: number
  readonly etag: string
}

export interface ObjectStore {
  /** Creates or replaces the object. For small bodies. */
  put(key: string, body: Uint8Array, signal?: AbortSignal): Promise<void>

  /**
   * Creates the object if there is none (`If-None-Match: *`); exactly one of several callers gets `created`. Throws
   * `ConditionalUnsupported` where the store does not know the header; a store that ignores it says `created` each time.
   */
  putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal): Promise<'created' | 'exists'>

  /** The whole object, for small ones. Throws `NotFound`, and `StoreRejected` when it is larger than `maxBytes`. */
  get(key: string, maxBytes: number, signal?: AbortSignal): Promise<Buffer>

  /** The object as a stream, which the caller must read to its end or destroy. Throws `NotFound`. */
  read(key: string, signal?: AbortSignal): Promise<Readable>

  /** Undefined when there is no such object. */
  head(key: string, signal?: AbortSignal): Promise<ObjectHead | undefined>

  /** All objects whose key begins with `prefix` and sorts after `after`, in the order of their keys (UTF-8 bytes), page by page. */
  list(prefix: string, options?: { readonly after?: string; readonly signal?: AbortSignal }): AsyncIterable<ObjectInfo>

  /** Deletes the objects; those that do not exist are no error. Throws the first refusal, after having tried all. */
  delete(keys: readonly string[], signal?: AbortSignal): Promise<void>

  /** Opens a multipart upload. Nothing is visible at `key` before it is completed. */
  createUpload(
    key: string,
    options?: { readonly metadata?: Readonly<Record<string, string>>; readonly signal?: AbortSignal },
  ): Promise<string>

  /** Ids of the open uploads of exactly this key (stores list them by a shorter prefix unreliably). */
  listUploads(key: string, signal?: AbortSignal): Promise<readonly string[]>

  /**
   * Sends one part; sending it again replaces it. All but the last have the same size, at least 5 MiB. The body must not be touched
   * before the promise settles. @returns the part's ETag.
   */
  uploadPart(key: string, uploadId: string, number: number, body: Uint8Array, signal?: AbortSignal): Promise<string>

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
