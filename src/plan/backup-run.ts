// One Backup: what it is waiting for, what has become of it, and what has to be done for it. A final phase never changes, except to Deleting.
import type { Backup, BackupPhase, BackupStatus } from '../api/backup.ts'
import { isFinal } from '../api/backup.ts'
import type { BackupPolicy } from '../api/backup-policy.ts'
import type { Reason } from '../api/conditions.ts'
import type { Job, VolumeSnapshot } from '../api/kubernetes.ts'
import { annotation, label } from '../api/labels.ts'
import type { CatalogEntry } from '../api/mover-message.ts'
import { backupArtifact, commandTarget } from '../api/names.ts'
import type { Action, Unless } from './actions.ts'
import { finished, ongoing, type Facts } from './backup-status.ts'
import { sameJson } from './equal.ts'
import { hasWords, judgeJob } from './job-run.ts'
import { childrenOf, jobOf, runJobName, snapshotName, snapshotOf } from './lookup.ts'
import { readinessOf } from './selection.ts'
import { addSeconds, rfc3339, sizeText, timeOf } from './times.ts'
import type { PolicyWorld } from './world.ts'

/** A pipeline may create a Backup a little before its policy. Seconds. */
const policyGraceSeconds = 60
/** How long the caches of claims and volumes may be of different moments. Seconds. */
const volumeGraceSeconds = 30
/** Where the policy is gone before it could be read. Seconds. */
export const defaultReadySeconds = 600

export type BackupPlan = { readonly actions: readonly Action[]; readonly wakeAt?: Date }

/** What is known of the bucket while a run is judged. */
export type CatalogKnowledge = {
  /** The whole list, where it was just read. */
  readonly entries: ReadonlyMap<string, CatalogEntry> | undefined
  /** The bucket is known to hold other runs than our objects tell: a run without a Job may be among them. */
  readonly open: boolean
}

export function planBackup(
  world: PolicyWorld,
  backup: Backup,
  catalog: CatalogKnowledge | undefined,
  now: Date,
): BackupPlan {
  if (backup.metadata.deletionTimestamp) return { actions: [] }
  if (isFinal(backup.status?.phase)) return { actions: [] }
  const entry = catalog?.entries?.get(backup.metadata.name)
  const job = jobOf(world, backup)
  if (!job && entry && backup.spec.slot)
    return write(backup, finished(backup, factsOfEntry(entry, world.storeLocation, now), now))
  if (!world.policy || world.policy.metadata.deletionTimestamp) return planWithoutPolicy(world, backup, job, now)
  if (job) return planJobRun(world, backup, job, now)
  const snapshot = snapshotOf(world, backup)
  if (snapshot) return planSnapshotRun(world, world.policy, backup, snapshot, now)
  return isJobRun(world, backup)
    ? planJobStart(world, backup, catalog?.open === true, now)
    : planSnapshotStart(world, world.policy, backup, now)
}

/** By what the run is, where it has begun: the policy may have another strategy by now. */
function isJobRun({ policy, claims }: PolicyWorld, { spec, status }: Backup): boolean {
  if (policy?.spec.strategy.type === 'job') return true
  const ofCommand = spec.target === commandTarget || status?.target === commandTarget
  const begun = spec.slot !== undefined || status?.run !== undefined
  return ofCommand && begun && !claims.some(({ metadata }) => metadata.name === commandTarget)
}

/** What the run has already reached stands; what goes on is ended (docs/design.md R8). */
function planWithoutPolicy(world: PolicyWorld, backup: Backup, job: Job | undefined, now: Date): BackupPlan {
  const { policy, slot } = backup.spec
  if (backup.status?.reason === 'Children') return planTargets(world, backup, now)
  const snapshot = snapshotOf(world, backup)
  if (job && !goesOn(job, world, now)) return planJobRun(world, backup, job, now)
  if (snapshot?.status?.readyToUse && !snapshot.metadata.deletionTimestamp)
    return planSnapshotRun(world, undefined, backup, snapshot, now)
  const waits = backup.status?.reason === undefined || backup.status.reason === 'PolicyNotFound'
  if (slot !== undefined || job || snapshot || !waits) {
    const stop: Action[] = []
    if (job && !job.metadata.deletionTimestamp) {
      const { name, uid = '' } = job.metadata
      stop.push({ do: 'delete-job', name, uid, because: `its policy ${policy} was deleted` })
    }
    if (snapshot && !snapshot.metadata.deletionTimestamp) {
      const { name, uid = '', resourceVersion } = snapshot.metadata
      const because = `its policy ${policy} was deleted before it was ready`
      stop.push({ do: 'delete-snapshot', name, uid, resourceVersion, because })
    }
    const facts = failure('PolicyDeleted', `BackupPolicy ${policy} was deleted while this run was going on`)
    const plan = write(backup, finished(backup, facts, now))
    return { ...plan, actions: [...stop, ...plan.actions] }
  }
  const until = addSeconds(timeOf(backup.metadata.creationTimestamp) ?? now, policyGraceSeconds)
  const message = `there is no BackupPolicy ${policy} in namespace ${world.namespace}`
  if (now >= until)
    return write(
      backup,
      finished(backup, failure('PolicyNotFound', `${message}; create it, then create this Backup again`), now),
    )
  return {
    ...write(backup, ongoing(backup, { phase: 'Pending', reason: 'PolicyNotFound', message }, now)),
    wakeAt: until,
  }
}

function planJobStart(world: PolicyWorld, backup: Backup, bucketIsOpen: boolean, now: Date): BackupPlan {
  const { slot, target } = backup.spec
  const end = (phase: 'Failed' | 'Skipped', reason: Reason, message: string) =>
    write(backup, finished(backup, { phase, reason, message, target: commandTarget }, now))
  if (target !== undefined && target !== commandTarget) {
    // Of no target: a mistyped name says nothing about the backups of the one there is.
    const message = `the policy has no target ${target}; with strategy job the one target is ${commandTarget}`
    return write(backup, finished(backup, failure('TargetNotFound', message), now))
  }
  if (slot !== undefined || backup.status?.run !== undefined) {
    // Its Job may have gone after a good end: the list that is being read will tell.
    if (bucketIsOpen && slot !== undefined) return { actions: [] }
    const job = runJobName(backup)
    const message = `Job ${job} of this run was deleted before it ended`
    const facts = { phase: 'Failed', reason: 'JobDeleted', message, target: commandTarget, run: job } as const
    return write(backup, finished(backup, facts, now), 'job', { kind: 'job', name: job })
  }
  const running = world.jobs.find(
    job => job.metadata.labels?.[label.role] === 'run' && !job.metadata.deletionTimestamp && goesOn(job, world, now),
  )
  if (running)
    return end(
      'Skipped',
      'Overlapping',
      `another run of the policy, Job ${running.metadata.name}, is still going on; create a new Backup when it has ended`,
    )
  return { actions: [{ do: 'create-run-job', backup }] }
}

/** Once a run is judged people start the next one, though the Job's own controller takes a moment longer to see its end. */
function goesOn(job: Job, world: PolicyWorld, now: Date): boolean {
  const { phase } = judgeJob(job, world.pods, world.jobEvents, undefined, now)
  return phase === 'Pending' || phase === 'Running'
}

function planJobRun(world: PolicyWorld, backup: Backup, job: Job, now: Date): BackupPlan {
  const run = judgeJob(job, world.pods, world.jobEvents, backup.status?.reason, now)
  const { said } = run
  const store = job.metadata.annotations?.[annotation.store]
  const common = {
    reason: run.reason,
    message: run.message,
    target: commandTarget,
    run: job.metadata.name,
    attempts: run.attempts,
    ...(run.startTime ? { startTime: rfc3339(run.startTime) } : {}),
    ...(store ? { store } : {}),
  }
  if (run.phase === 'Pending' || run.phase === 'Running') {
    const { wakeAt } = run
    return { ...write(backup, ongoing(backup, { ...common, phase: run.phase }, now)), ...(wakeAt ? { wakeAt } : {}) }
  }
  const { exitCode, stderr, endTime = now } = run
  const details = { ...(exitCode === undefined ? {} : { exitCode }), ...(stderr ? { stderr } : {}) }
  const stored = run.phase === 'Completed' && said ? storedFacts(said) : {}
  const unless = hasWords(job, world.pods) ? undefined : ({ kind: 'newer-pods', name: job.metadata.name } as const)
  return write(backup, finished(backup, { ...common, ...details, ...stored, phase: run.phase }, endTime), 'job', unless)
}

function planSnapshotStart(world: PolicyWorld, policy: BackupPolicy, backup: Backup, now: Date): BackupPlan {
  const target = backup.spec.target ?? backup.status?.target
  const fail = (reason: Reason, message: string, of = target) =>
    write(
      backup,
      finished(backup, { phase: 'Failed', reason, message, ...(of ? { target: of } : {}) }, now),
      'snapshot',
    )
  if (target === undefined) return planTargets(world, backup, now)
  if (backup.status?.run !== undefined) {
    const name = backup.status.run
    const message = `VolumeSnapshot ${name} was deleted before it was ready`
    const facts = { phase: 'Failed', reason: 'SnapshotDeleted', message, target, run: name } as const
    return write(backup, finished(backup, facts, now), 'snapshot', { kind: 'snapshot', name })
  }
  if (!world.snapshotClasses)
    return fail(
      'SnapshotCRDsMissing',
      'the VolumeSnapshot CRDs are not installed in this cluster; install the external-snapshotter',
    )
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

/** An on-demand Backup without a target: it is its only target, or it has a child for each and shows the worst of them (docs/design.md R9). */
function planTargets(world: PolicyWorld, backup: Backup, now: Date): BackupPlan {
  const children = childrenOf(world, backup)
  if (backup.status?.reason !== 'Children') {
    const names = world.claims.map(({ metadata }) => metadata.name)
    const [only, ...others] = names
    if (only === undefined)
      return write(
        backup,
        finished(
          backup,
          failure('SelectorMatchedNothing', 'the selector of the policy matches no PersistentVolumeClaim'),
          now,
        ),
        'snapshot',
      )
    if (others.length === 0 && children.length === 0)
      return write(
        backup,
        ongoing(
          backup,
          { phase: 'Pending', reason: 'SnapshotPending', message: `about to snapshot ${only}`, target: only },
          now,
        ),
      )
    // The status is written after the children, so that a crash between two of them is seen and the rest is created.
    const status = ongoing(
      backup,
      { phase: 'Pending', reason: 'Children', message: `one Backup for each of ${names.join(', ')}` },
      now,
    )
    const existing = new Set(children.map(({ spec }) => spec.target))
    const create = names
      .filter(target => !existing.has(target))
      .map((target): Action => ({ do: 'create-child-backup', parent: backup, target }))
    return { actions: [...create, ...write(backup, status).actions] }
  }
  const left = children.filter(({ status }) => !isFinal(status?.phase))
  if (left.length > 0)
    return write(
      backup,
      ongoing(
        backup,
        {
          phase: 'Running',
          reason: 'Children',
          message: `${children.length - left.length} of ${children.length} targets are done`,
        },
        now,
      ),
    )
  const failed = children.filter(({ status }) => status?.phase === 'Failed' || status?.phase === 'Skipped')
  const phase: BackupPhase = failed.length > 0 || children.length === 0 ? 'Failed' : 'Completed'
  const each = failed.map(({ spec, status }) => `${spec.target}: ${status?.reason}`).join('; ')
  const message =
    phase === 'Completed'
      ? `all ${children.length} targets are complete`
      : children.length === 0
        ? 'the Backups of its targets were deleted before they had ended'
        : `${failed.length} of ${children.length} targets failed: ${each}`
  return write(
    backup,
    finished(
      backup,
      { phase, reason: phase === 'Completed' ? 'Completed' : commonFailure(children, failed), message },
      now,
    ),
  )
}

/** Where all targets failed for one reason, that is the reason of the whole. */
function commonFailure(children: readonly Backup[], failed: readonly Backup[]): Reason {
  const [reason, ...others] = new Set(failed.map(({ status }) => status?.reason))
  const one = reason !== undefined && others.length === 0 && failed.length === children.length
  return one ? (reason as Reason) : 'PartiallyFailed'
}

function planSnapshotRun(
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
    return write(
      backup,
      finished(
        backup,
        {
          ...common,
          phase: 'Failed',
          reason: 'SnapshotDeleted',
          message: `VolumeSnapshot ${name} was deleted before it was ready`,
        },
        now,
      ),
      'snapshot',
    )
  if (readyToUse) {
    const size = restoreSize ? { size: restoreSize } : {}
    const taken = creationTime ? `, taken at ${creationTime}` : ''
    return write(
      backup,
      finished(
        backup,
        {
          ...common,
          ...size,
          phase: 'Completed',
          reason: 'Completed',
          message: `VolumeSnapshot ${name} is ready to use${taken}`,
        },
        now,
      ),
      'snapshot',
    )
  }
  const limit = policy?.spec.strategy.snapshot?.readyTimeoutSeconds ?? defaultReadySeconds
  const until = addSeconds(start, limit)
  const said = error?.message ? `; the storage system says: ${error.message}` : ''
  if (now >= until) {
    const message = `VolumeSnapshot ${name} was not ready within ${limit} s and was deleted${said}`
    const plan = write(
      backup,
      finished(backup, { ...common, phase: 'Failed', reason: 'SnapshotNotReady', message }, now),
      'snapshot',
    )
    return { actions: [...plan.actions, { do: 'delete-snapshot', name, uid, because: message }] }
  }
  const reason = error?.message ? 'SnapshotError' : 'SnapshotPending'
  const message = error?.message
    ? `the storage system reports an error and is tried again until the deadline${said}`
    : 'waiting for the storage system to make the snapshot ready to use'
  return { ...write(backup, ongoing(backup, { ...common, phase: 'Running', reason, message }, now)), wakeAt: until }
}

function failure(reason: Reason, message: string) {
  return { phase: 'Failed', reason, message } as const
}

type Stored = {
  readonly bytes?: number
  readonly storedBytes?: number
  readonly manifest?: string
  readonly sha256?: string
  readonly suspect?: boolean
}

function storedFacts({ bytes, storedBytes, manifest, sha256, suspect }: Stored): Partial<Facts> {
  const sizes = bytes !== undefined && storedBytes !== undefined ? { bytes, storedBytes } : undefined
  return {
    ...(sizes ? { artifacts: [{ name: backupArtifact, ...sizes, ...(sha256 ? { sha256 } : {}) }] } : {}),
    ...(bytes === undefined ? {} : { bytes }),
    ...(storedBytes === undefined ? {} : { storedBytes, size: sizeText(storedBytes) }),
    ...(manifest === undefined ? {} : { manifest }),
    ...(suspect ? { suspect } : {}),
  }
}

function factsOfEntry(entry: CatalogEntry, store: string | undefined, now: Date): Facts {
  return {
    ...storedFacts(entry),
    phase: 'Completed',
    reason: 'Completed',
    message: 'found in the bucket',
    ...(store ? { store } : {}),
    target: commandTarget,
    run: entry.run,
    startTime: rfc3339(new Date(entry.startedAt)),
    completionTime: rfc3339(new Date(Math.min(entry.finishedAt, now.getTime()))),
  }
}

/** @param unless what the verdict rests on being gone, or unsaid; it is looked at once more before it is written, because it is final. */
function write(backup: Backup, status: BackupStatus, strategy?: 'job' | 'snapshot', unless?: Unless): BackupPlan {
  if (sameJson(backup.status, status)) return { actions: [] }
  const { phase } = status
  const action: Action = { do: 'write-backup-status', backup, status, ...(unless ? { unless } : {}) }
  if (strategy === undefined || (phase !== 'Completed' && phase !== 'Failed')) return { actions: [action] }
  const [start, end] = [timeOf(status.startTime), timeOf(status.completionTime)]
  const seconds = start && end ? Math.max(0, (end.getTime() - start.getTime()) / 1000) : 0
  const good = phase === 'Completed'
  const notice: Action = {
    do: 'event',
    about: backup,
    type: good ? 'Normal' : 'Warning',
    reason: (status.reason ?? phase) as Reason,
    message: status.message ?? '',
  }
  return { actions: [{ ...action, outcome: { outcome: good ? 'success' : 'failure', seconds, strategy } }, notice] }
}
