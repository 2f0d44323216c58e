// Figures about a policy's Backups. `present`: see `dataTime`.
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { dataTime } from '../view/run-times.ts'

/** The Backup of each target with the newest data. */
function newestByTarget(
  backups: readonly Backup[],
  present: Date,
  counts: (backup: Backup) => boolean,
): readonly Backup[] {
  const newest = new Map<string, Backup>()
  for (const backup of backups) {
    const { target } = backup.status ?? {}
    if (target === undefined || !counts(backup)) continue
    const other = newest.get(target)
    if (!other || ageOf(other, present) < ageOf(backup, present)) newest.set(target, backup)
  }
  return [...newest.values()]
}

function ageOf(backup: Backup, present: Date): number {
  return dataTime(backup, present)?.getTime() ?? 0
}

/**
 * 1 when the newest run of every target succeeded, 0 when one failed, undefined before the first run has ended.
 * Targets that are no longer selected do not count: nobody could make their last run succeed.
 */
export function lastRunSucceeded(policy: BackupPolicy, backups: readonly Backup[], present: Date): number | undefined {
  const targets = policy.status?.targets?.filter(({ reason }) => reason !== 'TargetNotFound')
  const isCut = policy.spec.strategy.type === 'snapshot' && (targets?.length ?? 0) < (policy.status?.selected ?? 0)
  const selected = targets && new Set(targets.map(({ name }) => name))
  // Where not all of them are told its condition is judged by all.
  const newest = newestByTarget(
    isCut ? [] : backups,
    present,
    ({ status }) =>
      (status?.phase === 'Completed' || status?.phase === 'Failed') && (selected?.has(status.target ?? '') ?? true),
  )
  if (newest.length > 0) return newest.every(({ status }) => status?.phase === 'Completed') ? 1 : 0
  // The Backups of a policy may have been deleted, too; its condition remembers.
  const remembered = policy.status?.conditions?.find(({ type }) => type === 'LastBackupSucceeded')?.status
  return remembered === 'True' ? 1 : remembered === 'False' ? 0 : undefined
}

/** Stored size of the newest successful backup of each target, added up; of snapshots the size of a volume that they restore to. */
export function lastSizeBytes(backups: readonly Backup[], present: Date): number | undefined {
  const sizes = newestByTarget(backups, present, ({ status }) => status?.phase === 'Completed').flatMap(
    ({ status }) => {
      const bytes = status?.storedBytes ?? quantityBytes(status?.snapshot?.restoreSize)
      return bytes === undefined ? [] : [bytes]
    },
  )
  return sizes.length > 0 ? sizes.reduce((total, bytes) => total + bytes, 0) : undefined
}

const quantityUnits: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
}

/** Bytes of a Kubernetes quantity as storage drivers write it, for example `1Gi`. */
function quantityBytes(quantity: string | undefined): number | undefined {
  const [, number, unit = ''] = /^([0-9.]+)([A-Za-z]*)$/.exec(quantity ?? '') ?? []
  const factor = quantityUnits[unit]
  return number === undefined || factor === undefined ? undefined : Number(number) * factor
}
