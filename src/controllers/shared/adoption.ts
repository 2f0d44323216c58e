// Names are locks: which object under our name is ours, and what is said of a stranger's.
import type { Backup } from '../../api/kinds/backup.ts'
import type { KubernetesObject, VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation, label } from '../../api/labels.ts'
import { isOurs, isSnapshotOf, returnedRun } from '../../plan/view/owners.ts'
import { timeOf } from '../../schedule/times.ts'

/**
 * Whether an object that has our name is ours: made by us, for the same owner and the same purpose.
 * @param run what it is made for, where that is one run: a VolumeSnapshot is ours only as the snapshot of a Backup
 */
export function isSame(existing: KubernetesObject, wanted: KubernetesObject, run?: Backup): boolean {
  if (!isOurs(existing)) return false
  const owner = ({ metadata }: KubernetesObject) => {
    const { apiVersion, kind, uid } = metadata.ownerReferences?.find(({ controller }) => controller) ?? {}
    return `${apiVersion} ${kind} ${uid}`
  }
  const mark = (object: KubernetesObject, key: string) => object.metadata.labels?.[key]
  if (owner(existing) !== owner(wanted)) return false
  if (existing.metadata.annotations?.[annotation.backup] !== wanted.metadata.annotations?.[annotation.backup])
    return false
  if (wanted.kind === 'VolumeSnapshot' && !(run && isSnapshotOf(existing as VolumeSnapshot, run))) return false
  if (wanted.kind === 'Backup' && !isSameRun(existing as Backup, wanted as Backup)) return false
  return [label.policy, label.target, label.slot, label.role].every(key => mark(existing, key) === mark(wanted, key))
}

/** The labels of a Backup are anybody's to copy, its slot and the run that it tells of are not. */
function isSameRun(existing: Backup, wanted: Backup): boolean {
  const slot = ({ spec }: Backup) => timeOf(spec.slot)?.getTime()
  return slot(existing) === slot(wanted) && returnedRun(existing) === returnedRun(wanted)
}

export function takenMessage({ kind, metadata }: KubernetesObject): string {
  return `a ${kind} named ${metadata.name} exists and was not made for this; delete or rename it`
}
