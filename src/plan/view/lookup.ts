// Who belongs to whom in a world, looked up instead of searched: a policy may have thousands of snapshots and as many Backups.
import type { Backup } from '../../api/kinds/backup.ts'
import type { Job, VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation, label, labelValue, managerName } from '../../api/labels.ts'
import { onDemandJobName, onDemandSnapshotName } from '../../api/names.ts'
import type { PolicyWorld } from './world.ts'

type Labelled = { readonly metadata: { readonly labels?: Readonly<Record<string, string>> } }

/** Whether an object was made by us, and for the policy of this name. */
export function isOf(object: Labelled, policy: string): boolean {
  return isOurs(object) && object.metadata.labels?.[label.policy] === labelValue(policy)
}

export function isOurs(object: Labelled): boolean {
  return object.metadata.labels?.[label.managedBy] === managerName
}

/** The name of the VolumeSnapshot of a Backup: its own for scheduled ones, which is their lock; with the UID for those that people name. */
export function snapshotName({ metadata, spec }: Backup): string {
  return spec.slot ? metadata.name : onDemandSnapshotName(metadata.name, metadata.uid ?? '')
}

/** The Job of a scheduled run gives its Backup the name; on-demand it is the other way round. */
export function runJobName({ metadata, spec }: Backup): string {
  return spec.slot ? metadata.name : onDemandJobName(spec.policy, metadata.uid ?? '')
}

/** By its name, and by who it was made for: a stranger's snapshot may have the name, and is no business of ours. */
export function snapshotOf(world: PolicyWorld, backup: Backup): VolumeSnapshot | undefined {
  const snapshot = lookupOf(world).snapshots.get(snapshotName(backup))
  return snapshot && madeFor(snapshot) === backup.metadata.name ? snapshot : undefined
}

/** The Backup that a VolumeSnapshot was made for, while it exists. */
export function backupOf(world: PolicyWorld, snapshot: VolumeSnapshot): Backup | undefined {
  const backup = lookupOf(world).backups.get(madeFor(snapshot) ?? '')
  return backup && snapshotName(backup) === snapshot.metadata.name ? backup : undefined
}

/** Whether the operator gave the snapshot its name; a copy that a person made with our labels and annotations has another. */
export function isGenuine(snapshot: VolumeSnapshot): boolean {
  const backup = madeFor(snapshot)
  const { name } = snapshot.metadata
  return backup !== undefined && (name === backup || name.replace(/-[0-9a-z]{10}$/, '') === cutFor(backup))
}

export function snapshotNamed(world: PolicyWorld, name: string): VolumeSnapshot | undefined {
  return lookupOf(world).snapshots.get(name)
}

/** Whether a Job makes a backup; others probe the store or read its catalog. */
export function isRun({ metadata }: Job): boolean {
  return metadata.labels?.[label.role] === 'run'
}

export function jobOf(world: PolicyWorld, backup: Backup): Job | undefined {
  const job = lookupOf(world).jobs.get(runJobName(backup))
  return job && isRun(job) ? job : undefined
}

/** The Backups of single targets that an on-demand Backup over several stands for. */
export function childrenOf(world: PolicyWorld, parent: Backup): readonly Backup[] {
  return lookupOf(world).children.get(parent.metadata.uid ?? '') ?? []
}

type Lookup = {
  readonly backups: ReadonlyMap<string, Backup>
  readonly children: ReadonlyMap<string, readonly Backup[]>
  readonly snapshots: ReadonlyMap<string, VolumeSnapshot>
  readonly jobs: ReadonlyMap<string, Job>
}

/** A world never changes, so that what was found out about it stays true. */
const lookups = new WeakMap<PolicyWorld, Lookup>()

function lookupOf(world: PolicyWorld): Lookup {
  const known = lookups.get(world)
  if (known) return known
  const byName = <T extends { readonly metadata: { readonly name: string } }>(objects: readonly T[]) =>
    new Map(objects.map(object => [object.metadata.name, object]))
  const owned = world.backups.flatMap(backup =>
    (backup.metadata.ownerReferences ?? []).map(({ uid }) => ({ uid, backup })),
  )
  const children = Map.groupBy(owned, ({ uid }) => uid)
  const lookup = {
    backups: byName(world.backups),
    children: new Map([...children].map(([uid, some]) => [uid, some.map(({ backup }) => backup)])),
    snapshots: byName(world.snapshots),
    jobs: byName(world.jobs),
  }
  lookups.set(world, lookup)
  return lookup
}

function madeFor({ metadata }: VolumeSnapshot): string | undefined {
  return metadata.annotations?.[annotation.backup]
}

/** What `onDemandSnapshotName` puts before the hash. */
function cutFor(backup: string): string {
  return onDemandSnapshotName(backup, '').replace(/-[0-9a-z]{10}$/, '')
}
