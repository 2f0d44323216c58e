// Runs of snapshots while the snapshot API is away: its CRDs are being replaced, or somebody has removed them.
import type { Backup } from '../../api/kinds/backup.ts'
import { commandTarget } from '../../api/names.ts'
import { addSeconds, timeOf } from '../../schedule/times.ts'
import type { RunView, View } from '../view/view.ts'
import { failure, planStatus, type BackupPlan } from './status.ts'

const outOfSightSeconds = 86_400

/**
 * Without the snapshot API nobody can say what has become of a snapshot, and a verdict would be final. A run that has begun has one; so may
 * one of a slot of which nothing is told yet: it is made only while the API is there.
 */
export function isOutOfSight({ snapshotApi }: View, { backup, job, snapshot }: RunView): boolean {
  if (snapshotApi || job || snapshot) return false
  const { spec, status } = backup
  const target = status?.target ?? spec.target
  const ofClaim = target !== undefined && target !== commandTarget
  return status?.snapshot !== undefined || (ofClaim && (spec.slot !== undefined || status?.run !== undefined))
}

/**
 * It is waited for the API as long as it may be away by mistake. Since when it is, the policy tells; where it has nothing to do with snapshots
 * any more, or is gone, the run has the time from its own beginning.
 */
export function planOutOfSight({ policy, strategy }: View, backup: Backup, now: Date): BackupPlan {
  const missing = policy?.status?.conditions?.find(({ reason }) => reason === 'SnapshotCRDsMissing')
  const { startTime } = backup.status ?? {}
  const begun = timeOf(startTime) ?? timeOf(backup.metadata.creationTimestamp)
  const since = strategy?.type === 'snapshot' ? timeOf(missing?.lastTransitionTime) : begun
  const until = addSeconds(since ?? now, outOfSightSeconds)
  if (now < until) return { groups: [], wakeAt: until }
  const message =
    'the VolumeSnapshot CRDs have not been installed in this cluster for a day, so that nobody can say what became of the snapshot'
  const target = backup.status?.target ?? backup.spec.target
  return planStatus(
    backup,
    { ...failure('SnapshotCRDsMissing', message), ...(target ? { target } : {}) },
    now,
    'snapshot',
  )
}
