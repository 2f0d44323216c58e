/** Any store, tried again where trying again helps: only errors of class `retry`, with backoff and jitter, inside a budget of time. */
import { setTimeout as delay } from 'node:timers/promises'
import type { ObjectStore } from './object-store.ts'
import { StoreError } from './store-error.ts'

export interface RetryOptions {
  /** From the first failure of a call, ms: no try begins after it. */
  readonly budgetMs: number
  /** Told before each further try. */
  readonly onRetry?: (error: StoreError, tries: number) => void
  readonly firstDelayMs?: number
}

const longestDelayMs = 10_000

/** Does a request, again where that helps. `tries` from 1. */
export type Again = <T>(signal: AbortSignal | undefined, request: (tries: number) => Promise<T>) => Promise<T>

/** For what is more than one call of a store: a whole body, for example. */
export function retrying(options: RetryOptions): Again {
  return async (signal, request) => {
    let deadline: number | undefined
    for (let tries = 1; ; tries++) {
      try {
        return await request(tries)
      } catch (error) {
        deadline ??= performance.now() + options.budgetMs
        await pause(options, error, tries, deadline, signal)
      }
    }
  }
}

async function pause(options: RetryOptions, error: unknown, tries: number, deadline: number, signal?: AbortSignal) {
  const { onRetry, firstDelayMs = 200 } = options
  signal?.throwIfAborted()
  if (!(error instanceof StoreError)) throw error
  const ceiling = Math.min(firstDelayMs * 2 ** (tries - 1), longestDelayMs)
  const wait = ceiling * (0.5 + Math.random() / 2)
  if (error.class !== 'retry' || performance.now() + wait > deadline) {
    if (tries === 1) throw error
    throw new StoreError(error.reason, `${error.message} (${tries} tries)`, { cause: error, tries })
  }
  onRetry?.(error, tries)
  try {
    await delay(wait, undefined, { signal })
  } catch (stopped) {
    signal?.throwIfAborted()
    throw stopped
  }
}

/**
 * A repeated `putIfAbsent` whose first reply was lost says `exists`, a repeated `replaceIfUnchanged` `changed`: the caller finds out by
 * reading whether the object is its own.
 * A repeated `createUpload` may have opened two uploads: the others of the same key are aborted, since keys are used once.
 */
export function withRetries(store: ObjectStore, options: RetryOptions): ObjectStore {
  const { budgetMs } = options
  const again = retrying(options)

  /**
   * A store that cannot list uploads must not cost the backup: the others stay in doubt. One that only failed is asked again.
   * @returns how many were aborted.
   */
  async function abortOthers(key: string, uploadId: string, signal?: AbortSignal): Promise<number> {
    let aborted = 0
    try {
      for (const other of await again(signal, () => store.listUploads(key, signal))) {
        if (other === uploadId) continue
        await again(signal, () => store.abortUpload(key, other, signal))
        aborted++
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
    }
    return aborted
  }

  return {
    put: (key, body, signal) => again(signal, () => store.put(key, body, signal)),
    putIfAbsent: (key, body, signal) => again(signal, () => store.putIfAbsent(key, body, signal)),
    get: (key, maxBytes, signal) => again(signal, () => store.get(key, maxBytes, signal)),
    getTagged: (key, maxBytes, signal) => again(signal, () => store.getTagged(key, maxBytes, signal)),
    replaceIfUnchanged: (key, body, etag, signal) =>
      again(signal, () => store.replaceIfUnchanged(key, body, etag, signal)),
    // Once it is open, who reads it decides what to ask for again.
    read: (key, options) => again(options?.signal, () => store.read(key, options)),
    head: (key, signal) => again(signal, () => store.head(key, signal)),

    /** A page that fails is asked for again, from the last key that was given out. */
    async *list(prefix, { after, signal } = {}) {
      let last = after
      let tries = 0
      let deadline = 0
      for (;;) {
        try {
          for await (const object of store.list(prefix, { after: last, signal })) {
            yield object
            last = object.key
            tries = 0
          }
          return
        } catch (error) {
          if (tries++ === 0) deadline = performance.now() + budgetMs
          await pause(options, error, tries, deadline, signal)
        }
      }
    },

    delete: (keys, signal) => again(signal, () => store.delete(keys, signal)),
    listUploads: (key, signal) => again(signal, () => store.listUploads(key, signal)),

    createUpload(key, { metadata, signal, onDoubt } = {}) {
      let doubtful = 0
      return again(signal, async tries => {
        const uploadId = await store.createUpload(key, { metadata, signal }).catch((error: unknown) => {
          if (error instanceof StoreError && error.perhapsObeyed) onDoubt?.(++doubtful)
          throw error
        })
        if (tries > 1) {
          const aborted = await abortOthers(key, uploadId, signal)
          if (doubtful > 0) onDoubt?.(Math.max(0, doubtful - aborted))
        }
        return uploadId
      })
    },

    uploadPart: (key, uploadId, number, body, signal, sha256) =>
      again(signal, () => store.uploadPart(key, uploadId, number, body, signal, sha256)),
    completeUpload: (key, uploadId, parts, bytes, signal) =>
      again(signal, () => store.completeUpload(key, uploadId, parts, bytes, signal)),
    abortUpload: (key, uploadId, signal) => again(signal, () => store.abortUpload(key, uploadId, signal)),
    close: () => store.close(),
  }
}
