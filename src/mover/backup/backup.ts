/** One attempt of one backup run: from the first look at the store to the manifest, and what follows it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { recordSizes, triggerOfRun, type BackupRecord, type BackupSegment } from '../../api/record.ts'
import type { BackupTask } from '../../api/mover/task.ts'
import { commandFailures } from '../../api/mover/reasons.ts'
import { slotOfJobName } from '../../api/names.ts'
import { readCatalog, splitByOwner, type CatalogRun } from '../../storage/bucket/catalog.ts'
import { layoutOf, manifestKey, segmentKey, uploadRecordKey, type Layout } from '../../storage/bucket/layout.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { isStoreError } from '../../storage/store-error.ts'
import { checkStillOurs, claimFolder } from '../../storage/bucket/ownership.ts'
import { dataMetadata, encodeUploadRecord } from '../../storage/bucket/upload-record.ts'
import { CommitFailure, commitRecord, findOwnRecord, type CommitOutcome } from './commit.ts'
import { commitMarginMs, lastLook } from './last-look.ts'
import { lookBehind } from './look-behind.ts'
import type { ControlChannel } from '../protocol/control.ts'
import { failureOf, MoverFailure } from '../failure.ts'
import type { Lifeline } from '../protocol/fifo.ts'
import type { MoverIdentity } from '../identity.ts'
import type { Report } from '../protocol/report.ts'
import { applyRetention, sweepLeftovers, warnOf, withoutFailing } from './retention.ts'
import { checkSize } from './size-check.ts'
import { receiveArtifact, type Received } from './source.ts'
import { openStores, type Stores } from '../stores.ts'
import { toolVersions } from './tool-versions.ts'
import { SegmentedUpload } from './upload.ts'

export interface BackupContext {
  readonly identity: MoverIdentity
  readonly shared: string
  readonly control: ControlChannel
  readonly lifeline: Lifeline
  readonly report: Report
  /** ms since the epoch. */
  readonly now: () => number
  readonly signal: AbortSignal
}

interface Run extends BackupContext {
  readonly task: BackupTask
  readonly stores: Stores
  readonly layout: Layout
  readonly slot: Date
  readonly startedAt: Date
  readonly manifest: string
  readonly conditionalPut: boolean
  /** Since when the folder is this policy's, ms since the epoch. */
  readonly adoptedAt: number | undefined
  /** Ids of the clusters from which it was taken over. */
  readonly formerly: readonly string[]
}

/** What remains of the grace period (30 s) for cleaning up, and for learning what became of a commit. */
const cleanupMs = 20_000
/** How long before that the store may still answer to the opening of an upload. */
const openingMs = 5_000
/** After the commit nothing is urgent any more, but the Job must end. */
const afterCommitMs = 10 * 60_000
const progressMs = 10_000
const hourMs = 3_600_000

/** @throws whatever ended the attempt; the caller makes the failure of it. Returns when the backup is in the bucket. */
export async function runBackup(task: BackupTask, context: BackupContext): Promise<void> {
  const { identity, report, now, signal } = context
  const startedAt = new Date(now())
  const slot = slotOf(task, identity.run)
  const layout = layoutOf({ prefix: task.backend.prefix, namespace: task.owner.namespace, policy: task.owner.policy })
  const manifest = manifestKey(layout, task.target, slot, identity.run)
  report.update({ slot: slot.getTime(), startedAt: startedAt.getTime() })

  const stores = await openStores(task, report.log)
  const claim = await claimFolder(stores.quick, layout, task, startedAt.getTime(), signal)
  const run: Run = { ...context, ...claim, task, stores, layout, slot, startedAt, manifest }
  const earlier = await findOwnRecord(stores.quick, layout, manifest, identity.jobUid, signal)
  if (earlier) {
    await lookAt(run, earlier, signal)
    // The command's container must end well too, or the Job would count this attempt as failed.
    writeFileSync(join(context.shared, 'kept'), '')
    reportCommitted(run, earlier)
    return
  }
  await afterCommit(run, await attempt(run))
}

/** What is in the bucket after the commit. */
interface Committed {
  readonly outcome: CommitOutcome
  readonly upload: SegmentedUpload
  /** All runs of the target before it; undefined when they could not be listed. */
  readonly before: readonly CatalogRun[] | undefined
}

/** Up to the manifest. Nothing that fails later may reach its end, which deletes the data. */
async function attempt(run: Run): Promise<Committed> {
  const { report, stores } = run
  // Aborted by the pod's end, and by the first part that fails while the command is silent.
  const ending = new AbortController()
  const signal = AbortSignal.any([run.signal, ending.signal])
  const upload = openUpload(run, signal, error => ending.abort(error))
  const progress = setInterval(() => reportProgress(report), progressMs)
  try {
    await upload.open()
    report.update({ phase: 'waiting' })
    const received = await receive(run, upload, signal)
    report.update({ phase: 'committing', bytes: received.bytes, sha256: received.sha256, sourceStatus: 0 })
    return await commit(run, received, await upload.finish(), upload)
  } catch (error) {
    // Commands must not go on reading a database for nothing.
    run.lifeline.cut()
    ending.abort(error)
    const uncertain = error instanceof CommitFailure && error.uncertain
    reportFailure(run, failureOf(error))
    if (uncertain) report.warn('LeftoverUpload', 'the data stays until a later run knows whether its manifest exists')
    else await discard(upload, stores.quick, report)
    throw error
  } finally {
    clearInterval(progress)
  }
}

function openUpload(run: Run, signal: AbortSignal, onFailure: (error: unknown) => void): SegmentedUpload {
  const { task, identity, layout, stores, report, manifest } = run
  const expiresAt = expiryOf(run, run.startedAt.getTime())
  const openingSignal = delayed(signal, openingMs)
  const note = (segment: number, record: Parameters<typeof encodeUploadRecord>[0]) =>
    stores.patient.put(uploadRecordKey(layout, identity, segment), encodeUploadRecord(record), openingSignal)
  return new SegmentedUpload({
    store: stores.patient,
    keyOf: segment => segmentKey(layout, identity, task.artifact, segment),
    metadata: { [dataMetadata.manifest]: relative(layout, manifest), [dataMetadata.expiresAt]: String(expiresAt) },
    partBytes: task.partBytes,
    maxParts: task.maxParts,
    signal,
    openingSignal,
    onFailure,
    onStored: storedBytes => report.note({ storedBytes }),
    opening: (key, segment) => note(segment, { key: relative(layout, key), expiresAt }),
    async opened({ key, uploadId, isDoubtful }, segment) {
      report.update({ openUpload: { key, uploadId } })
      const others = isDoubtful ? ({ others: true } as const) : {}
      await note(segment, { key: relative(layout, key), uploadId, ...others, expiresAt })
    },
    left: () => report.update({ openUpload: undefined }),
    async closed(segment, cleanup = AbortSignal.timeout(cleanupMs)) {
      report.update({ openUpload: undefined })
      const key = uploadRecordKey(layout, identity, segment)
      const remove = () => stores.quick.delete([key], cleanup)
      await withoutFailing(report, `cannot remove the note about a closed upload`, remove)
    },
  })
}

/** When the Job is certainly over, and what is left of an attempt that began then is nobody's, ms since the epoch. */
function expiryOf({ task }: Run, startedAt: number): number {
  return startedAt + task.jobDeadlineSeconds * 1000 + hourMs
}

/** Behind the manifest of whichever attempt, and before anybody is told that it is a backup. */
async function lookAt(run: Run, record: BackupRecord, signal: AbortSignal): Promise<void> {
  const expiresAt = expiryOf(run, Date.parse(record.startedAt))
  const { attempt } = run.identity
  const marginMs = commitMarginMs(run.task)
  await lookBehind({ ...run, attempt, store: run.stores.quick, expiresAt, marginMs, signal }, record)
}

async function receive(run: Run, upload: SegmentedUpload, signal: AbortSignal): Promise<Received> {
  const { report } = run
  return receiveArtifact({
    ...run,
    signal,
    write: chunk => upload.write(chunk),
    onStart: () => report.update({ phase: 'receiving' }),
    onBytes: bytes => report.note({ bytes }),
  })
}

async function commit(
  run: Run,
  received: Received,
  segments: readonly BackupSegment[],
  upload: SegmentedUpload,
): Promise<Committed> {
  const { task, stores, layout, report, manifest, conditionalPut, identity } = run
  const { bytes, sha256, lateWriters } = received
  if (lateWriters.length > 0) report.warn('LateWriters', lateWritersText(lateWriters))
  const before = await readTarget(run)
  const own = before && splitByOwner(before, task.owner, run.formerly).own
  const size = checkSize({ id: identity.run, slot: run.slot, bytes }, own, task)
  if (size.suspect) {
    report.warn('Suspect', `${bytes} bytes, far fewer than the good backups before it: nothing is pruned`)
  }
  const { artifact } = task
  const storedBytes = segments.reduce((sum, segment) => sum + segment.bytes, 0)
  const record: BackupRecord = {
    version: 2,
    ...identity,
    owner: task.owner,
    target: task.target,
    slot: run.slot.toISOString(),
    startedAt: run.startedAt.toISOString(),
    finishedAt: new Date(run.now()).toISOString(),
    artifacts: [
      {
        kind: 'stream',
        name: artifact,
        codecs: ['zstd'],
        partBytes: task.partBytes,
        segments: segments.map(segment => ({ ...segment, key: relative(layout, segment.key) })),
        storedBytes,
        bytes,
        sha256,
        ...(size.suspect ? { suspect: true as const } : {}),
        ...(lateWriters.length > 0 ? { lateWriters: [...lateWriters] } : {}),
      },
    ],
    commit: conditionalPut ? 'conditional' : 'unconditional',
    ...size,
    trigger: task.trigger ?? (task.cronJob === undefined ? triggerOfRun(identity.run, task.owner.policy) : 'scheduled'),
    tools: toolVersions(),
  }
  // From here on the end of the pod does not interrupt: a manifest that may or may not exist is the worst of all outcomes.
  run.signal.throwIfAborted()
  const patience = delayed(run.signal, cleanupMs)
  const expiresAt = expiryOf(run, run.startedAt.getTime())
  const marginMs = commitMarginMs(task)
  const ours = () => checkStillOurs(stores.bare, layout, task.owner, patience)
  const look = lastLook({ store: stores.bare, ours, segments, expiresAt, marginMs, now: run.now, signal: patience })
  const store = stores.patientAfter(look)
  const outcome = await commitRecord(store, layout, manifest, record, { conditionalPut, signal: patience })
  await lookAt(run, outcome.record, patience)
  return { outcome, upload, before }
}

/**
 * All runs of the target; undefined where the store does not tell them, which fails no backup.
 * @throws StoreError AddressingRefused: the bucket is elsewhere, and a backup where we write would be found by nobody.
 */
async function readTarget({ task, stores, layout, report, signal }: Run): Promise<readonly CatalogRun[] | undefined> {
  try {
    return await readCatalog(stores.quick, layout, task.target, { signal })
  } catch (error) {
    if (isStoreError(error, 'AddressingRefused')) throw error
    warnOf(report, 'cannot read the catalog, so that nothing is pruned and sizes are not compared', error)
    return undefined
  }
}

function lateWritersText(names: readonly string[]): string {
  return (
    `let the command wait for ${names.join(', ')}: it wrote after the command had ended, so that nobody knows its status; ` +
    'instead of > >(…) a pipe with `set -o pipefail`, after & a `wait`'
  )
}

/** What the command did wrong may be tried again, but not at any hour (docs/design.md R32). */
function reportFailure({ task, slot, now, report }: Run, failure: MoverFailure) {
  const { reason, message, sourceStatus } = failure
  const { startingDeadlineSeconds: limit = Infinity } = task
  if (!commandFailures.includes(reason) || now() <= slot.getTime() + limit * 1000) return report.fail(failure)
  const late = `not tried again: it failed later than startingDeadlineSeconds (${limit} s) after its slot`
  report.fail(new MoverFailure(reason, `${message}; ${late}`, { cause: failure.cause, sourceStatus }), true)
}

/** Only what the pod's end leaves time for; the run is decided. */
async function afterCommit(run: Run, { outcome, upload, before }: Committed): Promise<void> {
  const { stores, report, manifest, identity } = run
  reportCommitted(run, outcome.record)
  if (!run.conditionalPut) report.warn('UnconditionalCommit', 'the store does not honour If-None-Match')
  if (outcome.committed === 'another attempt') await discard(upload, stores.quick, report)
  const made: CatalogRun = { key: manifest, run: identity.run, slot: run.slot, record: outcome.record }
  const runs =
    before && [...before.filter(({ key }) => key !== manifest), made].sort((a, b) => (a.key < b.key ? -1 : 1))
  const signal = AbortSignal.any([run.signal, AbortSignal.timeout(afterCommitMs)])
  // Another cluster may have taken the folder over meanwhile: then nothing in it is ours to delete any more.
  const store = stores.quickDeletingAfter(() => checkStillOurs(stores.bare, run.layout, run.task.owner, signal))
  const options = { ...run, run: run.identity.run, store, now: run.now(), signal }
  if (runs) await withoutFailing(report, 'cannot prune', () => applyRetention({ ...options, runs }))
  await withoutFailing(report, 'cannot sweep', () => sweepLeftovers(options))
}

async function discard(upload: SegmentedUpload, store: ObjectStore, report: Report): Promise<void> {
  try {
    await upload.discard(store, AbortSignal.timeout(cleanupMs))
  } catch (error) {
    report.warn('LeftoverUpload', `a later run removes what is left: ${failureOf(error).message}`)
  }
}

function reportCommitted(run: Run, record: BackupRecord) {
  run.report.update({
    phase: 'committed',
    ...recordSizes(record),
    artifacts: record.artifacts.length,
    sha256: record.artifacts[0]?.sha256,
    manifest: run.manifest,
    suspect: record.suspect,
    sizeCheck: record.sizeCheck,
    startedAt: Date.parse(record.startedAt),
    finishedAt: Date.parse(record.finishedAt),
  })
}

/** The same for every attempt of a Job: the manifest's key depends on it. */
function slotOf(task: BackupTask, run: string): Date {
  if (task.slot !== undefined) return new Date(task.slot)
  const slot = slotOfJobName(run, task.cronJob ?? '')
  if (slot) return slot
  throw new MoverFailure(
    'InvalidTask',
    `the Job's name ${run} is not one that the CronJob ${task.cronJob} gives; to run a policy now, create a Backup with spec.policy instead of a Job`,
  )
}

function relative(layout: Layout, key: string): string {
  return key.slice(layout.root.length)
}

/** Aborts `ms` after `signal` did. */
function delayed(signal: AbortSignal, ms: number): AbortSignal {
  const controller = new AbortController()
  const wait = () => setTimeout(() => controller.abort(signal.reason), ms).unref()
  if (signal.aborted) wait()
  else signal.addEventListener('abort', wait, { once: true })
  return controller.signal
}

function reportProgress(report: Report) {
  report.update({})
  const { bytes, storedBytes, phase } = report.message
  report.log.info({ phase, bytes, storedBytes, rssMiB: Math.round(process.memoryUsage.rss() / (1 << 20)) }, 'progress')
}
