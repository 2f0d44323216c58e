// "Is it fine?" at a glance: the one word that `kubectl get bp` shows as STATUS.
import type { TargetStatus } from '../../api/kinds/backup-policy-status.ts'
import type { Verdict } from '../core/conditions.ts'

/**
 * The worst thing that matters: why the next run cannot start; a failed newest run; a backup that is owed; a retention that is stuck; a
 * target without any good backup; that the schedule is suspended.
 * @param overdueSeconds see `overdue.ts`; undefined where the schedule cannot be read.
 */
export function stateOf(
  verdicts: readonly Verdict[],
  targets: readonly TargetStatus[],
  overdueSeconds: number | undefined,
): string {
  const is = (type: Verdict['type'], status: Verdict['status']) =>
    verdicts.some(verdict => verdict.type === type && verdict.status === status)
  const ready = verdicts.find(({ type }) => type === 'Ready')
  if (ready && ready.status !== 'True') return ready.reason
  if (is('LastBackupSucceeded', 'False')) return 'Failed'
  if (overdueSeconds) return 'Overdue'
  if (is('RetentionBlocked', 'True')) return 'RetentionBlocked'
  if (targets.length === 0 || targets.some(isUnprotected)) return 'Unprotected'
  return ready?.reason ?? 'Ready'
}

/** What the policy no longer selects keeps its backups and needs no more. */
function isUnprotected({ reason, ready, kept = 0 }: TargetStatus): boolean {
  return reason !== 'TargetNotFound' && (!ready || kept === 0)
}
