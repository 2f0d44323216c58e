// Asks the API server before the first verdict on a Backup: the watches of several kinds are not of one moment, and whoever edits a policy,
// or labels a claim, and then asks for a Backup means what stands there now (docs/decisions/0012-a-backup-is-of-what-stands-now.md).
import type { Backup } from '../api/backup.ts'
import type { BackupPolicy } from '../api/backup-policy.ts'
import type { PersistentVolumeClaim, VolumeSnapshotClass } from '../api/kubernetes.ts'
import type { Client } from '../runtime/client.ts'
import { keyFrom } from '../runtime/resource.ts'
import { claimEssence, type Caches } from './caches.ts'
import { backupPolicies, claims, snapshotClasses } from './resources.ts'

/**
 * Makes the caches at least as new as every Backup of the policy that nothing was said of yet. What is found stays in them, and they
 * tell of it like of any other change.
 */
export async function lookFirst(
  { client, caches }: { readonly client: Client; readonly caches: Caches },
  { namespace, name }: { readonly namespace: string; readonly name: string },
  signal: AbortSignal,
): Promise<void> {
  if (!caches.backups.byIndex('policy', keyFrom(namespace, name)).some(isNew)) return
  const policies = await client.list<BackupPolicy>(backupPolicies, { namespace, signal })
  for (const policy of policies.items) caches.policies.offer(policy)
  if (caches.policies.get(namespace, name)?.spec.strategy.type !== 'snapshot') return
  const found = await client.list<PersistentVolumeClaim>(claims, { namespace, signal })
  for (const claim of found.items) caches.claims.offer(claimEssence(claim))
  if (caches.snapshotClasses.state !== 'synced') return
  const classes = await client.list<VolumeSnapshotClass>(snapshotClasses, { signal })
  for (const each of classes.items) caches.snapshotClasses.offer(each)
}

/** Those of a slot are made by ourselves, from what the schedule has found. */
function isNew({ metadata, spec, status }: Backup): boolean {
  return spec.slot === undefined && status?.phase === undefined && !metadata.deletionTimestamp
}
