// Whether the next run of a policy can start, as a list of named checks: the conditions Ready, Reconciling and Stalled. The first check
// that is violated decides, so their order is the order in which a person should mend things (docs/conditions.md has the same list).
import type { Reason } from '../../api/conditions.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { StartStatus } from '../../api/kinds/backup-policy-status.ts'
import type { CronJob } from '../../api/kubernetes.ts'
import type { Refusal } from '../core/actions.ts'
import type { Verdict } from '../core/conditions.ts'
import { annotation, managerName } from '../../api/labels.ts'
import { isControlledBy } from '../view/chain.ts'
import { isNotFound } from '../view/job-targets.ts'
import { isGroup } from '../view/per-target.ts'
import type { JobStrategyView } from '../view/view.ts'
import type { DryRunRefusal } from '../view/world.ts'
import { cronJobClockGroup, cronJobGroup } from './cron-job.ts'
import { dryStartGroup } from './dry-start.ts'
import type { PolicyFacts } from './facts.ts'
import { probeGroup } from './store-probe.ts'
import { commonReason } from './targets.ts'

/**
 * Why the next run cannot start. `act`: only a person can change it (kstatus: Stalled). `wait`: it is being found out (Reconciling).
 * `mend`: it is tried again, or changes with what it is about.
 */
export type Violation = {
  readonly reason: Reason
  readonly message: string
  readonly next: 'act' | 'wait' | 'mend'
}

export type Check = { readonly name: string; readonly violation: (facts: PolicyFacts) => Violation | undefined }

export const readinessChecks: readonly Check[] = [
  { name: 'the schedule can be read', violation: scheduleUnreadable },
  { name: 'the name of the CronJob is ours', violation: cronJobTaken },
  { name: 'the snapshot CRDs are installed', violation: snapshotApiMissing },
  { name: 'the selector matches a claim, or a workload for the preset', violation: nothingSelected },
  { name: 'a target can be backed up', violation: noTargetReady },
  { name: 'the schedule fires', violation: scheduleSilent },
  { name: 'the CronJob is accepted, and stays as it was written', violation: cronJobRefused },
  { name: 'the API server accepts a run', violation: runRefused },
  { name: 'the CronJob starts its Jobs', violation: jobsNotStarted },
  { name: 'the probe of the store can be started', violation: probeRefused },
  { name: 'the store was tried', violation: storeUnknown },
  { name: 'the store can be used', violation: storeUnusable },
  { name: 'what an adopted folder has was read', violation: adopting },
  { name: 'the dry start can be made', violation: dryStartRefused },
  { name: 'the start of the command was tried', violation: startUnknown },
  { name: 'the command can be started', violation: notStartable },
  { name: 'the CronJob stands', violation: cronJobMissing },
]

/** Ready says that the next run can start; Reconciling and Stalled are there only while they are true (kstatus). */
export function readiness(facts: PolicyFacts): readonly Verdict[] {
  for (const { violation } of readinessChecks) {
    const found = violation(facts)
    if (found) return verdictsOf(found)
  }
  return facts.policy.spec.suspend
    ? [
        {
          type: 'Ready',
          status: 'True',
          reason: 'Suspended',
          message: 'the schedule is suspended; on-demand Backups still run',
        },
      ]
    : [{ type: 'Ready', status: 'True', reason: 'Ready', message: 'the next run can start' }]
}

function verdictsOf({ reason, message, next }: Violation): readonly Verdict[] {
  const ready: Verdict = { type: 'Ready', status: next === 'wait' ? 'Unknown' : 'False', reason, message }
  if (next === 'mend') return [ready]
  return [ready, { type: next === 'act' ? 'Stalled' : 'Reconciling', status: 'True', reason, message }]
}

function scheduleUnreadable({ clock }: PolicyFacts): Violation | undefined {
  if (!('problem' in clock)) return undefined
  return { reason: 'InvalidSchedule', message: `the schedule cannot be read: ${clock.problem}`, next: 'act' }
}

/** Of the targets of a preset each tells for itself. */
function cronJobTaken({ strategy, namesTaken }: PolicyFacts): Violation | undefined {
  if (strategy.type === 'job' && strategy.preset !== undefined) return undefined
  const [taken] = namesTaken.values()
  return taken === undefined ? undefined : { reason: 'NameTaken', message: taken, next: 'act' }
}

function snapshotApiMissing({ strategy, snapshotApi }: PolicyFacts): Violation | undefined {
  if (strategy.type !== 'snapshot' || snapshotApi) return undefined
  const message =
    'the VolumeSnapshot CRDs are not installed in this cluster; install the external-snapshotter, then snapshots start without a restart of the operator'
  return { reason: 'SnapshotCRDsMissing', message, next: 'act' }
}

function nothingSelected({ strategy, targets }: PolicyFacts): Violation | undefined {
  if (strategy.type === 'job') return nothingFound(strategy)
  if (targets.length > 0) return undefined
  const message =
    'the selector matches no PersistentVolumeClaim in this namespace; strategy snapshot selects claims, not pods, so label the claims'
  return { reason: 'SelectorMatchedNothing', message, next: 'mend' }
}

/** An explicit command needs nothing to be found. */
function nothingFound({ preset, unknown, targets }: JobStrategyView): Violation | undefined {
  if (preset === undefined) return undefined
  if (unknown) return { ...unknown, next: 'wait' }
  if (targets.some(target => !isNotFound(target))) return undefined
  const message = `preset ${preset} finds no workload by the selector in this namespace; it selects pods, so compare it with kubectl get pods --show-labels`
  return { reason: 'SelectorMatchedNothing', message, next: 'mend' }
}

/** Of what runs in a pod the checks of the store and of the start say the rest better. */
function noTargetReady({ strategy, targets, namesTaken }: PolicyFacts): Violation | undefined {
  if (strategy.type === 'job' && strategy.preset === undefined) return undefined
  const able = new Set(
    strategy.type === 'job'
      ? strategy.targets.filter(target => 'source' in target && !namesTaken.has(target.name)).map(({ name }) => name)
      : targets.filter(({ ready }) => ready).map(({ name }) => name),
  )
  if (able.size > 0) return undefined
  const message = targets
    .map(target => (strategy.type === 'job' ? `${target.name}: ${target.message}` : target.message))
    .join('; ')
  return { reason: commonReason(targets), message, next: 'mend' }
}

function scheduleSilent({ policy, next }: PolicyFacts): Violation | undefined {
  if (next || policy.spec.suspend) return undefined
  const message = `the schedule ${policy.spec.schedule} never matches a date`
  return { reason: 'ScheduleNeverFires', message, next: 'act' }
}

function cronJobRefused({ refused }: PolicyFacts): Violation | undefined {
  const refusal = refusalOf(refused, cronJobGroup) ?? refusalOf(refused, cronJobClockGroup)
  if (!refusal) return undefined
  if (refusal.withheld && refusal.action === 'patch-status') {
    const message = `${refusal.words}; check the clocks of the control plane: it is put back again, at the latest after 10 minutes`
    return { reason: refusal.withheld, message, next: 'mend' }
  }
  if (refusal.withheld) {
    const again =
      refusal.action === 'create' ? 'made again within a minute' : 'written again, at the latest after 10 minutes'
    const message = `${refusal.words}; exempt what is labelled app.kubernetes.io/managed-by: ${managerName} from it: it is ${again}`
    return { reason: refusal.withheld, message, next: 'mend' }
  }
  const message = `the API server refuses CronJob ${refusal.name}, which runs the schedule: ${refusal.words}; change the policy, or what refuses it: it is tried again, at the latest after 10 minutes`
  return { reason: 'CronJobRefused', message, next: 'mend' }
}

function runRefused({ dryRun, policy }: PolicyFacts): Violation | undefined {
  if (dryRun?.is === 'refused') return wouldRefuse(dryRun.refusal)
  if (dryRun?.is !== 'unsaid') return undefined
  if (dryRun.stands) return wouldRefuse(dryRun.stands)
  // Not asked again yet, after a restart for example: what a dry run said of this spec stands.
  const said = policy.status?.conditions?.find(({ type }) => type === 'Ready')
  if (said?.observedGeneration !== policy.metadata.generation || !said?.message.startsWith(wordsOfDryRun))
    return undefined
  if (said.reason === 'CronJobRefused' && dryRun.cronJobAccepted) return undefined
  return { reason: said.reason as Reason, message: said.message, next: 'mend' }
}

/** No other check begins like this: what was refused in earnest is tried in earnest again, and is no dry run's to keep. */
const wordsOfDryRun = 'the API server would refuse '

function wouldRefuse({ kind, name, words }: DryRunRefusal): Violation {
  const [what, reason] =
    kind === 'Job' ? (['the Job of a run', 'RunRefused'] as const) : ([`CronJob ${name}`, 'CronJobRefused'] as const)
  const message = `${wordsOfDryRun}${what}: ${words}; change the policy, or what refuses it: it is asked again, at the latest after 10 minutes`
  return { reason, message, next: 'mend' }
}

function jobsNotStarted({ cronJobWarning }: PolicyFacts): Violation | undefined {
  if (!cronJobWarning?.blocks) return undefined
  const message = `CronJob ${cronJobWarning.name} starts no Job: ${cronJobWarning.words}; its controller tries again until startingDeadlineSeconds after the slot`
  return { reason: 'JobsNotStarted', message, next: 'mend' }
}

/** Also of an earlier policy of this name, and one that is going: what runs the schedule then is not this policy's. */
function cronJobMissing({ strategy, policy, cronJobsWritten, namesTaken }: PolicyFacts): Violation | undefined {
  if (strategy.type !== 'job') return undefined
  // What has a problem of its own needs none.
  const wanted = strategy.targets.filter(target => 'source' in target && !namesTaken.has(target.name))
  if (wanted.every(({ name, cronJob }) => cronJobsWritten.has(name) || isStanding(cronJob, policy))) return undefined
  const message = 'the CronJob that runs the schedule is about to be created'
  return { reason: 'CronJobPending', message, next: 'wait' }
}

function isStanding(cronJob: CronJob | undefined, policy: BackupPolicy): boolean {
  if (!cronJob || cronJob.metadata.deletionTimestamp) return false
  return isControlledBy(cronJob, policy)
}

function probeRefused({ refused, store }: PolicyFacts): Violation | undefined {
  const refusal = refused.get(probeGroup)
  if (!refusal || store?.result === 'Usable') return undefined
  const message = `the API server refuses Job ${refusal.name}, which tries the store: ${refusal.words}; it is tried again, at the latest after 10 minutes`
  return { reason: 'ProbeRefused', message, next: 'mend' }
}

function storeUnknown({ store }: PolicyFacts): Violation | undefined {
  if (store?.result !== 'Unknown') return undefined
  return { reason: store.reason as Reason, message: store.message, next: 'wait' }
}

/** On-demand Backups run: somebody asked for them. */
function adopting({ policy, strategy, adopting: waiting }: PolicyFacts): Violation | undefined {
  if (waiting.size === 0) return undefined
  const isOne = strategy.type !== 'job' || strategy.preset === undefined
  const whose = isOne ? '' : ` of ${[...waiting].join(', ')}`
  const message = `the folder of cluster ${policy.spec.backend?.adopt} is taken over: what it holds is read first, and until its Backups are here the CronJobs${whose} stay suspended; on-demand Backups run. If this lasts, look at the catalog Jobs of this policy; to begin without them, take backend.adopt out of the policy, whose folder it is by now`
  return { reason: 'Adopting', message, next: 'wait' }
}

function dryStartRefused({ refused, starts }: PolicyFacts): Violation | undefined {
  const refusal = refusalOf(refused, dryStartGroup)
  if (!refusal || best(starts)?.result === 'Startable') return undefined
  const message = `the API server refuses Job ${refusal.name}, which tries the start of the command: ${refusal.words}; it is tried again, at the latest after 10 minutes`
  return { reason: 'RunRefused', message, next: 'mend' }
}

/** Where a dry start ended without an answer, the next run has to find out. */
function startUnknown({ starts }: PolicyFacts): Violation | undefined {
  const start = best(starts)
  if (start?.result !== 'Unknown' || start.lastTime !== undefined) return undefined
  return { reason: start.reason as Reason, message: start.message, next: 'wait' }
}

function notStartable({ starts }: PolicyFacts): Violation | undefined {
  const start = best(starts)
  if (start?.result !== 'NotStartable') return undefined
  const message = `the pod of a run cannot start its command: ${start.message}; it is tried again after 10 minutes to an hour, and at once after a change of strategy.job or with a new value of the annotation ${annotation.probe}`
  return { reason: start.reason as Reason, message, next: 'mend' }
}

/** Of several targets each tells whether it can start; the policy, whether none can. */
function best(starts: PolicyFacts['starts']): StartStatus | undefined {
  const all = [...starts.values()]
  return all.find(({ result }) => result === 'Startable') ?? all.find(({ result }) => result === 'Unknown') ?? all[0]
}

/** That of the first target of which it was refused. */
function refusalOf(refused: PolicyFacts['refused'], group: string): Refusal | undefined {
  for (const [name, refusal] of refused) if (isGroup(group, name)) return refusal
  return undefined
}

function storeUnusable({ store }: PolicyFacts): Violation | undefined {
  if (store?.result !== 'Unusable') return undefined
  const message = `${store.message}; it is tried again, at the latest after 10 minutes, and at once with a new value of the annotation ${annotation.probe}`
  return { reason: store.reason as Reason, message, next: 'mend' }
}
