// Whether the pod of a run can start, and its image has the program, found out before the first night (docs/design.md R35): a Job of the
// run's own pod, in which the command is looked for and not run. It also meets what the API server asks of pods only: quotas of cpu and
// memory, limit ranges, pod security.
import type { Reason } from '../../api/conditions.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { StartStatus, StoreStatus } from '../../api/kinds/backup-policy-status.ts'
import { commandTarget, startJobName } from '../../api/names.ts'
import { stateHash } from '../../resources/desired-state.ts'
import { startJob } from '../../resources/jobs.ts'
import type { DumpSource } from '../../resources/mover-pod.ts'
import { alone, type Group } from '../core/actions.ts'
import { once } from '../core/once.ts'
import { redact } from '../core/redact.ts'
import { obstacleOf } from '../jobs/obstacles.ts'
import { statusOf } from '../jobs/pods.ts'
import { conditionTime, isFinished, lostAt } from '../jobs/verdict.ts'
import { askedFor, dailyProbe, pastTrial, quietTime } from './probe-times.ts'
import { attemptOf, cut, turnOf } from './trials.ts'
import { addSeconds, earliest, rfc3339, timeOf } from '../../schedule/times.ts'
import { ofTarget } from '../view/per-target.ts'
import type { JobView, RunView, View } from '../view/view.ts'

/** So long an image may fail to be pulled, or a quota be full, before it is told: some of that passes. Seconds. */
const patienceSeconds = 60
/** 10, 20, 40, 60, 60, … minutes after it was found that it cannot start: each time images may be pulled. Seconds. */
const [firstRetrySeconds, longestRetrySeconds] = [600, 3600]
/** They pass by themselves and say nothing of the policy: who waits for them keeps the last verdict. */
const passing: readonly Reason[] = ['PodUnschedulable', 'JobSuspended', 'Evicted']

const hashOf = once<DumpSource, string>(stateHash)

/** The name of the group that makes a dry start. */
export const dryStartGroup = 'dry-start'

export type DryStartPlan = {
  readonly groups: readonly Group[]
  readonly start: StartStatus
  readonly wakeAt: Date | undefined
}

/**
 * @param job what the container of the target is given
 * @param store until it can be used, nothing is started: it is what a person should mend first.
 */
export function planDryStart(
  {
    runs,
    runJobs,
    starts,
    probesRunning,
    settings,
  }: Pick<View, 'runs' | 'runJobs' | 'starts' | 'probesRunning' | 'settings'>,
  policy: BackupPolicy,
  job: DumpSource,
  store: StoreStatus | undefined,
  now: Date,
  target: string = commandTarget,
): DryStartPlan {
  const specHash = hashOf(job)
  const { status } = policy
  const before = target === commandTarget ? status?.start : status?.targets?.find(({ name }) => name === target)?.start
  const start = provenBy(runs, before?.specHash === specHash ? before : unknown(specHash))
  const name = startJobName(policy.metadata.name, policy.metadata.uid ?? '', specHash, start.attempts, target)
  const { current, cleanUp } = attemptOf(starts, name, 'the result of this dry start is known')
  if (current) {
    const found = judgeStart(current, job, now)
    if (found.is !== 'going') return { groups: cleanUp, start: after(start, found, policy, now), wakeAt: now }
    const { obstacle, wakeAt } = found
    return {
      groups: cleanUp,
      start: obstacle && start.result === 'Unknown' ? { ...start, ...roomFor(obstacle) } : start,
      wakeAt,
    }
  }
  const idle = (wakeAt: Date | undefined) => ({ groups: cleanUp, start, wakeAt })
  if (store?.result !== 'Usable') return idle(undefined)
  const again = nextStart(start, policy, runJobs, now)
  const turn = turnOf(policy, start.asked, again, probesRunning, now)
  if (turn.is === 'later') return idle(turn.wakeAt)
  const object = startJob(policy, job, specHash, start.attempts, settings, target)
  const cost = 'nobody finds out whether the command can be started'
  return {
    groups: [...cleanUp, alone(ofTarget(dryStartGroup, target), { do: 'create', object, cost })],
    start,
    wakeAt: undefined,
  }
}

type Words = { readonly reason: Reason; readonly message: string }
type Found =
  | { readonly is: 'startable' }
  | ({ readonly is: 'not-startable' } & Words)
  /** It ended, or was given up, without an answer. */
  | ({ readonly is: 'unsaid' } & Words)
type Going = { readonly is: 'going'; readonly obstacle: Words | undefined; readonly wakeAt: Date | undefined }

/** The container of the command decides, whatever becomes of the mover beside it. */
function judgeStart(
  { job, pods, warnings }: JobView,
  { image, command = [], args = [], script }: DumpSource,
  now: Date,
): Found | Going {
  const newest = pods.at(-1)
  const ended = newest && statusOf(newest, 'dump')?.state?.terminated
  const [first = ''] = [...command, ...args]
  const program = script ? script.programs.join(' or ') : first
  if (ended?.exitCode === 0 || conditionTime(job, 'Complete')) return { is: 'startable' }
  if (ended?.exitCode === 126 || ended?.exitCode === 127) {
    const what =
      ended.exitCode === 127
        ? `is not in image ${image}, or not in its PATH`
        : `of image ${image} cannot be executed by the user of the container`
    return { is: 'not-startable', reason: 'CommandNotFound', message: `the program ${program} ${what}` }
  }
  if (ended?.reason === 'StartError' || ended?.reason === 'ContainerCannotRun') {
    const message = redact(`container dump cannot start: ${ended.message ?? ended.reason}`)
    return { is: 'not-startable', reason: 'ContainerConfigError', message }
  }
  const obstacle = obstacleOf(job, pods, pods.length, warnings)
  const words = obstacle && { reason: obstacle.reason, message: redact(obstacle.message) }
  const isOver = isFinished(job) || ended !== undefined
  if (words && !passing.includes(words.reason)) {
    const since = obstacle.since ?? timeOf(job.metadata.creationTimestamp) ?? now
    const until = addSeconds(since, patienceSeconds)
    if (now >= until || isOver) return { is: 'not-startable', ...words }
    return { is: 'going', obstacle: words, wakeAt: earliest(until, lostAt(job)) }
  }
  const lost = lostAt(job)
  if (isOver || (lost && now >= lost))
    return { is: 'unsaid', ...(words ?? { reason: 'JobFailed', message: 'the dry start ended without an answer' }) }
  return { is: 'going', obstacle: words, wakeAt: lost }
}

function after(start: StartStatus, found: Found, policy: BackupPolicy, now: Date): StartStatus {
  const asked = askedFor(policy.metadata)
  const { asked: _, ...rest } = start
  const tried = {
    ...rest,
    attempts: start.attempts + 1,
    lastTime: rfc3339(now),
    ...(asked === undefined ? {} : { asked }),
  }
  if (found.is === 'startable') return { ...tried, ...startable, failures: 0 }
  const words = roomFor(found)
  if (found.is === 'not-startable') return { ...tried, ...words, result: 'NotStartable', failures: start.failures + 1 }
  return start.result === 'Unknown' ? { ...tried, ...words } : tried
}

function roomFor({ reason, message }: Words): Words {
  return { reason, message: cut(message) }
}

const startable = { result: 'Startable', reason: 'Ready', message: 'the command can be started' } as const

/** A run that began after the last dry start and succeeded says it better. */
function provenBy(runs: readonly RunView[], start: StartStatus): StartStatus {
  const last = timeOf(start.lastTime)
  if (start.result === 'Startable' || !last) return start
  const proof = runs.some(({ backup: { status } }) => {
    const began = timeOf(status?.startTime)
    return status?.phase === 'Completed' && began !== undefined && began > last
  })
  return proof ? { ...start, ...startable, failures: 0 } : start
}

function unknown(specHash: string): StartStatus {
  const message = 'a dry start finds out whether the command can be started'
  return { specHash, result: 'Unknown', reason: 'Probing', message, attempts: 0, failures: 0 }
}

/** At once after a change; then daily, or sooner where it could not start. */
function nextStart(start: StartStatus, policy: BackupPolicy, runJobs: readonly JobView[], now: Date): Date | undefined {
  const last = pastTrial(start.lastTime, now)
  if (!last) return now
  const isRunning = runJobs.some(({ job }) => !isFinished(job))
  if (start.result !== 'NotStartable') return dailyProbe(policy, last, isRunning, now)
  const seconds = Math.min(longestRetrySeconds, firstRetrySeconds * 2 ** (start.failures - 1))
  return quietTime(policy, addSeconds(last, seconds), isRunning, now)
}
