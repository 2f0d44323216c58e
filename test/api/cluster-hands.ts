// What the rest of a cluster would do, on a bare API server: snapshots become ready, Jobs and their pods succeed.
import type { Job, KubernetesObject, VolumeSnapshot } from '../../src/api/kubernetes.ts'
import { label, type JobRole } from '../../src/api/labels.ts'
import { encodeMoverMessage, type MoverMessage } from '../../src/api/mover-message.ts'
import { jobs, pods, snapshots } from '../../src/controllers/resources.ts'
import type { Client } from '../../src/runtime/client.ts'
import { isAlreadyExists, isConflict, isNotFound } from '../../src/runtime/errors.ts'
import { Reflector } from '../../src/runtime/reflector.ts'

export type Hands = {
  /** What went wrong so far, which `stop` throws. */
  readonly failures: () => readonly unknown[]
  readonly stop: () => Promise<void>
}

/** Works in one namespace until `stop`. */
export function clusterHands(client: Client, namespace: string): Hands {
  const stop = new AbortController()
  const failures: unknown[] = []
  const working = new Set<Promise<void>>()
  const start = (work: Promise<void>) => {
    const done = work.catch((error: unknown) => {
      // The object went, or was touched by someone else, whose change comes as the next event.
      if (!isNotFound(error) && !isConflict(error) && !isAlreadyExists(error) && !stop.signal.aborted)
        failures.push(error)
    })
    working.add(done)
    void done.finally(() => working.delete(done))
  }
  const snapshotReflector = new Reflector<VolumeSnapshot>({ client, resource: snapshots, namespace })
  const jobReflector = new Reflector<Job>({ client, resource: jobs, namespace })
  snapshotReflector.store.subscribe(({ object }) => {
    if (!object.status?.readyToUse) start(takeSnapshot(client, object))
  })
  jobReflector.store.subscribe(({ object }) => {
    if (!object.status?.completionTime && !object.metadata.deletionTimestamp) start(finishJob(client, object))
  })
  const running = [snapshotReflector.run(stop.signal), jobReflector.run(stop.signal)]
  return {
    failures: () => failures,
    stop: async () => {
      stop.abort()
      await Promise.all([...running, ...working])
      if (failures.length > 0) throw new AggregateError(failures, 'the hands of the cluster met errors')
    },
  }
}

async function takeSnapshot(client: Client, { metadata }: VolumeSnapshot): Promise<void> {
  const status = {
    readyToUse: true,
    creationTime: metadata.creationTimestamp,
    restoreSize: '16Mi',
    boundVolumeSnapshotContentName: `content-${metadata.uid}`,
  }
  const body = { status }
  await client.patch(snapshots, metadata.namespace, metadata.name, { kind: 'merge', body }, { subresource: 'status' })
}

/** Makes the one pod of a Job, ended with the mover's message. */
export async function endPod(client: Client, job: Job, exitCode: number, message: MoverMessage): Promise<void> {
  const { metadata, spec } = job
  const { name, namespace, uid = '', creationTimestamp } = metadata
  const owner = { apiVersion: 'batch/v1', kind: 'Job', name, uid, controller: true, blockOwnerDeletion: false }
  const pod: KubernetesObject & { readonly spec: object } = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...spec.template.metadata, name: `${name.slice(0, 50)}-pod`, namespace, ownerReferences: [owner] },
    spec: spec.template.spec,
  }
  await client.create(pods, pod).catch((error: unknown) => {
    if (!isAlreadyExists(error)) throw error
  })
  const terminated = {
    exitCode,
    message: encodeMoverMessage(message),
    startedAt: creationTimestamp,
    finishedAt: new Date().toISOString(),
  }
  const image = { image: 'none', imageID: 'none', ready: false, restartCount: 0 }
  const containerStatuses = spec.template.spec.containers.map(each => ({
    ...image,
    name: (each as { readonly name: string }).name,
    state: { terminated },
  }))
  const body = { status: { phase: exitCode === 0 ? 'Succeeded' : 'Failed', containerStatuses } }
  await client.patch(pods, namespace, pod.metadata.name, { kind: 'merge', body }, { subresource: 'status' })
}

/** The Job's pod, then its own end. */
async function finishJob(client: Client, job: Job): Promise<void> {
  const { name, namespace, creationTimestamp, labels } = job.metadata
  const now = new Date()
  await endPod(client, job, 0, messageOf(labels?.[label.role] as JobRole | undefined, name, now))
  const condition = { status: 'True', lastTransitionTime: now.toISOString(), lastProbeTime: now.toISOString() }
  const status = {
    startTime: creationTimestamp,
    completionTime: now.toISOString(),
    succeeded: 1,
    conditions: ['SuccessCriteriaMet', 'Complete'].map(type => ({ type, ...condition })),
  }
  await client.patch(jobs, namespace, name, { kind: 'merge', body: { status } }, { subresource: 'status' })
}

function messageOf(role: JobRole | undefined, run: string, now: Date): MoverMessage {
  if (role === 'probe') return { phase: 'done', probe: { conditionalPut: true, canList: true, canDelete: true } }
  if (role === 'catalog') return { phase: 'done', catalog: { entries: [] } }
  const times = { startedAt: now.getTime(), finishedAt: now.getTime() }
  return { phase: 'committed', run, ...times, bytes: 10, storedBytes: 10, manifest: `manifests/${run}.json` }
}
