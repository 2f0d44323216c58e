// The pods of a Job: which they are, in which order, and what they have said.
import type { ContainerStatus, Job, Pod } from '../../api/kubernetes.ts'
import type { MoverMessage } from '../../api/mover/message.ts'
import { parseMoverMessage } from '../../api/mover/message-parse.ts'
import type { Unless } from '../core/actions.ts'

/** The pods of one Job among many, oldest first. */
export function podsOf(job: Job, allPods: readonly Pod[]): readonly Pod[] {
  const own = allPods.filter(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => uid === job.metadata.uid))
  return own.toSorted(byCreation)
}

/** The pods of a run, oldest first, also when its Job is gone. */
export function podsOfRun(run: string, allPods: readonly Pod[]): readonly Pod[] {
  return allPods
    .filter(({ metadata }) => metadata.labels?.['batch.kubernetes.io/job-name'] === run)
    .toSorted(byCreation)
}

/** The newest whole message of the mover in a pod, once it has ended. */
export function moverMessageOf(pod: Pod): MoverMessage | undefined {
  return parseMoverMessage(statusOf(pod, 'mover')?.state?.terminated?.message)
}

/** What a verdict on an ended Job must be held against: its newest pod's words may be on their way, unless that has ended before our eyes. */
export function unlessMoreIsSaid(job: Job, allPods: readonly Pod[]): Unless | undefined {
  const newest = podsOf(job, allPods).at(-1)
  return newest && hasMoverEnded(newest) ? undefined : { kind: 'newer-pods', name: job.metadata.name }
}

/** Oldest first by the API server's clock (those of nodes may differ), and by name where that cannot tell. */
export function byCreation(a: Pod, b: Pod): number {
  const [first = '', second = ''] = [a.metadata.creationTimestamp, b.metadata.creationTimestamp]
  return first === second ? (a.metadata.name < b.metadata.name ? -1 : 1) : first < second ? -1 : 1
}

export function isOver(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
}

export function hasMoverEnded(pod: Pod): boolean {
  return statusOf(pod, 'mover')?.state?.terminated !== undefined
}

export function statusOf(pod: Pod, name: string): ContainerStatus | undefined {
  return pod.status?.containerStatuses?.find(status => status.name === name)
}
