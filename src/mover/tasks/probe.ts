/** Can the policy's store be used? Everything that a backup will need is done once, on objects of our own (docs/design.md R2). */
import { hash } from 'node:crypto'
import { catalogMessageLimit, type KeptOfTarget } from '../../api/mover/message.ts'
import { runsDigest } from '../../api/mover/runs-digest.ts'
import type { ProbeTask } from '../../api/mover/task.ts'
import {
  layoutOf,
  manifestKey,
  parseManifestKey,
  segmentKey,
  type Layout,
  type ManifestName,
} from '../../storage/bucket/layout.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { claimFolder } from '../../storage/bucket/ownership.ts'
import { abortEarlierProbe } from '../../storage/bucket/sweep.ts'
import { dataMetadata, encodeUploadRecord, type UploadRecord } from '../../storage/bucket/upload-record.ts'
import { modeText, type StoreMode } from '../../storage/s3/modes.ts'
import { isStoreError } from '../../storage/store-error.ts'
import { SegmentedUpload } from '../backup/upload.ts'
import { MoverFailure } from '../failure.ts'
import type { MoverIdentity } from '../identity.ts'
import type { Report } from '../protocol/report.ts'
import type { Log } from '../../runtime/log.ts'
import { recipientsOf } from '../recipients.ts'
import { openStores } from '../stores.ts'

/** No probe takes longer. */
const probeExpiryMs = 3_600_000
/** What remains of the grace period (30 s) for cleaning up. */
const cleanupMs = 20_000

/** @throws what stands in the way of a backup. What only stands in the way of pruning is a warning. */
export async function runProbe(
  task: ProbeTask,
  identity: MoverIdentity,
  report: Report,
  now: number,
  signal: AbortSignal,
) {
  report.update({ phase: 'probing' })
  if (task.encryption) await recipientsOf(task.encryption)
  const { quick: store, bare } = await openStores(task, report.log)
  const layout = layoutOf({ prefix: task.backend.prefix, namespace: task.owner.namespace, policy: task.owner.policy })
  // Before anything is written: a list tells whether the bucket is where we look for it.
  const canList = await allowed(() => firstOf(store.list(layout.manifests, { signal })))
  const { conditionalPut } = await writing(store, layout, () => claimFolder(store, layout, task, now, signal))
  const written = Buffer.from(`${identity.run}\n`)
  await writing(store, layout, () => store.put(layout.probe, written, signal))
  const read = await store.get(layout.probe, 1 << 10, signal)
  if (!read.equals(written)) {
    throw new MoverFailure('StoreRejected', `${layout.probe} was read back with another content than was written`)
  }
  const uploaded = await tryUpload(store, layout, identity, now, report.log, signal)
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
    const where = canList ? '' : unprovenAddress(task, bare.mode(), layout)
    report.warn(
      'RetentionBlocked',
      `the credentials may not ${refused}; backups work, but nothing is pruned${sizes}${where}`,
    )
  }
  const folder = canList ? await keptByTarget(store, layout, signal) : undefined
  const found = { conditionalPut, canList, canDelete, mode: modeText(bare.mode()) }
  // Its pod has one container, as that of a page of the catalog.
  report.update({ phase: 'done', probe: found, folder, finishedAt: Date.now() }, catalogMessageLimit)
}

/** What an earlier cluster, or an earlier policy of this name, has left here: its Backups can appear before the first run of this one. */
async function keptByTarget(store: ObjectStore, layout: Layout, signal: AbortSignal): Promise<readonly KeptOfTarget[]> {
  const names: ManifestName[] = []
  for await (const { key } of store.list(layout.manifests, { signal })) {
    const name = parseManifestKey(layout, key)
    if (name) names.push(name)
  }
  const byTarget = Map.groupBy(names, ({ target }) => target)
  return [...byTarget].map(([target, all]) => ({
    target,
    count: all.length,
    digest: runsDigest(all.map(({ run }) => run)),
  }))
}

/** An endpoint whose host names the bucket, by another name than its own: only a list tells, and it was refused. */
function unprovenAddress({ backend }: ProbeTask, { addressing }: StoreMode, layout: Layout): string {
  if (backend.endpoint === undefined || addressing !== 'path') return ''
  return `; nor is it known whether the host of backend.endpoint names a bucket already: look once whether the backups are in the bucket ${backend.bucket} below ${layout.root}`
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
 * Backups are multipart uploads, which some policies and some stores treat apart, and some refuse only when they are completed. A probe
 * that is killed leaves a note of its upload, as a backup does, for the next probe and for the sweep of a run; an object that it has
 * completed is swept like the data of any attempt without a manifest.
 * @returns the key of the object that it made.
 */
async function tryUpload(
  store: ObjectStore,
  layout: Layout,
  identity: MoverIdentity,
  now: number,
  log: Log,
  signal: AbortSignal,
): Promise<string> {
  await forgiving(log, 'cannot remove what an earlier probe left', () => abortEarlierProbe(store, layout, signal))
  const expiresAt = now + probeExpiryMs
  const key = segmentKey(layout, identity, 'probe', 0)
  const manifest = manifestKey(layout, 'probe', new Date(0), identity.run).slice(layout.root.length)
  const metadata = {
    [dataMetadata.manifest]: manifest,
    [dataMetadata.expiresAt]: String(expiresAt),
  }
  const note = (record: Partial<UploadRecord>) =>
    store.put(
      layout.probeUpload,
      encodeUploadRecord({ key: key.slice(layout.root.length), expiresAt, ...record }),
      signal,
    )
  const body = Buffer.from('probe')
  const upload = new SegmentedUpload({
    store,
    keyOf: () => key,
    metadata,
    buffers: [Buffer.alloc(body.length)],
    maxParts: 1,
    digestOf: async part => hash('sha256', part),
    signal,
    openingSignal: signal,
    onFailure() {},
    onStored() {},
    opening: () => note({}),
    opened: ({ uploadId, isDoubtful }) => note({ uploadId, ...(isDoubtful ? { others: true } : {}) }),
    left() {},
    closed: (_, cleanup = signal) =>
      forgiving(log, 'cannot remove the note about a closed upload', () => store.delete([layout.probeUpload], cleanup)),
  })
  try {
    await upload.open()
    await upload.write(body)
    await upload.finish()
    return key
  } catch (error) {
    const discard = () => upload.discard(store, AbortSignal.timeout(cleanupMs))
    await discard().catch((failure: unknown) => log.warn({ err: failure }, 'the next probe removes what is left'))
    throw error
  }
}

/** What these credentials may not remove is no reason against a backup. */
async function forgiving(log: Log, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!isStoreError(error) || error.class !== 'user') throw error
    log.warn({ err: error }, what)
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
