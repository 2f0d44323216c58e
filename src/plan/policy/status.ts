// The status of a policy, from what was seen and what is planned: its only author.
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { BackupPolicyStatus, TargetStatus } from '../../api/kinds/backup-policy-status.ts'
import type { Reason } from '../../api/conditions.ts'
import { commandTarget } from '../../api/names.ts'
import { catalogVerdicts } from './catalog-conditions.ts'
import { clockVerdict } from './clock-change.ts'
import { cronJobVerdicts } from './cron-job-warnings.ts'
import { conditionsFrom, type Verdict } from '../core/conditions.ts'
import { digestBefore } from '../history/catalog.ts'
import { hasData } from '../history/retention.ts'
import { goodByAge, type TargetHistory } from '../history/verdicts.ts'
import { isTooEarly } from './early-slot.ts'
import type { PolicyFacts } from './facts.ts'
import { loweringVerdicts } from './lowering-conditions.ts'
import { readiness } from './readiness.ts'
import { refusalVerdicts } from './refusals.ts'
import { scheduleHash, scheduleOf } from './schedule.ts'
import { stateOf } from './state.ts'
import { overdueSeconds } from './overdue.ts'
import { shownTargets } from './shown-targets.ts'
import { presetVerdicts } from './preset-conditions.ts'
import { snapshotVerdicts } from './snapshot-conditions.ts'
import { storeVerdicts } from './store-conditions.ts'
import { earliest, latest, rfc3339, sizeText, timeOf } from '../../schedule/times.ts'
import { dataTime, dueTime, firstPast } from '../view/run-times.ts'
import { isNotFound, notFound } from '../view/job-targets.ts'
import type { JobTargetView, RunView } from '../view/view.ts'
import type { Target } from './targets.ts'
import { latestPresent } from './two-clocks.ts'

export function policyStatus(facts: PolicyFacts, runs: readonly RunView[], now: Date): BackupPolicyStatus {
  const { policy, strategy, targets } = facts
  const present = latestPresent(facts, now)
  const backups = runs.map(({ backup }) => backup)
  const ended = backups.filter(({ status }) => status?.phase === 'Completed' || status?.phase === 'Failed')
  const ofTargets = byAge(
    ended.filter(({ status }) => status?.target !== undefined),
    present,
  )
  const newest = ofTargets.at(-1)
  const lastSuccess = latest(
    firstPast(now, timeOf(policy.status?.lastSuccess)),
    ...ended
      .filter(({ status }) => status?.phase === 'Completed')
      .map(({ metadata, status }) =>
        firstPast(now, timeOf(status?.completionTime), timeOf(metadata.creationTimestamp)),
      ),
  )
  const lastRun = latest(
    firstPast(now, timeOf(policy.status?.lastRun)),
    ...ended.map(backup => firstPast(now, dueTime(backup), timeOf(backup.metadata.creationTimestamp))),
  )
  const selected = strategy.type === 'job' ? strategy.selected : strategy.targets.length
  const verdicts = [
    ...readiness(facts),
    lastBackup(ofTargets, targets, policy, present),
    selection(strategy, selected),
    ...(strategy.type === 'snapshot' ? snapshotVerdicts(facts) : presetVerdicts(facts, strategy)),
    ...clockVerdict(facts, now),
    ...storeVerdicts(facts),
    ...loweringVerdicts(facts, now),
    ...cronJobVerdicts(facts.cronJobWarning),
    ...catalogVerdicts(facts),
    ...refusalVerdicts(facts.refused),
  ]
  const statuses = targets.map(({ readiness: _, ...target }): TargetStatus => ({
    ...target,
    ...kept(
      facts.histories.find(history => history.target === target.name),
      facts,
      now,
    ),
    ...ofJobTarget(facts, target.name, now),
  }))
  const gone = facts.histories
    .filter(({ target, runs }) => runs.length > 0 && !targets.some(({ name }) => name === target))
    .map((history): TargetStatus => ({
      name: history.target,
      ready: false,
      ...notFound,
      ...kept(history, facts, now),
      ...digestKnown(digestBefore(policy, history.target)),
    }))
  const all = [...statuses, ...gone]
  // What this status tells is owed no more.
  const asTold = { ...policy, status: { ...policy.status, targets: all, ...told(lastSuccess) } }
  const command = strategy.type === 'job' ? strategy.targets.find(({ name }) => name === commandTarget) : undefined
  const start = facts.starts.get(commandTarget)
  return {
    observedGeneration: policy.metadata.generation,
    conditions: conditionsFrom(verdicts, policy.status?.conditions, policy.metadata.generation, now),
    ...(selected === undefined ? {} : { selected }),
    kept: all.reduce((sum, target) => sum + (target.kept ?? 0), 0),
    ...storedSize(facts, backups),
    state: stateOf({ verdicts, targets: all, overdueSeconds: overdueSeconds(asTold, now) }),
    targets: [...shownTargets(all)],
    ...(facts.next ? { nextRun: rfc3339(facts.next) } : {}),
    ...(lastRun ? { lastRun: rfc3339(lastRun) } : {}),
    ...told(lastSuccess),
    ...(newest ? { lastBackup: newest.metadata.name } : {}),
    ...(facts.book.accountedUntil ? { accountedUntil: rfc3339(facts.book.accountedUntil) } : {}),
    scheduleSince: rfc3339(facts.since),
    scheduleHash: scheduleHash(policy),
    slots: facts.book.counts,
    ...(facts.store ? { store: facts.store } : {}),
    ...numbersKnown(facts),
    ...(start ? { start } : {}),
    ...cronJobKnown(facts, command),
    ...(facts.cronJobUIDs.length > 0 ? { cronJobUIDs: [...facts.cronJobUIDs] } : {}),
  }
}

/** What is remembered of one target of strategy job; of an explicit command the policy itself tells the rest. */
function ofJobTarget(facts: PolicyFacts, name: string, now: Date): Partial<TargetStatus> {
  const known = digestKnown(facts.digests.get(name))
  if (facts.strategy.type !== 'job' || name === commandTarget) return known
  const target = facts.strategy.targets.find(each => each.name === name)
  const [mark, start] = [facts.marks.get(name), facts.starts.get(name)]
  const isAway = target !== undefined && isNotFound(target)
  const goneSince = isAway && 'problem' in target ? (target.goneSince ?? rfc3339(now)) : undefined
  return {
    ...known,
    ...cronJobKnown(facts, target),
    ...(mark ? { accountedUntil: rfc3339(mark) } : {}),
    ...(goneSince ? { goneSince } : {}),
    ...(start ? { start } : {}),
  }
}

function digestKnown(digest: string | undefined): Pick<TargetStatus, 'digest'> {
  return digest ? { digest } : {}
}

function cronJobKnown({ namesTaken }: PolicyFacts, target: JobTargetView | undefined): { readonly cronJob?: string } {
  const cronJob = target?.cronJob
  return cronJob && !namesTaken.has(target.name) ? { cronJob: cronJob.metadata.name } : {}
}

function told(lastSuccess: Date | undefined): Pick<BackupPolicyStatus, 'lastSuccess'> {
  return lastSuccess ? { lastSuccess: rfc3339(lastSuccess) } : {}
}

function numbersKnown({
  numbers,
  policy: { status },
}: PolicyFacts): Pick<BackupPolicyStatus, 'retention' | 'onDemandRetention'> {
  const [retention, onDemandRetention] = numbers
    ? [numbers.scheduled, numbers['on-demand']]
    : [status?.retention, status?.onDemandRetention]
  return { ...(retention ? { retention } : {}), ...(onDemandRetention ? { onDemandRetention } : {}) }
}

/** The newest run of every target counts, so that one target's success does not hide another's failure. `ended`: oldest first. */
function lastBackup(
  ended: readonly Backup[],
  targets: readonly Target[],
  policy: BackupPolicy,
  present: Date,
): Verdict {
  const newest = new Map(ended.map(backup => [backup.status?.target, backup]))
  const selected = targets.flatMap(({ name }) => newest.get(name) ?? [])
  const failed = selected.filter(({ status }) => status?.phase === 'Failed')
  const chosen = byAge(failed, present).at(-1) ?? byAge(selected, present).at(-1) ?? ended.at(-1)
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

function selection(strategy: PolicyFacts['strategy'], selected: number | undefined): Verdict {
  const kind = strategy.type === 'job' ? 'pod' : 'PersistentVolumeClaim'
  if (selected === undefined)
    return {
      type: 'TargetsSelected',
      status: 'Unknown',
      reason: 'SelectionUnknown',
      message: `the API server does not say how many ${kind}s the selector matches; nothing depends on it but this condition`,
    }
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

/** What the kept backups take in the bucket; of snapshots nobody knows. */
function storedSize({ strategy, histories }: PolicyFacts, backups: readonly Backup[]): { readonly size?: string } {
  if (strategy.type !== 'job') return {}
  const good = new Set(histories.flatMap(({ runs }) => goodByAge(runs).map(({ id }) => id)))
  const sizes = backups.flatMap(({ status }) => (good.has(status?.run ?? '') ? (status?.storedBytes ?? []) : []))
  return sizes.length === 0 ? {} : { size: sizeText(sizes.reduce((sum, bytes) => sum + bytes, 0)) }
}

function kept(
  history: TargetHistory | undefined,
  facts: Pick<PolicyFacts, 'policy' | 'strategy' | 'clock' | 'serverTime'>,
  now: Date,
): Pick<TargetStatus, 'kept' | 'newest' | 'oldest' | 'nextToGo'> {
  if (!history) return { kept: 0 }
  const clock = facts.strategy.type === 'job' ? scheduleOf(facts.policy, history.target) : facts.clock
  const good = goodByAge(history.runs).filter(run => !run.suspect && !run.unchecked && !run.untold && hasData(run))
  // One that is dated ahead, or was when it was made, is of when the API server made it, or of no time at all.
  const wasAhead = (made: Date | undefined, slot: Date) =>
    !('problem' in clock) && isTooEarly(made, slot, clock, facts, now)
  const times = good.flatMap(({ ahead, made, slot }) => (ahead || wasAhead(made, slot) ? (made ?? []) : slot))
  const [oldest, newest] = [earliest(...times), latest(...times)]
  const { nextToGo } = history.plan
  return {
    kept: good.length,
    ...(newest ? { newest: rfc3339(newest) } : {}),
    ...(oldest ? { oldest: rfc3339(oldest) } : {}),
    ...(nextToGo ? { nextToGo } : {}),
  }
}

/** By when they began: one that ends late may be older. Those of one second by name, because the order of a cache means nothing. */
function byAge(backups: readonly Backup[], present: Date): readonly Backup[] {
  const timed = backups.map(backup => ({
    backup,
    name: backup.metadata.name,
    time: dataTime(backup, present)?.getTime() ?? -Infinity,
  }))
  const sorted = timed.sort((a, b) => (a.time === b.time ? (a.name < b.name ? -1 : 1) : a.time < b.time ? -1 : 1))
  return sorted.map(({ backup }) => backup)
}
