// What a pod of a Job shows: whether it is over, and what its mover has said.
import type { ContainerStatus, Pod } from '../../api/kubernetes.ts'
import type { MoverMessage } from '../../api/mover/message.ts'
import { parseMoverMessage } from '../../api/mover/message-parse.ts'
import { versionOf, type Unless } from '../core/actions.ts'
import type { JobView } from '../view/view.ts'

/** The newest whole message of the mover in a pod, once it has ended. */
export function moverMessageOf(pod: Pod): MoverMessage | undefined {
  return parseMoverMessage(statusOf(pod, 'mover')?.state?.terminated?.message)
}

/** What a verdict on an ended Job must be held against: its newest pod's words may be on their way, unless that has ended before our eyes. */
export function unlessMoreIsSaid({ job, pods }: JobView): Unless | undefined {
  const newest = pods.at(-1)
  if (newest && hasMoverEnded(newest)) return undefined
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

export function statusOf(pod: Pod, name: string): ContainerStatus | undefined {
  return pod.status?.containerStatuses?.find(status => status.name === name)
}
