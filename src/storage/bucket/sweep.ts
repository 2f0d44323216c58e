/**
 * Removing what attempts left behind that could not clean up themselves (DESIGN R12): uploads that nobody will complete, and data
 * objects that no manifest names. Only what belongs to a Job that is certainly over; each writer says itself when that is. Objects wait a
 * week more for a manifest.
 */
import { readRun } from './catalog.ts'
import { timeOf } from './clock.ts'
import { isHeld, listHolds } from './holds.ts'
import { parseDataKey, parseManifestKey, type Attempt, type Layout } from './layout.ts'
import type { ObjectInfo, ObjectStore } from '../object-store.ts'
import { persevere } from './persevere.ts'
import { pinnedRuns, protects } from './pins.ts'
import { isStoreError } from '../store-error.ts'
import { dataMetadata, parseUploadRecord, type UploadRecord } from './upload-record.ts'

export interface Swept {
  readonly abortedUploads: number
  readonly deletedObjects: number
}

/** No writer expires sooner than this after its last write, so that younger objects need no look. */
const youngestMs = 60 * 60_000

/**
 * What may have been copied here is spared for so long after it is over and stored: its manifest may follow. Who copies a folder brings the
 * data first, and large ones take days. No time tells a copy from what an attempt wrote: a copy of last night's is made before that is over.
 */
const copyMs = 7 * 24 * 3_600_000

/** From when on data that no manifest names may go, where their writer was over at that time; both ms since the epoch. */
export function sweptFrom(expiresAt: number): number {
  return expiresAt + copyMs
}

/**
 * `now` by the clock of this node, ms since the epoch. An attempt is over when the store's clock says so, too: a node whose clock is ahead
 * would sweep what runs on other nodes are still writing. One object that cannot be read or deleted blocks nothing behind it.
 * @throws the first refusal, after all else was tried.
 */
export async function sweep(store: ObjectStore, layout: Layout, now: number, signal?: AbortSignal): Promise<Swept> {
  const swept = { abortedUploads: 0, deletedObjects: 0 }
  const steps = [
    () => abortUploads(store, layout, now, swept, signal),
    () => deleteOrphans(store, layout, now, swept, signal),
  ]
  await persevere(steps, step => step(), signal)
  return swept
}

/** Counted as they go: what was done before a refusal was done. */
type Count = { -readonly [Name in keyof Swept]: Swept[Name] }

async function abortUploads(store: ObjectStore, layout: Layout, now: number, swept: Count, signal?: AbortSignal) {
  const abort = async ({ key, modifiedAt }: ObjectInfo) => {
    if (now - modifiedAt < youngestMs) return
    const record = await readUploadRecord(store, key, signal)
    if (!record || record.expiresAt > now) return
    const head = await store.head(key, signal)
    if (!head) return
    const time = timeOf(now, head)
    // An id is of this store alone. Without one, the uploads of that key may be those of somebody who copies the object here.
    const isOver = mayHaveOthers(record) ? isForgotten({ ...record, modifiedAt }, time) : record.expiresAt <= time
    if (isOver) swept.abortedUploads += await abortNoted(store, layout, key, record, signal)
  }
  await persevere(store.list(layout.uploads, { signal }), abort, signal)
}

/** Whether its Job is certainly over, and nobody is still bringing it here. Never, where no expiry is known. */
function isForgotten(
  { expiresAt, modifiedAt }: { readonly expiresAt: number; readonly modifiedAt: number },
  time: number,
): boolean {
  return sweptFrom(Math.max(expiresAt, modifiedAt)) <= time
}

function mayHaveOthers({ uploadId, others }: UploadRecord): boolean {
  return uploadId === undefined || others === true
}

/** Aborts what the note tells of, and then removes it. @returns how many uploads those were. */
async function abortNoted(
  store: ObjectStore,
  layout: Layout,
  note: string,
  record: UploadRecord,
  signal?: AbortSignal,
): Promise<number> {
  const upload = `${layout.root}${record.key}`
  const known = record.uploadId === undefined ? [] : [record.uploadId]
  const listed = mayHaveOthers(record) ? await uploadsOf(store, upload, signal) : []
  const ids = new Set([...known, ...listed])
  for (const id of ids) await store.abortUpload(upload, id, signal)
  await store.delete([note], signal)
  return ids.size
}

/**
 * Aborts what an earlier probe left, however young: there is one probe of a policy at a time, and the words of one that goes on beyond its
 * Job are not heard. It is asked for by its key, because some credentials may list nothing; AWS answers these 403 for what does not exist.
 */
export async function abortEarlierProbe(store: ObjectStore, layout: Layout, signal?: AbortSignal): Promise<void> {
  const note = layout.probeUpload
  let record: UploadRecord | undefined
  try {
    record = await readUploadRecord(store, note, signal)
  } catch (error) {
    if (!isStoreError(error, 'AccessDenied')) throw error
  }
  if (record) await abortNoted(store, layout, note, record, signal)
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

type Stored = Attempt & Pick<ObjectInfo, 'key' | 'modifiedAt'>
type Candidate = Stored & { readonly manifests: readonly string[] }

/**
 * One answer alone never deletes. What the list of manifests names stays unless its manifest was read and names another attempt. What
 * it does not name stays unless the object itself says which manifest it belongs to, and the store says that there is none: lists are
 * out of date, and proxies answer 404 for what is there (docs/design.md R27). Held and pinned runs stay.
 */
async function deleteOrphans(store: ObjectStore, layout: Layout, now: number, swept: Count, signal?: AbortSignal) {
  const holds = new Set<string>()
  const candidates = await suspects(store, layout, now, signal)
  if (candidates.length > 0) for (const run of await listHolds(store, layout, signal)) holds.add(run)
  const remove = async (candidate: Candidate) => {
    const { key, run } = candidate
    if (holds.has(run) || !(await isOrphan(store, layout, candidate, now, signal))) return
    if (await isHeld(store, layout, run, signal)) return
    if (protects(await pinnedRuns(store, layout, now, signal), run)) return
    await store.delete([key], signal)
    swept.deletedObjects++
  }
  await persevere(candidates, remove, signal)
}

async function isOrphan(
  store: ObjectStore,
  layout: Layout,
  { key, modifiedAt, run, attempt, manifests }: Candidate,
  now: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const head = await store.head(key, signal)
  if (!head) return false
  const named = head.metadata[dataMetadata.manifest]
  const expiresAt = Number(head.metadata[dataMetadata.expiresAt] ?? Number.NaN)
  const own = `${layout.root}${named}`
  // An object without that note, or with one about another run, is not ours to judge.
  if (named === undefined || parseManifestKey(layout, own)?.run !== run) return false
  if (!isForgotten({ expiresAt, modifiedAt }, timeOf(now, head))) return false
  for (const manifest of new Set([...manifests, own])) {
    const read = await readRun(store, layout, manifest, signal)
    if (read === undefined ? manifests.includes(manifest) : read.record?.attempt === attempt || !read.record) {
      return false
    }
  }
  return true
}

/** Old objects of runs that have no manifest, or more than one attempt: what the cheap look at keys cannot clear. */
async function suspects(
  store: ObjectStore,
  layout: Layout,
  now: number,
  signal?: AbortSignal,
): Promise<readonly Candidate[]> {
  const attempts = new Map<string, Set<string>>()
  const old: Stored[] = []
  for await (const { key, modifiedAt } of store.list(layout.data, { signal })) {
    const owner = parseDataKey(layout, key)
    if (!owner) continue
    attempts.set(owner.run, (attempts.get(owner.run) ?? new Set()).add(owner.attempt))
    if (now - modifiedAt >= youngestMs) old.push({ key, modifiedAt, ...owner })
  }
  if (old.length === 0) return []
  const manifests = new Map<string, string[]>()
  for await (const { key } of store.list(layout.manifests, { signal })) {
    const name = parseManifestKey(layout, key)
    if (name) manifests.set(name.run, [...(manifests.get(name.run) ?? []), key])
  }
  return old
    .map(object => ({ ...object, manifests: manifests.get(object.run) ?? [] }))
    .filter(object => object.manifests.length === 0 || (attempts.get(object.run)?.size ?? 0) > 1)
}
