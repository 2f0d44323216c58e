/** The backups of one target, read from their manifests; and deleting one so that nothing half-deleted looks restorable. */
import { parseBackupRecord, type BackupRecord } from '../../api/record.ts'
import { isHeld } from './holds.ts'
import { pinnedRuns, protects } from './pins.ts'
import { manifestFolder, parseManifestKey, type Layout } from './layout.ts'
import type { ObjectStore } from '../object-store.ts'
import { isOneOf, type Owner } from './owner.ts'
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
  options: { readonly signal?: AbortSignal } = {},
): Promise<readonly CatalogRun[]> {
  return (await readCatalogPage(store, layout, target, { ...options, limit: Number.POSITIVE_INFINITY })).runs
}

/** At most so many of them. `next`: the key after which the next page begins, also where the list named manifests that are gone. */
export async function readCatalogPage(
  store: ObjectStore,
  layout: Layout,
  target: string,
  options: { readonly after?: string; readonly limit: number; readonly signal?: AbortSignal },
): Promise<{ readonly runs: readonly CatalogRun[]; readonly next: string | undefined }> {
  const { after, limit, signal } = options
  const keys: string[] = []
  let next: string | undefined
  for await (const { key } of store.list(manifestFolder(layout, target), { after, signal })) {
    if (!parseManifestKey(layout, key)) continue
    if (keys.length >= limit) {
      next = keys.at(-1)
      break
    }
    keys.push(key)
  }
  return { runs: await readRuns(store, layout, keys, signal), next }
}

/** The runs of these manifests; those that are gone are left out. */
export async function readRuns(
  store: ObjectStore,
  layout: Layout,
  keys: readonly string[],
  signal?: AbortSignal,
): Promise<readonly CatalogRun[]> {
  const runs: CatalogRun[] = []
  for (let start = 0; start < keys.length; start += readsAtOnce) {
    const batch = keys.slice(start, start + readsAtOnce)
    runs.push(...(await readBatch(store, layout, batch, signal)))
  }
  return runs
}

/**
 * The owner's runs, and those of others that lie in its folder all the same: they neither count nor go, whatever the mark of the folder
 * says. A manifest that cannot be read tells of nobody, and is with the first.
 * @param formerly ids of the clusters from which the folder was taken over (`Claim`).
 */
export function splitByOwner(
  runs: readonly CatalogRun[],
  owner: Owner,
  formerly: readonly string[],
): { readonly own: readonly CatalogRun[]; readonly foreign: readonly CatalogRun[] } {
  const isForeign = ({ record }: CatalogRun) => record !== undefined && !isOneOf(record.owner, owner, formerly)
  return { own: runs.filter(run => !isForeign(run)), foreign: runs.filter(isForeign) }
}

/** For people. */
export function foreignText(foreign: readonly CatalogRun[]): string {
  return `${foreign.length} of another cluster, namespace or policy in this folder, neither counted nor deleted; the first is ${foreign[0]?.key}`
}

/** The key of a run's manifest, by the list; undefined where it is not listed. */
export async function findManifest(
  store: ObjectStore,
  layout: Layout,
  target: string,
  run: string,
  signal?: AbortSignal,
): Promise<string | undefined> {
  for await (const { key } of store.list(manifestFolder(layout, target), { signal }))
    if (parseManifestKey(layout, key)?.run === run) return key
  return undefined
}

/** A manifest that the store does not give stands in the way of no other, unless it gives none at all now. */
async function readBatch(
  store: ObjectStore,
  layout: Layout,
  keys: readonly string[],
  signal?: AbortSignal,
): Promise<readonly CatalogRun[]> {
  const results = await Promise.allSettled(keys.map(key => readRun(store, layout, key, signal)))
  signal?.throwIfAborted()
  const failures = results.flatMap(result => (result.status === 'rejected' ? [result.reason as unknown] : []))
  const fatal = failures.find(error => !isStoreError(error))
  const down =
    failures.length === keys.length && failures.every(error => isStoreError(error) && error.class === 'retry')
  if (fatal !== undefined || down) throw fatal ?? failures[0]
  return results.flatMap((result, index) => {
    if (result.status === 'fulfilled') return result.value ?? []
    const key = keys[index] ?? ''
    const name = parseManifestKey(layout, key)
    return name ? [{ key, ...name, record: undefined, problem: (result.reason as Error).message }] : []
  })
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
  const body = await readManifest(store, key, signal)
  if (body === undefined) return undefined
  try {
    const record = parseBackupRecord(body.toString())
    if (record.run === run && record.target === target) return { key, run, slot, record }
    const problem = `it is of run ${record.run} and target ${record.target}, which its key contradicts`
    return { key, run, slot, record: undefined, problem }
  } catch (error) {
    return { key, run, slot, record: undefined, problem: (error as Error).message }
  }
}

/** Undefined only when the store says that there is no such object. */
export async function readManifest(store: ObjectStore, key: string, signal?: AbortSignal): Promise<Buffer | undefined> {
  try {
    return await store.get(key, largestManifest, signal)
  } catch (error) {
    if (isStoreError(error, 'NotFound')) return undefined
    throw error
  }
}

export type Deletion =
  | 'deleted'
  /** Somebody asked that it be kept: it is as it was. */
  | 'held'
  /** A restore needs it: it is as it was. */
  | 'pinned'
  /** Its manifest was gone already. What is left of it is the sweep's. */
  | 'gone'

/**
 * Deletes a backup: its manifest, then its data. Killed in between, it no longer exists, and what is left is found by the sweep
 * (`sweep.ts`). Never the other way round.
 *
 * Holds and pins are looked at right before either. Who holds or pins a run writes that and then looks for the manifest: had they still
 * found it, the second look here sees what they wrote, and the manifest is put back. Killed just then, the manifest is lost; the data
 * stay, because the sweep spares what is held, and a pinned run for as long as its pin is good.
 *
 * `now` by the clock of this node, ms since the epoch: pins expire.
 */
export async function deleteBackup(
  store: ObjectStore,
  layout: Layout,
  backup: { readonly key: string; readonly record: BackupRecord },
  now: number,
  signal?: AbortSignal,
): Promise<Deletion> {
  const { run, attempt, artifacts } = backup.record
  const wanted = await wantedBy(store, layout, run, now, signal)
  if (wanted) return wanted
  const body = await readManifest(store, backup.key, signal)
  if (body === undefined) return 'gone'
  if (parseBackupRecord(body.toString()).attempt !== attempt) {
    throw new Error(`${backup.key} was replaced while it was to be deleted; it stays`)
  }
  await store.delete([backup.key], signal)
  const meanwhile = await wantedBy(store, layout, run, now, signal).catch(() => 'held' as const)
  if (meanwhile) {
    await store.put(backup.key, body)
    return meanwhile
  }
  await store.delete(
    artifacts.flatMap(({ segments }) => segments).map(({ key }) => `${layout.root}${key}`),
    signal,
  )
  return 'deleted'
}

/** @throws StoreError when the store does not tell: then it counts as wanted. */
async function wantedBy(store: ObjectStore, layout: Layout, run: string, now: number, signal?: AbortSignal) {
  if (await isHeld(store, layout, run, signal)) return 'held' as const
  return protects(await pinnedRuns(store, layout, now, signal), run) ? ('pinned' as const) : undefined
}
