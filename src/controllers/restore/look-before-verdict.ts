// Asks the API server once more before a Restore is called ended: the caches of several kinds are not of one moment, and may be behind (F31).
import type { Restore } from '../../api/kinds/restore.ts'
import type { Job, Pod } from '../../api/kubernetes.ts'
import { label, labelValue } from '../../api/labels.ts'
import { versionOf, type Unless } from '../../plan/core/actions.ts'
import { isControlledBy, jobUIDOf } from '../../plan/view/chain.ts'
import { isOurs } from '../../plan/view/owners.ts'
import { named } from '../shared/asked.ts'
import type { Reach } from '../shared/caches.ts'
import { jobEssence, podEssence } from '../shared/essence.ts'
import { jobs, pods } from '../shared/resources.ts'

/**
 * Whether its Job stands after all, or a pod of it says more than the plan knew. What is found goes into the caches, and only what a plan would
 * see counts: anything else would contradict every plan for ever.
 */
export async function saysMore(
  { client, caches }: Reach,
  restore: Restore,
  unless: Unless,
  signal: AbortSignal,
): Promise<boolean> {
  if (unless.kind !== 'job' && unless.kind !== 'newer-pods') return false
  const { namespace = '', name: restoreName } = restore.metadata
  const { name, uid, seen = [] } = unless
  const isOfRestore = (object: Job | Pod) =>
    isOurs(object) && object.metadata.labels?.[label.restore] === labelValue(restoreName)
  if (unless.kind === 'job') {
    const job = await named<Job>(client, jobs, namespace, name, signal)
    if (job && !job.metadata.deletionTimestamp && isOfRestore(job) && isControlledBy(job, restore)) {
      caches.jobs.offer(jobEssence(job))
      return true
    }
  }
  if (uid === undefined) return false
  const labelSelector = `batch.kubernetes.io/job-name=${name}`
  const { items } = await client.list<Pod>(pods, { namespace, labelSelector, signal })
  const own = items.filter(pod => jobUIDOf(pod) === uid && isOfRestore(pod))
  for (const pod of own) caches.pods.offer(podEssence(pod))
  return own.some(pod => !seen.includes(versionOf(pod)))
}
