// One Backup: what it is waiting for, what has become of it, and what has to be done for it. A final phase never changes, except to Deleting.
import { isFinal } from '../../api/kinds/backup-phases.ts'
import type { BackupStatus } from '../../api/kinds/backup.ts'
import type { CatalogEntry } from '../../api/mover/message.ts'
import { commandTarget } from '../../api/names.ts'
import { deletion, type Action, type Unless } from '../core/actions.ts'
import { unlessMoreIsSaid } from '../jobs/pods.ts'
import type { Marks } from '../../resources/jobs.ts'
import { earliest } from '../../schedule/times.ts'
import { isOfJob, runJobName, snapshotName } from '../view/owners.ts'
import type { RunView, SnapshotStrategyView, View } from '../view/view.ts'
import { planTargets } from './children.ts'
import { graceEnd } from './grace.ts'
import { factsOfEntry, goesOn, hasBegun, planJobRun, planJobStart, planLostCommit, unlessJobStands } from './job.ts'
import { isOfClaim, isOutOfSight, planOutOfSight } from './out-of-sight.ts'
import { cutAgain, neverRuns, startedInVain, startsUntil } from './passed-slot.ts'
import { planSnapshotRun, planSnapshotStart } from './snapshot.ts'
import { staysWithoutPolicy } from './marks.ts'
import { failure, planStatus, type BackupPlan } from './status.ts'

/** What is known of the bucket while a run is judged. */
export type CatalogKnowledge = {
  /** The whole list, where it was just read. */
  readonly entries: ReadonlyMap<string, CatalogEntry> | undefined
  /** The bucket is known to hold other runs than our objects tell: a run without a Job may be among them. */
  readonly open: boolean
}

/** What retention says of runs, by their names. */
export type RetentionWords = ReadonlyMap<string, NonNullable<BackupStatus['retention']>>

/** @param marks what a mover is told that is started now */
export function planBackup(
  view: View,
  run: RunView,
  catalog: CatalogKnowledge | undefined,
  marks: Marks,
  now: Date,
  words: RetentionWords = new Map(),
): BackupPlan {
  const { backup, job, snapshot } = run
  if (backup.metadata.deletionTimestamp) return { groups: [] }
  if (isFinal(backup.status?.phase)) return { groups: [] }
  const entry = catalog?.entries?.get(runJobName(backup))
  if (!job && entry && !entry.unproven) return planStatus(backup, factsOfEntry(entry, storeOf(view), now), now)
  if (isOutOfSight(view, run)) return planOutOfSight(view, backup, now)
  // The list of the bucket, where it is to be read, may know of a run that has begun: that waits for it, and starts nothing. No list knows the
  // name of another one.
  const mayBeListed = catalog?.open === true && hasBegun(run)
  const { policy, strategy } = view
  const hasNone = policy && strategy.type === 'snapshot' && !isOfCommand(strategy, run) && !job && !snapshot
  const vain = hasNone ? startedInVain(backup, policy, now) : undefined
  // A start of which the answer was lost may have been one.
  if (vain) return planStatus(backup, vain, now, 'snapshot', { kind: 'snapshot', name: snapshotName(backup) })
  const never = job || snapshot || mayBeListed ? undefined : neverRuns(backup, policy, now)
  if (never) return planStatus(backup, never, now)
  const again = snapshot && cutAgain(backup, snapshot.snapshot, now)
  if (again) return planStatus(backup, again, now)
  if (!policy) return planWithoutPolicy(view, run, now)
  if (job) return planJobRun(backup, job, now)
  if (snapshot) return planSnapshotRun(policy, backup, snapshot, words.get(snapshot.snapshot.metadata.name), now)
  // Its children go on, whatever the policy wants by now.
  if (strategy.type === 'job' && backup.status?.reason === 'Children') return planTargets(run, [], now)
  const ofStrategy = strategy.type === 'job' ? strategy : undefined
  if (strategy.type === 'job' || isOfCommand(strategy, run))
    return planJobStart({ ...view, policy }, ofStrategy, run, marks, catalog?.open === true, now)
  const start = planSnapshotStart({ ...view, policy }, strategy, run, now)
  const until = startsUntil(backup, policy)
  return until && until > now ? { ...start, wakeAt: earliest(start.wakeAt, until) ?? until } : start
}

function storeOf({ strategy }: View): string | undefined {
  return strategy?.type === 'job' ? strategy.store?.location : undefined
}

/** By what the run is, where it has begun: the policy may have another strategy by now. */
function isOfCommand({ targets }: SnapshotStrategyView, run: RunView): boolean {
  const { backup } = run
  const { spec, status } = backup
  const ofCommand = spec.target === commandTarget || status?.target === commandTarget
  if (!ofCommand) return isOfJob(backup)
  return hasBegun(run) && !targets.some(({ name }) => name === commandTarget)
}

/** What the run may have reached that no cache shows yet, and that would stand. Without the snapshot API nobody can look for a snapshot. */
function lastLook({ snapshotApi }: View, run: RunView): Unless | undefined {
  const { backup, job } = run
  if (job) return unlessMoreIsSaid(job)
  if (!isOfClaim(backup)) return unlessJobStands(run)
  return snapshotApi ? { kind: 'wanted-snapshot', name: snapshotName(backup) } : undefined
}

/** What the run has already reached stands; what goes on is ended (docs/design.md R8). */
function planWithoutPolicy(view: View, run: RunView, now: Date): BackupPlan {
  const { backup, job } = run
  const { policy, slot } = backup.spec
  if (backup.status?.reason === 'Children') return planTargets(run, [], now)
  if (job && !goesOn(job, now)) return planJobRun(backup, job, now)
  const committed = job ? undefined : planLostCommit(run, now)
  if (committed) return committed
  const snapshot = run.snapshot?.snapshot
  if (run.snapshot && staysWithoutPolicy(run.snapshot.snapshot, backup, run.parent))
    return planSnapshotRun(undefined, backup, run.snapshot, undefined, now)
  const waits = backup.status?.reason === undefined || backup.status.reason === 'PolicyNotFound'
  const unless = lastLook(view, run)
  if (slot !== undefined || job || snapshot || !waits) {
    const stop: Action[] = []
    if (job && !job.job.metadata.deletionTimestamp) stop.push(deletion(job.job, `its policy ${policy} was deleted`))
    if (snapshot && !snapshot.metadata.deletionTimestamp) {
      const { resourceVersion } = snapshot.metadata
      const provided = { that: 'nobody-needs-it' } as const
      const because = `its policy ${policy} was deleted before it was ready`
      stop.push(deletion(snapshot, because, { resourceVersion, provided }))
    }
    const facts = failure('PolicyDeleted', `BackupPolicy ${policy} was deleted while this run was going on`)
    const plan = planStatus(backup, facts, now, undefined, unless)
    const ending = stop.map((action, index) => ({ name: `end/${backup.metadata.name}/${index}`, actions: [action] }))
    return { ...plan, groups: [...ending, ...plan.groups] }
  }
  const until = graceEnd(backup, now)
  const message = `there is no BackupPolicy ${policy} in namespace ${view.namespace}`
  if (now >= until) {
    const facts = failure('PolicyNotFound', `${message}; create it, then create this Backup again`)
    return planStatus(backup, facts, now, undefined, unless)
  }
  return {
    ...planStatus(backup, { phase: 'Pending', reason: 'PolicyNotFound', message }, now),
    wakeAt: until,
  }
}
