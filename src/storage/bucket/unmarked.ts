/** A folder of which the store gives no mark: what lies in it tells whose it may be. A mark is lost by hand, or by a wrong NoSuchKey. */
import { readRuns } from './catalog.ts'
import { parseManifestKey, type Layout } from './layout.ts'
import type { ObjectStore } from '../object-store.ts'
import { isOneOf, type Owner } from './owner.ts'
import { isStoreError } from '../store-error.ts'

export type Contents =
  /** Nothing, or backups of this owner and nobody else's. */
  | { readonly whose: 'ours' }
  /** `key`: the manifest of a backup of another owner. */
  | { readonly whose: 'theirs'; readonly owner: Owner; readonly key: string }
  /** `key`: an object in a folder without a manifest that tells. */
  | { readonly whose: 'unknown'; readonly key: string }
  /** These credentials may not list. */
  | { readonly whose: 'not told' }

/** @throws StoreError as `list`, except AccessDenied. */
export async function contentsOf(
  store: ObjectStore,
  layout: Layout,
  owner: Owner,
  adopts: readonly string[],
  signal?: AbortSignal,
): Promise<Contents> {
  const manifests: string[] = []
  let first: string | undefined
  try {
    for await (const { key } of store.list(layout.root, { signal })) {
      // What a probe leaves says nothing.
      if (key === layout.probe || key === layout.probeUpload) continue
      first ??= key
      if (parseManifestKey(layout, key)) manifests.push(key)
    }
  } catch (error) {
    if (isStoreError(error, 'AccessDenied')) return { whose: 'not told' }
    throw error
  }
  if (first === undefined) return { whose: 'ours' }
  const runs = await readRuns(store, layout, manifests, signal)
  const told = runs.flatMap(({ key, record }) => (record ? [{ key, owner: record.owner }] : []))
  const other = told.find(each => !isOneOf(each.owner, owner, adopts))
  if (other) return { whose: 'theirs', ...other }
  return told.length > 0 ? { whose: 'ours' } : { whose: 'unknown', key: first }
}
