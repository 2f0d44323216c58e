// What keeps a snapshot of a claim from being begun: one that is not cut yet, or too many that are not ready (docs/design.md R30, R31).
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { isFinal } from '../../api/kinds/backup-phases.ts'
import type { SnapshotView } from '../view/view.ts'
import { limitsOf, progressOf, unreadyAtOnce } from './snapshot-limits.ts'

/** A storage system that is stuck is not given more and more: so many of the claim are cut, and not ready. */
export function isCrowded(snapshots: readonly SnapshotView[], claim: string, policy: BackupPolicy, now: Date): boolean {
  return going(snapshots, claim, policy, now).filter(({ is }) => is !== 'uncut').length >= unreadyAtOnce
}

/** What keeps a claim crowded until a person, or the storage system, does something: no time limit ends what is slow. */
export function stuckSnapshots(
  snapshots: readonly SnapshotView[],
  claim: string,
  policy: BackupPolicy,
  now: Date,
): readonly string[] {
  const slow = going(snapshots, claim, policy, now).filter(({ is }) => is === 'slow')
  return slow.length < unreadyAtOnce ? [] : slow.map(({ name }) => name)
}

/** Why a Backup that a person asked for cannot start now, in words; undefined where it can. Backups that wait keep nobody waiting. */
export function busyWith(
  snapshots: readonly SnapshotView[],
  claim: string,
  policy: BackupPolicy,
  now: Date,
): string | undefined {
  const uncut = going(snapshots, claim, policy, now).find(({ is }) => is === 'uncut')
  if (uncut) return `another run of the target, VolumeSnapshot ${uncut.name}, is not cut yet`
  if (!isCrowded(snapshots, claim, policy, now)) return undefined
  return `${unreadyAtOnce} snapshots of PersistentVolumeClaim ${claim} are cut and not ready yet, and no more are begun at once`
}

type Going = { readonly name: string; readonly is: 'uncut' | 'unready' | 'slow' }

/** Of one plan, by claim: many Backups may wait for one claim, and many claims have many snapshots. */
const found = new WeakMap<
  readonly SnapshotView[],
  { readonly policy: BackupPolicy; readonly now: Date; readonly byClaim: ReadonlyMap<string, readonly Going[]> }
>()

function going(snapshots: readonly SnapshotView[], claim: string, policy: BackupPolicy, now: Date): readonly Going[] {
  const known = found.get(snapshots)
  const byClaim = known?.policy === policy && known.now === now ? known.byClaim : goingByClaim(snapshots, policy, now)
  found.set(snapshots, { policy, now, byClaim })
  return byClaim.get(claim) ?? []
}

function goingByClaim(snapshots: readonly SnapshotView[], policy: BackupPolicy, now: Date) {
  const limits = limitsOf(policy)
  const byClaim = new Map<string, Going[]>()
  for (const { snapshot, backup } of snapshots) {
    const { metadata, spec } = snapshot
    if (metadata.deletionTimestamp || isFinal(backup?.status?.phase)) continue
    const { is } = progressOf(snapshot, limits, now)
    if (is !== 'uncut' && is !== 'unready' && is !== 'slow') continue
    const claim = spec.source.persistentVolumeClaimName ?? ''
    const some = byClaim.get(claim) ?? []
    some.push({ name: metadata.name, is })
    byClaim.set(claim, some)
  }
  return byClaim
}
