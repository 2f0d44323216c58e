/**
 * Are the data of a backup there? A manifest says what was written, not what is left: lifecycle rules, people and broken stores take
 * objects away (docs/design.md R24, R27, R36). The list of `data/` tells; an object that it does not tell of is looked at itself. HEAD
 * carries no code, so that its 404 proves nothing: absence is a GET that says so.
 */
import { parseBackupRecord, type BackupRecord } from '../../api/record.ts'
import { readManifest } from './catalog.ts'
import type { Layout } from './layout.ts'
import type { ObjectInfo, ObjectStore } from '../object-store.ts'
import { isStoreError, StoreError } from '../store-error.ts'

export type DataList = ReadonlyMap<string, ObjectInfo>

/** `whole`: every segment is there at its size; `archived`: so too, and one must be brought back before it can be read. */
export type SegmentsState = 'whole' | 'archived' | 'missing' | 'unknown'

/** All data objects of the policy, by their keys. */
export async function listData(store: ObjectStore, layout: Layout, signal?: AbortSignal): Promise<DataList> {
  const objects = new Map<string, ObjectInfo>()
  for await (const object of store.list(layout.data, { signal })) objects.set(object.key, object)
  return objects
}

/**
 * The worst of the backup's segments.
 * @param isAnswer which failures leave a segment `unknown`: any other is thrown, since the same question may be answered later
 */
export async function stateOf(
  store: ObjectStore,
  layout: Layout,
  listed: DataList,
  record: BackupRecord,
  signal?: AbortSignal,
  isAnswer: (error: StoreError) => boolean = () => true,
): Promise<SegmentsState> {
  let worst: SegmentsState = 'whole'
  for (const { key, bytes } of segmentsOf(layout, record)) {
    const state = stateInList(listed.get(key), bytes) ?? (await stateByLook(store, key, bytes, isAnswer, signal))
    if (rank[state] > rank[worst]) worst = state
  }
  return worst
}

const rank = { whole: 0, archived: 1, unknown: 2, missing: 3 } as const satisfies Record<SegmentsState, number>

/** Undefined where the list leaves a doubt. */
function stateInList(found: ObjectInfo | undefined, bytes: number): SegmentsState | undefined {
  if (found?.bytes !== bytes || found.archived === 'perhaps') return undefined
  return found.archived ? 'archived' : 'whole'
}

async function stateByLook(
  store: ObjectStore,
  key: string,
  bytes: number,
  isAnswer: (error: StoreError) => boolean,
  signal?: AbortSignal,
): Promise<SegmentsState> {
  try {
    const head = await store.head(key, signal)
    if (!head && (await isAbsent(store, key, signal))) return 'missing'
    if (!head) throw new StoreError('StoreUnavailable', `the store says that there is no ${key}, and serves it`)
    if (head.bytes !== bytes) return 'missing'
    return head.archived ? 'archived' : 'whole'
  } catch (error) {
    if (isStoreError(error) && isAnswer(error)) return 'unknown'
    throw error
  }
}

async function isAbsent(store: ObjectStore, key: string, signal?: AbortSignal): Promise<boolean> {
  try {
    const stream = await store.read(key, { signal })
    stream.destroy()
    return false
  } catch (error) {
    if (isStoreError(error, 'NotFound')) return true
    throw error
  }
}

/**
 * Whether two answers that do not depend on each other call every object of the backup whole and readable at once, the manifest
 * among them. A list may be out of date or cut, and so may an answer about one object. To a look at each object come the list, and
 * where that lacks it or does not know its class, a read that is begun.
 */
export async function confirmsReadable(
  store: ObjectStore,
  layout: Layout,
  listed: DataList,
  backup: { readonly key: string; readonly record: BackupRecord },
  signal?: AbortSignal,
): Promise<boolean> {
  try {
    const text = await readManifest(store, backup.key, signal)
    if (text === undefined || parseBackupRecord(text.toString()).attempt !== backup.record.attempt) return false
    if (!(await looksReadable(store, backup.key, text.length, signal))) return false
    for (const { key, bytes } of segmentsOf(layout, backup.record)) {
      const found = listed.get(key)
      if ((found && found.bytes !== bytes) || found?.archived === true) return false
      if (!(await looksReadable(store, key, bytes, signal))) return false
      if ((!found || found.archived === 'perhaps') && (await isAbsent(store, key, signal))) return false
    }
    return true
  } catch {
    signal?.throwIfAborted()
    return false
  }
}

async function looksReadable(store: ObjectStore, key: string, bytes: number, signal?: AbortSignal): Promise<boolean> {
  const head = await store.head(key, signal)
  return head?.bytes === bytes && !head.archived
}

function segmentsOf(layout: Layout, record: BackupRecord) {
  return record.artifacts
    .flatMap(({ segments }) => segments)
    .map(({ key, bytes }) => ({ key: `${layout.root}${key}`, bytes }))
}
