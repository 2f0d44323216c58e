// "Is it fine?" at a glance: the one word that `kubectl get bp` shows as STATUS.
import type { TargetStatus } from '../../api/kinds/backup-policy-status.ts'
import type { Verdict } from '../core/conditions.ts'

type Seen = {
  readonly verdicts: readonly Verdict[]
  readonly targets: readonly TargetStatus[]
  /** See `overdue.ts`; undefined where the schedule cannot be read. */
  readonly overdueSeconds: number | undefined
}

/** The worst first. */
const troubles: Readonly<Record<string, (seen: Seen) => boolean>> = {
  Failed: ({ verdicts }) => has(verdicts, 'LastBackupSucceeded', 'False'),
  Overdue: ({ overdueSeconds = 0 }) => overdueSeconds > 0,
  RetentionBlocked: ({ verdicts }) => has(verdicts, 'RetentionBlocked', 'True'),
  Unprotected: ({ targets }) => targets.length === 0 || targets.some(isUnprotected),
}

/** What a policy that is Ready can be called beside a reason of that condition. */
export const troubleWords = Object.keys(troubles)

/**
 * The worst thing that matters: why the next run cannot start; a failed newest run; a backup that is owed; a retention that is stuck; a
 * target without any good backup; that the schedule is suspended.
 */
export function stateOf(seen: Seen): string {
  const ready = seen.verdicts.find(({ type }) => type === 'Ready')
  if (ready && ready.status !== 'True') return ready.reason
  return troubleWords.find(word => troubles[word]?.(seen)) ?? ready?.reason ?? 'Ready'
}

function has(verdicts: readonly Verdict[], type: Verdict['type'], status: Verdict['status']): boolean {
  return verdicts.some(verdict => verdict.type === type && verdict.status === status)
}

/** What the policy no longer selects keeps its backups and needs no more. */
export function isUnprotected({ reason, ready, kept = 0 }: TargetStatus): boolean {
  return reason !== 'TargetNotFound' && (!ready || kept === 0)
}
