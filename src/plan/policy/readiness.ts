// Whether the next run of a policy can start, and each of its targets be backed up: the conditions Ready, Reconciling and Stalled.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { TargetStatus } from '../../api/kinds/backup-policy-status.ts'
import type { Reason } from '../../api/conditions.ts'
import { commandTarget } from '../../api/names.ts'
import type { Verdict } from '../core/conditions.ts'
import type { PolicyFacts } from './facts.ts'
import { readinessOf, type Readiness } from '../view/selection.ts'
import type { PolicyWorld } from '../view/world.ts'

export type Target = Pick<TargetStatus, 'name' | 'ready' | 'reason' | 'message'> & { readonly readiness?: Readiness }

export function jobTarget({ store }: PolicyFacts): Target {
  const usable = store?.result === 'Usable'
  return { name: commandTarget, ready: usable, reason: store?.reason ?? 'Probing', message: store?.message ?? '' }
}

export function snapshotTargets(world: PolicyWorld, policy: BackupPolicy): readonly Target[] {
  const classes = world.snapshotClasses
  if (!classes) return []
  return world.claims.map(claim => {
    const verdict = readinessOf(claim, world.volumes, classes, policy.spec.strategy.snapshot?.volumeSnapshotClassName)
    const { name } = claim.metadata
    return verdict.ready
      ? {
          name,
          ready: true,
          reason: 'Ready',
          message: `snapshots are made with VolumeSnapshotClass ${verdict.className}`,
          readiness: verdict,
        }
      : { name, ready: false, reason: verdict.reason, message: verdict.message.slice(0, 1024), readiness: verdict }
  })
}

/** Ready says that the next run can start; Reconciling and Stalled are there only while they are true (kstatus). */
export function readiness(
  world: PolicyWorld,
  policy: BackupPolicy,
  facts: PolicyFacts,
  targets: readonly Target[],
): readonly Verdict[] {
  const stalled = (reason: Reason, message: string): readonly Verdict[] => [
    { type: 'Ready', status: 'False', reason, message },
    { type: 'Stalled', status: 'True', reason, message },
  ]
  if ('problem' in facts.clock) return stalled('InvalidSchedule', `the schedule cannot be read: ${facts.clock.problem}`)
  if (facts.nameTaken) return stalled('NameTaken', facts.nameTaken)
  if (policy.spec.strategy.type === 'snapshot') {
    if (!world.snapshotClasses)
      return stalled(
        'SnapshotCRDsMissing',
        'the VolumeSnapshot CRDs are not installed in this cluster; install the external-snapshotter, then snapshots start without a restart of the operator',
      )
    if (targets.length === 0)
      return [
        {
          type: 'Ready',
          status: 'False',
          reason: 'SelectorMatchedNothing',
          message:
            'the selector matches no PersistentVolumeClaim in this namespace; strategy snapshot selects claims, not pods, so label the claims',
        },
      ]
    const unready = targets.filter(({ ready }) => !ready)
    const [first] = unready
    if (first && unready.length === targets.length)
      return [
        {
          type: 'Ready',
          status: 'False',
          reason: commonReason(unready),
          message: unready.map(({ message }) => message).join('; '),
        },
      ]
  }
  if (!facts.next && !policy.spec.suspend)
    return stalled('ScheduleNeverFires', `the schedule ${policy.spec.schedule} never matches a date`)
  if (facts.store?.result === 'Unknown') {
    const { reason, message } = facts.store
    return [
      { type: 'Ready', status: 'Unknown', reason: reason as Reason, message },
      { type: 'Reconciling', status: 'True', reason: reason as Reason, message },
    ]
  }
  if (facts.store?.result === 'Unusable') {
    const { reason, message } = facts.store
    return [
      {
        type: 'Ready',
        status: 'False',
        reason: reason as Reason,
        message: `${message}; it is tried again, at the latest after 10 minutes`,
      },
    ]
  }
  if (policy.spec.suspend)
    return [
      {
        type: 'Ready',
        status: 'True',
        reason: 'Suspended',
        message: 'the schedule is suspended; on-demand Backups still run',
      },
    ]
  return [{ type: 'Ready', status: 'True', reason: 'Ready', message: 'the next run can start' }]
}

export function commonReason(targets: readonly Target[]): Reason {
  const reasons = new Set(targets.map(({ reason }) => reason))
  const [only, ...others] = reasons
  return others.length === 0 && only ? (only as Reason) : 'SeveralTargetsNotReady'
}
