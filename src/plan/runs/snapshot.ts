// A Backup of one PersistentVolumeClaim: its VolumeSnapshot, until that is ready or given up.
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Reason } from '../../api/conditions.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { planStatus, type BackupPlan } from './status.ts'
import { planTargets } from './children.ts'
import { graceEnd } from './grace.ts'
import { snapshotName } from '../view/lookup.ts'
import { readinessOf } from '../view/selection.ts'
import { addSeconds, rfc3339, timeOf } from '../../schedule/times.ts'
import type { PolicyWorld } from '../view/world.ts'

/** How long the caches of claims and volumes may be of different moments. Seconds. */
const volumeGraceSeconds = 30

/** Where the policy is gone before it could be read. Seconds. */
const defaultReadySeconds = 600

/** How long a snapshot may take until it is ready. Seconds. */
export function readyLimit(policy: BackupPolicy | undefined): number {
  return policy?.spec.strategy.snapshot?.readyTimeoutSeconds ?? defaultReadySeconds
}

export function planSnapshotStart(world: PolicyWorld, policy: BackupPolicy, backup: Backup, now: Date): BackupPlan {
  const target = backup.spec.target ?? backup.status?.target
  const fail = (reason: Reason, message: string, of = target) =>
    planStatus(backup, { phase: 'Failed', reason, message, ...(of ? { target: of } : {}) }, now, 'snapshot')
  if (target === undefined) return planTargets(world, backup, now)
  if (backup.status?.run !== undefined) {
    const name = backup.status.run
    const message = `VolumeSnapshot ${name} was deleted before it was ready`
    const facts = { phase: 'Failed', reason: 'SnapshotDeleted', message, target, run: name } as const
    return planStatus(backup, facts, now, 'snapshot', { kind: 'snapshot', name })
  }
  if (!world.snapshotClasses) {
    const reason = 'SnapshotCRDsMissing'
    const message = 'the VolumeSnapshot CRDs are not installed in this cluster; install the external-snapshotter'
    const until = graceEnd(backup, now)
    if (now >= until) return fail(reason, message)
    return { ...planStatus(backup, { phase: 'Pending', reason, message, target }, now), wakeAt: until }
  }
  const claim = world.claims.find(({ metadata }) => metadata.name === target)
  if (!claim) return fail('TargetNotFound', `the selector of the policy matches no PersistentVolumeClaim ${target}`)
  const readiness = readinessOf(
    claim,
    world.volumes,
    world.snapshotClasses,
    policy.spec.strategy.snapshot?.volumeSnapshotClassName,
  )
  if (!readiness.ready) {
    // The volume of a new claim may come a moment after it.
    const until = addSeconds(timeOf(backup.metadata.creationTimestamp) ?? now, volumeGraceSeconds)
    if (readiness.passing && now < until) return { actions: [], wakeAt: until }
    return fail(readiness.reason, readiness.message)
  }
  return {
    actions: [
      { do: 'create-snapshot', backup, name: snapshotName(backup), claim: target, className: readiness.className },
    ],
  }
}

export function planSnapshotRun(
  world: PolicyWorld,
  policy: BackupPolicy | undefined,
  backup: Backup,
  snapshot: VolumeSnapshot,
  now: Date,
): BackupPlan {
  const { name, uid = '', creationTimestamp, deletionTimestamp } = snapshot.metadata
  const target = snapshot.spec.source.persistentVolumeClaimName ?? backup.spec.target ?? ''
  const {
    readyToUse,
    boundVolumeSnapshotContentName: contentName,
    restoreSize,
    error,
    creationTime,
  } = snapshot.status ?? {}
  const deletionPolicy = contentName === undefined ? undefined : world.deletionPolicies.get(contentName)
  const start = timeOf(creationTimestamp) ?? now
  const common = {
    target,
    run: name,
    startTime: rfc3339(start),
    attempts: 1,
    snapshot: {
      name,
      ...(contentName ? { contentName } : {}),
      ...(restoreSize ? { restoreSize } : {}),
      ...(deletionPolicy ? { deletionPolicy } : {}),
    },
  }
  if (deletionTimestamp)
    return planStatus(
      backup,
      {
        ...common,
        phase: 'Failed',
        reason: 'SnapshotDeleted',
        message: `VolumeSnapshot ${name} was deleted before it was ready`,
      },
      now,
      'snapshot',
    )
  if (readyToUse) {
    const size = restoreSize ? { size: restoreSize } : {}
    const taken = creationTime ? `, taken at ${creationTime}` : ''
    return planStatus(
      backup,
      {
        ...common,
        ...size,
        phase: 'Completed',
        reason: 'Completed',
        message: `VolumeSnapshot ${name} is ready to use${taken}`,
      },
      now,
      'snapshot',
    )
  }
  const limit = readyLimit(policy)
  const until = addSeconds(start, limit)
  const said = error?.message ? `; the storage system says: ${error.message}` : ''
  if (now >= until) {
    const message = `VolumeSnapshot ${name} was not ready within ${limit} s and was deleted${said}`
    const plan = planStatus(
      backup,
      { ...common, phase: 'Failed', reason: 'SnapshotNotReady', message },
      now,
      'snapshot',
      { kind: 'ready-snapshot', name },
    )
    return { actions: [...plan.actions, { do: 'delete-snapshot', name, uid, because: message }] }
  }
  const reason = error?.message ? 'SnapshotError' : 'SnapshotPending'
  const message = error?.message
    ? `the storage system reports an error and is tried again until the deadline${said}`
    : 'waiting for the storage system to make the snapshot ready to use'
  return {
    ...planStatus(backup, { ...common, phase: 'Running', reason, message }, now),
    wakeAt: until,
  }
}
