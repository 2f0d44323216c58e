/**
 * Holds: a run that somebody asked to keep has `holds/<run>.json` beside the manifests (docs/design.md R28). They live where the data
 * live, so that neither a deleted Backup object nor a lost cluster takes them away.
 */
import { holdKey, parseHoldKey, type Layout } from './layout.ts'
import type { ObjectStore } from '../object-store.ts'
import { isStoreError } from '../store-error.ts'

/** What stands in one does not matter: that it is there holds the run. */
const largestHold = 64 << 10

/** `since` in ms since the epoch. */
export async function writeHold(
  store: ObjectStore,
  layout: Layout,
  hold: { readonly run: string; readonly since: number },
  signal?: AbortSignal,
): Promise<void> {
  const body = { version: 1, run: hold.run, since: new Date(hold.since).toISOString() }
  await store.put(holdKey(layout, hold.run), Buffer.from(`${JSON.stringify(body, undefined, 2)}\n`), signal)
}

export async function removeHold(store: ObjectStore, layout: Layout, run: string, signal?: AbortSignal): Promise<void> {
  await store.delete([holdKey(layout, run)], signal)
}

/**
 * Asks the store, never a memory. Only the answer that there is no such object releases a run.
 * @throws StoreError when the store does not tell: then it counts as held.
 */
export async function isHeld(store: ObjectStore, layout: Layout, run: string, signal?: AbortSignal): Promise<boolean> {
  try {
    await store.get(holdKey(layout, run), largestHold, signal)
    return true
  } catch (error) {
    if (isStoreError(error, 'NotFound')) return false
    // Too large for a hold of ours, and yet an object under its name.
    if (isStoreError(error, 'StoreRejected')) return true
    throw error
  }
}

/** The runs that have a hold, by the list. */
export async function listHolds(
  store: ObjectStore,
  layout: Layout,
  signal?: AbortSignal,
): Promise<ReadonlySet<string>> {
  const runs = new Set<string>()
  for await (const { key } of store.list(layout.holds, { signal })) {
    const run = parseHoldKey(layout, key)
    if (run !== undefined) runs.add(run)
  }
  return runs
}
