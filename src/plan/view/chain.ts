// Whose words count (docs/design.md R27). Anybody may write our labels and names on an object; we believe, and delete, only what hangs on
// one of our own objects by a chain of controllers, UID by UID: policy → CronJob → Job → pod, policy → Job → pod, Backup → Job → pod.
// A link may be gone while what hung on it still stands: its UID is then in a status, which only the operator writes.
import type { Job, KubernetesObject, OwnerReference, Pod } from '../../api/kubernetes.ts'
import { apiVersion, label, type JobRole } from '../../api/labels.ts'
import { onDemandJobName } from '../../api/names.ts'
import type { PolicyWorld } from './world.ts'

const batch = 'batch/v1'
/** Of the CronJobs of a target the newest so many are remembered: the Jobs of an older one have been recorded, or are gone. */
const rememberedCronJobs = 5
/** The schema has the same bound. */
const mostCronJobUIDs = 512

/**
 * `ours`: it hangs on the policy, on a CronJob of its, on a Backup, or its UID is recorded.
 * `leaving`: it was made for a Backup that is gone, so that the garbage collector ends it; it is waited for, and not believed.
 */
export type Standing = 'ours' | 'leaving' | 'strange'

export type Chain = {
  /** UIDs of the CronJobs that the policy controls, or has controlled; newest first. */
  readonly cronJobUIDs: readonly string[]
  readonly standingOf: (job: Job) => Standing
  /** UIDs of Jobs that Backups have recorded, also of those that are gone. */
  readonly recorded: ReadonlySet<string>
}

export function chainOf({
  name,
  policy,
  cronJob,
  targetCronJobs,
  backups,
}: Pick<PolicyWorld, 'name' | 'policy' | 'cronJob' | 'targetCronJobs' | 'backups'>): Chain {
  const cronJobs = [...(cronJob ? [cronJob] : []), ...targetCronJobs]
  const own = cronJobs.filter(each => policy && isControlledBy(each, policy))
  const standing = own.map(({ metadata }) => metadata.uid ?? '')
  const most = Math.min(mostCronJobUIDs, rememberedCronJobs * Math.max(1, standing.length))
  const cronJobUIDs = [...new Set([...standing, ...(policy?.status?.cronJobUIDs ?? [])])].slice(0, most)
  const living = backups.filter(({ metadata }) => !metadata.deletionTimestamp)
  const backupUIDs = new Set(living.map(({ metadata }) => metadata.uid))
  const recorded = new Set(living.flatMap(({ status }) => status?.jobUID ?? []))

  function standingOf(job: Job): Standing {
    const { metadata } = job
    if (!isRun(job)) return policy && isControlledBy(job, policy) ? 'ours' : 'strange'
    if (recorded.has(metadata.uid ?? '')) return 'ours'
    if (cronJobUIDs.includes(cronJobOf(job)?.uid ?? '')) return 'ours'
    const backup = controllerOf(job, apiVersion, 'Backup')
    if (!backup || metadata.name !== onDemandJobName(name, backup.uid)) return 'strange'
    return backupUIDs.has(backup.uid) ? 'ours' : 'leaving'
  }

  return { cronJobUIDs, standingOf, recorded }
}

/** The controller of an object, where it is of this kind. There is one at most; other owners only keep the garbage collector away. */
export function controllerOf(
  { metadata }: Pick<KubernetesObject, 'metadata'>,
  version: string,
  kind: string,
): OwnerReference | undefined {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true)
  return owner?.apiVersion === version && owner.kind === kind ? owner : undefined
}

/** Whether the object's controller is this very object, and no other that once had its name. */
export function isControlledBy(object: Pick<KubernetesObject, 'metadata'>, owner: KubernetesObject): boolean {
  const { uid } = owner.metadata
  return uid !== undefined && controllerOf(object, owner.apiVersion, owner.kind)?.uid === uid
}

/** A Job that makes a backup, and no helper. */
export function isRun({ metadata }: Job): boolean {
  return metadata.labels?.[label.role] === ('run' satisfies JobRole)
}

/** The CronJob that made a Job. */
export function cronJobOf(job: Job): OwnerReference | undefined {
  return controllerOf(job, batch, 'CronJob')
}

/** The Job that made a pod. */
export function jobOf(pod: Pod): OwnerReference | undefined {
  return controllerOf(pod, batch, 'Job')
}

/** UID of the Job that made a pod. */
export function jobUIDOf(pod: Pod): string | undefined {
  return jobOf(pod)?.uid
}
