// Runs of snapshots while the snapshot API is away: its CRDs are being replaced, or somebody has removed them.
import type { Backup } from '../../api/kinds/backup.ts'
import { addSeconds } from '../../schedule/times.ts'
import { isOfJob } from '../view/owners.ts'
import type { RunView, View } from '../view/view.ts'
import { restoredWithoutStatus } from './passed-slot.ts'
import { failure, planStatus, type BackupPlan } from './status.ts'

const outOfSightSeconds = 86_400

/**
 * Without the snapshot API nobody can say what has become of a snapshot, and a verdict would be final. A run that has begun has one; so may
 * one of a slot of which nothing is told yet: it is made only while the API is there.
 */
export function isOutOfSight({ snapshotApi }: View, { backup, job, snapshot }: RunView): boolean {
  if (snapshotApi || job || snapshot) return false
  const { spec, status } = backup
  const hasBegun = status?.snapshot !== undefined || spec.slot !== undefined || status?.run !== undefined
  return isOfClaim(backup) && hasBegun
}

/** Whether what its run makes is a snapshot, whatever strategy its policy has by now. */
export function isOfClaim(backup: Backup): boolean {
  const { spec, status } = backup
  const target = status?.target ?? spec.target
  return status?.snapshot !== undefined || (target !== undefined && !isOfJob(backup))
}

/**
 * It is waited for the API as long as it may be away by mistake, whatever the policy is by now. What was restored into a cluster without that
 * API may get its snapshot with the CRDs until then; it ran elsewhere, and is no failure of this cluster.
 */
export function planOutOfSight(
  { snapshotApiAwaySince }: Pick<View, 'snapshotApiAwaySince'>,
  backup: Backup,
  now: Date,
): BackupPlan {
  const until = addSeconds(snapshotApiAwaySince ?? now, outOfSightSeconds)
  if (now < until) return { groups: [], wakeAt: until }
  const restored = restoredWithoutStatus(backup)
  if (restored) return planStatus(backup, restored, now)
  const message =
    'the VolumeSnapshot CRDs have not been installed in this cluster for a day, so that nobody can say what became of the snapshot; where it stands when they are back, it stays: delete it by hand once you have looked'
  const target = backup.status?.target ?? backup.spec.target
  return planStatus(
    backup,
    { ...failure('SnapshotCRDsMissing', message), ...(target ? { target } : {}) },
    now,
    'snapshot',
  )
}
