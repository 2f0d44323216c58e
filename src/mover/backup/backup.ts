/** One attempt of one backup run: from the first look at the store to the manifest, and what follows it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { recordSizes, sizesOf, triggerOfRun, type BackupRecord } from '../../api/record.ts'
import type { BackupTask } from '../../api/mover/task.ts'
import { commandFailures } from '../../api/mover/reasons.ts'
import { slotOfJobName } from '../../api/names.ts'
import { readCatalog, splitByOwner, type CatalogRun } from '../../storage/bucket/catalog.ts'
import { layoutOf, manifestKey, type Layout } from '../../storage/bucket/layout.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { isStoreError } from '../../storage/store-error.ts'
import { checkStillOurs, claimFolder } from '../../storage/bucket/ownership.ts'
import type { Recipients } from '../age/recipients.ts'
import { Artifacts, bufferBytes, relativeSegments, type StoredArtifact } from './artifacts.ts'
import { CommitFailure, commitRecord, findOwnRecord, type CommitOutcome } from './commit.ts'
import { commitMarginMs, lastLook } from './last-look.ts'
import { openDigests, type Digests } from './digests.ts'
import { lookBehind } from './look-behind.ts'
import { planHere, type MemoryPlan } from './memory.ts'
import { Notes } from './notes.ts'
import type { ControlChannel } from '../protocol/control.ts'
import { failureOf, MoverFailure } from '../failure.ts'
import type { Lifeline } from '../protocol/fifo.ts'
import type { MoverIdentity } from '../identity.ts'
import type { Report } from '../protocol/report.ts'
import { recipientsOf } from '../recipients.ts'
import { applyRetention, sweepLeftovers, warnOf, withoutFailing } from './retention.ts'
import { checkSize } from './size-check.ts'
import { receiveArtifacts } from './source.ts'
import { openStores, type Stores } from '../stores.ts'
import { toolVersions } from './tool-versions.ts'

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
  readonly recipients: Recipients | undefined
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

  const recipients = task.encryption && (await recipientsOf(task.encryption))
  const stores = await openStores(task, report.log)
  const claim = await claimFolder(stores.quick, layout, task, startedAt.getTime(), signal)
  const run: Run = { ...context, ...claim, task, stores, recipients, layout, slot, startedAt, manifest }
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
  readonly artifacts: Artifacts
  /** All runs of the target before it; undefined when they could not be listed. */
  readonly before: readonly CatalogRun[] | undefined
}

/** Up to the manifest. Nothing that fails later may reach its end, which deletes the data. */
async function attempt(run: Run): Promise<Committed> {
  const plan = planHere(run.task.partBytes, run.recipients !== undefined)
  const digests = openDigests(bufferBytes(plan))
  try {
    return await attemptWith(run, plan, digests)
  } finally {
    await digests.close()
  }
}

async function attemptWith(run: Run, plan: MemoryPlan, digests: Digests): Promise<Committed> {
  const { report, stores } = run
  // Aborted by the pod's end, and by the first part that fails while the command is silent.
  const ending = new AbortController()
  const signal = AbortSignal.any([run.signal, ending.signal])
  const openingSignal = delayed(signal, openingMs)
  const expiresAt = expiryOf(run, run.startedAt.getTime())
  const notes = new Notes(run.recipients ? 'secret' : 'told')
  const onFailure = (error: unknown) => ending.abort(error)
  const artifacts = new Artifacts({ ...run, expiresAt, plan, digests, notes, signal, openingSignal, onFailure })
  const progress = setInterval(() => reportProgress(report), progressMs)
  try {
    report.update({ phase: 'waiting' })
    await receiveArtifacts({
      ...run,
      signal,
      buffers: artifacts.plainBuffers,
      onStart: () => report.update({ phase: 'receiving' }),
      secrecy: run.recipients ? 'secret' : 'told',
      onBytes: bytes => report.note(run.recipients ? {} : { bytes }),
      artifact: name => artifacts.begin(name),
      note: (name, text) => notes.take(name, text),
    })
    notes.end()
    return await commit(run, artifacts, notes)
  } catch (error) {
    // Commands must not go on reading a database for nothing.
    run.lifeline.cut()
    ending.abort(error)
    const uncertain = error instanceof CommitFailure && error.uncertain
    reportFailure(run, failureOf(error))
    if (uncertain) report.warn('LeftoverUpload', 'the data stays until a later run knows whether its manifest exists')
    else await discard(artifacts, stores.quick, report)
    throw error
  } finally {
    clearInterval(progress)
    artifacts.close()
  }
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

async function commit(run: Run, artifacts: Artifacts, notes: Notes): Promise<Committed> {
  const { stores, layout, report, manifest, conditionalPut, task } = run
  const { stored } = artifacts
  report.update({ phase: 'committing', sha256: stored[0]?.sha256, sourceStatus: 0 })
  const { lateWriters } = artifacts
  if (lateWriters.length > 0) report.warn('LateWriters', lateWritersText(lateWriters))
  const before = await readTarget(run)
  const record = recordOf(run, stored, notes, before)
  // From here on the end of the pod does not interrupt: a manifest that may or may not exist is the worst of all outcomes.
  run.signal.throwIfAborted()
  const patience = delayed(run.signal, cleanupMs)
  const expiresAt = expiryOf(run, run.startedAt.getTime())
  const marginMs = commitMarginMs(task)
  const segments = stored.flatMap(artifact => artifact.segments)
  const ours = () => checkStillOurs(stores.bare, layout, task.owner, patience)
  const look = lastLook({ store: stores.bare, ours, segments, expiresAt, marginMs, now: run.now, signal: patience })
  const store = stores.patientAfter(look)
  const outcome = await commitRecord(store, layout, manifest, record, { conditionalPut, signal: patience })
  await lookAt(run, outcome.record, patience)
  return { outcome, artifacts, before }
}

/** The manifest; warns of what in it is far too small. */
function recordOf(
  run: Run,
  stored: readonly StoredArtifact[],
  notes: Notes,
  before: readonly CatalogRun[] | undefined,
): BackupRecord {
  const { task, report, identity, layout } = run
  const own = before && splitByOwner(before, task.owner, run.formerly).own
  const { shrunk, ...size } = checkSize({ id: identity.run, slot: run.slot, artifacts: stored }, own, task)
  if (size.suspect) report.warn('Suspect', suspectText(stored, shrunk))
  const { engine } = notes
  return {
    version: 2,
    ...identity,
    owner: task.owner,
    target: task.target,
    slot: run.slot.toISOString(),
    startedAt: run.startedAt.toISOString(),
    finishedAt: new Date(run.now()).toISOString(),
    artifacts: stored.map(artifact => ({
      ...artifact,
      segments: relativeSegments(layout, artifact.segments),
      ...(artifact.name !== undefined && shrunk.includes(artifact.name) ? { suspect: true as const } : {}),
    })),
    ...(engine && !run.recipients ? { engine } : {}),
    commit: run.conditionalPut ? 'conditional' : 'unconditional',
    ...size,
    trigger: task.trigger ?? (task.cronJob === undefined ? triggerOfRun(identity.run, task.owner.policy) : 'scheduled'),
    tools: toolVersions(),
  }
}

function suspectText(stored: readonly StoredArtifact[], shrunk: readonly string[]): string {
  const { bytes, storedBytes } = sizesOf(stored)
  const size = bytes === undefined ? `${storedBytes} encrypted bytes` : `${bytes} bytes`
  const which = stored.length > 1 && shrunk.length > 0 ? ` (${shrunk.slice(0, 3).join(', ')})` : ''
  return `${size}${which}, far fewer than the good backups before it: nothing is pruned`
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
async function afterCommit(run: Run, { outcome, artifacts, before }: Committed): Promise<void> {
  const { stores, report, manifest, identity } = run
  reportCommitted(run, outcome.record)
  if (!run.conditionalPut) report.warn('UnconditionalCommit', 'the store does not honour If-None-Match')
  if (outcome.committed === 'another attempt') await discard(artifacts, stores.quick, report)
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

async function discard(artifacts: Artifacts, store: ObjectStore, report: Report): Promise<void> {
  try {
    await artifacts.discard(store, AbortSignal.timeout(cleanupMs))
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
