// Gathers what planning one Restore looks at: from the caches, and from the API server where the database is that it restores into.
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { isRestoreFinal } from '../../api/kinds/restore-phases.ts'
import type { Restore } from '../../api/kinds/restore.ts'
import { labelValue } from '../../api/labels.ts'
import type { RestoreWorld } from '../../plan/restore/world.ts'
import type { Settings } from '../../resources/settings.ts'
import { WaitError } from '../../runtime/client/errors.ts'
import { keyFrom } from '../../runtime/client/resource.ts'
import type { Caches } from '../shared/caches.ts'
import type { WorkloadLooks } from '../shared/workloads.ts'

/** How soon to look again where a kind is not seen. */
const absentMs = 10_000

/** What the plan of every Restore rests on. Events are for words only. */
const always = ['restores', 'policies', 'backups', 'jobs', 'pods'] as const

/** Of one that has begun its status tells: the Backup that named it may be gone. */
function policyOf({ spec: { source }, status }: Restore, backup: Backup | undefined): string | undefined {
  return source.policy?.name ?? (source.bucket ? undefined : (status?.policy ?? backup?.spec.policy))
}

/** The policy whose workloads a Restore is about to be made a Job for. */
function needingWorkloads(caches: Caches, namespace: string, name: string): BackupPolicy | undefined {
  const restore = caches.restores.get(namespace, name)
  const { phase, backup, policy, jobs } = restore?.status ?? {}
  if (!restore || isRestoreFinal(phase) || !backup || jobs?.restore || restore.spec.source.bucket) return undefined
  return policy === undefined ? undefined : caches.policies.get(namespace, policy)
}

/**
 * @throws WaitError while the API server does not show a kind that the plan rests on: nobody can tell what was deleted from what cannot be seen
 * (F31).
 */
export async function observeRestore(
  caches: Caches,
  settings: Settings,
  looks: WorkloadLooks,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  signal: AbortSignal,
): Promise<RestoreWorld> {
  // Before anything is read: what comes while the API server is asked is then seen together.
  const asked = needingWorkloads(caches, namespace, name)
  if (asked) await looks.look(asked, true, signal)
  const unseen = always.find(kind => caches[kind].state !== 'synced')
  if (unseen) throw new WaitError(absentMs, `the API server has not listed ${unseen}, or does not serve them`)
  const labelKey = keyFrom(namespace, labelValue(name))
  const restore = caches.restores.get(namespace, name)
  const { source } = restore?.spec ?? {}
  const backup = source?.backup === undefined ? undefined : caches.backups.get(namespace, source.backup)
  const policyName = restore && policyOf(restore, backup)
  const policy = policyName === undefined ? undefined : caches.policies.get(namespace, policyName)
  const jobs = caches.jobs.byIndex('restore', labelKey)
  return {
    namespace,
    name,
    settings,
    restore,
    backup,
    policy,
    workloads: policy && looks.found(policy),
    jobs,
    pods: caches.pods.byIndex('restore', labelKey),
    jobEvents: jobs.flatMap(job => caches.jobEvents.byIndex('job', job.metadata.uid ?? '')),
  }
}
