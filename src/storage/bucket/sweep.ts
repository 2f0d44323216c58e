/**
 * Removing what attempts left behind that could not clean up themselves (DESIGN R12): uploads that nobody will complete, and data
 * objects that no manifest names. Only what belongs to a Job that is certainly over; each writer says itself when that is.
 */
import { readRun } from './catalog.ts'
import { parseDataKey, parseManifestKey, type Layout } from './layout.ts'
import type { ObjectInfo, ObjectStore } from '../object-store.ts'
import { isStoreError } from '../store-error.ts'
import { dataMetadata, parseUploadRecord } from './upload-record.ts'

export interface Swept {
  readonly abortedUploads: number
  readonly deletedObjects: number
}

/** No writer expires sooner than this after its last write, so that younger objects need no look. */
const youngestMs = 60 * 60_000

/** `now` in ms since the epoch. */
export async function sweep(store: ObjectStore, layout: Layout, now: number, signal?: AbortSignal): Promise<Swept> {
  const abortedUploads = await abortUploads(store, layout, now, signal)
  const deletedObjects = await deleteOrphans(store, layout, now, signal)
  return { abortedUploads, deletedObjects }
}

async function abortUploads(store: ObjectStore, layout: Layout, now: number, signal?: AbortSignal): Promise<number> {
  let aborted = 0
  for await (const { key, modifiedAt } of store.list(layout.uploads, { signal })) {
    if (now - modifiedAt < youngestMs) continue
    const record = await readUploadRecord(store, key, signal)
    if (!record || record.expiresAt > now) continue
    const upload = `${layout.root}${record.key}`
    const ids = record.uploadId === undefined ? await uploadsOf(store, upload, signal) : [record.uploadId]
    for (const id of ids) await store.abortUpload(upload, id, signal)
    await store.delete([key], signal)
    aborted += ids.length
  }
  return aborted
}

/** None where the store does not tell: then its lifecycle rule must remove an upload whose opening was never confirmed. */
async function uploadsOf(store: ObjectStore, key: string, signal?: AbortSignal): Promise<readonly string[]> {
  try {
    return await store.listUploads(key, signal)
  } catch (error) {
    if (isStoreError(error, 'AccessDenied', 'StoreRejected')) return []
    throw error
  }
}

async function readUploadRecord(store: ObjectStore, key: string, signal?: AbortSignal) {
  try {
    return parseUploadRecord((await store.get(key, 64 << 10, signal)).toString())
  } catch (error) {
    if (isStoreError(error, 'NotFound', 'StoreRejected')) return undefined
    throw error
  }
}

/**
 * A list alone never deletes: the manifest that the object itself names is asked for by its key first. An object without that note
 * is not ours to judge.
 */
async function deleteOrphans(store: ObjectStore, layout: Layout, now: number, signal?: AbortSignal): Promise<number> {
  const candidates = await suspects(store, layout, now, signal)
  let deleted = 0
  for (const { key } of candidates) {
    const head = await store.head(key, signal)
    const manifest = head?.metadata[dataMetadata.manifest]
    const expiresAt = Number(head?.metadata[dataMetadata.expiresAt] ?? Number.NaN)
    const manifestKey = `${layout.root}${manifest}`
    if (manifest === undefined || !(expiresAt <= now) || !parseManifestKey(layout, manifestKey)) continue
    const run = await readRun(store, layout, manifestKey, signal)
    if (run && !run.record) continue
    if (run?.record?.attempt === parseDataKey(layout, key)?.attempt) continue
    await store.delete([key], signal)
    deleted++
  }
  return deleted
}

/** Old objects of runs that have no manifest, or more than one attempt: what the cheap look at keys cannot clear. */
async function suspects(store: ObjectStore, layout: Layout, now: number, signal?: AbortSignal) {
  const attempts = new Map<string, Set<string>>()
  const old: (ObjectInfo & { readonly run: string })[] = []
  for await (const object of store.list(layout.data, { signal })) {
    const owner = parseDataKey(layout, object.key)
    if (!owner) continue
    attempts.set(owner.run, (attempts.get(owner.run) ?? new Set()).add(owner.attempt))
    if (now - object.modifiedAt >= youngestMs) old.push({ ...object, run: owner.run })
  }
  if (old.length === 0) return []
  const committed = new Set<string>()
  for await (const { key } of store.list(layout.manifests, { signal })) {
    const name = parseManifestKey(layout, key)
    if (name) committed.add(name.run)
  }
  return old.filter(({ run }) => !committed.has(run) || (attempts.get(run)?.size ?? 0) > 1)
}
