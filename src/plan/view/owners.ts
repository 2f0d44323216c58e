// Who an object was made by and for, told by its labels, annotations and name.
import { isFinal } from '../../api/kinds/backup-phases.ts'
import type { BackupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { Job, PersistentVolumeClaim, VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation, apiVersion, label, labelValue, managerName } from '../../api/labels.ts'
import {
  childBackupName,
  commandTarget,
  isRunOf,
  onDemandJobName,
  onDemandSnapshotName,
  slotOfJobName,
  slotOfRunName,
  slotOfText,
} from '../../api/names.ts'
import { earliest, isAhead, latest, timeOf } from '../../schedule/times.ts'
import { controllerOf, cronJobOf } from './chain.ts'

type Labelled = { readonly metadata: { readonly labels?: Readonly<Record<string, string>> } }

export function isOurs(object: Labelled): boolean {
  return object.metadata.labels?.[label.managedBy] === managerName
}

/** Whether an object was made by us, and for the policy of this name. */
export function isOf(object: Labelled, policy: string): boolean {
  return isOurs(object) && object.metadata.labels?.[label.policy] === labelValue(policy)
}

/**
 * Whether a tool that keeps objects as they stand in Git, or in a release, put it there: it would make it anew, and a Backup that is made anew
 * runs again. Source: the tracking labels and annotations of Argo CD, Flux and Helm.
 */
export function isTracked({ metadata: { labels = {}, annotations = {} } }: Backup): boolean {
  return (
    trackingLabels.some(key => labels[key] !== undefined) ||
    trackingAnnotations.some(key => annotations[key] !== undefined) ||
    labels[label.managedBy] === 'Helm'
  )
}

const trackingLabels = [
  'argocd.argoproj.io/instance',
  // The default of Argo CD up to version 2.
  'app.kubernetes.io/instance',
  'kustomize.toolkit.fluxcd.io/name',
  'helm.toolkit.fluxcd.io/name',
]
const trackingAnnotations = ['argocd.argoproj.io/tracking-id', 'meta.helm.sh/release-name']

/** Whether a claim goes with the pod that owns it: a generic ephemeral volume. */
export function isEphemeral({ metadata }: PersistentVolumeClaim): boolean {
  return controllerOf({ metadata }, 'v1', 'Pod') !== undefined
}

/**
 * The name of the VolumeSnapshot of a Backup. Of a run that has begun its status tells: the object may have come back with its status and
 * another UID. Before that the name is the lock of the run: its own for scheduled ones, with the UID for those that people name.
 */
export function snapshotName({ metadata, spec, status }: Backup): string {
  const begun = status?.snapshot?.name ?? status?.run
  return begun ?? (spec.slot ? metadata.name : onDemandSnapshotName(metadata.name, metadata.uid ?? ''))
}

/**
 * The Job of a scheduled run gives its Backup the name; on-demand it is the other way round, and once that has begun its status tells: the
 * object may have come back with it and another UID.
 */
export function runJobName(backup: Backup): string {
  const { metadata, spec, status } = backup
  const begun = status?.run ?? returnedRun(backup)
  return spec.slot ? metadata.name : (begun ?? onDemandJobName(spec.policy, metadata.uid ?? ''))
}

/**
 * The run of the bucket that an on-demand Backup was made to tell of, when it was known of no other; undefined where a person asked for it. It
 * has the name of that run: one that names another has its annotation from somebody else.
 */
export function returnedRun({ metadata, spec }: Backup): string | undefined {
  const run = metadata.annotations?.[annotation.run]
  return spec.slot === undefined && run === metadata.name ? run : undefined
}

/**
 * The Backups that tell of slots, by their names, and each with its slot. Those names are known beforehand to everybody: one that merely has
 * such a name, an export without its slot for example, tells of no slot, and is a stranger there.
 */
export function slotsByName(backups: readonly Backup[]): ReadonlyMap<string, number> {
  return new Map(
    backups.flatMap(({ metadata, spec }) => {
      const slot = timeOf(spec.slot)
      return slot ? [[metadata.name, slot.getTime()] as const] : []
    }),
  )
}

/** The slot of a Job that a CronJob made; undefined for a Job of ours. */
export function slotOfJob(job: Job): Date | undefined {
  const owner = cronJobOf(job)
  if (!owner) return undefined
  return timeOf(job.metadata.annotations?.[annotation.cronJobSlot]) ?? slotOfJobName(job.metadata.name, owner.name)
}

/** Up to which slot the book of a target is kept: that of its policy, unless it has one of its own. RFC 3339. */
export function accountedUntilOf(
  status: BackupPolicyStatus | undefined,
  target: string | undefined,
): string | undefined {
  return status?.targets?.find(({ name }) => name === target)?.accountedUntil ?? status?.accountedUntil
}

/** The target that a Backup is of; undefined where it is over several, or nobody knows yet. */
export function targetOfRun({ spec, status }: Backup): string | undefined {
  return spec.target ?? status?.target
}

/**
 * Whether what a Backup tells of is a run of a Job, as far as it tells itself; false also where it has not begun. A target of a preset and a
 * claim may have one name, and a policy may have had both strategies.
 */
export function isOfJob(backup: Backup): boolean {
  const { spec, status } = backup
  const target = targetOfRun(backup)
  if (status?.snapshot !== undefined) return false
  if (target === commandTarget || status?.jobUID !== undefined) return true
  const run = spec.slot === undefined ? (status?.run ?? returnedRun(backup)) : backup.metadata.name
  return run !== undefined && target !== undefined && isRunOf(run, spec.policy, target)
}

/** The Backup over several targets that this one is a part of: the very one, of the same policy. */
export function parentOf(backup: Backup, named: (name: string) => Backup | undefined): Backup | undefined {
  const owner = controllerOf(backup, apiVersion, 'Backup')
  const parent = owner && named(owner.name)
  return parent && parent.metadata.uid === owner.uid && parent.spec.policy === backup.spec.policy ? parent : undefined
}

/**
 * The Backup over several targets that a snapshot is a part of though somebody has deleted its own Backup: the name of that was made of both.
 * @param wholes of the policy, each of which tells its targets
 */
export function parentOfOrphan(snapshot: VolumeSnapshot, wholes: readonly Backup[]): Backup | undefined {
  const target = snapshot.spec.source.persistentVolumeClaimName
  if (target === undefined || !isGenuine(snapshot)) return undefined
  return wholes.find(({ metadata, status }) => {
    if (!status?.targets?.includes(target)) return false
    return madeFor(snapshot) === childBackupName(metadata.name, metadata.uid ?? '', target)
  })
}

/** The one over several targets that goes on judges its children by their objects, which stay so long. */
export function isUnfinished({ metadata, status }: Backup): boolean {
  return !metadata.deletionTimestamp && !isFinal(status?.phase)
}

/** The name of the Backup that a VolumeSnapshot was made for. */
export function madeFor({ metadata }: VolumeSnapshot): string | undefined {
  return metadata.annotations?.[annotation.backup]
}

/** The claim that a VolumeSnapshot is of, by its UID: under the name of one that is gone another may be there. */
export function claimUIDOf({ metadata }: VolumeSnapshot): string | undefined {
  return metadata.annotations?.[annotation.claimUID]
}

/**
 * The volume that a VolumeSnapshot is of, by the UID of its claim; undefined where none was written down. That was done before it was cut, and
 * who cuts it looks for the claim by its name: where that claim was not there any more once it was cut it is of a volume of its own, counts for
 * no other, and pushes nothing out. A Backup that ended and says nothing is of a version that did not look.
 * @param live UID of the claim that has the name now
 */
export function volumeOf(
  snapshot: VolumeSnapshot,
  backup: Backup | undefined,
  live: string | undefined,
): string | undefined {
  const uid = claimUIDOf(snapshot)
  // Without a Backup nobody can tell any more, and it pushes nothing out.
  if (uid === undefined || !backup) return uid
  const { phase, snapshot: told } = backup.status ?? {}
  const of = told?.claimUID ?? (isFinal(phase) ? uid : live)
  return of === uid ? uid : `unproven/${snapshot.metadata.uid}`
}

/** The Backup that a VolumeSnapshot is of, among those with their names. */
export function backupOfSnapshot(
  snapshot: VolumeSnapshot,
  named: (name: string) => Backup | undefined,
): Backup | undefined {
  const backup = named(madeFor(snapshot) ?? '')
  return backup && isSnapshotOf(snapshot, backup) ? backup : undefined
}

/**
 * The claim that a VolumeSnapshot is of. One that a restore has made of a content names none: its Backup does.
 * @param backup the one that it is of
 */
export function targetOf({ spec }: VolumeSnapshot, backup: Backup | undefined): string {
  return spec.source.persistentVolumeClaimName ?? backup?.spec.target ?? backup?.status?.target ?? ''
}

/**
 * By its name, by who it was made for, and by what it is of: the name of a slot's run is known beforehand to everybody, and what somebody has
 * made under it of another claim, or long before the run, has not the data of the run. The view, the last look and the adoption of what
 * exists all ask this: if they differed, the one would put off for ever what the other plans.
 */
export function isSnapshotOf(snapshot: VolumeSnapshot, backup: Backup): boolean {
  if (!isNamedFor(snapshot, backup)) return false
  const { status } = backup
  const { name } = snapshot.metadata
  return status?.snapshot?.name === name || status?.run === name || isOfRun(snapshot, backup)
}

/**
 * Whether it poses as the snapshot of a Backup and is not: it is not believed, not followed and not deleted. What it says of itself tells that
 * also when the Backup, which failed for it, is gone.
 */
export function isPosing(snapshot: VolumeSnapshot, backup: Backup | undefined): boolean {
  if (backup && isSnapshotOf(snapshot, backup)) return false
  return (backup !== undefined && isNamedFor(snapshot, backup)) || contradictsItself(snapshot)
}

/** It is not of the claim that its label names, or was made before the slot that its label or its name tells of. */
function contradictsItself({ metadata, spec }: VolumeSnapshot): boolean {
  const { labels, name, creationTimestamp } = metadata
  if (labels?.[label.target] !== labelValue(spec.source.persistentVolumeClaimName ?? '')) return true
  const slot = latest(slotOfText(labels[label.slot]), slotOfRunName(name))
  return slot !== undefined && !isMadeFor(timeOf(creationTimestamp), slot)
}

/** A run's own snapshot is made when the run is due, or later. */
function isMadeFor(made: Date | undefined, due: Date): boolean {
  return made !== undefined && !isAhead(due, made)
}

function isNamedFor(snapshot: VolumeSnapshot, backup: Backup): boolean {
  const isNamed = snapshot.metadata.name === snapshotName(backup) && madeFor(snapshot) === backup.metadata.name
  return isNamed && isGenuine(snapshot)
}

/** Of the claim of the run, and made when it was due, or later. A Backup that was brought back is younger than its run. */
function isOfRun({ metadata, spec }: VolumeSnapshot, backup: Backup): boolean {
  const claim = backup.spec.target ?? backup.status?.target
  const made = timeOf(metadata.creationTimestamp)
  const due = earliest(timeOf(backup.spec.slot), timeOf(backup.metadata.creationTimestamp))
  if (claim === undefined || spec.source.persistentVolumeClaimName !== claim) return false
  return due !== undefined && isMadeFor(made, due)
}

/** Whether the operator gave the snapshot its name; a copy that a person made with our labels and annotations has another. */
export function isGenuine(snapshot: VolumeSnapshot): boolean {
  const backup = madeFor(snapshot)
  const { name } = snapshot.metadata
  return backup !== undefined && (name === backup || name.replace(/-[0-9a-z]{10}$/, '') === cutFor(backup))
}

/** What `onDemandSnapshotName` puts before the hash. */
function cutFor(backup: string): string {
  return onDemandSnapshotName(backup, '').replace(/-[0-9a-z]{10}$/, '')
}
