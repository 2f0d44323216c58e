// What a pod of a Job shows: whether it is over, and what its mover has said.
import type { ContainerStatus, Job, Pod } from '../../api/kubernetes.ts'
import { label, type JobRole } from '../../api/labels.ts'
import { isCommitted, type MoverMessage } from '../../api/mover/message.ts'
import { parseMoverMessage } from '../../api/mover/message-parse.ts'
import { versionOf, type Unless } from '../core/actions.ts'
import type { JobView } from '../view/view.ts'

/** The newest whole message of the mover in a pod, once it has ended. */
export function moverMessageOf(pod: Pod): MoverMessage | undefined {
  return parseMoverMessage(statusOf(pod, 'mover')?.state?.terminated?.message)
}

/**
 * What proves the run's backup. An attempt may be killed behind its commit, and another one that finds its manifest look at the data: what
 * that one has disproved is none (F59).
 */
export function committedMessageOf(pods: readonly Pod[]): MoverMessage | undefined {
  const messages = pods.map(moverMessageOf)
  const disproved = new Set(messages.flatMap(message => message?.disproved ?? []))
  return messages.find(message => isCommitted(message) && !disproved.has(message?.startedAt ?? NaN))
}

/** Whether a Job has several attempts, one after the other. */
function isRepeated({ metadata }: Job): boolean {
  const role = metadata.labels?.[label.role]
  return repeated.some(each => each === role)
}

const repeated: readonly JobRole[] = ['run', 'resolve', 'restore']

/**
 * What a verdict on an ended Job must be held against: the words of its newest pod may be on their way, and of what is tried several times a
 * whole pod may be that no cache knows.
 */
export function unlessMoreIsSaid({ job, pods }: JobView): Unless | undefined {
  const newest = pods.at(-1)
  const success = committedMessageOf(pods) ?? pods.map(moverMessageOf).find(message => message?.phase === 'done')
  const isDecided = isRepeated(job) ? success : newest && hasMoverEnded(newest)
  if (isDecided) return undefined
  const { name, uid } = job.metadata
  return { kind: 'newer-pods', name, ...(uid ? { uid } : {}), seen: pods.map(versionOf) }
}

export function isOver(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
}

export function hasMoverEnded(pod: Pod): boolean {
  return statusOf(pod, 'mover')?.state?.terminated !== undefined
}

/** Our own containers decide, not the pod, which a sidecar may keep from ending (F76). False while no pod is seen. */
export function haveMoversEnded({ pods }: JobView): boolean {
  return pods.length > 0 && pods.every(pod => isOver(pod) || hasMoverEnded(pod))
}

/** The container beside the mover that does the work: of a backup, or of a restore. */
export function commandStatusOf(pod: Pod): ContainerStatus | undefined {
  return statusOf(pod, 'dump') ?? statusOf(pod, 'restore')
}

export function statusOf(pod: Pod, name: string): ContainerStatus | undefined {
  return pod.status?.containerStatuses?.find(status => status.name === name)
}
