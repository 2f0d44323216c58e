// A backup in a store as a mover would have left it, without a mover.
import { encodeBackupRecord, triggerOfRun, type BackupRecord } from '../../src/api/record.ts'
import { manifestKey, segmentKey, type Attempt, type Layout } from '../../src/storage/bucket/layout.ts'
import { dataMetadata } from '../../src/storage/bucket/upload-record.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'

export type MadeUp = {
  readonly run: string
  readonly slot: Date
  readonly attempt?: string
  readonly segments?: number
  /** Of the manifest's other fields. */
  readonly change?: Partial<BackupRecord>
  /** When its Job is certainly over, ms since the epoch. */
  readonly expiresAt?: number
}

export type MadeUpBackup = {
  /** Key of the manifest. */
  readonly key: string
  readonly record: BackupRecord
  /** Keys of the data. */
  readonly data: readonly string[]
}

const target = 'command'
const body = Buffer.from('x')

/** Data of one attempt, each with the note by which the sweep judges it. */
export async function putData(store: ObjectStore, layout: Layout, made: MadeUp): Promise<readonly string[]> {
  const { run, slot, attempt = 'attempt', segments = 1, expiresAt = 0 } = made
  const place: Attempt = { run, attempt }
  const keys = Array.from({ length: segments }, (_, index) => segmentKey(layout, place, 'dump', index))
  const manifest = manifestKey(layout, target, slot, run).slice(layout.root.length)
  const metadata = { [dataMetadata.manifest]: manifest, [dataMetadata.expiresAt]: String(expiresAt) }
  for (const key of keys) {
    const uploadId = await store.createUpload(key, { metadata })
    const part = await store.uploadPart(key, uploadId, 1, body)
    await store.completeUpload(key, uploadId, [part], body.length)
  }
  return keys
}

export async function putBackup(store: ObjectStore, layout: Layout, made: MadeUp): Promise<MadeUpBackup> {
  const { run, slot, attempt = 'attempt' } = made
  const data = await putData(store, layout, made)
  const time = slot.toISOString()
  const sha256 = '0'.repeat(64)
  const segments = data.map(key => ({ key: key.slice(layout.root.length), bytes: body.length, parts: [sha256] }))
  const sizes = { bytes: 1, storedBytes: segments.length * body.length }
  const record: BackupRecord = {
    version: 2,
    trigger: triggerOfRun(run, 'orders'),
    sizeCheck: 'compared',
    run,
    jobUid: `job-uid-of-${run}`,
    attempt,
    owner: { clusterId: 'cluster-1', namespace: 'shop', policy: 'orders', policyUid: 'uid-1' },
    target,
    slot: time,
    startedAt: time,
    finishedAt: time,
    artifacts: [{ kind: 'stream', name: 'dump', codecs: ['zstd'], partBytes: 8 << 20, segments, ...sizes, sha256 }],
    commit: 'conditional',
    suspect: false,
    tools: {},
    ...made.change,
  }
  const key = manifestKey(layout, target, slot, run)
  await store.put(key, Buffer.from(encodeBackupRecord(record)))
  return { key, record, data }
}
