// Backups that came to nothing stay for people to read, and not for ever (docs/design.md R34).
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { addSeconds, timeOf } from '../../schedule/times.ts'
import { alone, deletion, type Group, type Provided } from '../core/actions.ts'
import { isHeld } from '../runs/marks.ts'
import { isOfClaim } from '../runs/out-of-sight.ts'
import { isTracked, isUnfinished, snapshotName } from '../view/owners.ts'
import { presetOf } from '../view/preset.ts'
import type { RunView, View } from '../view/view.ts'

/** Of each target, of the schedule and on demand alike. */
const failuresKept = 5

/** So long everyone who waits for the end of a Backup that he created can see it, however many end at once. Seconds. */
const seenSeconds = 3600

export function oldFailures(
  runs: readonly RunView[],
  { policy, snapshotApi }: Pick<View, 'policy' | 'snapshotApi'>,
  now: Date,
): readonly Group[] {
  // One whose snapshot stands tells why that stays; without the snapshot API nobody sees it.
  const ended = runs.filter(({ backup, snapshot, parent }) => {
    if (backup.metadata.deletionTimestamp || isHeld(backup, parent) || (parent && isUnfinished(parent))) return false
    return !snapshot && (snapshotApi || !mayHaveSnapshot(backup, policy))
  })
  const scheduled = ended.flatMap(({ backup }) => (backup.spec.slot && isFailed(backup) ? [backup] : []))
  // With a Backup over several targets its children would go, which may be complete.
  const onDemand = ended.flatMap(({ backup, children }) => {
    const own = !backup.spec.slot && children.length === 0 && !isTracked(backup)
    return own && (isFailed(backup) || backup.status?.phase === 'Skipped') ? [backup] : []
  })
  const wasSeen = ({ status }: Backup) => addSeconds(timeOf(status?.completionTime) ?? now, seenSeconds) <= now
  return [
    ...beyond(scheduled, ({ spec }) => spec.slot ?? ''),
    ...beyond(onDemand, ({ metadata }) => metadata.creationTimestamp ?? '').filter(wasSeen),
  ].map(backup => {
    const because = `the newest ${failuresKept} failed Backups of a target are kept`
    return alone(`clean/${backup.metadata.name}`, deletion(backup, because, { provided: providedThat(backup) }))
  })
}

/** Under a preset one that never began was to be of a workload, or has made nothing under an earlier strategy. */
function mayHaveSnapshot(backup: Backup, policy: BackupPolicy | undefined): boolean {
  const hasBegun = backup.spec.slot !== undefined || backup.status?.run !== undefined
  return isOfClaim(backup) && (hasBegun || policy === undefined || presetOf(policy) === undefined)
}

/** What has the name of one that failed because it was taken is a stranger's, and may stay for ever. */
function providedThat(backup: Backup): Provided {
  if (!isOfClaim(backup) || backup.status?.reason === 'NameTaken') return { that: 'nobody-needs-it' }
  return { that: 'no-snapshot', name: snapshotName(backup) }
}

function isFailed({ status }: Backup): boolean {
  return status?.phase === 'Failed'
}

/** All but the newest of each target. */
function beyond(backups: readonly Backup[], time: (backup: Backup) => string): readonly Backup[] {
  const key = (backup: Backup) => `${time(backup)} ${backup.metadata.name}`
  const byTarget = Map.groupBy(backups, ({ spec, status }) => spec.target ?? status?.target ?? '')
  return [...byTarget.values()].flatMap(some => some.toSorted((a, b) => (key(a) < key(b) ? 1 : -1)).slice(failuresKept))
}
