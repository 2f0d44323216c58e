// What is known of a policy's store, and when to ask again (docs/design.md R2). Store facts come only from pods.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { StoreStatus } from '../../api/kinds/backup-policy-status.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { Job } from '../../api/kubernetes.ts'
import { label } from '../../api/labels.ts'
import { moverReasons } from '../../api/mover/reasons.ts'
import { probeJobName } from '../../api/names.ts'
import { probeJob } from '../../resources/jobs.ts'
import { alone, type Group, type Unless } from '../core/actions.ts'
import { folderTold } from '../view/folder.ts'
import { unlessMoreIsSaid } from '../jobs/pods.ts'
import { isFinished, judgeJob } from '../jobs/verdict.ts'
import { askedFor, dailyProbe, pastTrial } from './probe-times.ts'
import { attemptOf, cut, turnOf } from './trials.ts'
import { addSeconds, rfc3339, timeOf } from '../../schedule/times.ts'
import type { View } from '../view/view.ts'

const firstRetrySeconds = 60
const longestRetrySeconds = 600
/** A probe that cannot even start must not keep the others waiting. Seconds. */
const placeKeptSeconds = 60

export type ProbePlan = {
  readonly groups: readonly Group[]
  readonly store: StoreStatus
  /** What `store` rests on being unsaid. */
  readonly unless?: Unless
  /** What is known of the store as long as nobody can be asked that. */
  readonly before?: StoreStatus
  readonly wakeAt: Date | undefined
}

/** The name of the group that starts a probe. */
export const probeGroup = 'probe'

export function planProbe(
  {
    runs,
    runJobs,
    probes,
    probesRunning,
    settings,
  }: Pick<View, 'runs' | 'runJobs' | 'probes' | 'probesRunning' | 'settings'>,
  policy: BackupPolicy,
  backendHash: string,
  now: Date,
): ProbePlan {
  const before = policy.status?.store
  let store: StoreStatus = before?.backendHash === backendHash ? before : unknown(backendHash)
  if (
    store.result === 'Usable' &&
    failedOnStoreSince(
      runs.map(({ backup }) => backup),
      pastTrial(store.lastProbeTime, now),
      now,
    )
  )
    store = { ...unknown(backendHash), attempts: store.attempts, ...folderOf(store) }

  const name = probeJobName(policy.metadata.name, policy.metadata.uid ?? '', backendHash, store.attempts)
  const { current, cleanUp } = attemptOf(probes, name, 'the result of this probe is known')
  const wanted = askedFor(policy.metadata)
  if (current) {
    const { reason: said, message: words } = store
    const run = judgeJob(current, { reason: said, message: words }, now)
    if (run.phase === 'Pending' || run.phase === 'Running') {
      const waiting = run.phase === 'Pending' && run.reason !== 'PodPending'
      return {
        groups: cleanUp,
        store: waiting ? { ...store, reason: run.reason, message: cut(run.message) } : store,
        wakeAt: run.wakeAt,
      }
    }
    const tried = {
      backendHash,
      attempts: store.attempts + 1,
      failures: store.failures + 1,
      lastProbeTime: rfc3339(now),
      ...(wanted === undefined ? {} : { asked: wanted }),
      ...folderOf(store),
    }
    if (run.phase === 'Completed' && run.moverMessage?.phase === 'done') {
      const { probe, warnings = [] } = run.moverMessage
      const message = cut(['the store can be used', ...warnings.map(warning => warning.message)].join('; '))
      return {
        groups: cleanUp,
        store: {
          ...tried,
          failures: 0,
          result: 'Usable',
          reason: 'Ready',
          message,
          unconditionalCommit: probe ? !probe.conditionalPut : undefined,
          retentionBlocked: probe ? !(probe.canList && probe.canDelete) : undefined,
          ...(warnings.length > 0 ? { warnings: [...warnings] } : {}),
          folder: [...folderTold(run.moverMessage)],
        },
        wakeAt: now,
      }
    }
    const reason = run.phase === 'Completed' ? 'ProbeFailed' : run.reason
    const message = run.phase === 'Completed' ? 'the probe ended without saying what it found' : run.message
    const unless = unlessMoreIsSaid(current)
    return {
      groups: cleanUp,
      store: { ...tried, result: 'Unusable', reason, message: cut(message) },
      ...(unless ? { unless, before: store } : {}),
      wakeAt: now,
    }
  }

  const isRunning = runJobs.some(({ job }) => !isFinished(job))
  const again =
    store.result === 'Usable'
      ? dailyProbe(policy, pastTrial(store.lastProbeTime, now), isRunning, now)
      : nextProbe(store, now)
  const turn = turnOf(policy, store.asked, again, probesRunning, now)
  if (turn.is === 'later') return { groups: cleanUp, store, wakeAt: turn.wakeAt }
  const object = probeJob(policy, backendHash, store.attempts, settings)
  const cost = 'nobody finds out whether the store can be used'
  return {
    groups: [...cleanUp, alone(probeGroup, { do: 'create', object, cost })],
    store,
    wakeAt: undefined,
  }
}

/** Whether a probe takes one of the places. */
export function takesPlace(job: Job, now: Date): boolean {
  const created = timeOf(job.metadata.creationTimestamp)
  return isRunningProbe(job) && created !== undefined && now < addSeconds(created, placeKeptSeconds)
}

/** Whether a Job is a probe of the store, or a dry start, that has not ended. */
export function isRunningProbe(job: Job): boolean {
  const role = job.metadata.labels?.[label.role]
  return (role === 'probe' || role === 'start') && !isFinished(job)
}

function unknown(backendHash: string): StoreStatus {
  return {
    backendHash,
    result: 'Unknown',
    reason: 'Probing',
    message: 'a probe finds out whether the store can be used',
    attempts: 0,
    failures: 0,
  }
}

/** What it was found to hold stays to be read, whatever the store says since then. */
function folderOf({ folder }: StoreStatus): Pick<StoreStatus, 'folder'> {
  return folder ? { folder } : {}
}

/** 1, 2, 4, 8, 10, 10, … minutes after the last one. */
function nextProbe(store: StoreStatus, now: Date): Date {
  const last = pastTrial(store.lastProbeTime, now)
  if (!last || store.failures === 0) return now
  return addSeconds(last, Math.min(longestRetrySeconds, firstRetrySeconds * 2 ** (store.failures - 1)))
}

/** Reasons that speak of the store, not of the command: exit codes 20 and 21 of the mover. */
function failedOnStoreSince(backups: readonly Backup[], since: Date | undefined, now: Date): boolean {
  return backups.some(({ status }) => {
    const ended = timeOf(status?.completionTime)
    // A clock that ran ahead wrote an end that is still to come.
    if (status?.phase !== 'Failed' || !ended || ended > now || (since && ended <= since)) return false
    const code: number | undefined =
      status.reason && Object.hasOwn(moverReasons, status.reason)
        ? moverReasons[status.reason as keyof typeof moverReasons]
        : undefined
    return code === 20 || code === 21
  })
}
