// Asks the API server once more before something is deleted, who holds it or needs it: a cache that is behind must not cost the last good
// one (F31, F63).
import type { Backup } from '../../api/kinds/backup.ts'
import type { KubernetesObject, PersistentVolumeClaim, VolumeSnapshot } from '../../api/kubernetes.ts'
import { apiVersion, label, labelValue } from '../../api/labels.ts'
import type { Provided } from '../../plan/core/actions.ts'
import { isOld } from '../../plan/history/ephemeral.ts'
import { isDoneWith, planRetention } from '../../plan/history/retention.ts'
import { goesEvenIfReady } from '../../plan/history/slow-snapshots.ts'
import { snapshotRuns } from '../../plan/history/verdicts.ts'
import { isHeld, isHeldSnapshot } from '../../plan/runs/marks.ts'
import { controllerOf } from '../../plan/view/chain.ts'
import {
  backupOfSnapshot,
  isOf,
  isPosing,
  isSnapshotOf,
  madeFor,
  parentOf,
  parentOfOrphan,
  targetOf,
} from '../../plan/view/owners.ts'
import { believedSnapshots } from '../../plan/view/view.ts'
import { keyFrom, type Resource } from '../../runtime/client/resource.ts'
import { named, withLabels, type Owner } from '../shared/asked.ts'
import type { Reach } from '../shared/caches.ts'
import { backups, claims, snapshots } from '../shared/resources.ts'

/** What the last look before a deletion found. `stays`: it is not to go after all; `needed`: somebody needs it still. */
export type LastLook =
  | { readonly is: 'to-go'; readonly resourceVersion: string | undefined }
  | { readonly is: 'stays' }
  | { readonly is: 'needed'; readonly reason: 'SnapshotInUse'; readonly words: string }

/**
 * Lists that one pass over a plan has asked for, so that twenty deletions ask once. What changed since then is refused by the resourceVersion
 * that was listed; the Backup, by which people hold, is read for each.
 */
export type Asked = Map<string, readonly KubernetesObject[]>

/** `resourceVersion`: it goes only as it was seen; what the plan did not know may be why it is to stay. */
type Doomed = {
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly resourceVersion?: string
}

const stays = { is: 'stays' } as const

/**
 * Asks who holds or needs what is about to be deleted, of the API server and not of a cache (F63). Everything is listed, by name where it is
 * one: a kind that is not served is a refusal then, and no proof that an object is gone.
 */
export async function lookLast(
  reach: Reach,
  owner: Owner,
  doomed: Doomed,
  provided: Provided,
  asked: Asked,
  signal: AbortSignal,
): Promise<LastLook> {
  if (doomed.kind === 'Backup') return await lookAtBackup(reach, owner, doomed, provided, signal)
  return await lookAtSnapshot(reach, owner, doomed, provided, asked, signal)
}

async function lookAtBackup(
  reach: Reach,
  { namespace }: Owner,
  doomed: Doomed,
  provided: Provided,
  signal: AbortSignal,
): Promise<LastLook> {
  const { client, caches } = reach
  const { name } = doomed
  const backup = await named<Backup>(client, backups, namespace, name, signal)
  if (backup) caches.backups.offer(backup)
  if (!backup || !isAsSeen(backup, doomed) || (await isHeldNow(reach, backup, signal))) return stays
  if (provided.that === 'no-snapshot') {
    const snapshot = await named<VolumeSnapshot>(client, snapshots, namespace, provided.name, signal)
    // What else has the name no plan sees as its snapshot: it would hold the Backup up for ever.
    if (snapshot && isSnapshotOf(snapshot, backup)) return stays
  }
  return { is: 'to-go', resourceVersion: backup.metadata.resourceVersion }
}

async function lookAtSnapshot(
  reach: Reach,
  owner: Owner,
  doomed: Doomed,
  provided: Provided,
  asked: Asked,
  signal: AbortSignal,
): Promise<LastLook> {
  const { client, caches } = reach
  const { namespace } = owner
  const { name, uid } = doomed
  const listed = async <T extends KubernetesObject>(resource: Resource, target: string) => {
    const among = isMoved({ caches }, owner, target) ? undefined : target
    return await once(asked, `${resource.kind} ${among ?? ''}`, () =>
      withLabels<T>(client, resource, owner, among, signal),
    )
  }
  const some =
    provided.that === 'retention'
      ? await listed<VolumeSnapshot>(snapshots, provided.target)
      : [await named<VolumeSnapshot>(client, snapshots, namespace, name, signal)].filter(each => each !== undefined)
  const snapshot = some.find(({ metadata }) => metadata.name === name && metadata.uid === uid)
  if (snapshot) caches.snapshots.offer(snapshot)
  if (!snapshot || !isAsSeen(snapshot, doomed) || isHeldSnapshot(snapshot)) return stays
  const madeForIt = madeFor(snapshot)
  const backup =
    madeForIt === undefined ? undefined : await named<Backup>(client, backups, namespace, madeForIt, signal)
  if (backup) caches.backups.offer(backup)
  if (isPosing(snapshot, backup)) return stays
  if (backup && isSnapshotOf(snapshot, backup)) {
    if (provided.that === 'no-backup' || (await isHeldNow(reach, backup, signal))) return stays
  } else if (await isOrphanHeldNow(reach, owner, snapshot, signal)) return stays
  const items = await once(asked, 'claims', async () => {
    return (await client.list<PersistentVolumeClaim>(claims, { namespace, signal })).items
  })
  if (provided.that === 'retention') {
    const told = await listed<Backup>(backups, provided.target)
    for (const each of told) caches.backups.offer(each)
    const there = new Set(told.map(({ metadata }) => metadata.name))
    if (!stillPrunes({ caches }, owner, name, { some, items, there }, provided)) return stays
  }
  if (provided.that === 'no-claim') {
    const date = client.serverTime()
    if (!date || !isOld(snapshot, date) || items.some(each => isClaim(each, provided))) return stays
  }
  const claim = waitingClaim(items, name)
  if (claim === undefined) return { is: 'to-go', resourceVersion: snapshot.metadata.resourceVersion }
  const words = `VolumeSnapshot ${name} is kept although it is to go: PersistentVolumeClaim ${claim} names it as its source and is not bound yet. A pod that uses the claim lets it be bound; or delete the claim`
  return { is: 'needed', reason: 'SnapshotInUse', words }
}

/** @param backup as the API server has just said it; what it is a part of, and is held with, is asked for here. */
async function isHeldNow({ client, caches }: Reach, backup: Backup, signal: AbortSignal): Promise<boolean> {
  const owner = controllerOf(backup, apiVersion, 'Backup')
  if (!owner) return isHeld(backup)
  const { namespace = '' } = backup.metadata
  const parent = await named<Backup>(client, backups, namespace, owner.name, signal)
  if (parent) caches.backups.offer(parent)
  return isHeld(
    backup,
    parentOf(backup, () => parent),
  )
}

/** Its Backup is gone, and perhaps not what that was a part of. */
async function isOrphanHeldNow(
  { client, caches }: Reach,
  { namespace, name: policy }: Owner,
  snapshot: VolumeSnapshot,
  signal: AbortSignal,
): Promise<boolean> {
  const known = parentOfOrphan(snapshot, caches.backups.byIndex('policy', keyFrom(namespace, policy)))
  const parent = known && (await named<Backup>(client, backups, namespace, known.metadata.name, signal))
  if (!parent || parent.metadata.uid !== known.metadata.uid) return false
  caches.backups.offer(parent)
  return isHeld(parent)
}

/** The very object, and, where it is to go only as it was seen, nothing has been written to it since. */
function isAsSeen({ metadata }: KubernetesObject, { uid, resourceVersion }: Doomed): boolean {
  return metadata.uid === uid && (resourceVersion === undefined || metadata.resourceVersion === resourceVersion)
}

/** Where the UID is not known any claim of the name may be it. */
function isClaim(
  { metadata }: PersistentVolumeClaim,
  { claim, uid = metadata.uid }: { readonly claim: string; readonly uid?: string },
): boolean {
  return metadata.name === claim && metadata.uid === uid
}

async function once<T extends KubernetesObject>(
  asked: Asked,
  what: string,
  ask: () => Promise<readonly T[]>,
): Promise<readonly T[]> {
  const known = asked.get(what) as readonly T[] | undefined
  if (known) return known
  const answer = await ask()
  asked.set(what, answer)
  return answer
}

/**
 * Whether the caches have a snapshot or a Backup of the target under the label of another one: somebody has changed it, which moves it from no
 * target that the plan has it in, and then all targets are listed. What is moved while nobody knows counts for nothing, which deletes less.
 */
function isMoved({ caches }: Pick<Reach, 'caches'>, { namespace, name: policy }: Owner, target: string): boolean {
  const value = labelValue(target)
  const hasOther = ({ metadata }: KubernetesObject) => metadata.labels?.[label.target] !== value
  const backupNamed = (each: string) => caches.backups.get(namespace, each)
  const isOfTarget = (each: VolumeSnapshot) => {
    // Most are of another claim. One of the target without a Backup poses, and counts nowhere.
    if ((each.spec.source.persistentVolumeClaimName ?? target) !== target) return false
    const backup = backupOfSnapshot(each, backupNamed)
    return backup !== undefined && targetOf(each, backup) === target
  }
  return (
    caches.snapshots
      .byIndex('policy', keyFrom(namespace, labelValue(policy)))
      .some(each => hasOther(each) && isOfTarget(each)) ||
    caches.backups
      .byIndex('policy', keyFrom(namespace, policy))
      .some(each => hasOther(each) && isOf(each, policy) && (each.spec.target ?? each.status?.target) === target)
  )
}

/**
 * Retention judged once more, on what the API server says now, of claims as well: a cache that is behind must not cost the last good one. How
 * many go in a pass is up to the plan: whatever comes before this one in order may stay.
 */
function stillPrunes(
  { caches }: Pick<Reach, 'caches'>,
  { namespace, name: policy }: Owner,
  name: string,
  {
    some,
    items,
    there,
  }: {
    readonly some: readonly VolumeSnapshot[]
    readonly items: readonly PersistentVolumeClaim[]
    /** Names of the Backups with our labels. */
    readonly there: ReadonlySet<string>
  },
  { target, keeping, slow, now }: Extract<Provided, { readonly that: 'retention' }>,
): boolean {
  const backupNamed = (each: string) => {
    const backup = caches.backups.get(namespace, each)
    if (backup?.spec.policy !== policy) return undefined
    // Those that people made have no labels, and are as the cache has them. What is gone only the watch takes from the cache.
    return isOf(backup, policy) && !there.has(each) ? undefined : backup
  }
  const alike = some.filter(each => targetOf(each, backupOfSnapshot(each, backupNamed)) === target)
  const claimUIDs = new Map(items.map(({ metadata }) => [metadata.name, metadata.uid ?? '']))
  const ofPolicy = caches.backups.byIndex('policy', keyFrom(namespace, policy))
  const believed = believedSnapshots(alike, ofPolicy, backupNamed, claimUIDs)
  const runs = snapshotRuns(believed, now).get(target) ?? []
  return slow ? goesEvenIfReady(runs, name, keeping) : isDoneWith(planRetention(runs, keeping), name)
}

/** A claim that is to be made from the snapshot: once it is bound it has the data, and the snapshot may go (F86). */
function waitingClaim(items: readonly PersistentVolumeClaim[], snapshot: string): string | undefined {
  return items.find(({ spec, status }) => {
    const isSource = [spec.dataSource, spec.dataSourceRef].some(
      source => source?.kind === 'VolumeSnapshot' && source.name === snapshot,
    )
    return isSource && status?.phase !== 'Bound'
  })?.metadata.name
}
