// Asks the API server once more before something final is written: the caches of several kinds are not of one moment, and may be behind (F31).
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { CronJob, Job, PersistentVolumeClaim, Pod, VolumeSnapshot } from '../../api/kubernetes.ts'
import { labelValue } from '../../api/labels.ts'
import { cronJobName } from '../../api/names.ts'
import { versionOf, type Unless } from '../../plan/core/actions.ts'
import { staysWithoutPolicy } from '../../plan/runs/marks.ts'
import { chainOf, cronJobOf, isRun, jobUIDOf, type Chain } from '../../plan/view/chain.ts'
import { isOf, isSnapshotOf, parentOf } from '../../plan/view/owners.ts'
import { keyFrom } from '../../runtime/client/resource.ts'
import { timeOf } from '../../schedule/times.ts'
import { named, withLabels, type Owner } from '../shared/asked.ts'
import type { Reach } from '../shared/caches.ts'
import { claimEssence, podEssence } from '../shared/essence.ts'
import { backups, claims, cronJobs, jobs, pods, snapshots } from '../shared/resources.ts'

/**
 * What is found goes into the cache, which plans anew. Only what a plan would see counts: an object that lost our labels, or a stranger's
 * with that name, would contradict every plan for ever.
 * @param about what says the verdict, as it stands: what the run has reached is in its status
 * @throws ApiError where the kind is not served, which proves nothing gone
 */
export async function isThere(
  { client, caches }: Reach,
  owner: Owner,
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
  if (kind === 'wanted-snapshot') {
    const parent = parentOf(about as Backup, each => caches.backups.get(namespace, each))
    return staysWithoutPolicy(snapshot, about as Backup, parent)
  }
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
async function isOurs({ client, caches }: Reach, { namespace, name }: Owner, job: Job, signal: AbortSignal) {
  if (!isRun(job)) return false
  const standing = () => knownChain({ caches }, { namespace, name }).standingOf(job)
  const made = cronJobOf(job)
  if (standing() === 'strange' && made) {
    const cronJob = await named<CronJob>(client, cronJobs, namespace, made.name, signal)
    if (cronJob && isOf(cronJob, name)) caches.cronJobs.offer(cronJob)
  }
  return standing() === 'ours'
}

/** As the caches know it. */
function knownChain({ caches }: Pick<Reach, 'caches'>, { namespace, name }: Owner): Chain {
  return chainOf({
    name,
    policy: caches.policies.get(namespace, name),
    cronJob: caches.cronJobs.get(namespace, cronJobName(name)),
    targetCronJobs: caches.cronJobs.byIndex('policy', keyFrom(namespace, labelValue(name))),
    backups: caches.backups.byIndex('policy', keyFrom(namespace, name)),
  })
}

/** Of a Job whose UID nobody knows no pod is heard. */
async function hasNewerPods(
  { client, caches }: Reach,
  owner: Owner,
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
  owner: Owner,
  seen: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<boolean> {
  const listed = await withLabels<Backup>(client, backups, owner, undefined, signal)
  const own = listed.filter(({ spec }) => spec.policy === owner.name)
  for (const backup of own) caches.backups.offer(backup)
  return own.some(({ metadata: { uid = '' } }) => !seen.has(uid))
}

/** Of the CronJob, which is the operator's own write: what no cache knows of that is no plan's, either. */
async function hasNewerJobs(
  { client, caches }: Reach,
  owner: Owner,
  seen: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<boolean> {
  const listed = await withLabels<Job>(client, jobs, owner, undefined, signal)
  const { standingOf } = knownChain({ caches }, owner)
  const own = listed.filter(job => isRun(job) && cronJobOf(job) && standingOf(job) === 'ours')
  for (const job of own) caches.jobs.offer(job)
  return own.some(({ metadata: { uid = '' } }) => !seen.has(uid))
}
