/** Writing an object that must never replace another one, also where the store cannot promise it. */
import type { ObjectStore } from './object-store.ts'
import { isStoreError, StoreError } from './store-error.ts'

export interface PutOnceResult {
  /** `exists`: the object is there, and may be this very one when an earlier reply was lost. Read it to know. */
  readonly outcome: 'created' | 'exists'
  /** Whether the store itself guaranteed it. Otherwise two writers in the same instant are possible. */
  readonly conditional: boolean
}

/**
 * `If-None-Match: *`; where the store does not know it (400, 501), or is known to ignore it (`trusted: false`): look, then write.
 * @throws StoreError whose `tries` is 1 only where no request may have been obeyed before the one that failed.
 */
export async function putOnce(
  store: ObjectStore,
  key: string,
  body: Uint8Array,
  options: { readonly trusted: boolean; readonly signal?: AbortSignal },
): Promise<PutOnceResult> {
  const { trusted, signal } = options
  let doubtful = 0
  if (trusted) {
    try {
      return { outcome: await store.putIfAbsent(key, body, signal), conditional: true }
    } catch (error) {
      if (!isStoreError(error, 'ConditionalUnsupported')) throw error
      // The last one was refused for its header. Those before it were not.
      doubtful = error.tries - 1
    }
  }
  try {
    if (await store.head(key, signal)) return { outcome: 'exists', conditional: false }
    await store.put(key, body, signal)
    return { outcome: 'created', conditional: false }
  } catch (error) {
    if (doubtful === 0 || !isStoreError(error)) throw error
    const { reason, message, tries, perhapsObeyed } = error
    throw new StoreError(reason, message, { cause: error, tries: doubtful + tries, perhapsObeyed })
  }
}
