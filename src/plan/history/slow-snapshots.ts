// Snapshots that are cut and take longer than they may, without an error: each may still become a good backup, so that it goes only when
// retention would not keep it even then (docs/design.md R31).
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { alone, deletion, type Group } from '../core/actions.ts'
import { limitsOf, progressOf } from '../runs/snapshot-limits.ts'
import type { View } from '../view/view.ts'
import { planRetention, type RetentionRun } from './retention.ts'
import type { TargetHistory, TargetsKeeping } from './verdicts.ts'

export function planSlow(
  { snapshots }: Pick<View, 'snapshots'>,
  policy: BackupPolicy,
  histories: readonly TargetHistory[],
  keeping: TargetsKeeping,
  now: Date,
): readonly Group[] {
  const limits = limitsOf(policy)
  const slow = new Map(
    snapshots
      .map(({ snapshot }) => snapshot)
      .filter(each => !each.metadata.deletionTimestamp && progressOf(each, limits, now).is === 'slow')
      .map(each => [each.metadata.name, each]),
  )
  return histories.flatMap(({ target, runs }) =>
    runs.flatMap(({ id }): readonly Group[] => {
      const snapshot = slow.get(id)
      if (!snapshot || !planRetention(asIfReady(runs, id), keeping).deleteNow.includes(id)) return []
      const because = `it is not ready after ${limits.readySeconds} s, and enough newer good backups exist`
      const provided = { that: 'retention', target, keeping, slow: true } as const
      const message = `VolumeSnapshot ${id} of ${target}: ${because}`
      const told = { do: 'event', about: policy, type: 'Normal', reason: 'Pruned', message } as const
      return [alone(`prune/${id}`, deletion(snapshot, because, { provided }), told)]
    }),
  )
}

/** The runs as they would be if this one were good. */
export function asIfReady(runs: readonly RetentionRun[], id: string): readonly RetentionRun[] {
  return runs.map(run => (run.id === id ? { ...run, good: true } : run))
}
