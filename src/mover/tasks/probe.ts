/** Can the policy's store be used? Everything that a backup will need is done once, on objects of our own (docs/design.md R2). */
import type { ProbeTask } from '../../api/mover/task.ts'
import { layoutOf, manifestKey, segmentKey, type Layout } from '../../storage/bucket/layout.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { claimFolder } from '../../storage/bucket/ownership.ts'
import { dataMetadata } from '../../storage/bucket/upload-record.ts'
import { modeText } from '../../storage/s3/modes.ts'
import { isStoreError } from '../../storage/store-error.ts'
import { MoverFailure } from '../failure.ts'
import type { MoverIdentity } from '../identity.ts'
import type { Report } from '../protocol/report.ts'
import { openStores } from '../stores.ts'

/** No probe takes longer. */
const probeExpiryMs = 3_600_000

/** @throws what stands in the way of a backup. What only stands in the way of pruning is a warning. */
export async function runProbe(
  task: ProbeTask,
  identity: MoverIdentity,
  report: Report,
  now: number,
  signal: AbortSignal,
) {
  report.update({ phase: 'probing' })
  const { quick: store, bare } = await openStores(task, report.log)
  const layout = layoutOf({ prefix: task.backend.prefix, namespace: task.owner.namespace, policy: task.owner.policy })
  // Before anything is written: a list tells whether the bucket is where we look for it.
  const canList = await allowed(() => firstOf(store.list(layout.manifests, { signal })))
  const { conditionalPut } = await writing(store, layout, () => claimFolder(store, layout, task.owner, now, signal))
  const written = Buffer.from(`${identity.run}\n`)
  await writing(store, layout, () => store.put(layout.probe, written, signal))
  const read = await store.get(layout.probe, 1 << 10, signal)
  if (!read.equals(written)) {
    throw new MoverFailure('StoreRejected', `${layout.probe} was read back with another content than was written`)
  }
  const uploaded = await tryUpload(store, layout, identity, signal)
  const canDelete = await allowed(() => store.delete([layout.probe, uploaded], signal))
  if (!conditionalPut) {
    report.warn(
      'UnconditionalCommit',
      'the store does not honour If-None-Match; backups work, with a look before each write',
    )
  }
  if (await bare.keepsDeleted(layout.root, signal)) {
    report.warn(
      'VersionedBucket',
      'the bucket keeps older versions, so that pruning frees nothing; add a lifecycle rule that expires noncurrent versions',
    )
  }
  if (!canList || !canDelete) {
    const refused = [canList ? '' : 'list', canDelete ? '' : 'delete'].filter(Boolean).join(' and ')
    const sizes = canList ? '' : ', and sizes are compared with nothing but what the operator remembers'
    report.warn('RetentionBlocked', `the credentials may not ${refused}; backups work, but nothing is pruned${sizes}`)
  }
  report.update({
    phase: 'done',
    probe: { conditionalPut, canList, canDelete, mode: modeText(bare.mode()) },
    finishedAt: Date.now(),
  })
}

/** A refused write of one who may read: the credentials are right, their rights are not. */
async function writing<T>(store: ObjectStore, layout: Layout, write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (error) {
    if (!isStoreError(error, 'AccessDenied')) throw error
    const mayRead = await allowed(() => firstOf(store.list(layout.root)))
    if (!mayRead) throw error
    throw new MoverFailure('StoreReadOnly', `reading is allowed, writing is not: ${error.message}`, { cause: error })
  }
}

/**
 * Backups are multipart uploads, which some policies and some stores treat apart, and some refuse only when they are completed. What
 * a killed probe leaves is swept like the data of any attempt without a manifest.
 * @returns the key of the object that it made.
 */
async function tryUpload(
  store: ObjectStore,
  layout: Layout,
  identity: MoverIdentity,
  signal: AbortSignal,
): Promise<string> {
  const key = segmentKey(layout, identity, 'probe', 0)
  const manifest = manifestKey(layout, 'probe', new Date(0), identity.run).slice(layout.root.length)
  const metadata = {
    [dataMetadata.manifest]: manifest,
    [dataMetadata.expiresAt]: String(Date.now() + probeExpiryMs),
  }
  const body = Buffer.from('probe')
  const uploadId = await store.createUpload(key, { metadata, signal })
  try {
    const part = await store.uploadPart(key, uploadId, 1, body, signal)
    await store.completeUpload(key, uploadId, [part], body.length, signal)
    return key
  } catch (error) {
    await store.abortUpload(key, uploadId, signal)
    throw error
  }
}

/** False when the store refuses it to these credentials. */
async function allowed(request: () => Promise<unknown>): Promise<boolean> {
  try {
    await request()
    return true
  } catch (error) {
    if (isStoreError(error, 'AccessDenied')) return false
    throw error
  }
}

async function firstOf<T>(items: AsyncIterable<T>): Promise<T | undefined> {
  for await (const item of items) return item
  return undefined
}
