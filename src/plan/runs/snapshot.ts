// A Backup of one PersistentVolumeClaim: its VolumeSnapshot, until that is ready or given up.
import type { Backup, BackupStatus } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Reason } from '../../api/conditions.ts'
import { volumeSnapshot } from '../../resources/backup-objects.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { unprovenClaim } from '../../api/labels.ts'
import { deletion, type Group, type Unless } from '../core/actions.ts'
import { failure, planStatus, type BackupPlan, type Facts } from './status.ts'
import { busyWith } from './busy.ts'
import { planTargets } from './children.ts'
import { apiGraceEnd, backGraceEnd, claimGraceEnd } from './grace.ts'
import { limitsOf, progressOf, type Limits, type Progress } from './snapshot-limits.ts'
import { planWait } from './wait.ts'
import { claimUIDOf, isEphemeral, snapshotName, targetOf } from '../view/owners.ts'
import { addSeconds, latest, rfc3339, timeOf } from '../../schedule/times.ts'
import type { ClaimTarget, RunView, SnapshotStrategyView, SnapshotView, View } from '../view/view.ts'

/** Most snapshots are ready by then: nobody waits at the Backup of a slot, which says nothing before, and is written once. Seconds. */
export const quickSeconds = 5

/** How long the caches of claims and volumes may be of different moments. Seconds. */
const volumeGraceSeconds = 30

export function planSnapshotStart(
  {
    policy,
    snapshots,
    snapshotApi,
    snapshotApiAwaySince,
    snapshotApiBackSince,
  }: Pick<View, 'snapshots' | 'snapshotApi' | 'snapshotApiAwaySince' | 'snapshotApiBackSince'> & {
    readonly policy: BackupPolicy
  },
  { targets }: SnapshotStrategyView,
  run: RunView,
  now: Date,
): BackupPlan {
  const { backup } = run
  const target = backup.spec.target ?? backup.status?.target
  const own = { kind: 'snapshot', name: snapshotName(backup) } as const
  // A start of which the answer was lost may have been one; without the API nobody can look.
  const unless = snapshotApi ? own : undefined
  const fail = (reason: Reason, message: string) =>
    planStatus(backup, { ...failure(reason, message), ...(target ? { target } : {}) }, now, 'snapshot', unless)
  if (target === undefined)
    return planTargets(
      run,
      targets.map(({ name }) => name),
      now,
    )
  if (backup.status?.run !== undefined) {
    const name = backup.status.run
    const facts = { ...gone(policy, backup, name), target, run: name }
    return planStatus(backup, facts, now, 'snapshot', { kind: 'snapshot', name })
  }
  if (!snapshotApi) {
    const reason = 'SnapshotCRDsMissing'
    const message = 'the VolumeSnapshot CRDs are not installed in this cluster; install the external-snapshotter'
    const until = apiGraceEnd(backup, snapshotApiAwaySince, now)
    if (now >= until) return fail(reason, message)
    return { ...planStatus(backup, { phase: 'Pending', reason, message, target }, now), wakeAt: until }
  }
  const claimTarget = targets.find(({ name }) => name === target)
  const readiness = claimTarget?.readiness
  const coming = claimGraceEnd(backup, now)
  const wait = (reason: Reason, message: string, end = coming) => ({
    ...planStatus(
      backup,
      { phase: 'Pending', reason, message: `${message}; it is waited for until ${rfc3339(end)}`, target },
      now,
    ),
    wakeAt: end,
  })
  if (!claimTarget || !readiness) {
    const message = `the selector of the policy matches no PersistentVolumeClaim ${target}`
    return now < coming ? wait('TargetNotFound', message) : fail('TargetNotFound', message)
  }
  if (!readiness.ready) {
    // The volume of a new claim may come a moment after it.
    const until = addSeconds(timeOf(backup.metadata.creationTimestamp) ?? now, volumeGraceSeconds)
    if (readiness.passing && now < until) return { groups: [], wakeAt: until }
    const bound = readiness.reason === 'PVCPending' ? coming : undefined
    const end = latest(bound, backGraceEnd(readiness, snapshotApiBackSince))
    if (end && now < end) return wait(readiness.reason, readiness.message, end)
    return fail(readiness.reason, readiness.message)
  }
  const busy = backup.spec.slot === undefined ? busyWith(snapshots, target, policy, now) : undefined
  if (busy !== undefined) return planWait(backup, policy, { target, why: busy, start: own }, now)
  return { groups: snapshotStart(backup, claimTarget, now) }
}

type RetentionWord = NonNullable<BackupStatus['retention']>

/** What begins the run of a Backup: nothing, where no snapshot can be made of the claim. */
export function snapshotStart(backup: Backup, { name, claim, readiness }: ClaimTarget, now: Date): readonly Group[] {
  if (!readiness?.ready) return []
  const of = { claimUID: claim.metadata.uid, isEphemeral: isEphemeral(claim) }
  const object = volumeSnapshot(backup, snapshotName(backup), name, readiness.className, rfc3339(now), of)
  return [{ name: `start/${backup.metadata.name}`, run: backup, actions: [{ do: 'create', object }] }]
}

/** @param retention what it says of the snapshot if that is good by now: told with the success, in one write */
export function planSnapshotRun(
  policy: BackupPolicy | undefined,
  backup: Backup,
  { snapshot, deletionPolicy, liveClaim }: SnapshotView,
  retention: RetentionWord | undefined,
  now: Date,
): BackupPlan {
  const { name, creationTimestamp, deletionTimestamp } = snapshot.metadata
  const claim = snapshot.spec.source.persistentVolumeClaimName
  const target = targetOf(snapshot, backup)
  const {
    boundVolumeSnapshotContentName: contentName,
    restoreSize,
    error,
    creationTime,
    readyToUse,
  } = snapshot.status ?? {}
  const start = timeOf(creationTimestamp) ?? now
  const told = backup.status?.snapshot?.claimUID
  const asked = claimUIDOf(snapshot)
  // Not before it is cut: until then the claim may still be made anew.
  const isCut = creationTime !== undefined || readyToUse === true
  const isNews = told === undefined && asked !== undefined && claim !== undefined && isCut
  // The cache of claims may be behind, and what is written once is never asked for again.
  const unless = isNews ? ({ kind: 'other-claim', name: claim, uid: liveClaim } as const) : undefined
  const of = (claimUID: string | undefined) => ({
    target,
    run: name,
    ...(timeOf(creationTime) ? { takenTime: rfc3339(timeOf(creationTime) ?? start) } : {}),
    startTime: rfc3339(start),
    attempts: 1,
    snapshot: {
      name,
      ...(claimUID === undefined ? {} : { claimUID }),
      ...(contentName ? { contentName } : {}),
      ...(restoreSize ? { restoreSize } : {}),
      ...(deletionPolicy ? { deletionPolicy } : {}),
    },
  })
  const common = of(isNews ? (asked === liveClaim ? asked : unprovenClaim) : told)
  // A failure counts for nothing, of whatever claim it is.
  const fail = (facts: ReturnType<typeof failure>, unlessNow?: Unless) =>
    planStatus(backup, { ...of(told), ...facts }, now, 'snapshot', unlessNow)
  const limits = limitsOf(policy)
  if (deletionTimestamp) return fail(gone(policy, backup, name))
  const reported = error?.message ? `; the storage system says: ${error.message}` : ''
  const progress = progressOf(snapshot, limits, now)
  switch (progress.is) {
    case 'ready': {
      const taken = creationTime ? `, taken at ${creationTime}` : ''
      const message = `VolumeSnapshot ${name} is ready to use${taken}`
      const good = { phase: 'Completed', reason: 'Completed', message, ...(retention ? { retention } : {}) } as const
      return planStatus(backup, { ...common, ...good }, now, 'snapshot', unless)
    }
    case 'not-cut': {
      const message = `the storage system did not cut VolumeSnapshot ${name} within ${progress.limit} s, and it was deleted${reported}`
      return givenUp(snapshot, fail(failure('SnapshotNotCut', message), { kind: 'cut-snapshot', name }))
    }
    case 'not-ready': {
      const message = `${tooSlow(name, limits)}${reported}`
      return givenUp(snapshot, fail(failure('SnapshotNotReady', message), { kind: 'ready-snapshot', name }))
    }
    case 'slow':
      return planSlow(policy, backup, common, limits, unless, now)
    case 'uncut':
    case 'unready': {
      const quick = addSeconds(start, quickSeconds)
      if (backup.spec.slot !== undefined && !backup.status?.phase && !error?.message && now < quick)
        return { groups: [], wakeAt: quick }
      const [reason, message] = error?.message
        ? ([
            'SnapshotError',
            `the storage system reports an error and is tried again until ${rfc3339(progress.until)}${reported}`,
          ] as const)
        : (['SnapshotPending', waitsFor(progress, creationTime)] as const)
      const facts = { ...common, phase: 'Running', reason, message } as const
      return { ...planStatus(backup, facts, now, undefined, unless), wakeAt: progress.until }
    }
  }
}

/** A slow one we delete ourselves once enough newer ones are good; any other, somebody else. */
function gone(policy: BackupPolicy | undefined, { status }: Backup, name: string) {
  return status?.reason === 'SnapshotSlow'
    ? failure('SnapshotNotReady', tooSlow(name, limitsOf(policy)))
    : failure('SnapshotDeleted', `VolumeSnapshot ${name} was deleted before it was ready`)
}

function tooSlow(name: string, { readySeconds }: Limits): string {
  return `VolumeSnapshot ${name} was not ready within ${readySeconds} s and was deleted`
}

function waitsFor({ is }: Progress, creationTime: string | undefined): string {
  return is === 'uncut'
    ? 'waiting for the storage system to cut the snapshot'
    : `the data are of ${creationTime}; waiting for the storage system to make the snapshot ready to use`
}

/** The verdict first: it is looked at once more, and the snapshot goes only when it stands, and nobody holds it. */
function givenUp(snapshot: VolumeSnapshot, plan: BackupPlan): BackupPlan {
  const [verdict] = plan.groups
  if (!verdict) return plan
  const gone = deletion(snapshot, 'it took too long', { provided: { that: 'nobody-needs-it' } })
  return { groups: [{ ...verdict, actions: [...verdict.actions, gone] }] }
}

/** People are told once; what becomes of it is up to the storage system, or to enough newer ones (`history/slow-snapshots.ts`). */
function planSlow(
  policy: BackupPolicy | undefined,
  backup: Backup,
  common: Omit<Facts, 'phase' | 'reason' | 'message'>,
  { readySeconds }: Limits,
  unless: Unless | undefined,
  now: Date,
): BackupPlan {
  const reason = 'SnapshotSlow'
  const enough = policy ? `, or until ${newerNeeded(policy, backup)} newer ones of its kind are good` : ''
  const message = `VolumeSnapshot ${common.run} was cut, and is not ready after ${readySeconds} s; it stays, and is waited for until it is ready${enough}. Look at the storage system: it reports no error`
  const facts = { ...common, phase: 'Running', reason, message } as const
  const { groups } = planStatus(backup, facts, now, undefined, unless)
  if (backup.status?.reason === reason) return { groups }
  const notice = { do: 'event', about: backup, type: 'Warning', reason, message } as const
  return { groups: groups.map(group => ({ ...group, actions: [...group.actions, notice] })) }
}

function newerNeeded({ spec }: BackupPolicy, backup: Backup): number {
  return backup.spec.slot === undefined ? (spec.onDemandRetention ?? spec.retention) : spec.retention
}
