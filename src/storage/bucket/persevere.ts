/** Work on many objects, of which one must not stand in the way of the others. */
import { StoreError } from '../store-error.ts'

/** So many failures in a row of a store that cannot serve now, each after its own retries, are an outage: the rest would only wait. */
const outage = 3

/**
 * Does the work for each item in turn. A failure does not stop it, unless the store is down or the signal aborted.
 * @throws the first failure, after all others were tried.
 */
export async function persevere<T>(
  items: Iterable<T> | AsyncIterable<T>,
  work: (item: T) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  let first: { readonly error: unknown } | undefined
  let down = 0
  for await (const item of items) {
    try {
      await work(item)
      down = 0
    } catch (error) {
      signal?.throwIfAborted()
      first ??= { error }
      down = error instanceof StoreError && error.class === 'retry' ? down + 1 : 0
      if (down >= outage) break
    }
  }
  if (first) throw first.error
}
