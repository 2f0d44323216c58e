// Asks the API server once more before something final is written or deleted: the caches of several kinds are not of one moment, and may
// be behind (F31).
import type { Job, Pod, VolumeSnapshot } from '../../api/kubernetes.ts'
import { label, labelValue, managerName } from '../../api/labels.ts'
import type { Unless } from '../../plan/core/actions.ts'
import { snapshotRun } from '../../plan/history/verdicts.ts'
import { isGenuine, isOf, isRun, isSnapshotOf, madeFor } from '../../plan/view/owners.ts'
import { planRetention } from '../../plan/history/retention.ts'
import { podEssence, type Reach } from '../shared/caches.ts'
import { jobs, pods, snapshots } from '../shared/resources.ts'

type Named = { readonly namespace: string; readonly name: string }

/**
 * What is found goes into the cache, which plans anew. Only what a plan would see counts: an object that lost our labels, or a stranger's
 * with that name, would contradict every plan for ever.
 */
export async function isThere(
  { client, caches }: Reach,
  owner: Named,
  { kind, name }: Unless,
  signal: AbortSignal,
): Promise<boolean> {
  const { namespace } = owner
  const options = { signal }
  if (kind === 'newer-pods') return await hasNewerPods({ client, caches }, namespace, name, signal)
  if (kind === 'job') {
    const job = await client.get<Job>(jobs, namespace, name, options)
    if (!job || !isOf(job, owner.name) || !isRun(job))
      return await hasNewerPods({ client, caches }, namespace, name, signal)
    caches.jobs.offer(job)
    return true
  }
  const snapshot = await client.get<VolumeSnapshot>(snapshots, namespace, name, options)
  if (!snapshot || !isOf(snapshot, owner.name) || !isGenuine(snapshot)) return false
  caches.snapshots.offer(snapshot)
  return kind === 'snapshot' || snapshot.status?.readyToUse === true
}

async function hasNewerPods(
  { client, caches }: Reach,
  namespace: string,
  job: string,
  signal: AbortSignal,
): Promise<boolean> {
  const labelSelector = `batch.kubernetes.io/job-name=${job},${label.managedBy}=${managerName}`
  const { items } = await client.list<Pod>(pods, { namespace, labelSelector, signal })
  const news = items.filter(pod => caches.pods.offer(podEssence(pod)))
  return news.length > 0
}

/** Retention judged once more, on what the API server says now: a cache that is behind must not cost the last good one. */
export async function stillPrunes(
  { client, caches }: Reach,
  { namespace, name: policy }: Named,
  name: string,
  { target, keep }: { readonly target: string; readonly keep: number },
  signal: AbortSignal,
): Promise<boolean> {
  const { items } = await client.list<VolumeSnapshot>(snapshots, {
    namespace,
    labelSelector: `${label.policy}=${labelValue(policy)},${label.target}=${labelValue(target)}`,
    signal,
  })
  const runs = items.filter(isGenuine).map(snapshot => {
    const backup = caches.backups.get(namespace, madeFor(snapshot) ?? '')
    return snapshotRun(snapshot, backup && isSnapshotOf(snapshot, backup) ? backup : undefined)
  })
  return planRetention(runs, { keep }).deleteNow.includes(name)
}
