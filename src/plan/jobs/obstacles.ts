// What keeps a Job's pod from being made, or from starting: images, configuration, room, quotas, admission.
import type { Reason } from '../../api/conditions.ts'
import type { Job, JobEvent, Pod } from '../../api/kubernetes.ts'
import { isOver } from './pods.ts'
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
]

/** What a run's status said when it was last looked at. */
export type LastWords = { readonly reason?: string; readonly message?: string }

/** What kept the run waiting when it was last looked at, where that explains a later deadline. */
export function hiddenObstacle(before: LastWords | undefined): Obstacle | undefined {
  const reason = hiddenReasons.find(each => each === before?.reason)
  return reason && { reason, message: before?.message ?? '', since: undefined, hopeless: false }
}

export function obstacleOf(job: Job, pod: Pod | undefined, events: readonly JobEvent[]): Obstacle | undefined {
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
