// The plan of one policy: everything that should be done now for it, its runs and its history, and its status. Pure.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { isFinal, type Backup } from '../../api/kinds/backup.ts'
import { alone, deletion, type Group, type Plan, type Refusals } from '../core/actions.ts'
import { sameJson } from '../core/equal.ts'
import { planCatalog } from '../history/catalog.ts'
import { leftoverSnapshots, nextCleanUp, planCleanUp, stuckJobs } from '../history/clean-up.ts'
import { planExpired } from '../history/ephemeral.ts'
import { markGone, unmarkGone } from '../history/policy-gone.ts'
import { nextRecorded, recordedJobs } from '../history/recorded-jobs.ts'
import { planHolds, planRetained, retentionByTarget } from '../history/verdicts.ts'
import { planBackup } from '../runs/run.ts'
import type { BackupPlan } from '../runs/status.ts'
import { earliest } from '../../schedule/times.ts'
import { isOf } from '../view/owners.ts'
import { viewOf, type JobStrategyView, type SnapshotStrategyView, type View } from '../view/view.ts'
import type { PolicyWorld } from '../view/world.ts'
import { accountForJobs, desiredCronJob, planCronJob, unrecordedJobs } from './cron-job.ts'
import { cronJobWarning } from './cron-job-warnings.ts'
import { planDryStart, type DryStartPlan } from './dry-start.ts'
import { notices } from './notices.ts'
import { scheduleOf, scheduleSince } from './schedule.ts'
import { bookOf } from './slots.ts'
import { planSnapshotSlots } from './snapshot-slots.ts'
import { policyStatus } from './status.ts'
import { nextOverdue } from './overdue.ts'
import { planProbe } from './store-probe.ts'
import { targetsOf } from './targets.ts'

export function planPolicy(world: PolicyWorld, now: Date): Plan {
  const view = viewOf(world)
  if (!view.policy) return planGone(view, now)
  const { policy, strategy } = view
  return strategy.type === 'job'
    ? planOf({ ...view, policy, strategy }, planJobStrategy({ ...view, policy, strategy }, now), now)
    : planOf({ ...view, policy, strategy }, planSnapshotStrategy({ ...view, policy, strategy }, now), now)
}

type Living<Strategy> = View & { readonly policy: BackupPolicy; readonly strategy: Strategy }

/** What the two strategies do in ways of their own. */
type StrategyPlan = {
  readonly cronJob: readonly Group[]
  readonly nameTaken?: string
  readonly probe?: ReturnType<typeof planProbe>
  readonly dryStart?: DryStartPlan
  readonly catalog?: ReturnType<typeof planCatalog>
  readonly unrecorded: ReadonlySet<string>
  readonly backups: readonly BackupPlan[]
  readonly schedule: ReturnType<typeof planSnapshotSlots>
}

function planJobStrategy(view: Living<JobStrategyView>, now: Date): StrategyPlan {
  const { policy, strategy, runs, settings } = view
  const clock = scheduleOf(policy)
  const since = scheduleSince(policy, now)
  const before = bookOf(policy.status, now)
  const desired = desiredCronJob(policy, runs, settings)
  const cronJobs = desired ? strategy.targets.map(target => planCronJob(target, policy, desired, now)) : []
  const catalog = planCatalog(view, now)
  const fresh = unrecordedJobs(policy, view.runJobs, now)
  const probe = strategy.store && planProbe(view, policy, strategy.store.hash, now)
  const { job } = policy.spec.strategy
  return {
    cronJob: cronJobs.flatMap(plan => ('taken' in plan ? [] : plan)),
    nameTaken: cronJobs.flatMap(plan => ('taken' in plan ? [plan.taken] : []))[0],
    probe,
    dryStart: job && planDryStart(view, policy, job, probe?.store, now),
    catalog,
    unrecorded: new Set(fresh.map(({ job }) => job.metadata.name)),
    backups: runs.map(run => planBackup(view, run, catalog, now)),
    schedule:
      'problem' in clock
        ? { groups: [], book: before, next: undefined, closes: undefined }
        : accountForJobs(view, policy, fresh, clock, since, before, now),
  }
}

function planSnapshotStrategy(view: Living<SnapshotStrategyView>, now: Date): StrategyPlan {
  const { policy, strategy, runs } = view
  const clock = scheduleOf(policy)
  const since = scheduleSince(policy, now)
  const before = bookOf(policy.status, now)
  const backups = runs.map(run => planBackup(view, run, undefined, now))
  return {
    cronJob: planStrayCronJob(view),
    unrecorded: new Set(),
    backups,
    schedule:
      'problem' in clock
        ? { groups: [], book: before, next: undefined, closes: undefined }
        : planSnapshotSlots(view, policy, strategy, clock, since, before, now, endedBy(backups)),
  }
}

/** The order of things. Groups need each other only where they say so; the order is what is best done first. */
function planOf(view: Living<JobStrategyView | SnapshotStrategyView>, plan: StrategyPlan, now: Date): Plan {
  const { policy, strategy, runs, snapshotApi, dryRun } = view
  const { cronJob, probe, dryStart, catalog, unrecorded, backups, schedule, nameTaken } = plan
  const histories = retentionByTarget(view, policy, strategy)
  const before = bookOf(policy.status, now)
  const planned: readonly Group[] = [
    ...cronJob,
    ...(probe?.groups ?? []),
    ...(dryStart?.groups ?? []),
    ...planHolds(view.snapshots),
    // What goes makes room under quotas for what comes.
    ...planRetained(view, policy, histories),
    ...(strategy.type === 'snapshot' ? planExpired(view, strategy, now) : []),
    ...planCleanUp(view, unrecorded, now),
    ...schedule.groups,
    ...stuckJobs(view, unrecorded, now),
    ...oneStart(backups.flatMap(each => each.groups)),
    ...(catalog?.groups ?? []),
    ...recordedJobs(view, catalog?.open === true, now),
  ]
  const groups = [...planned, ...unmarkGone(view, planned)]
  const facts = {
    policy,
    strategy,
    targets: targetsOf(strategy, probe?.store, dryStart?.start),
    clock: scheduleOf(policy),
    since: scheduleSince(policy, now),
    next: schedule.next,
    histories,
    store: probe?.store,
    start: dryStart?.start,
    nameTaken,
    digest: catalog?.digest,
    warnings: catalog?.warnings,
    catalogTrouble: catalog?.trouble,
    snapshotApi,
    dryRun,
    cronJobWarning: strategy.type === 'job' ? cronJobWarning(view, strategy) : undefined,
  }
  function conclude(refused: Refusals) {
    // A slot whose Backup could not be created stays open in the book.
    const unrecordedSlot = schedule.groups.some(({ name }) => refused.has(name))
    const book = unrecordedSlot ? before : schedule.book
    const status = policyStatus({ ...facts, book, refused }, runs, now)
    if (sameJson(policy.status, status)) return []
    const unless = probe?.unless ? { unless: probe.unless } : {}
    return [{ do: 'write-status', object: { ...policy, status }, ...unless } as const, ...notices(policy, status, now)]
  }
  const times = [
    schedule.next,
    schedule.closes,
    probe?.wakeAt,
    dryStart?.wakeAt,
    dryRun?.againAt,
    catalog?.wakeAt,
    nextCleanUp(view, now),
    nextOverdue(policy, now),
    nextRecorded(runs, now),
  ]
  return { groups, conclude, wakeAt: earliest(...times, ...backups.map(each => each.wakeAt)) }
}

/** The Backups that these plans find ended. */
function endedBy(plans: readonly BackupPlan[]): ReadonlySet<string> {
  const actions = plans.flatMap(({ groups }) => groups).flatMap(group => group.actions)
  const ended = actions.flatMap(action =>
    action.do === 'write-status' && action.object.kind === 'Backup' && isFinal((action.object as Backup).status?.phase)
      ? [action.object.metadata.name]
      : [],
  )
  return new Set(ended)
}

/** Without its policy nothing starts any more; what has ended stays, with its data. */
function planGone(view: View, now: Date): Plan {
  const backups = view.runs.map(run => planBackup(view, run, undefined, now))
  const helpers = [...view.probes, ...view.starts, ...view.pages]
    .filter(({ job }) => !job.metadata.deletionTimestamp)
    .map(({ job }) => alone(`clean/${job.metadata.name}`, deletion(job, 'its policy was deleted')))
  return {
    groups: [
      ...planStrayCronJob(view),
      ...planHolds(view.snapshots),
      ...helpers,
      ...backups.flatMap(plan => plan.groups),
      ...leftoverSnapshots(view, now),
      ...stuckJobs(view, new Set(), now),
      ...markGone(view.runs, now),
    ],
    conclude: () => [],
    wakeAt: earliest(nextCleanUp(view, now), ...backups.map(plan => plan.wakeAt)),
  }
}

/** Our CronJob when there should be none: the policy is gone (and its CronJob may have been orphaned), or has another strategy. */
function planStrayCronJob({ cronJob, name }: Pick<View, 'cronJob' | 'name'>): readonly Group[] {
  if (!cronJob || !isOf(cronJob, name) || cronJob.metadata.deletionTimestamp) return []
  return [alone('clean/cron-job', deletion(cronJob, 'no policy with strategy job wants it'))]
}

/** Two on-demand Backups at once: one starts, the other finds it running in the next pass (docs/design.md R5). */
function oneStart(groups: readonly Group[]): readonly Group[] {
  const isJobStart = ({ actions }: Group) => actions.some(each => each.do === 'create' && each.object.kind === 'Job')
  const order = ({ run }: Group) => `${run?.metadata.creationTimestamp} ${run?.metadata.uid}`
  const [first] = groups.filter(isJobStart).toSorted((a, b) => (order(a) < order(b) ? -1 : 1))
  return groups.filter(group => !isJobStart(group) || group === first)
}
