// What is to be done for each target of a policy with strategy job.
import type { StoreStatus } from '../../api/kinds/backup-policy-status.ts'
import type { Marks } from '../../resources/jobs.ts'
import type { Group } from '../core/actions.ts'
import { planCatalog, type CatalogPlan } from '../history/catalog.ts'
import { planStoredHolds } from '../history/holds.ts'
import { ordersOf } from '../history/orders.ts'
import { isFinished } from '../jobs/verdict.ts'
import { planBackup } from '../runs/run.ts'
import { withoutSettled } from '../view/folder.ts'
import { targetOfRun } from '../view/owners.ts'
import { isGroup, viewsByTarget, type OneTarget } from '../view/per-target.ts'
import type { JobStrategyView, JobTargetView, RunView, SnapshotStrategyView } from '../view/view.ts'
import { clockOf } from './clock-ahead.ts'
import { cronJobWarning, type CronJobWarning } from './cron-job-warnings.ts'
import {
  accountForJobs,
  desiredCronJob,
  planCronJob,
  unrecordedJobs,
  type NameTaken,
  type SlotJob,
} from './cron-job.ts'
import { dryStartGroup, planDryStart, type DryStartPlan } from './dry-start.ts'
import { isAdopting } from './adoption.ts'
import { strayHelpers } from './gone-targets.ts'
import { scheduleOf } from './schedule.ts'
import { planProbe } from './store-probe.ts'
import { noOrders, noSlots, type Basis, type Living, type Schedule, type StrategyPlan } from './strategy-plan.ts'
import { bookOfTarget, withMark } from './target-books.ts'

export function planJobStrategy(view: Living<JobStrategyView>, basis: Basis, now: Date): StrategyPlan {
  const { policy, strategy, runs } = view
  const probe = strategy.store && planProbe(view, policy, strategy.store.hash, now)
  const views = viewsByTarget(view, strategy)
  const plans = new Map(
    strategy.targets.flatMap(target => {
      const own = views.get(target.name)
      return own ? [[target.name, planJobTarget(own, target, basis, now)] as const] : []
    }),
  )
  const all = [...plans.values()]
  const shows = new Set(
    [
      ...(policy.status?.targets ?? []),
      ...[...plans].map(([name, { catalog }]) => ({ name, digest: catalog.digest })),
    ].flatMap(({ name, digest }) => (digest === undefined ? [] : name)),
  )
  const catalogs = new Map([...plans].map(([name, { catalog }]) => [name, catalog]))
  // A Backup that does not say yet of which target it is may be of the only one.
  const planOfRun = (run: RunView) =>
    strategy.preset === undefined ? all[0] : plans.get(targetOfRun(run.backup) ?? '')
  return {
    cronJob: [...all.flatMap(({ cronJob }) => ('taken' in cronJob ? [] : cronJob)), ...strayHelpers(view, strategy)],
    namesTaken: new Map(
      [...plans].flatMap(([name, { cronJob }]) => ('taken' in cronJob ? [[name, cronJob.taken] as const] : [])),
    ),
    probe: probe && { ...probe, store: withoutSettled(probe.store, shows) },
    adopting: new Set([...plans].flatMap(([name, { isAdopting: waits }]) => (waits ? [name] : []))),
    dryStarts: planDryStarts(view, strategy, views, probe?.store, now),
    catalogs,
    holds: planStoredHolds(view, target => catalogs.get(target ?? '')?.entries, now),
    cronJobWarnings: all.flatMap(({ warning }) => warning ?? []),
    unrecorded: new Set(all.flatMap(({ fresh }) => fresh.map(({ job }) => job.metadata.name))),
    backups: runs.map(run => {
      const { catalog, orders } = planOfRun(run) ?? { catalog: undefined, orders: noOrders }
      return planBackup(view, run, catalog, orders, now)
    }),
    schedules: all.map(({ schedule }) => schedule),
  }
}

/** What is planned of one target without a look at the others. */
type TargetPlan = {
  readonly orders: Marks
  readonly cronJob: readonly Group[] | NameTaken
  readonly warning: CronJobWarning | undefined
  readonly catalog: CatalogPlan
  readonly isAdopting: boolean
  readonly fresh: readonly SlotJob[]
  readonly schedule: Schedule
}

function planJobTarget(
  view: OneTarget<Living<JobStrategyView>>,
  target: JobTargetView,
  basis: Basis,
  now: Date,
): TargetPlan {
  const { policy, strategy, settings, runs } = view
  const clock = scheduleOf(policy, target.name)
  const isOwn = strategy.preset !== undefined
  const { before, since } = isOwn
    ? bookOfTarget(policy, view, basis.before, basis.since, clockOf(view, now), now)
    : basis
  const orders = ordersOf(runs, strategy, basis.numbers, policy.status)
  const catalog = planCatalog(view, now)
  const waits = isAdopting(view, target.name, catalog)
  const desired = desiredCronJob(policy, target, orders, settings, waits)
  const fresh = unrecordedJobs(policy, view, before, now)
  const plan = 'problem' in clock ? noSlots(before) : accountForJobs(view, policy, fresh, clock, since, before, now)
  return {
    orders,
    cronJob: desired ? planCronJob(target, policy, view, desired, now) : [],
    warning: cronJobWarning(view, target, now),
    catalog,
    isAdopting: waits && 'source' in target,
    fresh,
    schedule: isOwn
      ? { target: target.name, before, plan: { ...plan, book: withMark(plan.book, since) } }
      : { target: undefined, before, plan },
  }
}

/**
 * Each is a pod of its own, and they share the places of all policies: of the targets of one only one at a time is begun. What is known of the
 * others stays.
 */
function planDryStarts(
  view: Living<JobStrategyView>,
  { targets }: JobStrategyView,
  views: ReadonlyMap<string, OneTarget<Living<JobStrategyView>>>,
  store: StoreStatus | undefined,
  now: Date,
): ReadonlyMap<string, DryStartPlan> {
  const plans = new Map<string, DryStartPlan>()
  let isBusy = targets.length > 1 && view.starts.some(({ job }) => !isFinished(job))
  for (const target of targets) {
    const own = views.get(target.name)
    if (!own || !('source' in target)) continue
    const plan = planDryStart(own, view.policy, target.source, store, now, target.name)
    const begins = plan.groups.some(({ name }) => isGroup(dryStartGroup, name))
    const groups = begins && isBusy ? plan.groups.filter(({ name }) => !isGroup(dryStartGroup, name)) : plan.groups
    plans.set(target.name, { ...plan, groups })
    isBusy ||= begins
  }
  return plans
}

/** One that keeps the runs of a target from starting before one that does not. */
export function worstOf(warnings: readonly CronJobWarning[]): CronJobWarning | undefined {
  return warnings.find(({ blocks }) => blocks) ?? warnings[0]
}

/** Of all targets; undefined where of none a run is still to be seen. */
export function warningsOf(catalogs: ReadonlyMap<string, CatalogPlan>): CatalogPlan['warnings'] {
  const seen = [...catalogs.values()].flatMap(({ warnings }) => (warnings ? [warnings] : []))
  return seen.length === 0 ? undefined : seen.flat()
}

/** The first that is wrong, with the name of its target where there may be several. */
export function troubleOf(
  catalogs: ReadonlyMap<string, CatalogPlan>,
  strategy: JobStrategyView | SnapshotStrategyView,
): CatalogPlan['trouble'] {
  const all = [...catalogs].map(([name, { trouble }]) => ({ name, trouble }))
  for (const { name, trouble } of all) {
    if (trouble === undefined || trouble === 'as-before') continue
    const isOne = strategy.type !== 'job' || strategy.preset === undefined
    return isOne ? trouble : { ...trouble, message: `target ${name}: ${trouble.message}` }
  }
  return all.some(({ trouble }) => trouble === 'as-before') ? 'as-before' : undefined
}
