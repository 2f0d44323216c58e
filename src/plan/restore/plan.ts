// One Restore: a Job that finds out which backup it is of and pins that, then a Job that brings it back. Each is made once: its name is the
// lock, and its UID is written down. Nothing is made on an old view of the world: right before, the status is written as it was seen, which
// the API server refuses where it has another one. So a Restore that has ended is never run again.
import { isRestoreFinal } from '../../api/kinds/restore-phases.ts'
import type { Restore, RestoreStatus } from '../../api/kinds/restore.ts'
import type { Job } from '../../api/kubernetes.ts'
import { annotation } from '../../api/labels.ts'
import type { MoverMessage } from '../../api/mover/message.ts'
import { resolveJob, restoreJob } from '../../resources/restore-jobs.ts'
import { addSeconds, timeOf } from '../../schedule/times.ts'
import {
  askedConclusion,
  deletion,
  versionOf,
  type Group,
  type Plan,
  type Refusal,
  type Unless,
} from '../core/actions.ts'
import { hasMoverEnded, isOver, moverMessageOf, unlessMoreIsSaid } from '../jobs/pods.ts'
import { endOf, isFinished, judgeJob, type JobRun } from '../jobs/verdict.ts'
import { jobUIDOf } from '../view/chain.ts'
import type { JobView } from '../view/view.ts'
import { isRefusal, restoreContainer, type ChosenBackup, type RestoreRefusal } from './command.ts'
import { elsewhere, policyNameOf, sourceOf, type Source } from './source.ts'
import {
  availableBackups,
  backupFacts,
  progressOf,
  restoreStatus,
  resultOf,
  warningsOf,
  writeRestore,
  type RestoreFacts,
} from './status.ts'
import { jobNameOf, jobOfStep, type RestoreStep, type RestoreWorld } from './world.ts'

/** Velero sets it on everything that it restores. */
const restoredByVelero = 'velero.io/restore-name'

const nothing: Plan = { groups: [], conclude: () => [], wakeAt: undefined }

/** What is to be done, and what is said once it was tried. */
type Step = {
  readonly groups?: readonly Group[]
  readonly facts: RestoreFacts
  /** When it ended, where the phase is final. */
  readonly end?: Date | undefined
  readonly unless?: Unless | undefined
  readonly wakeAt?: Date | undefined
}

export function planRestore(world: RestoreWorld, now: Date): Plan {
  const { restore } = world
  if (!restore || restore.metadata.deletionTimestamp || isRestoreFinal(restore.status?.phase)) return nothing
  const { groups = [], facts, end, unless, wakeAt } = nextStep(world, restore, now)
  const step = stepOf(restore)
  const policy = policyNameOf(world, restore)
  const known: RestoreFacts = { ...facts, ...(policy === undefined ? {} : { policy }) }
  const written = restoreStatus(restore, known, now, end)
  return {
    groups,
    wakeAt,
    conclude: (refused, undone) => {
      if (refused.has(askedConclusion) || groups.some(({ name }) => undone?.putOff.has(name))) return []
      const said = groups.flatMap(({ name }) => refusedFacts(restore, known, name, refused.get(name)))
      const taken = groups.flatMap(({ name }) => (undone?.taken.has(name) ? [takenFacts(restore, known, step)] : []))
      const [instead] = [...said, ...taken]
      return instead
        ? writeRestore(restore, restoreStatus(restore, instead, now))
        : writeRestore(restore, written, unless)
    },
  }
}

/** The Restore goes on, and is no further. */
function refusedFacts(
  { status, spec }: Restore,
  planned: RestoreFacts,
  group: string,
  refusal: Refusal | undefined,
): readonly RestoreFacts[] {
  if (!refusal) return []
  const again = 'It is tried again, at the latest after 10 minutes'
  if (group !== endGroup)
    return [{ ...planned, reason: 'CreationRefused', message: `the API server refuses it: ${refusal.words}. ${again}` }]
  const phase = status?.backup ? workingPhase({ spec }) : 'Resolving'
  const message = `its Job has failed and must not go on, but the API server refuses to delete it: ${refusal.words}. ${again}; it had failed because: ${planned.message}`
  return [{ ...planned, phase, reason: 'DeletionRefused', message }]
}

function takenFacts(restore: Restore, planned: RestoreFacts, step: RestoreStep): RestoreFacts {
  const message = `a Job that was not made for this Restore has the name that its own needs, ${jobNameOf(restore, step)}; delete it, then create another Restore`
  return { ...planned, phase: 'Failed', reason: 'NameTaken', message }
}

/** The name of the group that ends a Job which is judged before its end. */
const endGroup = 'end'

function nextStep(world: RestoreWorld, restore: Restore, now: Date): Step {
  const { status, metadata } = restore
  if (status?.phase === undefined && metadata.labels?.[restoredByVelero] !== undefined)
    return failed(
      'RestoredObject',
      'it was restored without its status, and is not run again; create another Restore to restore the data once more',
    )
  const { backup } = status ?? {}
  const step = stepOf(restore)
  const job = jobOfStep(world, restore, step)
  if (job) return backup ? ofRestoring(restore, job, now) : ofResolving(restore, job, now)
  const recorded = status?.jobs?.[step]
  if (recorded) return ofLostJob(world, restore, step, recorded, now)
  const source = sourceOf(world, restore, now)
  if (source.is === 'awaited')
    return { facts: { phase: 'Pending', reason: source.reason, message: source.message }, wakeAt: source.until }
  if (source.is === 'impossible') return failed(source.reason, source.message)
  return backup ? startRestoring(world, restore, source, backup, now) : startResolving(world, restore, source, now)
}

function stepOf({ status }: Restore): RestoreStep {
  return status?.backup ? 'restore' : 'resolve'
}

function failed(reason: RestoreFacts['reason'], message: string): Step {
  return { facts: { phase: 'Failed', reason, message } }
}

type KnownSource = Extract<Source, { readonly is: 'known' }>

function startResolving({ settings }: RestoreWorld, restore: Restore, source: KnownSource, now: Date): Step {
  const facts = {
    phase: 'Resolving',
    reason: 'Resolving',
    message: 'a Job looks for the backup in the bucket, and pins it there',
  } as const
  // First the status says so; what is written makes the next plan.
  if (restore.status?.phase !== 'Resolving') return { facts }
  const { folder, target, pick } = source
  return { groups: [start(restore, 'resolve', resolveJob(restore, folder, { target, pick }, settings, now))], facts }
}

function startRestoring(
  { settings, workloads }: RestoreWorld,
  restore: Restore,
  { folder, store, policy }: KnownSource,
  backup: ChosenBackup,
  now: Date,
): Step {
  if (backup.store !== store) return failed('StoreChanged', elsewhere(`run ${backup.run}`, folder.owner.policy))
  const { into, identities } = restore.spec
  if (into && backup.encrypted && !identities)
    return failed(
      'NoIdentityMatches',
      'the backup is encrypted, and the Restore names no Secret with an identity that opens it; create another Restore with spec.identities',
    )
  const command = restoreContainer({ policy, workloads }, restore, backup)
  if (isRefusal(command)) return refusedCommand(restore, command, now)
  const slot = timeOf(backup.slot)
  if (!slot) return failed('Internal', `status.backup.slot is no time: ${backup.slot}`)
  const chosen = { target: backup.target, run: backup.run, slot }
  const job = restoreJob(restore, folder, chosen, command, settings, now)
  const facts = { phase: workingPhase(restore), reason: 'PodPending', message: 'its Job is about to be made' } as const
  return { groups: [start(restore, 'restore', job)], facts }
}

/** What is applied together with the Restore, or is moved to another node, is there by then. Seconds. */
const workloadPatienceSeconds = 600
/** How soon a workload that is waited for is looked for again. Seconds. */
const workloadAgainSeconds = 10

function refusedCommand(restore: Restore, refusal: RestoreRefusal, now: Date): Step {
  const { reason, message } = refusal
  const since = timeOf(restore.metadata.creationTimestamp) ?? now
  const isLate = now >= addSeconds(since, workloadPatienceSeconds)
  if (refusal.is === 'refused' || (refusal.isBounded && isLate)) return failed(reason, message)
  return { facts: { phase: workingPhase(restore), reason, message }, wakeAt: addSeconds(now, workloadAgainSeconds) }
}

/** @see the head of this file for the first action, which changes nothing */
function start(restore: Restore, step: RestoreStep, object: Job): Group {
  return {
    name: step,
    actions: [
      { do: 'write-status', object: restore },
      { do: 'create', object, cost: 'nothing is restored' },
    ],
  }
}

function workingPhase({ spec }: Pick<Restore, 'spec'>): 'Restoring' | 'Verifying' {
  return spec.verify ? 'Verifying' : 'Restoring'
}

function ofResolving(restore: Restore, view: JobView, now: Date): Step {
  const run = judgeJob(view, restore.status, now)
  const facts = { ...factsOfRun(restore, 'resolve', view, run), phase: 'Resolving' } as const
  if (run.phase === 'Pending' || run.phase === 'Running') return { facts, wakeAt: run.wakeAt }
  const ended = { ...ending(view, run), end: run.endTime, unless: unlessMoreIsSaid(view) } as const
  const { moverMessage } = run
  const { resolved, found } = moverMessage ?? {}
  if (run.phase === 'Completed' && resolved) {
    // The store that was named when the Job was made: by now it may be another.
    const backup = backupFacts(resolved, view.job.metadata.annotations?.[annotation.store] ?? '')
    if (!backup) return { ...ended, facts: { ...facts, ...nameless } }
    const { attempts: _, pod: __, ...kept } = facts
    const message = `it is run ${backup.run} of ${backup.slot}`
    return {
      facts: {
        ...kept,
        phase: workingPhase(restore),
        reason: 'PodPending',
        message,
        backup,
        ...warningsOf(restore, moverMessage ?? { phase: 'done' }),
        attempts: 0,
        unpinned: !resolved.pinned,
      },
      wakeAt: now,
    }
  }
  const available = found ? { available: availableBackups(found) } : {}
  if (run.reason === 'RunNotNamed' || (run.phase === 'Completed' && found))
    return { ...ended, facts: { ...facts, ...available, phase: 'Failed', reason: 'RunNotNamed', message: runNotNamed } }
  if (run.phase === 'Completed') return { ...ended, facts: { ...facts, ...speechless } }
  return { ...ended, facts: { ...facts, ...available, phase: 'Failed' } }
}

const runNotNamed =
  'source.bucket names no run, and nothing was restored; status.available lists the newest backups that are there: create a Restore with one of them as source.bucket.run, or with newest: true'

const speechless = {
  phase: 'Failed',
  reason: 'MoverDied',
  message: 'the Job that looks for the backup ended without saying what it found; create the Restore again',
} as const

const nameless = {
  phase: 'Failed',
  reason: 'InvalidTask',
  message: 'what the bucket says of the backup cannot be: its run or its time is none that a mover writes',
} as const

function ofRestoring(restore: Restore, view: JobView, now: Date): Step {
  const run = judgeJob(view, restore.status, now)
  const facts = { ...factsOfRun(restore, 'restore', view, run), phase: workingPhase(restore) }
  const lastWords = view.pods.map(moverMessageOf).findLast(message => message?.restore)
  const progress = lastWords ? progressOf(lastWords) : {}
  if (run.phase === 'Running') {
    const message = `${run.message}; kubectl logs -f job/${view.job.metadata.name} -c mover tells how far it is`
    return { facts: { ...facts, ...progress, message }, wakeAt: run.wakeAt }
  }
  if (run.phase === 'Pending') return { facts: { ...facts, ...progress }, wakeAt: run.wakeAt }
  const ended = { ...ending(view, run), end: run.endTime, unless: unlessMoreIsSaid(view) } as const
  if (run.phase === 'Failed') return { ...ended, facts: { ...facts, ...progress, phase: 'Failed' } }
  const { moverMessage } = run
  const told = moverMessage ? toldBy(restore, moverMessage) : {}
  return { ...ended, facts: { ...facts, ...progress, ...completed(restore, told) } }
}

type Told = Pick<RestoreStatus, 'progress' | 'result' | 'into' | 'warnings'>

function toldBy(restore: Restore, message: MoverMessage): Told {
  return { ...progressOf(message), ...resultOf(message), ...warningsOf(restore, message) }
}

function completed(restore: Restore, told: Told) {
  return { ...told, phase: 'Completed', reason: 'Completed', message: success(restore, told) } as const
}

function success({ spec, status }: Restore, { result, into, warnings = status?.warnings }: Told): string {
  const what = status?.backup ? `run ${status.backup.run} of ${status.backup.slot}` : 'the backup'
  const done = spec.verify
    ? `every byte of ${what} was read back from the bucket and checked${readBy(result)}`
    : `${what} is back${into === undefined ? '' : ` as ${into}`}`
  const leftOut = result?.leftOut?.length ? 'status.result lists what was left out' : undefined
  return [done, leftOut, ...(warnings ?? [])].filter(part => part !== undefined).join('; ')
}

/** The script of a preset tells what it has read. */
function readBy(result: RestoreStatus['result']): string {
  return result?.databases?.length ? ', and the programs of the database have read its dumps to the end' : ''
}

function factsOfRun({ status }: Restore, step: RestoreStep, { job }: JobView, run: JobRun) {
  const { name, uid = '' } = job.metadata
  const { exitCode, stderr } = run
  return {
    reason: run.reason,
    message: run.message,
    jobs: { ...status?.jobs, [step]: { name, uid } },
    attempts: run.attempts,
    ...(run.pod === undefined ? {} : { pod: run.pod }),
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(stderr ? { stderr } : {}),
  }
}

/** What is judged before its Job has ended goes on in no case: it could change what a person looks at by then. */
function ending({ job }: JobView, { phase }: JobRun): { readonly groups?: readonly Group[] } {
  if (phase !== 'Failed' || isFinished(job)) return {}
  return { groups: [{ name: endGroup, actions: [deletion(job, 'its Restore has failed')] }] }
}

/** Its pods outlive it for a moment, and what they have reached stands. */
function ofLostJob(
  world: RestoreWorld,
  restore: Restore,
  step: RestoreStep,
  { name, uid }: { readonly name: string; readonly uid: string },
  now: Date,
): Step {
  const pods = world.pods.filter(pod => jobUIDOf(pod) === uid)
  const done = pods.map(moverMessageOf).find(message => message?.phase === 'done')
  if (done && step === 'restore') return { facts: completed(restore, toldBy(restore, done)), end: endOf(done, now) }
  const going = pods.find(pod => !isOver(pod) && !hasMoverEnded(pod))
  const what = step === 'resolve' ? 'looks for the backup' : 'restores it'
  const message = `Job ${name}, which ${what}, was deleted before it was seen to end`
  if (going) {
    const phase = step === 'resolve' ? 'Resolving' : workingPhase(restore)
    const waits = `${message}; its pod ${going.metadata.name} has not ended yet, and is waited for: where its node is lost, delete the pod by force`
    return { facts: { phase, reason: 'JobDeleted', message: waits } }
  }
  const after =
    'what was half made carries the UID of this Restore, and what there was is as it was, or was replaced as a whole. Create another Restore'
  return {
    facts: { phase: 'Failed', reason: 'JobDeleted', message: `${message}; ${after}` },
    unless: { kind: 'job', name, uid, seen: pods.map(versionOf) },
  }
}
