/** The manifest: the one write that makes a backup exist. */
import { encodeBackupRecord, type BackupRecord } from '../../api/record.ts'
import { readRun } from '../../storage/bucket/catalog.ts'
import type { Layout } from '../../storage/bucket/layout.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { putOnce } from '../../storage/put-once.ts'
import { isStoreError } from '../../storage/store-error.ts'
import { failureOf, MoverFailure } from '../failure.ts'

export type CommitOutcome =
  /** The record is in the bucket, as this attempt wrote it. */
  | { readonly committed: 'this attempt'; readonly record: BackupRecord }
  /** Another attempt of the same Job was faster: its record holds, and this attempt's data is nobody's. */
  | { readonly committed: 'another attempt'; readonly record: BackupRecord }

/** After a failed commit: whether the manifest may exist (or come to exist) all the same. Then the data must stay. */
export class CommitFailure extends MoverFailure {
  readonly uncertain: boolean

  constructor(cause: unknown, uncertain: boolean, doubt = 'whether the manifest was written is not known') {
    const { reason, message, disproved } = failureOf(cause)
    super(reason, uncertain ? `${message}; ${doubt}` : message, { cause, disproved })
    this.uncertain = uncertain
  }
}

/**
 * The record of this run that is in the bucket already, if its own Job wrote it.
 * @throws MoverFailure RunExists when another Job did, or nobody can tell.
 */
export async function findOwnRecord(
  store: ObjectStore,
  layout: Layout,
  key: string,
  jobUid: string,
  signal?: AbortSignal,
): Promise<BackupRecord | undefined> {
  const found = await readManifest(store, layout, key, signal)
  if (!found) return undefined
  if (!found.record) throw runExists(key, `somebody (${found.problem})`)
  return ownRecord(key, found.record, jobUid)
}

function ownRecord(key: string, record: BackupRecord, jobUid: string): BackupRecord {
  if (record.jobUid === jobUid) return record
  throw runExists(key, `Job ${record.jobUid}`)
}

function runExists(key: string, whose: string): MoverFailure {
  return new MoverFailure('RunExists', `${key} was written by ${whose}; it is never overwritten`)
}

/** AWS answers 403 instead of 404 to those who may not list; the conditional write finds out. */
async function readManifest(store: ObjectStore, layout: Layout, key: string, signal?: AbortSignal) {
  try {
    return await readRun(store, layout, key, signal)
  } catch (error) {
    if (isStoreError(error, 'AccessDenied')) return undefined
    throw error
  }
}

/**
 * Writes the manifest. `conditionalPut`: the store was seen to honour `If-None-Match`.
 * @throws CommitFailure; MoverFailure RunExists.
 */
export async function commitRecord(
  store: ObjectStore,
  layout: Layout,
  key: string,
  record: BackupRecord,
  options: { readonly conditionalPut: boolean; readonly signal: AbortSignal },
): Promise<CommitOutcome> {
  const { conditionalPut, signal } = options
  const body = Buffer.from(encodeBackupRecord(record))
  const { outcome } = await putOnce(store, key, body, { trusted: conditionalPut, signal }).catch((error: unknown) => {
    throw error instanceof CommitFailure ? error : new CommitFailure(error, !refusedAtOnce(error))
  })
  if (outcome === 'created') return { committed: 'this attempt', record }
  const found = ownRecord(key, await readWritten(store, layout, key, signal), record.jobUid)
  return { committed: found.attempt === record.attempt ? 'this attempt' : 'another attempt', record: found }
}

/** The store answered the only request with a no. After anything else an earlier request may have been, or may yet be, obeyed. */
function refusedAtOnce(error: unknown): boolean {
  return isStoreError(error, 'AccessDenied', 'BucketNotFound', 'StoreRejected', 'StoreFull') && error.tries === 1
}

/**
 * The record that is in the way of ours. It is our own where the reply to our write was lost: only what was read and understood says
 * otherwise, and no refusal, absence or other body does. The next attempt looks again, so that the reason is one that is tried again.
 * @throws CommitFailure
 */
async function readWritten(
  store: ObjectStore,
  layout: Layout,
  key: string,
  signal: AbortSignal,
): Promise<BackupRecord> {
  const unread = (why: string, cause?: unknown) =>
    new CommitFailure(
      new MoverFailure('StoreUnavailable', `${key} exists for a write, and cannot be read: ${why}`, { cause }),
      true,
    )
  let found
  try {
    found = await readRun(store, layout, key, signal)
  } catch (error) {
    throw isStoreError(error) ? unread(error.message, error) : new CommitFailure(error, true)
  }
  if (!found?.record) throw unread(found?.problem ?? 'there is no such object')
  return found.record
}
