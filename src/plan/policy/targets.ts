// The targets of a policy as its status shows them: whether each can be backed up.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { StartStatus, StoreStatus, TargetStatus } from '../../api/kinds/backup-policy-status.ts'
import type { Reason } from '../../api/conditions.ts'
import type { Readiness } from '../view/selection.ts'
import { stuckSnapshots } from '../runs/busy.ts'
import { limitsOf } from '../runs/snapshot-limits.ts'
import type { JobTarget } from '../view/job-targets.ts'
import type { JobStrategyView, SnapshotStrategyView, View } from '../view/view.ts'

export type Target = Pick<TargetStatus, 'name' | 'ready' | 'reason' | 'message'> & { readonly readiness?: Readiness }

export function targetsOf(
  {
    policy,
    strategy,
    snapshots,
  }: Pick<View, 'snapshots'> & {
    readonly policy: BackupPolicy
    readonly strategy: JobStrategyView | SnapshotStrategyView
  },
  store: StoreStatus | undefined,
  starts: ReadonlyMap<string, StartStatus>,
  now: Date,
  namesTaken: ReadonlyMap<string, string> = new Map(),
): readonly Target[] {
  if (strategy.type === 'job') {
    // That of an explicit command is told of the policy.
    const taken = strategy.preset === undefined ? new Map<string, string>() : namesTaken
    return strategy.targets.map(target => jobTarget(target, store, starts.get(target.name), taken.get(target.name)))
  }
  return claimTargets(strategy).map(target => unlessStuck(target, snapshots, policy, now))
}

/** What is wrong with the target itself comes first: it is the same whatever the store says. */
function jobTarget(
  target: JobTarget,
  store: StoreStatus | undefined,
  start: StartStatus | undefined,
  taken: string | undefined,
): Target {
  const { name } = target
  if ('problem' in target) {
    const { reason, message } = target.problem
    return { name, ready: false, reason, message: message.slice(0, 1024) }
  }
  if (taken !== undefined) return { name, ready: false, reason: 'NameTaken', message: taken.slice(0, 1024) }
  const said = store?.result === 'Usable' && start?.result === 'NotStartable' ? start : store
  const ready = said?.result === 'Usable'
  const words = [said?.message ?? '', ...((ready && target.notes) || [])]
  return { name, ready, reason: said?.reason ?? 'Probing', message: words.join('; ').slice(0, 1024) }
}

/** Without the snapshot CRDs nothing can be said of any. */
function claimTargets({ targets }: SnapshotStrategyView): readonly Target[] {
  return targets.flatMap(({ name, readiness }) => {
    if (!readiness) return []
    const { ready } = readiness
    return readiness.ready
      ? {
          name,
          ready,
          reason: 'Ready',
          message: `snapshots are made with VolumeSnapshotClass ${readiness.className}`,
          readiness,
        }
      : { name, ready, reason: readiness.reason, message: readiness.message.slice(0, 1024), readiness }
  })
}

/** It could be snapshotted, and is not: the limit on those that are not ready is reached, and nothing but a person may change that. */
function unlessStuck(target: Target, snapshots: View['snapshots'], policy: BackupPolicy, now: Date): Target {
  const stuck = target.ready ? stuckSnapshots(snapshots, target.name, policy, now) : []
  if (stuck.length === 0) return target
  const { readySeconds } = limitsOf(policy)
  const message = `${stuck.length} snapshots of PersistentVolumeClaim ${target.name} are cut and not ready after ${readySeconds} s, and no further one is begun: look at the storage system, which reports no error, and delete those that will never be ready: kubectl delete volumesnapshot ${stuck.join(' ')}`
  return { ...target, ready: false, reason: 'SnapshotsStuck', message: message.slice(0, 1024) }
}

/** One reason for several targets. */
export function commonReason(targets: readonly Target[]): Reason {
  const [only, ...others] = new Set(targets.map(({ reason }) => reason))
  return others.length === 0 && only ? (only as Reason) : 'SeveralTargetsNotReady'
}
