// Backups that have ended: what retention says of them, and which objects go because their data are gone or their story is told.
import { isFinal, type Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation } from '../../api/labels.ts'
import type { Action } from '../core/actions.ts'
import { readyLimit } from '../runs/snapshot.ts'
import { unrecordedJobs } from '../policy/cron-job.ts'
import { sameJson } from '../core/equal.ts'
import { isFinished, lostAt } from '../jobs/verdict.ts'
import { moverMessageOf } from '../jobs/pods.ts'
import { backupOf, childrenOf, isGenuine, isRun, runJobName, snapshotNamed, snapshotOf } from '../view/lookup.ts'
import { planRetention, type RetentionPlan, type RetentionRun } from './retention.ts'
import { addSeconds, earliest, timeOf } from '../../schedule/times.ts'
import type { PolicyWorld } from '../view/world.ts'

/** Failed Backups of a schedule that stay for people to read, for each target. */
const failuresKept = 5

/** How long a Job that is given up stays for its Backup to be created, which says what became of it. Seconds. */
const unseenSeconds = 600

export type TargetHistory = {
  readonly target: string
  readonly runs: readonly RetentionRun[]
  readonly plan: RetentionPlan
}

/** Retention's verdict on each target, by the same function that the mover uses. */
export function retentionByTarget(world: PolicyWorld, policy: BackupPolicy): readonly TargetHistory[] {
  const runs = policy.spec.strategy.type === 'job' ? storedRuns(world) : snapshotRuns(world)
  return [...runs].map(([target, each]) => ({
    target,
    runs: each,
    plan: planRetention(each, { keep: policy.spec.retention }),
  }))
}

/** The good ones, oldest first. */
export function goodByAge(runs: TargetHistory['runs']): TargetHistory['runs'] {
  return runs.filter(run => run.good).toSorted((a, b) => a.slot.getTime() - b.slot.getTime())
}

/** Deletes what retention no longer keeps, and writes its verdicts where they changed. */
export function planRetained(
  world: PolicyWorld,
  policy: BackupPolicy,
  histories: readonly TargetHistory[],
): readonly Action[] {
  const keep = policy.spec.retention
  const verdicts = new Map(
    histories.flatMap(({ plan }) => plan.verdicts.map(verdict => [verdict.id, verdict] as const)),
  )
  const deletions: Action[] = []
  for (const { target, plan } of policy.spec.strategy.type === 'snapshot' ? histories : []) {
    for (const id of plan.deleteNow) {
      const snapshot = snapshotNamed(world, id)
      if (!snapshot || snapshot.metadata.deletionTimestamp) continue
      // Its success is written first: once the snapshot is gone nobody could tell that it was ever ready.
      const backup = backupOf(world, snapshot)
      if (backup && !isFinal(backup.status?.phase)) continue
      const because = verdicts.get(id)?.message ?? ''
      deletions.push({
        do: 'delete-snapshot',
        name: id,
        uid: snapshot.metadata.uid ?? '',
        because,
        prune: { target, keep },
      })
    }
  }
  const writes: Action[] = []
  for (const backup of world.backups) {
    const { status } = backup
    if (status?.phase !== 'Completed') continue
    // Not before the deletion has begun: a verdict may be found wrong at the last look, and no phase follows Deleting.
    if (snapshotOf(world, backup)?.metadata.deletionTimestamp) {
      writes.push({ do: 'write-backup-status', backup, status: { ...status, phase: 'Deleting' } })
      continue
    }
    const verdict = verdicts.get(status.run ?? '')
    const retention = verdict && { keep: verdict.keep, reason: verdict.reason }
    if (retention && !sameJson(status.retention, retention))
      writes.push({ do: 'write-backup-status', backup, status: { ...status, retention } })
  }
  // The verdict first: once the snapshot goes nobody can tell any more why.
  return [...writes, ...deletions]
}

/** Objects that have done their duty: Backups without data, snapshots of failed or cancelled runs, old failures. */
export function planCleanUp(world: PolicyWorld, now: Date): readonly Action[] {
  return [...withoutData(world, now), ...leftoverSnapshots(world, now), ...oldFailures(world)]
}

/** When something is next to be cleaned up though nothing changes. */
export function nextCleanUp(world: PolicyWorld, now: Date): Date | undefined {
  const snapshots = world.snapshots.filter(snapshot => !snapshot.status?.readyToUse && !backupOf(world, snapshot))
  const times = [
    ...snapshots.map(snapshot =>
      addSeconds(timeOf(snapshot.metadata.creationTimestamp) ?? now, readyLimit(world.policy)),
    ),
    ...world.jobs
      .filter(job => !isFinished(job))
      .flatMap(job => lostAt(job) ?? [])
      .flatMap(lost => [lost, addSeconds(lost, unseenSeconds)]),
  ]
  return earliest(...times.filter(time => time && time > now))
}

function withoutData(world: PolicyWorld, now: Date): readonly Action[] {
  const untold = untoldRuns(world, now)
  const said = world.pods.flatMap(pod => moverMessageOf(pod) ?? [])
  const prunedByMovers = new Set(said.flatMap(({ run = '', deleted = [] }) => (untold.has(run) ? [] : deleted)))
  return world.backups.flatMap((backup): Action[] => {
    const { metadata, status } = backup
    if (metadata.deletionTimestamp || (status?.phase !== 'Completed' && status?.phase !== 'Deleting')) return []
    const go = { do: 'delete-backup', name: metadata.name, uid: metadata.uid ?? '' } as const
    if (status.snapshot) {
      // Without the snapshot API nothing can be said about the data.
      if (!world.snapshotClasses || snapshotOf(world, backup)) return []
      return [
        { ...go, because: `its VolumeSnapshot ${status.snapshot.name} is gone`, unlessSnapshot: status.snapshot.name },
      ]
    }
    if (status.target === undefined)
      return childrenOf(world, backup).length === 0 ? [{ ...go, because: 'the Backups of its targets are gone' }] : []
    return prunedByMovers.has(status.run ?? '') ? [{ ...go, because: 'retention deleted its data' }] : []
  })
}

/** Runs whose Backup does not say yet what became of them: what they have replaced stays until then, so that the last success is never untold. */
function untoldRuns(world: PolicyWorld, now: Date): ReadonlySet<string> {
  const { backups } = world
  const going = backups.filter(({ status }) => !isFinal(status?.phase)).map(runJobName)
  const recorded = new Set(backups.map(({ metadata }) => metadata.name))
  const fresh = unrecordedJobs(world, now).map(({ job }) => job.metadata.name)
  return new Set([...going, ...fresh.filter(job => !recorded.has(job))])
}

/** What runs that failed, or were cancelled, have left in the cluster; also when their policy is gone. */
export function leftoverSnapshots(world: PolicyWorld, now: Date): readonly Action[] {
  const limit = readyLimit(world.policy)
  return world.snapshots.flatMap((snapshot): Action[] => {
    const { name, uid = '', resourceVersion, creationTimestamp, deletionTimestamp } = snapshot.metadata
    if (deletionTimestamp) return []
    const go = { do: 'delete-snapshot', name, uid } as const
    const backup = backupOf(world, snapshot)
    if (backup?.status?.phase === 'Failed') return [{ ...go, because: `its Backup ${backup.metadata.name} failed` }]
    const old = addSeconds(timeOf(creationTimestamp) ?? now, limit) <= now
    return !backup && !snapshot.status?.readyToUse && old
      ? [{ ...go, resourceVersion, because: 'it never became ready and its Backup is gone' }]
      : []
  })
}

/** A run Job that cannot end by itself would block the schedule for ever (docs/design.md R1). After what records the Jobs as Backups. */
export function stuckJobs(world: PolicyWorld, now: Date): readonly Action[] {
  const failures = new Map(
    world.backups.filter(({ status }) => status?.phase === 'Failed').map(backup => [backup.status?.run ?? '', backup]),
  )
  const runs = new Set(world.backups.flatMap(({ metadata, status }) => [metadata.name, status?.run ?? '']))
  const unrecorded = new Set(unrecordedJobs(world, now).map(({ job }) => job))
  return world.jobs.flatMap((job): Action[] => {
    const { name, uid = '', deletionTimestamp } = job.metadata
    if (!isRun(job) || isFinished(job) || deletionTimestamp) return []
    const go = { do: 'delete-job', name, uid } as const
    const failed = failures.get(name)
    if (failed) return [{ ...go, because: `its Backup ${failed.metadata.name} failed: ${failed.status?.reason}` }]
    const lost = lostAt(job)
    // The one that nobody has seen yet gets its Backup first, unless none can be created.
    const unseen = unrecorded.has(job)
    const until = lost && unseen ? addSeconds(lost, unseenSeconds) : lost
    if (runs.has(name) || !until || now < until) return []
    return unseen
      ? [
          {
            ...go,
            because: 'it did not end long after its deadline, and no Backup can be created for it',
            unlessRecorded: true,
          },
        ]
      : [{ ...go, because: 'it did not end long after its deadline, and has no Backup' }]
  })
}

function oldFailures(world: PolicyWorld): readonly Action[] {
  const failed = world.backups.filter(
    ({ spec, status, metadata }) => spec.slot && status?.phase === 'Failed' && !metadata.deletionTimestamp,
  )
  const byTarget = Map.groupBy(failed, ({ spec }) => spec.target ?? '')
  return [...byTarget.values()].flatMap(some =>
    some
      .toSorted((a, b) => ((a.spec.slot ?? '') < (b.spec.slot ?? '') ? 1 : -1))
      .slice(failuresKept)
      .map(({ metadata }): Action => ({
        do: 'delete-backup',
        name: metadata.name,
        uid: metadata.uid ?? '',
        because: `the newest ${failuresKept} failed Backups of a target are kept`,
      })),
  )
}

/** The Completed Backups that lie in the store as the policy names it now; those of an earlier backend are not in its list. */
export function backupsInStore({ backups, storeLocation }: PolicyWorld): readonly Backup[] {
  return backups.filter(
    ({ status }) =>
      status?.phase === 'Completed' &&
      status.snapshot === undefined &&
      status.run !== undefined &&
      status.store === storeLocation,
  )
}

/** The runs in the bucket, as the Backup objects tell them. */
function storedRuns(world: PolicyWorld): ReadonlyMap<string, RetentionRun[]> {
  const stored = backupsInStore(world)
  const runs = stored.map(backup => ({ target: backup.status?.target ?? '', run: runOf(backup) }))
  return collect(runs)
}

function runOf(backup: Backup): RetentionRun {
  const { metadata, spec, status } = backup
  return {
    id: status?.run ?? '',
    slot: timeOf(spec.slot) ?? timeOf(metadata.creationTimestamp) ?? new Date(0),
    good: true,
    held: isHeld(backup),
    suspect: status?.suspect === true && metadata.annotations?.[annotation.accepted] !== 'true',
  }
}

function snapshotRuns(world: PolicyWorld): ReadonlyMap<string, RetentionRun[]> {
  return collect(
    world.snapshots.filter(isGenuine).map(snapshot => ({
      target: snapshot.spec.source.persistentVolumeClaimName ?? '',
      run: snapshotRun(snapshot, backupOf(world, snapshot)),
    })),
  )
}

/** How retention sees a VolumeSnapshot: only a ready one that nobody deletes is good. */
export function snapshotRun(snapshot: VolumeSnapshot, backup: Backup | undefined): RetentionRun {
  const { metadata, status } = snapshot
  return {
    id: metadata.name,
    slot: timeOf(metadata.creationTimestamp) ?? new Date(0),
    good: status?.readyToUse === true && !metadata.deletionTimestamp && backup?.status?.phase !== 'Failed',
    held: backup !== undefined && isHeld(backup),
  }
}

/** Runs that the mover must treat in a special way; they travel in its task (docs/design.md R7, R14). */
export function marksOf(backups: readonly Backup[]): {
  readonly held: readonly string[]
  readonly accepted: readonly string[]
} {
  const names = (some: readonly Backup[]) => some.flatMap(({ status }) => (status?.run ? [status.run] : []))
  return {
    held: names(backups.filter(isHeld)),
    accepted: names(backups.filter(({ metadata }) => metadata.annotations?.[annotation.accepted] === 'true')),
  }
}

export function isHeld({ metadata }: Backup): boolean {
  return metadata.annotations?.[annotation.hold] === 'true'
}

function collect(
  items: readonly { readonly target: string; readonly run: RetentionRun }[],
): ReadonlyMap<string, RetentionRun[]> {
  const byTarget = Map.groupBy(items, ({ target }) => target)
  return new Map([...byTarget].map(([target, some]) => [target, some.map(({ run }) => run)]))
}
