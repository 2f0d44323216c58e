// The targets that a status has room for. Who reads it, as the metrics do, sees what is wrong also where there are more.
import type { BackupPolicyStatus, TargetStatus } from '../../api/kinds/backup-policy-status.ts'
import { isUnprotected } from './state.ts'

/** The schema has the same bound. */
const mostShown = 256

/** All of them as they come; of too many the worst first, and at the head the one that decides what is overdue. */
export function shownTargets(all: readonly TargetStatus[]): readonly TargetStatus[] {
  if (all.length <= mostShown) return all
  const byNeed = all.toSorted((a, b) => need(a) - need(b) || compareNewest(a, b))
  const longest = byNeed
    .filter(({ newest, reason }) => newest && reason !== 'TargetNotFound')
    .toSorted(compareNewest)[0]
  const others = byNeed.filter(target => target !== longest)
  return [...(longest ? [longest] : []), ...others].slice(0, mostShown)
}

/** Undefined where not all of them are told: more than a status has room for, or without the snapshot CRDs. */
export function selectedNames(status: BackupPolicyStatus | undefined): readonly string[] | undefined {
  const names = status?.targets?.filter(({ reason }) => reason !== 'TargetNotFound').map(({ name }) => name) ?? []
  return names.length === status?.selected ? names : undefined
}

function need(target: TargetStatus): number {
  // What may come back has a mark that is needed then.
  if (target.reason === 'TargetNotFound') return target.accountedUntil === undefined ? 3 : 2
  return isUnprotected(target) ? 0 : 1
}

/** RFC 3339 sorts as text. */
function compareNewest({ newest: a = '' }: TargetStatus, { newest: b = '' }: TargetStatus): number {
  return a < b ? -1 : a > b ? 1 : 0
}
