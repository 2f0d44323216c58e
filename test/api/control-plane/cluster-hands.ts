// What the rest of a cluster would do, on a bare API server: snapshots become ready, Jobs and their pods succeed, and what belongs to a
// Backup or a Job goes with it.
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import type { Restore } from '../../../src/api/kinds/restore.ts'
import type { Job, KubernetesObject, VolumeSnapshot } from '../../../src/api/kubernetes.ts'
import { annotation, label } from '../../../src/api/labels.ts'
import { encodeMoverMessage, type MoverMessage } from '../../../src/api/mover/message.ts'
import { exitCodeOf } from '../../../src/api/mover/reasons.ts'
import { moverEnvironment } from '../../../src/api/mover/pod.ts'
import { parseMoverTask, type MoverTask } from '../../../src/api/mover/task.ts'
import { backupPolicies, backups, jobs, pods, restores, snapshots } from '../../../src/controllers/shared/resources.ts'
import type { Client } from '../../../src/runtime/client/client.ts'
import { isAlreadyExists, isConflict, isNotFound } from '../../../src/runtime/client/errors.ts'
import { Reflector } from '../../../src/runtime/cache/reflector.ts'
import type { Change } from '../../../src/runtime/cache/store.ts'
import { createBucket, type Bucket } from '../operator/pretend-bucket.ts'

export type Hands = {
  /** What went wrong so far, which `stop` throws. */
  readonly failures: () => readonly unknown[]
  readonly stop: () => Promise<void>
}

export type HandsOptions = {
  /** What the movers work on. */
  readonly bucket?: Bucket
  /** Backups whose VolumeSnapshot never becomes ready, and whose pod runs for ever; Restores whose pods do. */
  readonly endless?: readonly string[]
}

/** Works in one namespace until `stop`. */
export function clusterHands(client: Client, namespace: string, options: HandsOptions = {}): Hands {
  const { bucket = createBucket(), endless = [] } = options
  const stop = new AbortController()
  const failures: unknown[] = []
  const working = new Set<Promise<unknown>>()
  const start = (work: Promise<unknown>) => {
    const done = work.catch((error: unknown) => {
      // The object went, or was touched by someone else, whose change comes as the next event.
      if (!isNotFound(error) && !isConflict(error) && !isAlreadyExists(error) && !stop.signal.aborted)
        failures.push(error)
    })
    working.add(done)
    void done.finally(() => working.delete(done))
  }
  /** By Job: a mover says what it says once, however often its Job is looked at. */
  const words = new Map<string, MoverMessage>()
  const wordsOf = ({ metadata: { uid = '', name }, spec }: Job) => {
    const said = words.get(uid) ?? bucket.carryOut(taskOf(spec), name, new Date())
    words.set(uid, said)
    return said
  }
  const isEndless = ({ metadata }: KubernetesObject) =>
    [metadata.annotations?.[annotation.backup], metadata.labels?.[label.restore]].some(
      each => each !== undefined && endless.includes(each),
    )

  // The garbage collector, for Jobs of a policy, a Backup or a Restore, and for pods. CronJobs the operator deletes, and waits for nobody.
  const policyReflector = new Reflector<BackupPolicy>({ client, resource: backupPolicies, namespace })
  const backupReflector = new Reflector<Backup>({ client, resource: backups, namespace })
  const restoreReflector = new Reflector<Restore>({ client, resource: restores, namespace })
  const snapshotReflector = new Reflector<VolumeSnapshot>({ client, resource: snapshots, namespace })
  const jobReflector = new Reflector<Job>({ client, resource: jobs, namespace })
  const deleteJobsOf = (owner: KubernetesObject) => {
    const owned = jobReflector.store.list().filter(job => isOwned(job, owner))
    for (const { metadata } of owned) start(client.delete(jobs, namespace, metadata.name, background))
  }
  for (const { store } of [policyReflector, backupReflector, restoreReflector])
    store.subscribe(({ type, object }: Change<KubernetesObject>) => {
      if (type === 'deleted') deleteJobsOf(object)
    })
  snapshotReflector.store.subscribe(({ type, object }) => {
    if (type !== 'deleted' && !object.status?.readyToUse && !isEndless(object)) start(takeSnapshot(client, object))
  })
  jobReflector.store.subscribe(({ type, object }) => {
    if (type === 'deleted') start(client.delete(pods, namespace, podName(object)))
    else if (object.status?.conditions?.length || object.metadata.deletionTimestamp) return
    else if (isEndless(object)) start(givePod(client, object, { phase: 'Running' }))
    else start(finishJob(client, object, wordsOf))
  })
  const reflectors = [policyReflector, backupReflector, restoreReflector, snapshotReflector, jobReflector]
  const running = reflectors.map(reflector => reflector.run(stop.signal))
  return {
    failures: () => failures,
    stop: async () => {
      stop.abort()
      await Promise.all([...running, ...working])
      if (failures.length > 0) throw new AggregateError(failures, 'the hands of the cluster met errors')
    },
  }
}

const background = { propagationPolicy: 'Background' } as const

const isOwned = ({ metadata }: KubernetesObject, owner: KubernetesObject) =>
  metadata.ownerReferences?.some(({ uid }) => uid === owner.metadata.uid)

function taskOf({ template }: Job['spec']): MoverTask {
  const env = template.spec.containers.flatMap(container => container.env ?? [])
  return parseMoverTask(env.find(({ name }) => name === moverEnvironment.task)?.value ?? '')
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
  const terminated = {
    exitCode,
    message: encodeMoverMessage(message),
    startedAt: job.metadata.creationTimestamp,
    finishedAt: new Date().toISOString(),
  }
  const image = { image: 'none', imageID: 'none', ready: false, restartCount: 0 }
  const containerStatuses = job.spec.template.spec.containers.map(({ name }) => ({
    ...image,
    name,
    state: { terminated },
  }))
  await givePod(client, job, { phase: exitCode === 0 ? 'Succeeded' : 'Failed', containerStatuses })
}

async function givePod(client: Client, job: Job, status: object): Promise<void> {
  const { metadata, spec } = job
  const { name, namespace, uid = '' } = metadata
  const owner = { apiVersion: 'batch/v1', kind: 'Job', name, uid, controller: true, blockOwnerDeletion: false }
  const pod: KubernetesObject & { readonly spec: object } = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...spec.template.metadata, name: podName(job), namespace, ownerReferences: [owner] },
    spec: spec.template.spec,
  }
  await client.create(pods, pod).catch((error: unknown) => {
    if (!isAlreadyExists(error)) throw error
  })
  const body = { status }
  await client.patch(pods, namespace, pod.metadata.name, { kind: 'merge', body }, { subresource: 'status' })
}

const podName = ({ metadata }: Job) => `${metadata.name.slice(0, 50)}-pod`

/** The Job's pod, then its own end. */
async function finishJob(client: Client, job: Job, wordsOf: (job: Job) => MoverMessage): Promise<void> {
  const { name, namespace, creationTimestamp } = job.metadata
  const now = new Date()
  const words = wordsOf(job)
  const failed = words.phase === 'failed'
  await endPod(client, job, failed ? exitCodeOf(words.reason ?? 'Internal') : 0, words)
  const condition = { status: 'True', lastTransitionTime: now.toISOString(), lastProbeTime: now.toISOString() }
  const ends = failed ? ['FailureTarget', 'Failed'] : ['SuccessCriteriaMet', 'Complete']
  const status = {
    startTime: creationTimestamp,
    ...(failed ? { failed: 1 } : { completionTime: now.toISOString(), succeeded: 1 }),
    conditions: ends.map(type => ({ type, ...condition })),
  }
  await client.patch(jobs, namespace, name, { kind: 'merge', body: { status } }, { subresource: 'status' })
}
