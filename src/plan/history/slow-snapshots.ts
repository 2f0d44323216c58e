// Snapshots that are cut and take longer than they may, without an error: each may still become a good backup, so that it goes only when
// retention would not keep it even then (docs/design.md R31).
import { isFinal } from '../../api/kinds/backup-phases.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { deletion, type Group } from '../core/actions.ts'
import { limitsOf, progressOf, type Limits } from '../runs/snapshot-limits.ts'
import { isGenuine, targetOf } from '../view/owners.ts'
import type { SnapshotView, View } from '../view/view.ts'
import { isDoneWith, planRetention, type RetentionRun } from './retention.ts'
import { pruning, snapshotRun, type TargetHistory, type TargetsKeeping } from './verdicts.ts'

export function planSlow(
  { snapshots }: Pick<View, 'snapshots'>,
  policy: BackupPolicy,
  histories: readonly TargetHistory[],
  keeping: TargetsKeeping,
  now: Date,
): readonly Group[] {
  const limits = limitsOf(policy)
  const slow = new Map(
    snapshots.filter(each => isWaitedFor(each, limits, now)).map(({ snapshot }) => [snapshot.metadata.name, snapshot]),
  )
  return histories.flatMap(({ target, runs }) =>
    runs.flatMap(({ id }): readonly Group[] => {
      const snapshot = slow.get(id)
      if (!snapshot || !goesEvenIfReady(runs, id, keeping)) return []
      const because = `it is not ready after ${limits.readySeconds} s, and enough newer good backups exist`
      const provided = { that: 'retention', target, keeping, slow: true, now } as const
      const message = `VolumeSnapshot ${id} of ${target}: ${because}`
      const told = { do: 'event', about: policy, type: 'Normal', reason: 'Pruned', message } as const
      return [pruning(target, id, deletion(snapshot, because, { provided }), told)]
    }),
  )
}

/**
 * Of a policy that has strategy job by now: no newer snapshots come, but newer backups of the command. Judged as if they were of one target,
 * so that what waits comes to an end.
 */
export function planSlowBefore(
  { snapshots }: Pick<View, 'snapshots'>,
  policy: BackupPolicy,
  histories: readonly TargetHistory[],
  keeping: TargetsKeeping,
  now: Date,
): readonly Group[] {
  const limits = limitsOf(policy)
  const stored = histories.flatMap(({ runs }) => runs)
  const genuine = snapshots.filter(({ snapshot }) => isGenuine(snapshot))
  return genuine.flatMap(({ snapshot, backup, parent }): readonly Group[] => {
    const { name } = snapshot.metadata
    if (!isWaitedFor({ snapshot, backup }, limits, now)) return []
    const target = targetOf(snapshot, backup)
    const ofClaim = genuine.filter(each => targetOf(each.snapshot, each.backup) === target)
    const { slot } = snapshotRun({ snapshot, backup, parent, volume: undefined }, now)
    // Older ones change nothing of what is said of this one.
    // What is in the bucket is of no volume, and nobody can tell when it was made: as the last one of its own this would stay for ever.
    const alike = ofClaim
      .map(each => snapshotRun({ ...each, volume: undefined }, now))
      .map(({ made: _, ...run }) => run)
    const runs = [...stored, ...alike].filter(each => each.slot >= slot)
    if (!goesEvenIfReady(runs, name, keeping)) return []
    const because = `it is not ready after ${limits.readySeconds} s, and enough newer good backups of the policy exist`
    return [pruning(target, name, deletion(snapshot, because, { provided: { that: 'nobody-needs-it' } }))]
  })
}

/**
 * It is slow, as its Backup says, and nobody has given it up. Not before that is written: once the snapshot is gone nobody could tell why any
 * more.
 */
function isWaitedFor(
  { snapshot, backup }: Pick<SnapshotView, 'snapshot' | 'backup'>,
  limits: Limits,
  now: Date,
): boolean {
  if (snapshot.metadata.deletionTimestamp || progressOf(snapshot, limits, now).is !== 'slow') return false
  return !backup || isFinal(backup.status?.phase) || backup.status?.reason === 'SnapshotSlow'
}

/** Whether retention would delete this one even if it were good. */
export function goesEvenIfReady(runs: readonly RetentionRun[], id: string, keeping: TargetsKeeping): boolean {
  const asIfReady = runs.map(run => (run.id === id ? { ...run, good: true } : run))
  return isDoneWith(planRetention(asIfReady, keeping), id)
}
