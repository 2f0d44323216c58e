// The status of a policy, from what was seen and what is planned: its only author.
import type { Backup } from '../api/backup.ts'
import type { BackupPolicy } from '../api/backup-policy.ts'
import type { BackupPolicyStatus, StoreStatus, TargetStatus } from '../api/backup-policy-status.ts'
import type { Reason } from '../api/conditions.ts'
import { annotation } from '../api/labels.ts'
import type { MoverMessage } from '../api/mover-message.ts'
import { commandTarget } from '../api/names.ts'
import { conditionsFrom, type Verdict } from './conditions.ts'
import type { TargetHistory } from './history.ts'
import type { PolicySchedule } from './policy-schedule.ts'
import { scheduleHash } from './policy-schedule.ts'
import { clockChangeEffect, type ClockChangeEffect } from './schedule.ts'
import { readinessOf, type Readiness } from './selection.ts'
import type { SlotBook } from './slots.ts'
import { addSeconds, latest, rfc3339, timeOf } from './times.ts'
import type { PolicyWorld } from './world.ts'

/** How far ahead clock changes are looked for. Seconds. */
const yearSeconds = 366 * 24 * 3600
const targetsShown = 256

export type PolicyFacts = {
  readonly clock: PolicySchedule | { readonly problem: string }
  readonly since: Date
  readonly book: SlotBook
  readonly next: Date | undefined
  readonly histories: readonly TargetHistory[]
  readonly store: StoreStatus | undefined
  /** Why the CronJob cannot be ours. */
  readonly nameTaken: string | undefined
  readonly digest: string | undefined
  /** The newest committed message of a mover. */
  readonly said: MoverMessage | undefined
}

export function policyStatus(
  world: PolicyWorld,
  policy: BackupPolicy,
  facts: PolicyFacts,
  now: Date,
): BackupPolicyStatus {
  const job = policy.spec.strategy.type === 'job'
  const targets = job ? [jobTarget(facts)] : snapshotTargets(world, policy)
  const ended = world.backups.filter(({ status }) => status?.phase === 'Completed' || status?.phase === 'Failed')
  const ofTargets = byEnd(ended.filter(({ status }) => status?.target !== undefined))
  const newest = ofTargets.at(-1)
  // A node's clock or a person may have written times that are not yet; they must not hide what comes.
  const past = (time: Date | undefined) => (time && time <= now ? time : undefined)
  const lastSuccess = latest(
    past(timeOf(policy.status?.lastSuccess)),
    ...ended.map(({ status }) => (status?.phase === 'Completed' ? timeOf(status.completionTime) : undefined)),
  )
  const lastRun = latest(
    past(timeOf(policy.status?.lastRun)),
    ...ended.map(({ spec, metadata }) => past(timeOf(spec.slot)) ?? timeOf(metadata.creationTimestamp)),
  )
  const selected = job ? world.selectedPods : world.claims.length
  const verdicts = [
    ...readiness(world, policy, facts, targets),
    lastBackup(ofTargets, targets, policy),
    selection(policy, selected),
    ...(job ? [] : snapshotVerdicts(world, policy, targets)),
    ...clockVerdict(policy, facts, now),
    ...storeVerdicts(world, policy, facts),
  ]
  const statuses = targets.map(({ readiness: _, ...target }): TargetStatus => ({
    ...target,
    ...kept(facts.histories.find(history => history.target === target.name)),
    ...(job && facts.digest ? { digest: facts.digest } : {}),
  }))
  const gone = facts.histories
    .filter(({ target, runs }) => runs.length > 0 && !targets.some(({ name }) => name === target))
    .map((history): TargetStatus => ({
      name: history.target,
      ready: false,
      reason: 'TargetNotFound',
      message: 'the policy no longer selects it; its backups stay',
      ...kept(history),
    }))
  return {
    observedGeneration: policy.metadata.generation,
    conditions: conditionsFrom(verdicts, policy.status?.conditions, policy.metadata.generation, now),
    selected,
    targets: [...statuses, ...gone].slice(0, targetsShown),
    ...(facts.next ? { nextRun: rfc3339(facts.next) } : {}),
    ...(lastRun ? { lastRun: rfc3339(lastRun) } : {}),
    ...(lastSuccess ? { lastSuccess: rfc3339(lastSuccess) } : {}),
    ...(newest ? { lastBackup: newest.metadata.name } : {}),
    ...(facts.book.accountedUntil ? { accountedUntil: rfc3339(facts.book.accountedUntil) } : {}),
    scheduleSince: rfc3339(facts.since),
    scheduleHash: scheduleHash(policy),
    slots: facts.book.counts,
    ...(facts.store ? { store: facts.store } : {}),
    ...(job && world.cronJob && !facts.nameTaken ? { cronJob: world.cronJob.metadata.name } : {}),
  }
}

type Target = Pick<TargetStatus, 'name' | 'ready' | 'reason' | 'message'> & { readonly readiness?: Readiness }

function jobTarget({ store }: PolicyFacts): Target {
  const usable = store?.result === 'Usable'
  return { name: commandTarget, ready: usable, reason: store?.reason ?? 'Probing', message: store?.message ?? '' }
}

function snapshotTargets(world: PolicyWorld, policy: BackupPolicy): readonly Target[] {
  const classes = world.snapshotClasses
  if (!classes) return []
  return world.claims.map(claim => {
    const verdict = readinessOf(claim, world.volumes, classes, policy.spec.strategy.snapshot?.volumeSnapshotClassName)
    const { name } = claim.metadata
    return verdict.ready
      ? {
          name,
          ready: true,
          reason: 'Ready',
          message: `snapshots are made with VolumeSnapshotClass ${verdict.className}`,
          readiness: verdict,
        }
      : { name, ready: false, reason: verdict.reason, message: verdict.message.slice(0, 1024), readiness: verdict }
  })
}

/** Ready says that the next run can start; Reconciling and Stalled are there only while they are true (kstatus). */
function readiness(
  world: PolicyWorld,
  policy: BackupPolicy,
  facts: PolicyFacts,
  targets: readonly Target[],
): readonly Verdict[] {
  const stalled = (reason: Reason, message: string): readonly Verdict[] => [
    { type: 'Ready', status: 'False', reason, message },
    { type: 'Stalled', status: 'True', reason, message },
  ]
  if ('problem' in facts.clock) return stalled('InvalidSchedule', `the schedule cannot be read: ${facts.clock.problem}`)
  if (facts.nameTaken) return stalled('NameTaken', facts.nameTaken)
  if (policy.spec.strategy.type === 'snapshot') {
    if (!world.snapshotClasses)
      return stalled(
        'SnapshotCRDsMissing',
        'the VolumeSnapshot CRDs are not installed in this cluster; install the external-snapshotter, then snapshots start without a restart of the operator',
      )
    if (targets.length === 0)
      return [
        {
          type: 'Ready',
          status: 'False',
          reason: 'SelectorMatchedNothing',
          message:
            'the selector matches no PersistentVolumeClaim in this namespace; strategy snapshot selects claims, not pods, so label the claims',
        },
      ]
    const unready = targets.filter(({ ready }) => !ready)
    const [first] = unready
    if (first && unready.length === targets.length)
      return [
        {
          type: 'Ready',
          status: 'False',
          reason: commonReason(unready),
          message: unready.map(({ message }) => message).join('; '),
        },
      ]
  }
  if (!facts.next && !policy.spec.suspend)
    return stalled('ScheduleNeverFires', `the schedule ${policy.spec.schedule} never matches a date`)
  if (facts.store?.result === 'Unknown') {
    const { reason, message } = facts.store
    return [
      { type: 'Ready', status: 'Unknown', reason: reason as Reason, message },
      { type: 'Reconciling', status: 'True', reason: reason as Reason, message },
    ]
  }
  if (facts.store?.result === 'Unusable') {
    const { reason, message } = facts.store
    return [
      {
        type: 'Ready',
        status: 'False',
        reason: reason as Reason,
        message: `${message}; it is tried again, at the latest after 10 minutes`,
      },
    ]
  }
  if (policy.spec.suspend)
    return [
      {
        type: 'Ready',
        status: 'True',
        reason: 'Suspended',
        message: 'the schedule is suspended; on-demand Backups still run',
      },
    ]
  return [{ type: 'Ready', status: 'True', reason: 'Ready', message: 'the next run can start' }]
}

function commonReason(targets: readonly Target[]): Reason {
  const reasons = new Set(targets.map(({ reason }) => reason))
  const [only, ...others] = reasons
  return others.length === 0 && only ? (only as Reason) : 'SeveralTargetsNotReady'
}

/** The newest run of every target counts, so that one target's success does not hide another's failure. `ended`: oldest first. */
function lastBackup(ended: readonly Backup[], targets: readonly Target[], policy: BackupPolicy): Verdict {
  const newest = new Map(ended.map(backup => [backup.status?.target, backup]))
  const selected = targets.flatMap(({ name }) => newest.get(name) ?? [])
  const failed = selected.filter(({ status }) => status?.phase === 'Failed')
  const chosen = byEnd(failed).at(-1) ?? byEnd(selected).at(-1) ?? ended.at(-1)
  if (!chosen) {
    // Its Backup may have been pruned or deleted; what it proved stays true.
    const before = policy.status?.conditions?.find(({ type }) => type === 'LastBackupSucceeded')
    if (before && before.status !== 'Unknown')
      return {
        type: 'LastBackupSucceeded',
        status: before.status,
        reason: before.reason as Reason,
        message: before.message,
      }
    return { type: 'LastBackupSucceeded', status: 'Unknown', reason: 'NoBackupYet', message: 'no run has ended yet' }
  }
  const { metadata, status } = chosen
  const others = failed.filter(backup => backup !== chosen).map(backup => backup.status?.target)
  const also = others.length === 0 ? '' : `; the newest backups of ${others.join(', ')} failed, too`
  return {
    type: 'LastBackupSucceeded',
    status: status?.phase === 'Completed' ? 'True' : 'False',
    reason: (status?.reason ?? 'Completed') as Reason,
    message: `Backup ${metadata.name}: ${status?.message ?? ''}${also}`,
  }
}

function selection(policy: BackupPolicy, selected: number): Verdict {
  const kind = policy.spec.strategy.type === 'job' ? 'pod' : 'PersistentVolumeClaim'
  return selected > 0
    ? {
        type: 'TargetsSelected',
        status: 'True',
        reason: 'Selected',
        message: `the selector matches ${selected} ${kind}${selected === 1 ? '' : 's'}`,
      }
    : {
        type: 'TargetsSelected',
        status: 'False',
        reason: 'SelectorMatchedNothing',
        message: `the selector matches no ${kind} in this namespace; compare it with kubectl get ${kind.toLowerCase()}s --show-labels`,
      }
}

function snapshotVerdicts(world: PolicyWorld, policy: BackupPolicy, targets: readonly Target[]): readonly Verdict[] {
  const unready = targets.filter(({ ready }) => !ready)
  const all: Verdict =
    targets.length === 0
      ? {
          type: 'TargetsReady',
          status: 'Unknown',
          reason: world.snapshotClasses ? 'SelectorMatchedNothing' : 'SnapshotCRDsMissing',
          message: 'there is no target to judge',
        }
      : unready.length === 0
        ? {
            type: 'TargetsReady',
            status: 'True',
            reason: 'Ready',
            message:
              targets.length === 1
                ? 'the one target can be snapshotted'
                : `all ${targets.length} targets can be snapshotted`,
          }
        : {
            type: 'TargetsReady',
            status: 'False',
            reason: commonReason(unready),
            message: unready.map(({ name, message }) => `${name}: ${message}`).join('; '),
          }
  const offsite: Verdict = policy.spec.backend
    ? {
        type: 'OffsiteCopy',
        status: 'False',
        reason: 'NotExported',
        message: 'snapshots stay on the storage system: this version does not export them to the backend yet',
      }
    : {
        type: 'OffsiteCopy',
        status: 'False',
        reason: 'NoBackend',
        message: 'snapshots stay on the storage system: the policy names no backend',
      }
  const losing = targets
    .filter(({ readiness: verdict }) => verdict?.ready && verdict.deletionPolicy === 'Delete')
    .map(({ name }) => name)
  const loses: readonly Verdict[] =
    losing.length === 0
      ? []
      : [
          {
            type: 'NamespaceDeletionLosesData',
            status: 'True',
            reason: 'DeletionPolicyDelete',
            message: `deleting the namespace deletes the snapshots of ${losing.join(', ')}: their class has deletionPolicy Delete; use a class with Retain to keep them`,
          },
        ]
  return [all, offsite, ...loses]
}

/** By schedule, zone and day: looking through a year takes milliseconds, and every plan asks. */
const clockChanges = new Map<string, ClockChangeEffect | undefined>()
const clockChangesKept = 1000

function clockChangeAfter(clock: PolicySchedule, now: Date): ClockChangeEffect | undefined {
  const day = rfc3339(now).slice(0, 10)
  const key = `${clock.text}|${clock.timeZone}|${day}`
  if (clockChanges.has(key)) return clockChanges.get(key)
  const from = new Date(`${day}T00:00:00Z`)
  const change = clockChangeEffect(clock.schedule, clock.timeZone, { from, to: addSeconds(from, yearSeconds) })
  if (clockChanges.size >= clockChangesKept) clockChanges.clear()
  clockChanges.set(key, change)
  return change
}

function clockVerdict(policy: BackupPolicy, { clock }: PolicyFacts, now: Date): readonly Verdict[] {
  if ('problem' in clock || clock.rule !== 'cronjob') return []
  const change = clockChangeAfter(clock, now)
  if (!change) return []
  const what =
    change.effect === 'skips' ? 'does not run a time that does not exist' : 'runs a time twice that exists twice'
  return [
    {
      type: 'DaylightSavingAffectsSchedule',
      status: 'True',
      reason: 'ClockChange',
      message: `when the clocks of ${policy.spec.timeZone} change at ${rfc3339(change.at)}, the CronJob ${what}; choose another hour, or timeZone Etc/UTC`,
    },
  ]
}

/** What a mover says about a suspect newest backup is told from the objects instead, so that accepting it shows at once. */
const retentionWarnings = ['RetentionBlocked', 'RetentionIncomplete'] as const

function storeVerdicts(world: PolicyWorld, policy: BackupPolicy, facts: PolicyFacts): readonly Verdict[] {
  const { said, store } = facts
  const sameBackend = policy.status?.store?.backendHash === world.backendHash
  const before = policy.status?.conditions?.find(({ type }) => type === 'RetentionBlocked')
  const warning = said?.warnings?.find(({ reason }) => (retentionWarnings as readonly string[]).includes(reason))
  const blocked: readonly Verdict[] =
    suspectVerdict(facts.histories) ??
    (said
      ? warning
        ? [{ type: 'RetentionBlocked', status: 'True', reason: warning.reason, message: warning.message }]
        : []
      : store?.retentionBlocked
        ? [{ type: 'RetentionBlocked', status: 'True', reason: 'RetentionBlocked', message: store.message }]
        : before && sameBackend && before.reason !== 'Suspect' && policy.spec.strategy.type === 'job'
          ? [
              {
                type: 'RetentionBlocked',
                status: before.status,
                reason: before.reason as Reason,
                message: before.message,
              },
            ]
          : [])
  const unconditional: readonly Verdict[] = store?.unconditionalCommit
    ? [
        {
          type: 'UnconditionalCommit',
          status: 'True',
          reason: 'UnconditionalCommit',
          message:
            'the store does not support If-None-Match: two attempts of one run that end at the same moment are told apart by looking first, not by the store',
        },
      ]
    : []
  return [...blocked, ...unconditional]
}

/** A newest backup that is far smaller than the one before must be seen by a person before anything older goes (docs/design.md R14). */
function suspectVerdict(histories: readonly TargetHistory[]): readonly Verdict[] | undefined {
  const newest = histories.flatMap(({ runs }) => goodByAge(runs).at(-1) ?? []).filter(({ suspect }) => suspect)
  if (newest.length === 0) return undefined
  const names = newest.map(({ id }) => id).join(', ')
  const message = `the newest backup, run ${names}, is far smaller than the one before. Nothing is deleted until a good one follows, or somebody has looked and annotated its Backup with ${annotation.accepted}=true`
  return [{ type: 'RetentionBlocked', status: 'True', reason: 'Suspect', message }]
}

function goodByAge(runs: TargetHistory['runs']): TargetHistory['runs'] {
  return runs.filter(run => run.good).toSorted((a, b) => a.slot.getTime() - b.slot.getTime())
}

function kept(history: TargetHistory | undefined): Pick<TargetStatus, 'kept' | 'newest' | 'oldest' | 'nextToGo'> {
  if (!history) return { kept: 0 }
  const good = goodByAge(history.runs).filter(({ suspect }) => !suspect)
  const [oldest, newest] = [good[0], good.at(-1)]
  const { nextToGo } = history.plan
  return {
    kept: good.length,
    ...(newest ? { newest: rfc3339(newest.slot) } : {}),
    ...(oldest ? { oldest: rfc3339(oldest.slot) } : {}),
    ...(nextToGo ? { nextToGo } : {}),
  }
}

/** In the order of their ends; those of one second by name, because the order of a cache means nothing. */
function byEnd(backups: readonly Backup[]): readonly Backup[] {
  const key = ({ status, metadata }: Backup) => `${status?.completionTime ?? ''} ${metadata.name}`
  return backups.toSorted((a, b) => (key(a) < key(b) ? -1 : 1))
}
