// Objects that have done their duty: Backups without data, snapshots and Jobs of runs that failed or were cancelled, old failures.
import { isFinal } from '../../api/kinds/backup-phases.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Reason } from '../../api/conditions.ts'
import { annotation } from '../../api/labels.ts'
import { alone, deletion, type Group } from '../core/actions.ts'
import { isFinished, lostAt } from '../jobs/verdict.ts'
import { moverMessageOf } from '../jobs/pods.ts'
import { isHeld, isHeldSnapshot } from '../runs/marks.ts'
import { oldFailures } from './old-failures.ts'
import { limitsOf, progressOf } from '../runs/snapshot-limits.ts'
import { addSeconds, earliest, latest, timeOf } from '../../schedule/times.ts'
import { jobUIDOf } from '../view/chain.ts'
import { accountedUntilOf, isTracked, isUnfinished, runJobName, slotsByName, targetOfRun } from '../view/owners.ts'
import type { RunView, View } from '../view/view.ts'

/** How long a Job that is given up stays for its Backup to be created, which says what became of it. Seconds. */
const unseenSeconds = 600

/** Failures that are verdicts on the snapshot itself, which is deleted then, whatever becomes of it. */
const givenUp: ReadonlySet<string | undefined> = new Set<Reason>(['SnapshotNotCut', 'SnapshotNotReady'])

/** Names of the Jobs of the CronJob that are yet to be recorded as Backups. */
export type Unrecorded = ReadonlySet<string>

/** The name of the group that creates the Backup of a run. */
export const recording = (name: string) => `record/${name}`

export function planCleanUp(
  view: Pick<View, 'policy' | 'runs' | 'runJobs' | 'snapshots' | 'pods' | 'snapshotApi'>,
  unrecorded: Unrecorded,
  now: Date,
): readonly Group[] {
  const booked = view.runs.filter(({ backup }) => isBooked(backup, view.policy, now))
  return [...withoutData(view, booked, unrecorded), ...leftoverSnapshots(view, now), ...oldFailures(booked, view, now)]
}

/**
 * Whether the status of the policy accounts for its slot. Until then its Backup is the proof that the slot has run: without it a slot would
 * be counted as missed, or its Job be recorded once more, where the status cannot be written for long. What is dated ahead, by a clock that was
 * wrong, waits for no book.
 */
export function isBooked(backup: Backup, policy: BackupPolicy | undefined, now: Date): boolean {
  const slot = timeOf(backup.spec.slot)
  const { status } = policy ?? {}
  const until = latest(timeOf(accountedUntilOf(status, targetOfRun(backup))), timeOf(status?.scheduleSince))
  return slot === undefined || slot > now || (until !== undefined && slot <= until)
}

/** When something is next to be cleaned up though nothing changes. */
export function nextCleanUp(
  {
    policy,
    snapshots,
    runJobs,
    probes,
    starts,
    pages,
  }: Pick<View, 'policy' | 'snapshots' | 'runJobs' | 'probes' | 'starts' | 'pages'>,
  now: Date,
): Date | undefined {
  const limits = limitsOf(policy)
  const times = [
    ...snapshots.flatMap(({ snapshot, backup }) => {
      const progress = progressOf(snapshot, limits, now)
      return 'until' in progress && !backup ? [progress.until] : []
    }),
    ...[...runJobs, ...probes, ...starts, ...pages]
      .filter(({ job }) => !isFinished(job))
      .flatMap(({ job }) => lostAt(job) ?? [])
      .flatMap(lost => [lost, addSeconds(lost, unseenSeconds)]),
  ]
  return earliest(...times.filter(time => time && time > now))
}

function withoutData(
  view: Pick<View, 'runs' | 'runJobs' | 'pods' | 'snapshots' | 'snapshotApi'>,
  booked: readonly RunView[],
  unrecorded: Unrecorded,
): readonly Group[] {
  const { snapshots, snapshotApi } = view
  const standing = snapshots.filter(({ snapshot }) => !snapshot.metadata.deletionTimestamp)
  const withParts = new Set(standing.map(({ parent }) => parent))
  const pruned = prunedByMovers(view, untoldRuns(view.runs, unrecorded))
  return booked.flatMap(({ backup, snapshot, children, parent }): readonly Group[] => {
    const { metadata, status } = backup
    if (metadata.deletionTimestamp || (status?.phase !== 'Completed' && status?.phase !== 'Deleting')) return []
    // Told once.
    const whyItStays = reasonToStay(backup, parent) ?? (children.length > 0 ? 'those of its targets stay' : undefined)
    if (status.phase === 'Deleting' && whyItStays) return []
    const go = (because: string, more?: Parameters<typeof deletion>[2]) => [
      whyItStays
        ? withoutItsData(backup, `${because}; the Backup stays because ${whyItStays}`, more)
        : alone(`clean/${metadata.name}`, deletion(backup, because, more)),
    ]
    if (status.snapshot) {
      // Without the snapshot API nothing can be said about the data.
      if (!snapshotApi || snapshot) return []
      const { name } = status.snapshot
      // The cache may be behind: the data must be gone for good before the object that tells of them goes.
      return go(`its VolumeSnapshot ${name} is gone`, { provided: { that: 'no-snapshot', name } })
    }
    const notHeld = { provided: { that: 'nobody-needs-it' } } as const
    if (status.target === undefined) {
      // Somebody may have deleted the Backup of one, and left the snapshot.
      if (!snapshotApi || withParts.has(backup)) return []
      const isGone = children.every(each => each.status?.phase === 'Deleting')
      return isGone ? go('the data of its targets are gone', notHeld) : []
    }
    return pruned.get(status.store)?.has(status.run ?? '') ? go('retention deleted its data', notHeld) : []
  })
}

/**
 * Runs that movers have deleted, by the store in which they did. The same run may lie in two: a policy is given the copy of a bucket, and
 * pods of before tell of the other one still.
 */
function prunedByMovers(
  { runs, runJobs, pods }: Pick<View, 'runs' | 'runJobs' | 'pods'>,
  untold: ReadonlySet<string>,
): ReadonlyMap<string | undefined, ReadonlySet<string>> {
  const storeOfJob = new Map([
    ...runs.map(({ backup: { status } }) => [status?.jobUID, status?.store] as const),
    ...runJobs.map(({ job: { metadata } }) => [metadata.uid, metadata.annotations?.[annotation.store]] as const),
  ])
  const told = pods.flatMap(pod => {
    const { run = '', deleted = [] } = moverMessageOf(pod) ?? {}
    const store = storeOfJob.get(jobUIDOf(pod))
    return untold.has(run) ? [] : deleted.map(each => ({ store, run: each }))
  })
  const byStore = Map.groupBy(told, ({ store }) => store)
  return new Map([...byStore].map(([store, some]) => [store, new Set(some.map(({ run }) => run))]))
}

/** Why a Backup stays without its data, for good or for now: a GitOps tool would make it anew, and so run it again. */
function reasonToStay(backup: Backup, parent: Backup | undefined): string | undefined {
  if (isHeld(backup, parent)) return 'somebody holds it'
  if (parent && isUnfinished(parent)) return `Backup ${parent.metadata.name}, of which it is a part, goes on`
  return isTracked(backup) ? 'a GitOps tool tracks it' : undefined
}

/** One that stays no longer says that it can be restored. */
function withoutItsData(backup: Backup, message: string, more: Parameters<typeof deletion>[2]): Group {
  const { status, metadata } = backup
  const unless =
    more?.provided?.that === 'no-snapshot' ? ({ kind: 'snapshot', name: more.provided.name } as const) : undefined
  const object = { ...backup, status: { ...status, phase: 'Deleting' as const, message } }
  return alone(`gone/${metadata.name}`, { do: 'write-status', object, ...(unless ? { unless } : {}) })
}

/** Runs whose Backup does not say yet what became of them: what they have replaced stays until then, so that the last success is never untold. */
function untoldRuns(runs: readonly RunView[], unrecorded: Unrecorded): ReadonlySet<string> {
  const going = runs.filter(({ backup }) => !isFinal(backup.status?.phase)).map(({ backup }) => runJobName(backup))
  const recorded = slotsByName(runs.map(({ backup }) => backup))
  return new Set([...going, ...[...unrecorded].filter(job => !recorded.has(job))])
}

/** What runs that failed, or were cancelled, have left in the cluster; also when their policy is gone. */
export function leftoverSnapshots(
  { policy, snapshots }: { readonly policy: BackupPolicy | undefined } & Pick<View, 'snapshots'>,
  now: Date,
): readonly Group[] {
  const limits = limitsOf(policy)
  return snapshots.flatMap(({ snapshot, backup }): readonly Group[] => {
    const { name, resourceVersion, deletionTimestamp } = snapshot.metadata
    if (deletionTimestamp) return []
    const go = (because: string, more?: Parameters<typeof deletion>[2]) => [
      alone(`clean/${name}`, deletion(snapshot, because, more)),
    ]
    if (isHeldSnapshot(snapshot)) return []
    // That verdict says nothing of the snapshot, which nobody could see then, and which may be good.
    if (backup?.status?.reason === 'SnapshotCRDsMissing') return []
    if (backup?.status?.phase === 'Failed') {
      const isGivenUp = givenUp.has(backup.status.reason)
      // Its run was ended for something else: it is a good one of its time all the same.
      if (snapshot.status?.readyToUse && !isGivenUp) return []
      const provided = { that: 'nobody-needs-it' } as const
      const more = isGivenUp ? { provided } : { resourceVersion, provided }
      return go(`its Backup ${backup.metadata.name} failed`, more)
    }
    return !backup && 'limit' in progressOf(snapshot, limits, now)
      ? go('it never became ready and its Backup is gone', { resourceVersion, provided: { that: 'no-backup' } })
      : []
  })
}

/** A run Job that cannot end by itself would block the schedule for ever (docs/design.md R1). */
export function stuckJobs(
  { runs, runJobs }: Pick<View, 'runs' | 'runJobs'>,
  unrecorded: Unrecorded,
  now: Date,
): readonly Group[] {
  const told = toldJobs(runs)
  return runJobs.flatMap(({ job }): readonly Group[] => {
    const { name, uid = '', deletionTimestamp } = job.metadata
    if (isFinished(job) || deletionTimestamp) return []
    const go = (because: string) => alone(`end/${name}`, deletion(job, because))
    const backup = told.get(uid) ?? told.get(name)
    if (backup?.status?.phase === 'Failed')
      return [go(`its Backup ${backup.metadata.name} failed: ${backup.status.reason}`)]
    const lost = lostAt(job)
    // The one that nobody has seen yet gets its Backup first, unless none can be created.
    const unseen = unrecorded.has(name)
    const until = lost && unseen ? addSeconds(lost, unseenSeconds) : lost
    if (backup || !until || now < until) return []
    if (!unseen) return [go('it did not end long after its deadline, and has no Backup')]
    const needs = [{ group: recording(name), was: 'refused' }] as const
    return [{ ...go('it did not end long after its deadline, and no Backup can be created for it'), needs }]
  })
}

/** Backups by the UID of their Job; where that is not known, those of slots by their name, which is its name, too. No other names a Job. */
function toldJobs(runs: readonly RunView[]): ReadonlyMap<string, Backup> {
  return new Map(
    runs.flatMap(({ backup }) => {
      const { metadata, spec, status } = backup
      const job = status?.jobUID ?? (spec.slot === undefined ? undefined : metadata.name)
      return job === undefined ? [] : [[job, backup] as const]
    }),
  )
}
