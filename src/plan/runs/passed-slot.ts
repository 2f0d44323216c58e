// Backups that may record what ran, and never run: those of slots that have passed, and those that came back without what became of them
// (Velero, GitOps, an import). Today's data under an old name would be a lie (docs/design.md R34).
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { addSeconds, timeOf } from '../../schedule/times.ts'
import { returnedRun } from '../view/owners.ts'
import type { Facts } from './status.ts'

/** Where the policy is not there to say. Seconds. */
const defaultDeadlineSeconds = 3600
/** Velero sets it on everything that it restores. */
const restoredByVelero = 'velero.io/restore-name'

/** Why the Backup, of which no Job, snapshot or status tells, is not run; undefined where it may be. */
export function neverRuns(backup: Backup, policy: BackupPolicy | undefined, now: Date): Facts | undefined {
  const { metadata, spec, status } = backup
  if (status?.phase !== undefined) return undefined
  const target = spec.target === undefined ? {} : { target: spec.target }
  if (metadata.labels?.[restoredByVelero] !== undefined) {
    const message = 'it was restored without its status; what it once made is told by the bucket and by its snapshot'
    return { phase: 'Skipped', reason: 'RestoredObject', message, ...target }
  }
  if (returnedRun(backup) !== undefined) {
    const message =
      'it tells of a run that was in the bucket, which has it no longer; create a Backup without annotations to back up now'
    return { phase: 'Skipped', reason: 'RestoredObject', message, ...target }
  }
  if (spec.slot === undefined) return undefined
  const slot = timeOf(spec.slot)
  const deadline = policy?.spec.startingDeadlineSeconds ?? defaultDeadlineSeconds
  if (slot && now <= addSeconds(slot, deadline)) return undefined
  const message = slot
    ? `its slot ${spec.slot} passed more than ${deadline} s ago, and there is neither a Job nor a snapshot of it; create a Backup without a slot to back up now`
    : `its slot ${spec.slot} is no time; create a Backup without a slot to back up now`
  return { phase: 'Skipped', reason: 'SlotPassed', message, ...target }
}
