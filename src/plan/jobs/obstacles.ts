// What keeps a Job's pod from being made, or from starting: images, configuration, room, quotas, admission.
import type { Reason } from '../../api/conditions.ts'
import type { Job, JobEvent, Pod } from '../../api/kubernetes.ts'
import { isOver } from './pods.ts'
import { trueCondition } from './true-condition.ts'
import { timeOf } from '../../schedule/times.ts'

type Obstacle = {
  readonly reason: Reason
  readonly message: string
  readonly since: Date | undefined
  readonly hopeless: boolean
}

/** Reasons that Kubernetes shows only while they last. */
const hiddenReasons: readonly Reason[] = [
  'ImagePullFailed',
  'ContainerConfigError',
  'PodUnschedulable',
  'QuotaExceeded',
  'PodSecurityRejected',
  'PodCreationFailed',
  'JobSuspended',
  'Evicted',
]

/** What a run's status said when it was last looked at. */
export type LastWords = {
  readonly reason?: string
  readonly message?: string
  readonly attempts?: number
  /** The newest attempt then. */
  readonly pod?: string
}

/** Pods that were evicted through the API are deleted: what was counted stays counted. */
export function attemptsOf(pods: readonly Pod[], before: LastWords | undefined): number {
  const newest = pods.at(-1)?.metadata.name
  const isNew = newest !== undefined && newest !== before?.pod
  return Math.max(pods.length, (before?.attempts ?? 0) + (isNew ? 1 : 0))
}

/** What kept the run waiting when it was last looked at, where that explains a later deadline. */
export function hiddenObstacle(before: LastWords | undefined): Obstacle | undefined {
  const reason = hiddenReasons.find(each => each === before?.reason)
  return reason && { reason, message: before?.message ?? '', since: undefined, hopeless: false }
}

/**
 * @param pods of the Job, oldest first
 * @param attempts see {@link attemptsOf}
 */
export function obstacleOf(
  job: Job,
  pods: readonly Pod[],
  attempts: number,
  events: readonly JobEvent[],
): Obstacle | undefined {
  if (job.spec.suspend) return suspension(job)
  const newest = pods.at(-1)
  const evicted = newest?.status?.phase === 'Running' ? undefined : eviction(job, pods, attempts)
  const obstacle = podObstacle(job, newest, events)
  if (!obstacle || !evicted) return obstacle ?? evicted
  return { ...obstacle, message: `${obstacle.message}; before that, ${evicted.message}` }
}

/** A queue controller lets a Job wait for its turn, and ends its pods when it takes that back. */
function suspension({ metadata }: Job): Obstacle {
  const queue = metadata.labels?.[kueueQueue]
  const who = queue === undefined ? 'by a queue controller or a person' : `by Kueue, for its queue ${queue}`
  return {
    reason: 'JobSuspended',
    message: `Job ${metadata.name} is suspended ${who}; it goes on when its spec.suspend is false`,
    since: undefined,
    hopeless: false,
  }
}

/** Source: https://kueue.sigs.k8s.io/docs/tasks/run/jobs/ */
const kueueQueue = 'kueue.x-k8s.io/queue-name'

/** Pods that were disrupted do not count as failed (the rule Ignore of our podFailurePolicy): the rest of those that ended was evicted. */
function eviction(job: Job, pods: readonly Pod[], attempts: number): Obstacle | undefined {
  // Its controller takes the pods of a Job that it has given up, and marks that first. Source: KEP-3329.
  if (trueCondition(job, 'FailureTarget')) return undefined
  const newest = pods.at(-1)
  const goesOn = newest && !isOver(newest) ? 1 : 0
  const times = attempts - goesOn - (job.status?.failed ?? 0)
  const [last] = pods.toReversed().flatMap(pod => evictionOf(pod) ?? [])
  if (times < 1 || (!last && pods.length === attempts)) return undefined
  const why = last ? `, the last time because: ${last}` : ''
  const often = times === 1 ? 'once' : `${times} times`
  return {
    reason: 'Evicted',
    message: `its pods were evicted ${often}${why}; attempt ${attempts + 1 - goesOn} waits to start`,
    since: undefined,
    hopeless: false,
  }
}

function evictionOf(pod: Pod): string | undefined {
  const { status } = pod
  if (status?.reason === 'Evicted') return status.message ?? status.reason
  const disruption = trueCondition(pod, 'DisruptionTarget')
  return disruption && (disruption.message ?? disruption.reason ?? 'it was disrupted')
}

function podObstacle(job: Job, pod: Pod | undefined, events: readonly JobEvent[]): Obstacle | undefined {
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
export function creationObstacle(events: readonly JobEvent[]): Obstacle | undefined {
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

export function waitingObstacle(pod: Pod): Obstacle | undefined {
  const scheduled = trueCondition(pod, 'PodScheduled')
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
