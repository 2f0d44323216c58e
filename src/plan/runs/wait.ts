// A Backup on demand behind another run of its target: how long it waits, and what it says meanwhile (docs/design.md R30).
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { addSeconds, rfc3339, timeOf } from '../../schedule/times.ts'
import type { Unless } from '../core/actions.ts'
import { planStatus, type BackupPlan } from './status.ts'

/** Until when it waits, and whether it waits no longer, or never did. */
export function waitOf(
  { metadata }: Backup,
  { spec }: BackupPolicy,
  now: Date,
): { readonly until: Date; readonly isOver: boolean } {
  const until = addSeconds(timeOf(metadata.creationTimestamp) ?? now, spec.startingDeadlineSeconds)
  return { until, isOver: spec.whenBusy === 'Skip' || now >= until }
}

/**
 * @param behind `why` it does not start now; `start`: what its own start makes. It may have had its turn before, and the answer have been lost:
 * that is asked before it is said for good that it never ran.
 */
export function planWait(
  backup: Backup,
  policy: BackupPolicy,
  { target, why, start }: { readonly target: string; readonly why: string; readonly start: Unless },
  now: Date,
): BackupPlan {
  const { until, isOver } = waitOf(backup, policy, now)
  const reason = 'Overlapping'
  if (isOver) {
    const message = `${why}; create a new Backup later`
    return planStatus(backup, { phase: 'Skipped', reason, message, target }, now, undefined, start)
  }
  const message = `${why}; this one starts after that, or is skipped at ${rfc3339(until)}`
  return { ...planStatus(backup, { phase: 'Pending', reason, message, target }, now), wakeAt: until }
}
