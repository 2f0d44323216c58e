/** The backups of one target, read from their manifests; and deleting one so that nothing half-deleted looks restorable. */
import { parseBackupRecord, type BackupRecord } from '../../api/record.ts'
import { manifestFolder, parseManifestKey, type Layout } from './layout.ts'
import type { ObjectStore } from '../object-store.ts'
import { isStoreError } from '../store-error.ts'

export interface CatalogRun {
  /** Key of the manifest. */
  readonly key: string
  readonly run: string
  readonly slot: Date
  /** Undefined when the manifest cannot be read; `problem` says why. Such a run is neither counted nor deleted. */
  readonly record: BackupRecord | undefined
  readonly problem?: string
}

const largestManifest = 8 << 20
const readsAtOnce = 8

/** Runs of the target, oldest slot first. `after` is the key of a manifest; at most `limit` runs. */
export async function readCatalog(
  store: ObjectStore,
  layout: Layout,
  target: string,
  options: { readonly after?: string; readonly limit?: number; readonly signal?: AbortSignal } = {},
): Promise<readonly CatalogRun[]> {
  const { after, limit = Number.POSITIVE_INFINITY, signal } = options
  const keys: string[] = []
  for await (const { key } of store.list(manifestFolder(layout, target), { after, signal })) {
    if (keys.length >= limit) break
    if (parseManifestKey(layout, key)) keys.push(key)
  }
  const runs: CatalogRun[] = []
  for (let start = 0; start < keys.length; start += readsAtOnce) {
    const batch = keys.slice(start, start + readsAtOnce)
    const read = await Promise.all(batch.map(key => readRun(store, layout, key, signal)))
    runs.push(...read.filter(run => run !== undefined))
  }
  return runs
}

/** Undefined when there is no such manifest (any more). */
export async function readRun(
  store: ObjectStore,
  layout: Layout,
  key: string,
  signal?: AbortSignal,
): Promise<CatalogRun | undefined> {
  const name = parseManifestKey(layout, key)
  if (!name) throw new Error(`${key} is not the key of a manifest`)
  const { run, slot, target } = name
  let text: string
  try {
    text = (await store.get(key, largestManifest, signal)).toString()
  } catch (error) {
    if (isStoreError(error, 'NotFound')) return undefined
    throw error
  }
  try {
    const record = parseBackupRecord(text)
    if (record.run === run && record.target === target) return { key, run, slot, record }
    const problem = `it is of run ${record.run} and target ${record.target}, which its key contradicts`
    return { key, run, slot, record: undefined, problem }
  } catch (error) {
    return { key, run, slot, record: undefined, problem: (error as Error).message }
  }
}

/**
 * Deletes a backup: its manifest, then its data. Killed in between, it no longer exists, and what is left is found by the sweep
 * (`sweep.ts`). Never the other way round.
 */
export async function deleteBackup(
  store: ObjectStore,
  layout: Layout,
  backup: { readonly key: string; readonly record: BackupRecord },
  signal?: AbortSignal,
): Promise<void> {
  await store.delete([backup.key], signal)
  const segments = backup.record.artifacts.flatMap(artifact => artifact.segments)
  await store.delete(
    segments.map(segment => `${layout.root}${segment.key}`),
    signal,
  )
}
