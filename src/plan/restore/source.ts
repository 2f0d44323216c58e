// Which folder of which bucket a Restore reads, and which backup there: from a Backup, from a policy, or from nothing but the spec.
import { isFinal } from '../../api/kinds/backup-phases.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Restore } from '../../api/kinds/restore.ts'
import type { Reason } from '../../api/conditions.ts'
import { storeLocation } from '../../resources/desired-state.ts'
import type { Choice, Folder } from '../../resources/restore-jobs.ts'
import { addSeconds, timeOf } from '../../schedule/times.ts'
import type { RestoreWorld } from './world.ts'

/** What is applied together with the Restore may come a little later than it. Seconds. */
const graceSeconds = 60

export type Source =
  | {
      readonly is: 'known'
      readonly folder: Folder
      /** `storeLocation` of the folder's backend. */
      readonly store: string
      readonly target: string | undefined
      readonly pick: Choice
      /** That made the backup, where it is still here. */
      readonly policy: BackupPolicy | undefined
    }
  /** `until`: from then on it is impossible; undefined: it is waited for as long as it takes. */
  | { readonly is: 'awaited'; readonly reason: Reason; readonly message: string; readonly until?: Date }
  | { readonly is: 'impossible'; readonly reason: Reason; readonly message: string }

export function sourceOf(world: RestoreWorld, restore: Restore, now: Date): Source {
  const { backup, policy, bucket } = restore.spec.source
  if (backup !== undefined) return ofBackup(world, restore, backup, now)
  if (policy) {
    const before = timeOf(policy.before)
    const pick: Choice = before ? { before: before.getTime() } : 'newest'
    return ofPolicy(world, restore, policy.name, { target: policy.target, pick }, now)
  }
  if (!bucket) return impossible('InvalidTask', 'spec.source names no backup; create another Restore that does')
  const { backend, namespace, target, run, newest, before } = bucket
  const until = timeOf(before)
  const pick: Choice = run !== undefined ? { run } : until ? { before: until.getTime() } : newest ? 'newest' : 'nothing'
  const owner = { clusterId: world.settings.clusterId, namespace, policy: bucket.policy }
  return { is: 'known', folder: { backend, owner }, store: storeLocation(backend), target, pick, policy: undefined }
}

/** The name of the policy whose backup is restored, as far as it is known. */
export function policyNameOf({ backup }: Pick<RestoreWorld, 'backup'>, { spec, status }: Restore): string | undefined {
  const { source } = spec
  return source.policy?.name ?? source.bucket?.policy ?? status?.policy ?? backup?.spec.policy
}

function ofBackup(world: RestoreWorld, restore: Restore, name: string, now: Date): Source {
  const { backup } = world
  const { backup: chosen, policy } = restore.status ?? {}
  // What was found is restored, whatever becomes of the object that led there.
  if (chosen && policy !== undefined)
    return ofPolicy(world, restore, policy, { target: chosen.target, pick: { run: chosen.run } }, now)
  if (!backup || backup.metadata.deletionTimestamp) {
    const message = `there is no Backup ${name} in namespace ${world.namespace}; kubectl get bk lists those that there are, and source.bucket reads what only the bucket knows`
    return missing('BackupNotFound', message, restore, now)
  }
  const { phase, snapshot, run, target, store } = backup.status ?? {}
  if (!isFinal(phase)) {
    const message = `Backup ${name} has not ended yet (${phase ?? 'Pending'}); it is restored once it is Completed`
    return { is: 'awaited', reason: 'BackupNotCompleted', message }
  }
  if (phase !== 'Completed' || run === undefined)
    return impossible(
      'BackupNotCompleted',
      `Backup ${name} is ${phase}, and there is nothing to restore of it; choose one that is Completed: kubectl get bk lists them`,
    )
  if (snapshot || isOfSeveral(backup))
    return impossible(
      'NotInBucket',
      `Backup ${name} is a snapshot, and nothing of it is in a bucket; make a volume of VolumeSnapshot ${snapshot?.name ?? 'of each of its children'} instead, as the README shows`,
    )
  const found = ofPolicy(world, restore, backup.spec.policy, { target, pick: { run } }, now)
  if (found.is !== 'known' || store === undefined || store === found.store) return found
  return impossible('StoreChanged', elsewhere(`Backup ${name}`, backup.spec.policy))
}

/** What is said of a backup that lies where the policy does not look any more. */
export function elsewhere(what: string, policy: string): string {
  return `${what} lies in another store than BackupPolicy ${policy} names by now; create a Restore whose source.bucket names that store`
}

/** It stands for its children, each of which has data. */
function isOfSeveral({ status }: Backup): boolean {
  return status?.reason === 'Children' || status?.targets !== undefined
}

function ofPolicy(
  world: RestoreWorld,
  restore: Restore,
  name: string,
  choice: { readonly target: string | undefined; readonly pick: Choice },
  now: Date,
): Source {
  const { namespace, policy, settings } = world
  if (!policy || policy.metadata.deletionTimestamp)
    return missing(
      'PolicyNotFound',
      `there is no BackupPolicy ${name} in namespace ${namespace}; apply it again, or create a Restore whose source.bucket names the store, its Secret and that policy`,
      restore,
      now,
    )
  const { backend, strategy } = policy.spec
  if (strategy.type === 'snapshot')
    return impossible(
      'NotInBucket',
      `BackupPolicy ${name} makes snapshots, and nothing of them is in a bucket; make a volume of a VolumeSnapshot instead, as the README shows`,
    )
  if (!backend)
    return impossible('NoBackend', `BackupPolicy ${name} names no backend, and so no bucket to restore from`)
  const owner = { clusterId: settings.clusterId, namespace, policy: name, policyUid: policy.metadata.uid }
  return { is: 'known', folder: { backend, owner }, store: storeLocation(backend), ...choice, policy }
}

function missing(reason: Reason, message: string, { metadata }: Restore, now: Date): Source {
  const until = addSeconds(timeOf(metadata.creationTimestamp) ?? now, graceSeconds)
  return now < until ? { is: 'awaited', reason, message, until } : impossible(reason, message)
}

function impossible(reason: Reason, message: string): Source {
  return { is: 'impossible', reason, message }
}
