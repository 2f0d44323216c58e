// Asks the API server before the first verdict on a Backup: the watches of several kinds are not of one moment, and whoever edits a policy,
// or labels a claim, and then asks for a Backup means what stands there now (docs/decisions/0012-a-backup-is-of-what-stands-now.md).
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Reason } from '../../api/conditions.ts'
import { apiVersion } from '../../api/labels.ts'
import { controllerOf } from '../../plan/view/chain.ts'
import type { PersistentVolumeClaim, VolumeSnapshotClass } from '../../api/kubernetes.ts'
import { keyFrom } from '../../runtime/client/resource.ts'
import { named } from '../shared/asked.ts'
import { claimEssence, type Reach } from '../shared/caches.ts'
import { backupPolicies, claims, snapshotClasses } from '../shared/resources.ts'

type PolicyName = { readonly namespace: string; readonly name: string }

/** Backups that come faster than the API server answers wait for the next look: its policy does not wait with them. */
const mostLooks = 3

/**
 * Makes the caches at least as new as every Backup of the policy that is yet to be judged, also those that come meanwhile. What is found
 * stays in them, and they tell of it like of any other change.
 * @returns the UIDs of Backups that came later still, to be seen by the next plan, which they have asked for themselves.
 */
export async function lookFirst(
  reach: Reach,
  policy: PolicyName,
  signal: AbortSignal,
): Promise<ReadonlySet<string | undefined>> {
  const { backups, policies } = reach.caches
  const looked = new Set<string | undefined>()
  for (let looks = 0; policies.state === 'synced'; looks++) {
    const unjudged = backups.byIndex('policy', keyFrom(policy.namespace, policy.name)).filter(isUnjudged)
    const fresh = unjudged.map(({ metadata }) => metadata.uid).filter(uid => !looked.has(uid))
    if (fresh.length === 0 || looks === mostLooks) return new Set(fresh)
    for (const uid of fresh) looked.add(uid)
    await look(reach, policy, signal)
  }
  return new Set()
}

async function look({ client, caches }: Reach, { namespace, name }: PolicyName, signal: AbortSignal): Promise<void> {
  const policy = await named<BackupPolicy>(client, backupPolicies, namespace, name, signal)
  if (policy) caches.policies.offer(policy)
  if (caches.policies.get(namespace, name)?.spec.strategy.type !== 'snapshot') return
  const found = await client.list<PersistentVolumeClaim>(claims, { namespace, signal })
  for (const claim of found.items) caches.claims.offer(claimEssence(claim))
  if (caches.snapshotClasses.state !== 'synced') return
  const classes = await client.list<VolumeSnapshotClass>(snapshotClasses, { signal })
  for (const each of classes.items) caches.snapshotClasses.offer(each)
}

/**
 * A person asked for it, and nothing final can be said yet. Those of a slot, and the children of another Backup, are made by ourselves from
 * what was known then.
 */
function isUnjudged({ metadata, spec, status }: Backup): boolean {
  const isChild = controllerOf({ metadata }, apiVersion, 'Backup') !== undefined
  if (spec.slot !== undefined || isChild || metadata.deletionTimestamp) return false
  return status?.phase === undefined || (status.phase === 'Pending' && waitsForOthers.has(status.reason))
}

/** Reasons of Backups that wait for what was perhaps created after them. */
const waitsForOthers: ReadonlySet<string | undefined> = new Set<Reason>(['PolicyNotFound', 'SnapshotCRDsMissing'])
