// A Backup of one PersistentVolumeClaim: its VolumeSnapshot, until that is ready or given up.
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Reason } from '../../api/conditions.ts'
import { volumeSnapshot } from '../../resources/backup-objects.ts'
import { deletion } from '../core/actions.ts'
import { planStatus, type BackupPlan } from './status.ts'
import { planTargets } from './children.ts'
import { claimGraceEnd, graceEnd } from './grace.ts'
import { isEphemeral, snapshotName } from '../view/owners.ts'
import { addSeconds, rfc3339, timeOf } from '../../schedule/times.ts'
import type { RunView, SnapshotStrategyView, SnapshotView } from '../view/view.ts'

/** How long the caches of claims and volumes may be of different moments. Seconds. */
const volumeGraceSeconds = 30

/** Where the policy is gone before it could be read. Seconds. */
const defaultReadySeconds = 600

/** How long a snapshot may take until it is ready. Seconds. */
export function readyLimit(policy: BackupPolicy | undefined): number {
  return policy?.spec.strategy.snapshot?.readyTimeoutSeconds ?? defaultReadySeconds
}

/** @param snapshotApi whether the snapshot CRDs are installed */
export function planSnapshotStart(
  { targets }: SnapshotStrategyView,
  snapshotApi: boolean,
  run: RunView,
  now: Date,
): BackupPlan {
  const { backup } = run
  const target = backup.spec.target ?? backup.status?.target
  const fail = (reason: Reason, message: string, of = target) =>
    planStatus(backup, { phase: 'Failed', reason, message, ...(of ? { target: of } : {}) }, now, 'snapshot')
  if (target === undefined)
    return planTargets(
      run,
      targets.map(({ name }) => name),
      now,
    )
  if (backup.status?.run !== undefined) {
    const name = backup.status.run
    const message = `VolumeSnapshot ${name} was deleted before it was ready`
    const facts = { phase: 'Failed', reason: 'SnapshotDeleted', message, target, run: name } as const
    return planStatus(backup, facts, now, 'snapshot', { kind: 'snapshot', name })
  }
  if (!snapshotApi) {
    const reason = 'SnapshotCRDsMissing'
    const message = 'the VolumeSnapshot CRDs are not installed in this cluster; install the external-snapshotter'
    const until = graceEnd(backup, now)
    if (now >= until) return fail(reason, message)
    return { ...planStatus(backup, { phase: 'Pending', reason, message, target }, now), wakeAt: until }
  }
  const claimTarget = targets.find(({ name }) => name === target)
  const readiness = claimTarget?.readiness
  const coming = claimGraceEnd(backup, now)
  const wait = (reason: Reason, message: string) => ({
    ...planStatus(
      backup,
      { phase: 'Pending', reason, message: `${message}; it is waited for until ${rfc3339(coming)}`, target },
      now,
    ),
    wakeAt: coming,
  })
  if (!readiness) {
    const message = `the selector of the policy matches no PersistentVolumeClaim ${target}`
    return now < coming ? wait('TargetNotFound', message) : fail('TargetNotFound', message)
  }
  if (!readiness.ready) {
    // The volume of a new claim may come a moment after it.
    const until = addSeconds(timeOf(backup.metadata.creationTimestamp) ?? now, volumeGraceSeconds)
    if (readiness.passing && now < until) return { groups: [], wakeAt: until }
    if (readiness.reason === 'PVCPending' && now < coming) return wait(readiness.reason, readiness.message)
    return fail(readiness.reason, readiness.message)
  }
  const object = volumeSnapshot(
    backup,
    snapshotName(backup),
    target,
    readiness.className,
    isEphemeral(claimTarget.claim),
  )
  return { groups: [{ name: `start/${backup.metadata.name}`, run: backup, actions: [{ do: 'create', object }] }] }
}

export function planSnapshotRun(
  policy: BackupPolicy | undefined,
  backup: Backup,
  { snapshot, deletionPolicy }: SnapshotView,
  now: Date,
): BackupPlan {
  const { name, creationTimestamp, deletionTimestamp } = snapshot.metadata
  const target = snapshot.spec.source.persistentVolumeClaimName ?? backup.spec.target ?? ''
  const {
    readyToUse,
    boundVolumeSnapshotContentName: contentName,
    restoreSize,
    error,
    creationTime,
  } = snapshot.status ?? {}
  const start = timeOf(creationTimestamp) ?? now
  const common = {
    target,
    run: name,
    ...(timeOf(creationTime) ? { takenTime: rfc3339(timeOf(creationTime) ?? start) } : {}),
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
    const taken = creationTime ? `, taken at ${creationTime}` : ''
    return planStatus(
      backup,
      {
        ...common,
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
  const reported = error?.message ? `; the storage system says: ${error.message}` : ''
  if (now >= until) {
    const message = `VolumeSnapshot ${name} was not ready within ${limit} s and was deleted${reported}`
    const plan = planStatus(
      backup,
      { ...common, phase: 'Failed', reason: 'SnapshotNotReady', message },
      now,
      'snapshot',
      { kind: 'ready-snapshot', name },
    )
    // The verdict first: it is looked at once more, and the snapshot goes only when it stands.
    const [verdict] = plan.groups
    if (!verdict) return plan
    return { groups: [{ ...verdict, actions: [...verdict.actions, deletion(snapshot, message)] }] }
  }
  const reason = error?.message ? 'SnapshotError' : 'SnapshotPending'
  const message = error?.message
    ? `the storage system reports an error and is tried again until the deadline${reported}`
    : 'waiting for the storage system to make the snapshot ready to use'
  return {
    ...planStatus(backup, { ...common, phase: 'Running', reason, message }, now),
    wakeAt: until,
  }
}
