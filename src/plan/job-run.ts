// What a Job's objects say about its run. A mover's committed message decides success, whatever else is seen (docs/design.md R1).
import type { Reason } from '../api/conditions.ts'
import type { ContainerStatus, Job, JobEvent, Pod } from '../api/kubernetes.ts'
import { isCommitted } from '../api/mover-message.ts'
import { isPermanent } from '../api/mover-reasons.ts'
import { parseMoverMessage } from '../api/mover-message-parse.ts'
import type { MoverMessage } from '../api/mover-message.ts'
import { redact, tail } from './redact.ts'
import { addSeconds, earliest, timeOf } from './times.ts'

/** How long a failed attempt whose other container cannot start may hold the run up before the Job is deleted. Seconds. */
const stuckAttemptSeconds = 30
/** How long a state that no waiting cures (image, configuration, pod security) may last. Seconds. */
const hopelessSeconds = 300
/** A Job that its controller has not ended this long after its own deadline is on a lost node. Seconds (docs/design.md R1). */
const lostJobSeconds = 600

export type JobRun = {
  readonly phase: 'Pending' | 'Running' | 'Completed' | 'Failed'
  readonly reason: Reason
  readonly message: string
  /** The decisive, or else the newest, message of a mover. */
  readonly said: MoverMessage | undefined
  readonly startTime: Date | undefined
  readonly endTime: Date | undefined
  readonly attempts: number
  readonly exitCode?: number
  readonly stderr?: string
  /** When to look again, if nothing changes. */
  readonly wakeAt?: Date
}

/** The newest whole message of the mover in a pod, once it has ended. */
export function moverMessageOf(pod: Pod): MoverMessage | undefined {
  return parseMoverMessage(statusOf(pod, 'mover')?.state?.terminated?.message)
}

/**
 * Judges a Job by itself, its pods (in any order) and the warnings about it.
 * @param before the reason that the run had so far: what Kubernetes shows only for a while is remembered there.
 */
export function judgeJob(
  job: Job,
  allPods: readonly Pod[],
  allEvents: readonly JobEvent[],
  before: string | undefined,
  now: Date,
): JobRun {
  const pods = allPods.filter(pod => isOf(job, pod)).toSorted(byCreation)
  const events = allEvents.filter(({ involvedObject }) => involvedObject.uid === job.metadata.uid)
  const startTime = timeOf(job.status?.startTime ?? job.metadata.creationTimestamp)
  const base = { startTime, attempts: pods.length } as const
  const committed = pods.map(moverMessageOf).find(isCommitted)
  if (committed)
    return {
      ...base,
      phase: 'Completed',
      reason: 'Completed',
      message: committed.suspect
        ? 'the backup is complete, but far smaller than the one before; look at it, and at the condition RetentionBlocked of its policy'
        : 'the backup is complete',
      said: committed,
      // By the clock of its node, which may be ahead of ours: what has happened is not in the future.
      endTime: earliest(timeOfMs(committed.finishedAt), now),
    }

  const newest = pods.at(-1)
  const said = newest && moverMessageOf(newest)
  const complete = conditionTime(job, 'Complete')
  // The mover ends with 0 only after its manifest is written, so that a complete Job is proof even when its message is lost.
  if (complete) {
    const done = said?.phase === 'done' ? said : undefined
    const message = done
      ? 'the task is done'
      : 'the backup is complete; what its mover said of it is lost, so that sizes are not known here'
    return { ...base, phase: 'Completed', reason: 'Completed', message, said: done, endTime: complete }
  }
  // Not at FailureTarget: until its pods have ended a mover may still commit.
  const failed = conditionTime(job, 'Failed')
  if (failed)
    return { ...base, ...failureOf(job, newest, said, events, before), phase: 'Failed', said, endTime: failed }

  const deadline = lostAt(job)
  if (deadline && now >= deadline) {
    const message =
      'the Job did not end long after its deadline; its node is probably lost. The Job was deleted so that the schedule goes on'
    return { ...base, phase: 'Failed', reason: 'DeadlineExceeded', message, said, endTime: now }
  }
  const stuck = newest && stuckSince(newest)
  const stuckUntil = stuck && addSeconds(stuck, stuckAttemptSeconds)
  if (stuckUntil && now >= stuckUntil)
    return {
      ...base,
      ...failureOf(job, newest, said, events, before),
      phase: 'Failed',
      said,
      endTime: now,
    }

  const obstacle = obstacleOf(job, newest, events)
  if (obstacle) {
    const hopeless = obstacle.hopeless && obstacle.since ? addSeconds(obstacle.since, hopelessSeconds) : undefined
    const { reason } = obstacle
    const message = redact(obstacle.message)
    if (hopeless && now >= hopeless) return { ...base, phase: 'Failed', reason, message, said, endTime: now }
    return {
      ...base,
      phase: 'Pending',
      reason,
      message,
      said,
      endTime: undefined,
      wakeAt: earliest(deadline, stuckUntil, hopeless),
    }
  }
  const running = newest?.status?.phase === 'Running'
  const attempt = pods.length > 1 ? `, attempt ${pods.length}` : ''
  return {
    ...base,
    phase: running ? 'Running' : 'Pending',
    reason: running ? 'Running' : 'PodPending',
    message: running ? `the backup is being made${attempt}` : `waiting for the pod to start${attempt}`,
    said,
    endTime: undefined,
    wakeAt: earliest(deadline, stuckUntil),
  }
}

/** Whether the newest pod of the Job has ended in front of our eyes; otherwise its words may still be on their way. */
export function hasWords(job: Job, allPods: readonly Pod[]): boolean {
  const newest = allPods
    .filter(pod => isOf(job, pod))
    .toSorted(byCreation)
    .at(-1)
  return newest !== undefined && statusOf(newest, 'mover')?.state?.terminated !== undefined
}

/** Whether the Job has reached its end, as its controller sees it. */
export function isFinished(job: Job): boolean {
  return conditionTime(job, 'Complete') !== undefined || conditionTime(job, 'Failed') !== undefined
}

/** When a Job that has not ended is given up. */
export function lostAt(job: Job): Date | undefined {
  const start = timeOf(job.status?.startTime ?? job.metadata.creationTimestamp)
  return start && addSeconds(start, (job.spec.activeDeadlineSeconds ?? 0) + lostJobSeconds)
}

function failureOf(
  job: Job,
  pod: Pod | undefined,
  said: MoverMessage | undefined,
  events: readonly JobEvent[],
  before: string | undefined,
) {
  const dump = pod && statusOf(pod, 'dump')?.state?.terminated
  const mover = pod && statusOf(pod, 'mover')?.state?.terminated
  const stderr = dump && dump.exitCode !== 0 && dump.message ? tail(redact(dump.message), 4096) : undefined
  const detail = {
    ...(said?.sourceStatus === undefined ? {} : { exitCode: said.sourceStatus }),
    ...(stderr ? { stderr } : {}),
  }
  const because = (reason: Reason, message: string) => ({ reason, message: redact(message), ...detail })

  if (dump?.reason === 'OOMKilled')
    return because(
      'OOMKilled',
      'the command used more memory than its limit; raise strategy.job.resources.limits.memory',
    )
  if (mover?.reason === 'OOMKilled')
    return because('OOMKilled', 'the mover used more memory than its limit; this is a defect, please report it')
  if (pod?.status?.reason === 'Evicted') return because('Evicted', pod.status.message ?? 'the pod was evicted')
  if (pod?.status?.reason === 'DeadlineExceeded') {
    const hidden = before !== undefined && hiddenReasons.has(before) ? (before as Reason) : undefined
    return because(
      hidden ?? 'DeadlineExceeded',
      `the attempt did not end within activeDeadlineSeconds (${job.spec.template.spec.activeDeadlineSeconds} s)`,
    )
  }
  if (said?.reason === 'SourceNotStarted') {
    const obstacle = pod && waitingObstacle(pod)
    if (obstacle) return because(obstacle.reason, obstacle.message)
    if (before !== undefined && hiddenReasons.has(before))
      return because(before as Reason, said.message ?? "the command's container did not start")
  }
  if (said?.reason) return because(said.reason, said.message ?? 'the mover gave no further words')
  if (!pod) {
    const obstacle = creationObstacle(events)
    if (obstacle) return because(obstacle.reason, obstacle.message)
    if (before !== undefined && hiddenReasons.has(before))
      return because(before as Reason, 'the Job ended before a pod could be made')
  }
  const condition = job.status?.conditions?.find(({ type, status }) => type === 'Failed' && status === 'True')
  if (condition?.reason === 'DeadlineExceeded') {
    const hidden = before !== undefined && hiddenReasons.has(before) ? (before as Reason) : undefined
    return because(
      hidden ?? 'DeadlineExceeded',
      `the run did not end within the deadline of its Job (${job.spec.activeDeadlineSeconds} s)`,
    )
  }
  if (mover) return because('MoverDied', `the mover ended with exit code ${mover.exitCode} and said nothing`)
  return because('JobFailed', condition?.message ?? 'the Job failed and no pod says why')
}

type Obstacle = {
  readonly reason: Reason
  readonly message: string
  readonly since: Date | undefined
  readonly hopeless: boolean
}

/** Reasons that Kubernetes shows only while they last; once seen they explain a later deadline. */
const hiddenReasons: ReadonlySet<string> = new Set([
  'ImagePullFailed',
  'ContainerConfigError',
  'PodUnschedulable',
  'QuotaExceeded',
  'PodSecurityRejected',
  'PodCreationFailed',
] satisfies Reason[])

function obstacleOf(job: Job, pod: Pod | undefined, events: readonly JobEvent[]): Obstacle | undefined {
  const active = (job.status?.active ?? 0) > 0
  if (!pod || (!active && isOver(pod))) {
    // What refused earlier pods says nothing about the next one.
    const since = pod?.metadata.creationTimestamp ?? ''
    const obstacle = creationObstacle(events.filter(({ lastTimestamp = '' }) => lastTimestamp >= since))
    return obstacle && { ...obstacle, since: timeOf(job.status?.startTime ?? job.metadata.creationTimestamp) }
  }
  const scheduled = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled')
  if (scheduled?.status === 'False' && scheduled.reason === 'Unschedulable') {
    return {
      reason: 'PodUnschedulable',
      message: `no node can take the pod: ${scheduled.message ?? ''}`,
      since: timeOf(pod.metadata.creationTimestamp),
      hopeless: false,
    }
  }
  return waitingObstacle(pod)
}

/** What the newest warning about the Job says. Quota and pod security denials exist nowhere else (docs/design.md R21). */
function creationObstacle(events: readonly JobEvent[]): Obstacle | undefined {
  const newest = events
    .filter(({ reason }) => reason === 'FailedCreate')
    .toSorted((a, b) => ((a.lastTimestamp ?? '') < (b.lastTimestamp ?? '') ? -1 : 1))
    .at(-1)
  const text = newest?.message
  if (text === undefined) return undefined
  if (/exceeded quota|must specify .*(cpu|memory)/.test(text))
    return {
      reason: 'QuotaExceeded',
      message: `a quota of the namespace refuses the pod: ${text}`,
      since: undefined,
      hopeless: false,
    }
  if (/violates PodSecurity/.test(text)) {
    return {
      reason: 'PodSecurityRejected',
      message: `the pod security level of the namespace refuses the pod: ${text}`,
      since: undefined,
      hopeless: true,
    }
  }
  return { reason: 'PodCreationFailed', message: text, since: undefined, hopeless: false }
}

function waitingObstacle(pod: Pod): Obstacle | undefined {
  const scheduled = pod.status?.conditions?.find(({ type, status }) => type === 'PodScheduled' && status === 'True')
  const since = timeOf(scheduled?.lastTransitionTime ?? pod.metadata.creationTimestamp)
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])]
  for (const { name, state } of statuses) {
    const { reason = '', message = '' } = state?.waiting ?? {}
    if (/^(ErrImagePull|ImagePullBackOff|InvalidImageName|ErrImageNeverPull|ImageInspectError)$/.test(reason)) {
      return {
        reason: 'ImagePullFailed',
        message: `the image of container ${name} cannot be pulled (${reason}): ${message}`,
        since,
        hopeless: true,
      }
    }
    if (/^(CreateContainerConfigError|CreateContainerError|RunContainerError)$/.test(reason)) {
      return {
        reason: 'ContainerConfigError',
        message: `container ${name} cannot start (${reason}): ${message}`,
        since,
        hopeless: true,
      }
    }
  }
  return undefined
}

/**
 * Since when the mover has ended with a failure in a pod that cannot end, because its other container never starts. One that is only
 * slow to start (its image is being pulled) finds the mover gone and ends, and the Job tries again.
 */
function stuckSince(pod: Pod): Date | undefined {
  if (isOver(pod)) return undefined
  const ended = statusOf(pod, 'mover')?.state?.terminated
  const waits = statusOf(pod, 'dump')?.state?.waiting !== undefined
  if (!ended || ended.exitCode === 0 || !waits) return undefined
  const reason = moverMessageOf(pod)?.reason
  const pointless = reason !== undefined && (isPermanent(reason) || reason === 'SourceNotStarted')
  return pointless || waitingObstacle(pod) ? timeOf(ended.finishedAt) : undefined
}

function isOver(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
}

function isOf(job: Job, pod: Pod): boolean {
  return pod.metadata.ownerReferences?.some(({ uid }) => uid === job.metadata.uid) ?? false
}

function statusOf(pod: Pod, name: string): ContainerStatus | undefined {
  return pod.status?.containerStatuses?.find(status => status.name === name)
}

function conditionTime(job: Job, type: string): Date | undefined {
  const condition = job.status?.conditions?.find(each => each.type === type && each.status === 'True')
  return (
    condition &&
    (timeOf(condition.lastTransitionTime) ??
      timeOf(job.status?.completionTime) ??
      timeOf(job.metadata.creationTimestamp))
  )
}

function timeOfMs(ms: number | undefined): Date | undefined {
  return ms === undefined ? undefined : new Date(ms)
}

/** Oldest first by the API server's clock (those of nodes may differ), and by name where that cannot tell. */
export function byCreation(a: Pod, b: Pod): number {
  const [first = '', second = ''] = [a.metadata.creationTimestamp, b.metadata.creationTimestamp]
  return first === second ? (a.metadata.name < b.metadata.name ? -1 : 1) : first < second ? -1 : 1
}
