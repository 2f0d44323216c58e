// The plan of one policy: everything that should be done now for it, its runs and its history, and its status. Pure.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { BackupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import { isFinal } from '../../api/kinds/backup-phases.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { KubernetesObject } from '../../api/kubernetes.ts'
import { commandTarget } from '../../api/names.ts'
import {
  askedConclusion,
  nothingUndone,
  type Group,
  type Plan,
  type Refusals,
  type Undone,
  type Unless,
} from '../core/actions.ts'
import { sameJson } from '../core/equal.ts'
import { leftoverSnapshots, nextCleanUp, planCleanUp, stuckJobs } from '../history/clean-up.ts'
import { planExpired } from '../history/ephemeral.ts'
import { markGone, unmarkGone } from '../history/policy-gone.ts'
import { nextRecorded, recordedJobs } from '../history/recorded-jobs.ts'
import { nextShare } from '../history/lowering.ts'
import { keepingOf, lowerings, numbersOf, withNextShare } from '../history/numbers.ts'
import { planSlow, planSlowBefore } from '../history/slow-snapshots.ts'
import {
  planHolds,
  planRetained,
  retentionByTarget,
  retentionWords,
  runsByTarget,
  type TargetHistory,
} from '../history/verdicts.ts'
import { planBackup } from '../runs/run.ts'
import { quickSeconds } from '../runs/snapshot.ts'
import type { BackupPlan } from '../runs/status.ts'
import { oneStart } from '../runs/turns.ts'
import { addSeconds, earliest } from '../../schedule/times.ts'
import { targetOfRun } from '../view/owners.ts'
import { isGroup, ofTarget } from '../view/per-target.ts'
import { viewOf, type JobStrategyView, type RunView, type SnapshotStrategyView, type View } from '../view/view.ts'
import type { PolicyWorld } from '../view/world.ts'
import { cronJobGroup } from './cron-job.ts'
import { clockOf } from './clock-ahead.ts'
import { nextGone, strayCronJobs, withoutGone } from './gone-targets.ts'
import { planJobStrategy, troubleOf, warningsOf, worstOf } from './job-strategy.ts'
import { notices } from './notices.ts'
import { scheduleOf, scheduleSince } from './schedule.ts'
import { bookOf, type SlotBook, type SlotPlan } from './slots.ts'
import { planSnapshotSlots } from './snapshot-slots.ts'
import { policyStatus } from './status.ts'
import { nextOverdue } from './overdue.ts'
import { noOrders, noSlots, type Basis, type Living, type StrategyPlan } from './strategy-plan.ts'
import { bookOfAll, marksOfTargets } from './target-books.ts'
import { targetsOf } from './targets.ts'
import { latestPresent } from './two-clocks.ts'
import { rememberUnmade } from './unmade.ts'

export function planPolicy(world: PolicyWorld, now: Date): Plan {
  const plan = planView(viewOf(world), now)
  return { ...plan, wakeAt: earliest(plan.wakeAt, world.lookAgainAt) }
}

function planView(view: View, now: Date): Plan {
  if (!view.policy) return planGone(view, now)
  const { policy, strategy: wanted } = view
  const strategy = wanted.type === 'job' ? withoutGone(view, wanted, now) : wanted
  const basis = basisOf(view, policy, strategy, now)
  if (strategy.type === 'job') {
    const living = { ...view, policy, strategy }
    return planOf(living, planJobStrategy(living, basis, now), basis, now)
  }
  const living = { ...view, policy, strategy }
  return planOf(living, planSnapshotStrategy(living, basis, now), basis, now)
}

function basisOf(view: View, policy: BackupPolicy, strategy: JobStrategyView | SnapshotStrategyView, now: Date): Basis {
  const kept = runsByTarget(view, policy, strategy, now)
  const numbers = numbersOf(policy, kept, now)
  const keeping = keepingOf(policy, numbers, now)
  return {
    clock: scheduleOf(policy),
    since: scheduleSince(policy, now),
    before: bookOf(policy.status, clockOf(view, now)),
    kept,
    numbers,
    keeping,
    histories: retentionByTarget(kept, keeping),
  }
}

function planSnapshotStrategy(
  view: Living<SnapshotStrategyView>,
  { clock, since, before, histories }: Basis,
  now: Date,
): StrategyPlan {
  const { policy, strategy, runs } = view
  const words = retentionWords(histories)
  const backups = runs.map(run => planBackup(view, run, undefined, noOrders, now, words))
  const plan =
    'problem' in clock
      ? noSlots(before)
      : planSnapshotSlots(view, policy, strategy, clock, since, before, now, endedBy(backups))
  return {
    cronJob: [],
    namesTaken: new Map(),
    adopting: new Set(),
    dryStarts: new Map(),
    catalogs: new Map(),
    cronJobWarnings: [],
    unrecorded: new Set(),
    backups,
    schedules: [{ target: undefined, before, plan }],
  }
}

/** The order of things. Groups need each other only where they say so; the order is what is best done first. */
function planOf(
  view: Living<JobStrategyView | SnapshotStrategyView>,
  plan: StrategyPlan,
  basis: Basis,
  now: Date,
): Plan {
  const { policy, strategy, runs, snapshotApi, dryRun } = view
  const { cronJob, namesTaken, probe, adopting, dryStarts, catalogs, holds, unrecorded, backups, schedules } = plan
  const { clock, since, before, kept, numbers, keeping, histories } = basis
  const slotStarts = schedules.flatMap(each => each.plan.starts ?? [])
  const starts = oneStart([...slotStarts, ...backups.flatMap(each => each.groups)], policy, now)
  const isOpen = ({ backup }: RunView) => catalogs.get(targetOfRun(backup) ?? commandTarget)?.open === true
  const { true: inOpen = [], false: inKnown = [] } = Object.groupBy(runs, run => `${isOpen(run)}`)
  const planned: readonly Group[] = [
    ...strayCronJobs(view),
    ...cronJob,
    ...(probe?.groups ?? []),
    ...[...dryStarts.values()].flatMap(each => each.groups),
    ...planHolds(view.snapshots),
    ...(holds?.groups ?? []),
    // They are few, and make room under quotas for what comes. And Jobs go before the Backups that tell of them: of a Job whose Backup is gone
    // nobody knows that it was told of.
    ...recordedJobs({ ...view, runs: inOpen }, true, now),
    ...recordedJobs({ ...view, runs: inKnown }, false, now),
    // Slots have deadlines, and what goes has none: hundreds of slow deletions would use up pass after pass.
    ...schedules.flatMap(each => each.plan.groups),
    ...stuckJobs(view, unrecorded, now),
    ...starts.groups,
    ...planRetained(view, policy, histories, keeping, holds?.told ?? new Map(), now),
    ...(strategy.type === 'snapshot'
      ? [...planSlow(view, policy, histories, keeping, now), ...planExpired(view, now)]
      : planSlowBefore(view, policy, histories, keeping, now)),
    ...planCleanUp(view, unrecorded, now),
    ...[...catalogs.values()].flatMap(each => each.groups),
  ]
  const groups = [...planned, ...unmarkGone(view, planned)]
  const remembered = withNextShare(policy, numbers, kept, now)
  const facts = {
    policy,
    strategy,
    clock,
    since,
    serverTime: view.serverTime,
    next: earliest(...schedules.map(each => each.plan.next)),
    histories,
    // Without the snapshot API nobody sees what is there, and so what is to be protected.
    numbers: strategy.type === 'job' || snapshotApi ? remembered : undefined,
    lowerings: lowerings(remembered, kept, now),
    cronJobUIDs: view.cronJobUIDs,
    starts: new Map([...dryStarts].map(([name, { start }]) => [name, start])),
    namesTaken,
    adopting,
    digests: new Map([...catalogs].map(([name, { digest }]) => [name, digest])),
    warnings: warningsOf(catalogs),
    catalogTrouble: troubleOf(catalogs, strategy),
    snapshotApi,
    dryRun,
    cronJobWarning: worstOf(plan.cronJobWarnings),
  }
  const [whole] = schedules
  const begunUntil = strategy.type === 'snapshot' && whole ? quickUntil(before, whole.plan.book, now) : undefined
  /** A stored backup counts from the pass on in which its Backup tells of it; a snapshot tells of itself. */
  function historiesWith(told: readonly RunView[]): readonly TargetHistory[] {
    if (told === runs || strategy.type === 'snapshot') return histories
    return retentionByTarget(runsByTarget({ runs: told, snapshots: view.snapshots }, policy, strategy, now), keeping)
  }
  function conclude(refused: Refusals, undone: Undone = nothingUndone) {
    const parts = schedules.map(each => ({
      target: each.target,
      before: each.before,
      after: bookAfter(each.plan, each.before, refused, undone),
    }))
    const after = bookOfAll(before, parts)
    const missed = after.counts.missed > before.counts.missed
    // What is in doubt could not be asked, and perhaps never can: the rest is told all the same.
    const isUnasked = refused.has(askedConclusion)
    // One doubt at a time: the slots are counted in the next pass.
    const isLater = missed && (isUnasked || probe?.unless !== undefined)
    const book = isLater ? before : after
    const marks = marksOfTargets(parts, isLater)
    const store = (isUnasked && probe?.before) || probe?.store
    const targets = targetsOf(view, store, facts.starts, now, namesTaken)
    const carriedOut = groups.filter(
      ({ name }) => !refused.has(name) && !undone.putOff.has(name) && !undone.taken.has(name),
    )
    const told = toldRuns(runs, carriedOut)
    const written = carriedOut.filter(({ name }) => isGroup(cronJobGroup, name))
    const cronJobsWritten = new Set(
      strategy.targets.flatMap(({ name }: { readonly name: string }) =>
        written.some(group => group.name === ofTarget(cronJobGroup, name)) ? [name] : [],
      ),
    )
    const status = policyStatus(
      { ...facts, store, targets, histories: historiesWith(told), cronJobsWritten, book, marks, refused },
      told,
      now,
    )
    if (sameJson(policy.status, status)) return []
    if (begunUntil && sameJson(policy.status, { ...status, ...slotOf(policy.status) })) return []
    // A slot that counts as missed may have its Backup from another process, whose last writes no cache has shown yet, or a Job that no watch
    // has told of.
    const doubt = isUnasked ? undefined : (probe?.unless ?? (missed ? newerRuns(view) : undefined))
    const write = { do: 'write-status', object: { ...policy, status } } as const
    const noted = notices(policy, status, { before, missedFor: book.missedFor }, latestPresent(view, now))
    // What comes behind a write is never told when its answer is lost; what comes before is told twice at the worst, which is counted.
    return doubt ? [{ ...write, unless: doubt }, ...noted] : [...noted, write]
  }
  const times = [
    begunUntil,
    ...schedules.flatMap(each => [each.plan.next, each.plan.closes]),
    starts.wakeAt,
    probe?.wakeAt,
    ...[...dryStarts.values()].map(each => each.wakeAt),
    dryRun?.againAt,
    ...[...catalogs.values()].map(each => each.wakeAt),
    strategy.type === 'job' ? nextGone(strategy, now) : undefined,
    holds?.wakeAt,
    nextCleanUp(view, now),
    nextOverdue(policy, now),
    nextRecorded(runs, now),
    ...[nextShare(remembered.scheduled), nextShare(remembered['on-demand'])].filter(time => time && time > now),
  ]
  return { groups, conclude, wakeAt: earliest(...times, ...backups.map(each => each.wakeAt)) }
}

/** A slot whose Backup is refused or put off stays open in the book; one whose name a stranger has does not run, and waits for nobody. */
function bookAfter(
  { groups, book, ifTaken = book, open }: SlotPlan,
  before: SlotBook,
  refused: Refusals,
  { taken, putOff }: Undone,
): SlotBook {
  if (groups.some(({ name }) => refused.has(name) || putOff.has(name))) {
    if (!open) return before
    const { slot, targets } = open.lacking
    const isLeft = (name: string) => refused.has(name) || putOff.has(name) || taken.has(name)
    const made = new Set(groups.flatMap(({ name }) => (isLeft(name) ? [] : name)))
    return rememberUnmade(open.book, { slot, targets: targets.filter(target => !made.has(open.groupOf(target))) })
  }
  return groups.some(({ name }) => taken.has(name)) ? ifTaken : book
}

/**
 * Until when it is not told that a slot has begun: a snapshot that is ready soon costs its policy one write, which tells of its end, too.
 * A crash before that write is no other than one right after the Backups were made. Undefined where there is more to tell.
 */
function quickUntil({ counts }: SlotBook, { accountedUntil, counts: after }: SlotBook, now: Date): Date | undefined {
  if (!accountedUntil || !sameJson(counts, after)) return undefined
  const until = addSeconds(accountedUntil, quickSeconds)
  return until > now ? until : undefined
}

/** What the status tells of a slot that has begun. */
function slotOf(status: BackupPolicyStatus | undefined) {
  return { nextRun: status?.nextRun, accountedUntil: status?.accountedUntil }
}

/** The runs as their Backups tell of them once the groups are carried out: their ends are told in the same pass. */
function toldRuns(runs: readonly RunView[], groups: readonly Group[]): readonly RunView[] {
  const told = new Map(writtenBackups(groups).map(backup => [backup.metadata.name, backup]))
  if (told.size === 0) return runs
  return runs.map(run => ({ ...run, backup: told.get(run.backup.metadata.name) ?? run.backup }))
}

/** The Backups that these plans find ended. */
function endedBy(plans: readonly BackupPlan[]): ReadonlySet<string> {
  const written = writtenBackups(plans.flatMap(({ groups }) => groups))
  return new Set(written.filter(({ status }) => isFinal(status?.phase)).map(({ metadata }) => metadata.name))
}

/** The Backups of which these groups write the status. */
function writtenBackups(groups: readonly Group[]): readonly Backup[] {
  return groups
    .flatMap(({ actions }) => actions)
    .flatMap(action =>
      action.do === 'write-status' && action.object.kind === 'Backup' ? [action.object as Backup] : [],
    )
}

/** What runs of slots there are beside those that the plan knows. */
function newerRuns({ name, strategy, runs, runJobs }: View): Unless {
  const uids = (objects: readonly KubernetesObject[]) => new Set(objects.flatMap(({ metadata }) => metadata.uid ?? []))
  return strategy?.type === 'snapshot'
    ? { kind: 'newer-backups', name, seen: uids(runs.map(({ backup }) => backup)) }
    : { kind: 'newer-jobs', name, seen: uids(runJobs.map(({ job }) => job)) }
}

/** Without its policy nothing starts any more; what has ended stays, with its data. */
function planGone(view: View, now: Date): Plan {
  const backups = view.runs.map(run => planBackup(view, run, undefined, noOrders, now))
  return {
    groups: [
      ...strayCronJobs(view),
      ...planHolds(view.snapshots),
      ...backups.flatMap(plan => plan.groups),
      ...leftoverSnapshots(view, now),
      ...stuckJobs(view, new Set(), now),
      ...markGone(view.runs, now),
    ],
    conclude: () => [],
    wakeAt: earliest(nextCleanUp(view, now), ...backups.map(plan => plan.wakeAt)),
  }
}
