// Backups that may record what ran, and never run: those of slots that have passed, and those that came back without what became of them
// (Velero, GitOps, an import). Today's data under an old name would be a lie (docs/design.md R34).
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import type { Reason } from '../../api/conditions.ts'
import { annotation } from '../../api/labels.ts'
import { addSeconds, timeOf } from '../../schedule/times.ts'
import { returnedRun } from '../view/owners.ts'
import type { Facts } from './status.ts'

/** Where the policy is not there to say. Seconds. */
const defaultDeadlineSeconds = 3600
/** What is begun at the deadline exists no later: a pass takes minutes, and its clock is not that of the API server. Seconds. */
const lateSeconds = 600
/** Velero sets it on everything that it restores. */
const restoredByVelero = 'velero.io/restore-name'

/** Why the Backup, of which no Job, snapshot or status tells, is not run; undefined where it may be. */
export function neverRuns(backup: Backup, policy: BackupPolicy | undefined, now: Date): Facts | undefined {
  const { spec, status } = backup
  if (status?.phase !== undefined) return undefined
  const restored = restoredWithoutStatus(backup)
  if (restored) return restored
  const target = targetOf(backup)
  if (returnedRun(backup) !== undefined) {
    const message =
      'it tells of a run that was in the bucket, which has it no longer; create a Backup without annotations to back up now'
    return { phase: 'Skipped', reason: 'RestoredObject', message, ...target }
  }
  if (spec.slot === undefined) return undefined
  const until = startsUntil(backup, policy)
  if (until && now <= until) return undefined
  const message = until
    ? `its slot ${spec.slot} passed more than ${deadlineSeconds(policy)} s ago, and there is neither a Job nor a snapshot of it; create a Backup without a slot to back up now`
    : `its slot ${spec.slot} is no time; create a Backup without a slot to back up now`
  return { phase: 'Skipped', reason: 'SlotPassed', message, ...target }
}

/** That Velero restored the Backup without its status; undefined where it did not. */
export function restoredWithoutStatus(backup: Backup): Facts | undefined {
  const { metadata, status } = backup
  if (status?.phase !== undefined || metadata.labels?.[restoredByVelero] === undefined) return undefined
  const message = 'it was restored without its status; what it once made is told by the bucket and by its snapshot'
  return { phase: 'Skipped', reason: 'RestoredObject', message, ...targetOf(backup) }
}

/**
 * Why a Backup of a slot, of which no status tells, tells nothing of its snapshot; undefined where it may. A snapshot that was made when it
 * was asked for is its own, however late, and whatever the policy says by now. Of any other both were made long after the slot: both came back,
 * and the snapshot was cut anew. A Backup that was made in time is our own, and one that came back tells of a snapshot that was. By our own
 * clock it is late, too: one that is behind makes slots late by that of the API server.
 */
export function cutAgain(backup: Backup, snapshot: VolumeSnapshot, now: Date): Facts | undefined {
  const slot = timeOf(backup.spec.slot)
  if (!slot || backup.status?.phase !== undefined) return undefined
  if (wasMadeWhenAsked(snapshot)) return undefined
  const times = [now, ...[backup, snapshot].map(({ metadata }) => timeOf(metadata.creationTimestamp))]
  const late = addSeconds(slot, defaultDeadlineSeconds + lateSeconds)
  if (!times.every(time => time !== undefined && time > late)) return undefined
  const { name, creationTimestamp } = snapshot.metadata
  const message = `it came back without its status, and its VolumeSnapshot ${name} was made at ${creationTimestamp}: the data are of then, and not of its slot ${backup.spec.slot}`
  return { phase: 'Skipped', reason: 'RestoredObject', message, ...targetOf(backup) }
}

/** By clocks of two machines, and passes that take minutes. Nothing is restored before it was asked for: then only our clock was ahead. */
function wasMadeWhenAsked({ metadata: { annotations, creationTimestamp } }: VolumeSnapshot): boolean {
  const [asked, made] = [timeOf(annotations?.[annotation.askedAt]), timeOf(creationTimestamp)]
  return asked !== undefined && made !== undefined && made <= addSeconds(asked, lateSeconds)
}

function targetOf({ spec }: Backup): { readonly target?: string } {
  return spec.target === undefined ? {} : { target: spec.target }
}

/** Until when the run of a slot may be started; undefined where it has none. */
export function startsUntil({ spec }: Backup, policy: BackupPolicy | undefined): Date | undefined {
  const slot = timeOf(spec.slot)
  return slot && addSeconds(slot, deadlineSeconds(policy))
}

/**
 * Why a slot whose start was put off until its deadline has failed; undefined where it may still start, or has. One that nothing was ever
 * written of was not tried, where it was made in time: its turn never came. One that was made later came back.
 */
export function startedInVain(backup: Backup, policy: BackupPolicy, now: Date): Facts | undefined {
  const { spec, status } = backup
  const until = startsUntil(backup, policy)
  if (!until || now < until || status?.run !== undefined || restoredWithoutStatus(backup)) return undefined
  const wasMadeInTime = (timeOf(backup.metadata.creationTimestamp) ?? now) <= addSeconds(until, lateSeconds)
  if (status?.phase !== 'Pending' && (status?.phase !== undefined || !wasMadeInTime)) return undefined
  const reason = (status?.reason ?? 'SlotPassed') as Reason
  const untilThen = status?.message ?? 'its turn did not come, because the API server was slow, or the operator away'
  const message = `it could not start within ${deadlineSeconds(policy)} s of its slot ${spec.slot}, and is not run later; until then: ${untilThen}`
  return { phase: 'Failed', reason, message, ...targetOf(backup) }
}

function deadlineSeconds(policy: BackupPolicy | undefined): number {
  return policy?.spec.startingDeadlineSeconds ?? defaultDeadlineSeconds
}
