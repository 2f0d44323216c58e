// Asks the API server once more before something final is written or deleted: the caches of several kinds are not of one moment, and may
// be behind (F31).
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type {
  CronJob,
  Job,
  KubernetesObject,
  PersistentVolumeClaim,
  Pod,
  VolumeSnapshot,
} from '../../api/kubernetes.ts'
import { label, labelValue, managerName, type JobRole } from '../../api/labels.ts'
import { cronJobName } from '../../api/names.ts'
import { versionOf, type Provided, type Unless } from '../../plan/core/actions.ts'
import { goesEvenIfReady } from '../../plan/history/slow-snapshots.ts'
import { snapshotRuns } from '../../plan/history/verdicts.ts'
import { chainOf, cronJobOf, jobUIDOf, type Chain } from '../../plan/view/chain.ts'
import { backupOfSnapshot, isOf, isPosing, isSnapshotOf, madeFor, targetOf } from '../../plan/view/owners.ts'
import { isDoneWith, planRetention } from '../../plan/history/retention.ts'
import { believedSnapshots } from '../../plan/view/view.ts'
import { isHeld, isHeldSnapshot, staysWithoutPolicy } from '../../plan/runs/marks.ts'
import { timeOf } from '../../schedule/times.ts'
import type { Client } from '../../runtime/client/client.ts'
import { keyFrom, type Resource } from '../../runtime/client/resource.ts'
import { named } from '../shared/by-name.ts'
import { claimEssence, podEssence, type Reach } from '../shared/caches.ts'
import { backups, claims, cronJobs, jobs, pods, snapshots } from '../shared/resources.ts'

type Named = { readonly namespace: string; readonly name: string }

/**
 * What is found goes into the cache, which plans anew. Only what a plan would see counts: an object that lost our labels, or a stranger's
 * with that name, would contradict every plan for ever.
 * @param about what says the verdict, as it is to be written
 * @throws ApiError where the kind is not served, which proves nothing gone
 */
export async function isThere(
  { client, caches }: Reach,
  owner: Named,
  unless: Unless,
  about: Backup | BackupPolicy,
  signal: AbortSignal,
): Promise<boolean> {
  const { namespace } = owner
  if (unless.kind === 'newer-pods') return await hasNewerPods({ client, caches }, owner, unless, signal)
  if (unless.kind === 'newer-backups') return await hasNewerBackups({ client, caches }, owner, unless.seen, signal)
  if (unless.kind === 'newer-jobs') return await hasNewerJobs({ client, caches }, owner, unless.seen, signal)
  if (unless.kind === 'other-claim') return await isAnotherClaim({ client, caches }, namespace, unless, signal)
  if (unless.kind === 'job') {
    const job = await named<Job>(client, jobs, namespace, unless.name, signal)
    if (!job || !isOf(job, owner.name) || !(await isOurs({ client, caches }, owner, job, signal)))
      return await hasNewerPods({ client, caches }, owner, unless, signal)
    caches.jobs.offer(job)
    return true
  }
  const { kind, name } = unless
  const snapshot = await named<VolumeSnapshot>(client, snapshots, namespace, name, signal)
  if (!snapshot || !isOf(snapshot, owner.name) || !isSnapshotOf(snapshot, about as Backup)) return false
  caches.snapshots.offer(snapshot)
  if (kind === 'snapshot') return true
  if (kind === 'wanted-snapshot') return staysWithoutPolicy(snapshot, about as Backup)
  const { readyToUse, creationTime, error } = snapshot.status ?? {}
  if (readyToUse) return true
  return kind === 'cut-snapshot' ? timeOf(creationTime) !== undefined : !error?.message
}

/** Of one that is gone only the watch can tell the cache. */
async function isAnotherClaim(
  { client, caches }: Reach,
  namespace: string,
  { name, uid }: Extract<Unless, { readonly kind: 'other-claim' }>,
  signal: AbortSignal,
): Promise<boolean> {
  const claim = await named<PersistentVolumeClaim>(client, claims, namespace, name, signal)
  if (claim) caches.claims.offer(claimEssence(claim))
  return claim?.metadata.uid !== uid
}

/** By the chain of controllers (docs/design.md R27), as the Job of a run; the first link may be newer than the caches. */
async function isOurs({ client, caches }: Reach, { namespace, name }: Named, job: Job, signal: AbortSignal) {
  if (!isRun(job)) return false
  const standing = () => knownChain({ caches }, { namespace, name }).standingOf(job)
  if (standing() === 'strange' && cronJobOf(job)) {
    const cronJob = await named<CronJob>(client, cronJobs, namespace, cronJobName(name), signal)
    if (cronJob && isOf(cronJob, name)) caches.cronJobs.offer(cronJob)
  }
  return standing() === 'ours'
}

function isRun({ metadata }: Job): boolean {
  return metadata.labels?.[label.role] === ('run' satisfies JobRole)
}

/** As the caches know it. */
function knownChain({ caches }: Pick<Reach, 'caches'>, { namespace, name }: Named): Chain {
  return chainOf({
    name,
    policy: caches.policies.get(namespace, name),
    cronJob: caches.cronJobs.get(namespace, cronJobName(name)),
    backups: caches.backups.byIndex('policy', keyFrom(namespace, name)),
  })
}

/** Of a Job whose UID nobody knows no pod is heard. */
async function hasNewerPods(
  { client, caches }: Reach,
  owner: Named,
  { name, uid, seen = [] }: Extract<Unless, { readonly kind: 'job' | 'newer-pods' }>,
  signal: AbortSignal,
): Promise<boolean> {
  if (uid === undefined) return false
  const labelSelector = `batch.kubernetes.io/job-name=${name}`
  const { items } = await client.list<Pod>(pods, { namespace: owner.namespace, labelSelector, signal })
  const own = items.filter(pod => jobUIDOf(pod) === uid && isOf(pod, owner.name))
  for (const pod of own) caches.pods.offer(podEssence(pod))
  return own.some(pod => !seen.includes(versionOf(pod)))
}

async function hasNewerBackups(
  { client, caches }: Reach,
  owner: Named,
  seen: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<boolean> {
  const listed = await ofLabels<Backup>(client, backups, owner, undefined, signal)
  const own = listed.filter(({ spec }) => spec.policy === owner.name)
  for (const backup of own) caches.backups.offer(backup)
  return own.some(({ metadata: { uid = '' } }) => !seen.has(uid))
}

/** Of the CronJob, which is the operator's own write: what no cache knows of that is no plan's, either. */
async function hasNewerJobs(
  { client, caches }: Reach,
  owner: Named,
  seen: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<boolean> {
  const listed = await ofLabels<Job>(client, jobs, owner, undefined, signal)
  const { standingOf } = knownChain({ caches }, owner)
  const own = listed.filter(job => isRun(job) && cronJobOf(job) && standingOf(job) === 'ours')
  for (const job of own) caches.jobs.offer(job)
  return own.some(({ metadata: { uid = '' } }) => !seen.has(uid))
}

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
  owner: Named,
  doomed: Doomed,
  provided: Provided,
  asked: Asked,
  signal: AbortSignal,
): Promise<LastLook> {
  if (doomed.kind === 'Backup') return await lookAtBackup(reach, owner, doomed, provided, signal)
  return await lookAtSnapshot(reach, owner, doomed, provided, asked, signal)
}

async function lookAtBackup(
  { client, caches }: Reach,
  { namespace }: Named,
  doomed: Doomed,
  provided: Provided,
  signal: AbortSignal,
): Promise<LastLook> {
  const { name } = doomed
  const backup = await named<Backup>(client, backups, namespace, name, signal)
  if (backup) caches.backups.offer(backup)
  if (!backup || !isAsSeen(backup, doomed) || isHeld(backup)) return stays
  if (provided.that === 'no-snapshot') {
    const snapshot = await named<VolumeSnapshot>(client, snapshots, namespace, provided.name, signal)
    // What else has the name no plan sees as its snapshot: it would hold the Backup up for ever.
    if (snapshot && isSnapshotOf(snapshot, backup)) return stays
  }
  return { is: 'to-go', resourceVersion: backup.metadata.resourceVersion }
}

async function lookAtSnapshot(
  { client, caches }: Reach,
  owner: Named,
  doomed: Doomed,
  provided: Provided,
  asked: Asked,
  signal: AbortSignal,
): Promise<LastLook> {
  const { namespace } = owner
  const { name, uid } = doomed
  const listed = async <T extends KubernetesObject>(resource: Resource, target: string) => {
    const among = isMoved({ caches }, owner, target) ? undefined : target
    return await once(asked, `${resource.kind} ${among ?? ''}`, () =>
      ofLabels<T>(client, resource, owner, among, signal),
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
  if (backup && isSnapshotOf(snapshot, backup) && (isHeld(backup) || provided.that === 'no-backup')) return stays
  const items = await once(asked, 'claims', async () => {
    return (await client.list<PersistentVolumeClaim>(claims, { namespace, signal })).items
  })
  if (provided.that === 'retention') {
    const told = await listed<Backup>(backups, provided.target)
    for (const each of told) caches.backups.offer(each)
    const there = new Set(told.map(({ metadata }) => metadata.name))
    if (!stillPrunes({ caches }, owner, name, { some, items, there }, provided)) return stays
  }
  if (provided.that === 'no-claim' && items.some(each => isClaim(each, provided))) return stays
  const claim = waitingClaim(items, name)
  if (claim === undefined) return { is: 'to-go', resourceVersion: snapshot.metadata.resourceVersion }
  const words = `VolumeSnapshot ${name} is kept although it is to go: PersistentVolumeClaim ${claim} names it as its source and is not bound yet. A pod that uses the claim lets it be bound; or delete the claim`
  return { is: 'needed', reason: 'SnapshotInUse', words }
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

/** @param target undefined: of all of them */
async function ofLabels<T extends KubernetesObject>(
  client: Client,
  resource: Resource,
  { namespace, name: policy }: Named,
  target: string | undefined,
  signal: AbortSignal,
): Promise<readonly T[]> {
  const ofPolicy = `${label.policy}=${labelValue(policy)},${label.managedBy}=${managerName}`
  const labelSelector = target === undefined ? ofPolicy : `${ofPolicy},${label.target}=${labelValue(target)}`
  return (await client.list<T>(resource, { namespace, labelSelector, signal })).items
}

/**
 * Whether the caches have a snapshot or a Backup of the target under the label of another one: somebody has changed it, which moves it from no
 * target that the plan has it in, and then all targets are listed. What is moved while nobody knows counts for nothing, which deletes less.
 */
function isMoved({ caches }: Pick<Reach, 'caches'>, { namespace, name: policy }: Named, target: string): boolean {
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
  { namespace, name: policy }: Named,
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
  const believed = believedSnapshots(alike, backupNamed, claimUIDs)
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
