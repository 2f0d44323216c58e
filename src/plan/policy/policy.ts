// The plan of one policy: everything that should be done now for it, its runs and its history, and its status. Pure.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { BackupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import { isFinal } from '../../api/kinds/backup.ts'
import type { Action, Plan } from '../core/actions.ts'
import { planBackup } from '../runs/run.ts'
import type { BackupPlan } from '../runs/status.ts'
import { planCatalog } from '../history/catalog.ts'
import { accountForJobs, planCronJob } from './cron-job.ts'
import { sameJson } from '../core/equal.ts'
import {
  leftoverSnapshots,
  nextCleanUp,
  planCleanUp,
  planRetained,
  retentionByTarget,
  stuckJobs,
} from '../history/history.ts'
import { isOf, isRun } from '../view/lookup.ts'
import { policyStatus } from './status.ts'
import { scheduleOf, scheduleSince } from './schedule.ts'
import { bookOf, type SlotBook } from './slots.ts'
import { planSnapshotSlots } from './snapshot-slots.ts'
import { planProbe } from './store-probe.ts'
import { earliest, rfc3339, timeOf } from '../../schedule/times.ts'
import type { PolicyWorld } from '../view/world.ts'

export function planPolicy(world: PolicyWorld, now: Date): Plan {
  const { policy } = world
  if (!policy || policy.metadata.deletionTimestamp) return planGone(world, now)
  const clock = scheduleOf(policy)
  const since = scheduleSince(policy, now)
  const before = bookOf(policy.status, now)
  const job = policy.spec.strategy.type === 'job'

  const wish = job && world.desiredCronJob ? planCronJob(world, policy, world.desiredCronJob) : []
  const cronJob: readonly Action[] = 'taken' in wish ? [] : wish
  const stray = job ? [] : planStrayCronJob(world)
  const probe = job && world.backendHash !== undefined ? planProbe(world, policy, world.backendHash, now) : undefined
  const catalog = job ? planCatalog(world, policy, now) : undefined
  const backups = world.backups.map(backup => planBackup(world, backup, catalog, now))
  const schedule =
    'problem' in clock
      ? { actions: [], book: before, next: undefined, closes: undefined }
      : job
        ? accountForJobs(world, policy, clock, since, before, now)
        : planSnapshotSlots(world, policy, clock, since, before, now, endedBy(backups))
  const histories = retentionByTarget(world, policy)
  const status = policyStatus(
    world,
    policy,
    {
      clock,
      since,
      book: schedule.book,
      next: schedule.next,
      histories,
      store: probe?.store,
      nameTaken: 'taken' in wish ? wish.taken : undefined,
      digest: catalog?.digest,
      said: catalog?.said,
    },
    now,
  )
  const actions: Action[] = [
    ...cronJob,
    ...stray,
    ...(probe?.actions ?? []),
    // What goes makes room under quotas for what comes.
    ...planRetained(world, policy, histories),
    ...planCleanUp(world, now),
    ...schedule.actions,
    ...stuckJobs(world, now),
    ...oneStart(backups.flatMap(plan => plan.actions)),
    ...(catalog?.actions ?? []),
  ]
  if (!sameJson(policy.status, status)) {
    const unless = probe?.unless ? { unless: probe.unless } : {}
    actions.push({ do: 'write-policy-status', status, ...unless }, ...notices(policy, status, now))
  }
  const times = [schedule.next, schedule.closes, probe?.wakeAt, catalog?.wakeAt, nextCleanUp(world, now)]
  return { actions, wakeAt: earliest(...times, ...backups.map(plan => plan.wakeAt)) }
}

/** The Backups that these plans find ended. */
function endedBy(plans: readonly BackupPlan[]): ReadonlySet<string> {
  const writes = plans.flatMap(({ actions }) => actions).filter(action => action.do === 'write-backup-status')
  return new Set(writes.filter(({ status }) => isFinal(status.phase)).map(({ backup }) => backup.metadata.name))
}

/** Without its policy nothing starts any more; what has ended stays, with its data. */
function planGone(world: PolicyWorld, now: Date): Plan {
  const backups = world.backups.map(backup => planBackup(world, backup, undefined, now))
  const cronJob = planStrayCronJob(world)
  const helpers = world.jobs
    .filter(job => !isRun(job) && !job.metadata.deletionTimestamp)
    .map(({ metadata }): Action => ({
      do: 'delete-job',
      name: metadata.name,
      uid: metadata.uid ?? '',
      because: 'its policy was deleted',
    }))
  return {
    actions: [
      ...cronJob,
      ...helpers,
      ...backups.flatMap(plan => plan.actions),
      ...leftoverSnapshots(world, now),
      ...stuckJobs(world, now),
    ],
    wakeAt: earliest(nextCleanUp(world, now), ...backups.map(plan => plan.wakeAt)),
  }
}

/** Our CronJob when there should be none: the policy is gone (and its CronJob may have been orphaned), or has another strategy. */
function planStrayCronJob({ cronJob, name }: PolicyWorld): readonly Action[] {
  if (!cronJob || !isOf(cronJob, name) || cronJob.metadata.deletionTimestamp) return []
  return [
    {
      do: 'delete-cron-job',
      name: cronJob.metadata.name,
      uid: cronJob.metadata.uid ?? '',
      because: 'no policy with strategy job wants it',
    },
  ]
}

/** Two on-demand Backups at once: one starts, the other finds it running in the next pass (docs/design.md R5). */
function oneStart(actions: readonly Action[]): readonly Action[] {
  const first = actions.find(action => action.do === 'create-run-job')
  return actions.filter(action => action.do !== 'create-run-job' || action === first)
}

/** One event for each change that a person would want to hear of. */
function notices(policy: BackupPolicy, status: BackupPolicyStatus, now: Date): readonly Action[] {
  const before = bookOf(policy.status, now)
  const after: SlotBook = { accountedUntil: undefined, counts: status.slots ?? { missed: 0, skipped: 0 } }
  const actions: Action[] = []
  const lastRun = timeOf(policy.status?.lastRun)
  const streak = (last: string | undefined) => {
    const time = timeOf(last)
    return time !== undefined && (!lastRun || time > lastRun)
  }
  const missed = after.counts.missed - before.counts.missed
  if (missed > 0 && !streak(before.counts.lastMissed)) {
    const message = `${missed} slot(s) passed without a run, the newest at ${after.counts.lastMissed}; further ones are only counted, in status.slots.missed`
    actions.push({ do: 'event', about: 'policy', type: 'Warning', reason: 'Missed', message })
  }
  const skipped = after.counts.skipped - before.counts.skipped
  if (skipped > 0 && !streak(before.counts.lastSkipped)) {
    const message = `the slot at ${after.counts.lastSkipped} was skipped because an earlier run was still going on; further ones are only counted, in status.slots.skipped`
    actions.push({ do: 'event', about: 'policy', type: 'Warning', reason: 'Skipped', message })
  }
  const mark = timeOf(policy.status?.accountedUntil)
  if (mark && before.accountedUntil && mark > before.accountedUntil) {
    const message = `status.accountedUntil was ${rfc3339(mark)}, far in the future: a clock ran wild. It was set to now, and the schedule goes on`
    actions.push({ do: 'event', about: 'policy', type: 'Warning', reason: 'ClockJumped', message })
  }
  const ready = (some: BackupPolicyStatus | undefined) => some?.conditions?.find(({ type }) => type === 'Ready')
  const [was, is] = [ready(policy.status), ready(status)]
  if (is && (was?.status !== is.status || was.reason !== is.reason)) {
    actions.push({
      do: 'event',
      about: 'policy',
      type: is.status === 'False' ? 'Warning' : 'Normal',
      reason: is.reason as 'Ready',
      message: is.message,
    })
  }
  return actions
}
