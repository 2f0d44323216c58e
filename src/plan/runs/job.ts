// A Backup of strategy job: the start of an on-demand run, and what becomes of the Job of any run.
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { annotation } from '../../api/labels.ts'
import type { CatalogEntry } from '../../api/mover/message.ts'
import type { Reason } from '../../api/conditions.ts'
import { backupArtifact, commandTarget } from '../../api/names.ts'
import { versionOf, type Unless } from '../core/actions.ts'
import { planTargets } from './children.ts'
import { claimGraceEnd } from './grace.ts'
import { failure, planStatus, type BackupPlan, type Facts } from './status.ts'
import { planWait } from './wait.ts'
import { attemptsOf } from '../jobs/obstacles.ts'
import { committedMessageOf, hasMoverEnded, isOver, unlessMoreIsSaid } from '../jobs/pods.ts'
import { endOf, judgeJob } from '../jobs/verdict.ts'
import { onDemandJob, type Marks } from '../../resources/jobs.ts'
import type { DumpSource } from '../../resources/mover-pod.ts'
import { isNotFound } from '../view/job-targets.ts'
import { isOfJob, returnedRun, runJobName, targetOfRun } from '../view/owners.ts'
import { viewsByTarget } from '../view/per-target.ts'
import { addSeconds, earliest, rfc3339, sizeText, timeOf } from '../../schedule/times.ts'
import type { JobStrategyView, JobView, RunView, View } from '../view/view.ts'

/** How soon to look again for a workload that a Backup waits for. Seconds. */
const lookSeconds = 20

/** How long a run whose Job is gone waits for the list of the bucket. Seconds. */
const listSeconds = 3600

/** @param strategy undefined: the policy has another one by now, and there is no command to run */
export function planJobStart(
  view: Pick<View, 'name' | 'runs' | 'runJobs' | 'leaving' | 'starts' | 'pages' | 'settings'> & {
    readonly policy: BackupPolicy
  },
  strategy: JobStrategyView | undefined,
  run: RunView,
  marks: Marks,
  bucketIsOpen: boolean,
  now: Date,
): BackupPlan {
  const { backup } = run
  if (strategy?.preset !== undefined) return planPresetStart(view, strategy, run, marks, bucketIsOpen, now)
  const { target } = backup.spec
  if (target !== undefined && target !== commandTarget && !isOfJob(backup)) {
    // Of no target: a mistyped name says nothing about the backups of the one there is.
    const message = `the policy has no target ${target}; with strategy job the one target is ${commandTarget}`
    return planStatus(backup, failure('TargetNotFound', message), now)
  }
  if (hasBegun(run)) return planLostJob(run, bucketIsOpen, now)
  const [only] = strategy?.targets ?? []
  const source = only && 'source' in only ? only.source : undefined
  return planTurn(view, { target: commandTarget, source }, run, marks, now)
}

function planPresetStart(
  view: Parameters<typeof planJobStart>[0],
  strategy: JobStrategyView,
  run: RunView,
  marks: Marks,
  bucketIsOpen: boolean,
  now: Date,
): BackupPlan {
  const { backup } = run
  const target = targetOfRun(backup)
  // Also of a target that is gone by now; what an earlier strategy has begun of a claim is no run of a Job.
  if (isOfJob(backup) || run.unproven.length > 0) return planLostJob(run, bucketIsOpen, now)
  const { targets } = strategy
  const present = targets.filter(each => !isNotFound(each))
  const unknown = targets.length === 0 ? strategy.unknown : undefined
  const until = claimGraceEnd(backup, now)
  const wait = (reason: Reason, message: string): BackupPlan => {
    const facts = { phase: 'Pending', reason, message, ...(target === undefined ? {} : { target }) } as const
    return { ...planStatus(backup, facts, now), wakeAt: earliest(addSeconds(now, lookSeconds), until) ?? until }
  }
  if (target === undefined) {
    if (unknown && now < until) return wait(unknown.reason, unknown.message)
    const names = present.map(({ name }) => name)
    if (names.length === 0 && now < until)
      return wait('SelectorMatchedNothing', 'the selector of the policy matches no workload yet')
    return planTargets(run, names, now, { what: 'workload', about: 'dump', reason: 'PodPending', strategy: 'job' })
  }
  const standing = targets.find(({ name }) => name === target)
  const own = viewsByTarget(view, { ...strategy, targets: standing ? [standing] : [] }).get(target)
  if (own && standing && 'source' in standing)
    return planTurn(own, { target, source: standing.source }, run, marks, now)
  const { reason, message } = (standing && 'problem' in standing ? standing.problem : unknown) ?? {
    reason: 'TargetNotFound',
    message: `the policy has no target ${target}; it has ${namesOf(present)}`,
  }
  const start = { kind: 'job', name: runJobName(backup) } as const
  // Who applies a workload and a Backup together waits for the pod.
  if (now < until) return wait(reason, message)
  return planStatus(backup, { ...failure(reason, message), target }, now, standing ? 'job' : undefined, start)
}

function namesOf(targets: readonly { readonly name: string }[]): string {
  const rest = targets.length - 5
  const some = targets.slice(0, 5).map(({ name }) => name)
  return targets.length === 0 ? 'none' : `${some.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`
}

/** Starts it where no other run of the target goes on, or waits for that one. */
function planTurn(
  view: Pick<View, 'runJobs' | 'leaving' | 'settings'> & { readonly policy: BackupPolicy },
  { target, source }: { readonly target: string; readonly source: DumpSource | undefined },
  { backup }: RunView,
  marks: Marks,
  now: Date,
): BackupPlan {
  const isRunning = (each: JobView) => !each.job.metadata.deletionTimestamp && goesOn(each, now)
  const behind = (why: string) => {
    const start = { kind: 'job', name: runJobName(backup) } as const
    return planWait(backup, view.policy, { target, why, start }, now)
  }
  const cancelled = view.leaving.find(isRunning)?.job
  if (cancelled) return behind(`Job ${cancelled.metadata.name} of a Backup that was deleted is still being ended`)
  const running = view.runJobs.find(isRunning)?.job
  const of = target === commandTarget ? 'the policy' : `target ${target}`
  if (running) return behind(`another run of ${of}, Job ${running.metadata.name}, is still going on`)
  if (!source) return { groups: [] }
  const object = onDemandJob(view.policy, source, backup, marks, view.settings, target)
  return { groups: [{ name: `start/${backup.metadata.name}`, run: backup, actions: [{ do: 'create', object }] }] }
}

/** It had its Job, as far as anything tells: what it is, its status, or pods that the Job has left. */
export function hasBegun({ backup, unproven }: RunView): boolean {
  const { spec, status } = backup
  const isOfJob = spec.slot !== undefined || returnedRun(backup) !== undefined || status?.run !== undefined
  return isOfJob || unproven.length > 0
}

export function planJobRun(backup: Backup, view: JobView, now: Date): BackupPlan {
  const { job } = view
  const run = judgeJob(view, backup.status, now)
  const { moverMessage } = run
  const store = job.metadata.annotations?.[annotation.store]
  const common = {
    reason: run.reason,
    message: run.message,
    target: targetOfRun(backup) ?? commandTarget,
    run: job.metadata.name,
    jobUID: job.metadata.uid,
    attempts: run.attempts,
    ...(run.pod === undefined ? {} : { pod: run.pod }),
    ...(run.startTime ? { startTime: rfc3339(run.startTime) } : {}),
    ...(store ? { store } : {}),
  }
  if (run.phase === 'Pending' || run.phase === 'Running') {
    const { wakeAt } = run
    return {
      ...planStatus(backup, { ...common, phase: run.phase }, now),
      ...(wakeAt ? { wakeAt } : {}),
    }
  }
  const { exitCode, stderr, endTime = now } = run
  const details = { ...(exitCode === undefined ? {} : { exitCode }), ...(stderr ? { stderr } : {}) }
  const stored = run.phase === 'Completed' && moverMessage ? storedFacts(moverMessage) : {}
  const facts = { ...common, ...details, ...stored, phase: run.phase }
  return planStatus(backup, facts, endTime, 'job', unlessMoreIsSaid(view))
}

/** A run whose Job is gone and whose pod says that it has committed. */
export function planLostCommit({ backup, pods }: RunView, now: Date): BackupPlan | undefined {
  const committed = committedMessageOf(pods)
  if (!committed) return undefined
  const message = 'the backup is complete; its Job was deleted while it ended'
  const verdict = { phase: 'Completed', reason: 'Completed', message } as const
  const attempts = attemptsOf(pods, backup.status)
  const facts = { ...begunAs(backup), ...storedFacts(committed), attempts, ...verdict }
  return planStatus(backup, facts, endOf(committed, now), 'job')
}

/** What is known of a run from the time of its Job. */
function begunAs(backup: Backup) {
  const { startTime, store, jobUID } = backup.status ?? {}
  const known = { ...(startTime ? { startTime } : {}), ...(store ? { store } : {}), ...(jobUID ? { jobUID } : {}) }
  return { target: targetOfRun(backup) ?? commandTarget, run: runJobName(backup), ...known } as const
}

/** That a run has no Job, as far as is known, and that its pods have said no more. */
export function unlessJobStands({ backup, pods }: RunView): Unless {
  const { jobUID: uid } = backup.status ?? {}
  return { kind: 'job', name: runJobName(backup), ...(uid ? { uid, seen: pods.map(versionOf) } : {}) }
}

/**
 * The Job may have gone after a good end, or while its mover commits: pods outlive their Job by the grace period. It is waited for them,
 * and where the bucket holds more than is known here also for the list, though not for ever: a node may be lost, and pages may fail, or
 * never find the bucket at rest. A verdict that turns out wrong is made good by the list (history/catalog.ts).
 */
function planLostJob(view: RunView, bucketIsOpen: boolean, now: Date): BackupPlan {
  const { backup, pods, unproven } = view
  const committed = planLostCommit(view, now)
  if (committed) return committed
  const begun = begunAs(backup)
  const { run } = begun
  const { startTime, completionTime } = backup.status ?? {}
  const gone = timeOf(completionTime) ?? now
  const until = addSeconds(gone, listSeconds)
  const facts = { ...begun, reason: 'JobDeleted', completionTime: rfc3339(gone) } as const
  const unless = unlessJobStands(view)
  const ending = [...pods, ...unproven].find(pod => !isOver(pod) && !hasMoverEnded(pod))
  if ((ending || bucketIsOpen) && now < until) {
    const wait = ending
      ? `its pod ${ending.metadata.name} may still commit, and is waited for`
      : 'the bucket is read to see whether it had committed'
    const message = `Job ${run} of this run was deleted before it was seen to end; ${wait}`
    return { ...planStatus(backup, { ...facts, phase: 'Running', message }, now, undefined, unless), wakeAt: until }
  }
  const unread = `, and the bucket could not be read to see whether it had committed; if it had, it comes back as a Backup once that is read`
  const message = `Job ${run} of this run was deleted before it ended${bucketIsOpen ? unread : ''}`
  // One that was never seen to run may be from the list, whose next reading was held up: no failure to wake anybody for.
  const strategy = startTime === undefined ? undefined : 'job'
  return planStatus(backup, { ...facts, phase: 'Failed', message }, now, strategy, unless)
}

/** Once a run is judged people start the next one, though the Job's own controller takes a moment longer to see its end. */
export function goesOn(job: JobView, now: Date): boolean {
  const { phase } = judgeJob(job, undefined, now)
  return phase === 'Pending' || phase === 'Running'
}

type Stored = {
  readonly bytes?: number
  readonly storedBytes?: number
  readonly manifest?: string
  readonly sha256?: string
  readonly suspect?: boolean
  /** Of a message. */
  readonly sizeCheck?: 'compared' | 'unchecked'
  /** Of an entry of the catalog. */
  readonly unchecked?: true
  /** When the attempt that committed began, ms since the epoch: a consistent dump is of no earlier moment. */
  readonly startedAt?: number
}

function storedFacts(stored: Stored): Partial<Facts> {
  const { bytes, storedBytes, manifest, sha256, suspect, startedAt } = stored
  const sizeCheck = stored.sizeCheck ?? (stored.unchecked ? 'unchecked' : undefined)
  const sizes = bytes !== undefined && storedBytes !== undefined ? { bytes, storedBytes } : undefined
  return {
    ...(sizes ? { artifacts: [{ name: backupArtifact, ...sizes, ...(sha256 ? { sha256 } : {}) }] } : {}),
    ...(bytes === undefined ? {} : { bytes }),
    ...(storedBytes === undefined ? {} : { storedBytes, size: sizeText(storedBytes) }),
    ...(manifest === undefined ? {} : { manifest }),
    ...(startedAt === undefined ? {} : { takenTime: rfc3339(new Date(startedAt)) }),
    ...(suspect ? { suspect } : {}),
    ...(sizeCheck ? { sizeCheck } : {}),
  }
}

export function factsOfEntry(entry: CatalogEntry, store: string | undefined, now: Date): Facts {
  return {
    ...storedFacts(entry),
    phase: 'Completed',
    reason: 'Completed',
    message: 'found in the bucket',
    ...(store ? { store } : {}),
    target: commandTarget,
    run: entry.run,
    startTime: rfc3339(new Date(entry.startedAt)),
    completionTime: rfc3339(endOf(entry, now)),
  }
}
