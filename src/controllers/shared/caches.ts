// What the operator watches. Only objects that we made, or that a policy can select, are kept; where less is enough, less is kept.
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type {
  ContainerStatus,
  CronJob,
  Job,
  JobEvent,
  ObjectMeta,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  VolumeSnapshot,
  VolumeSnapshotClass,
} from '../../api/kubernetes.ts'
import { label, labelValue, managerName } from '../../api/labels.ts'
import { cronJobName } from '../../api/names.ts'
import { isRunningProbe } from '../../plan/policy/store-probe.ts'
import type { Client } from '../../runtime/client/client.ts'
import type { Log } from '../../runtime/log.ts'
import type { RuntimeMetrics } from '../../runtime/metrics.ts'
import { Reflector, type ReflectorOptions } from '../../runtime/cache/reflector.ts'
import { SharedParts } from '../../runtime/cache/shared-parts.ts'
import { keyFrom, resourceName, type KubeObject } from '../../runtime/client/resource.ts'
import type { Store } from '../../runtime/cache/store.ts'
import * as resources from './resources.ts'

type JobTemplate = CronJob['spec']['jobTemplate']

export type Caches = {
  readonly policies: Store<BackupPolicy>
  readonly backups: Store<Backup>
  readonly cronJobs: Store<CronJob>
  readonly jobs: Store<Job>
  readonly pods: Store<Pod>
  readonly jobEvents: Store<JobEvent>
  readonly cronJobEvents: Store<JobEvent>
  readonly claims: Store<PersistentVolumeClaim>
  readonly volumes: Store<PersistentVolume>
  readonly snapshots: Store<VolumeSnapshot>
  readonly snapshotClasses: Store<VolumeSnapshotClass>
}

/** What a look at the API server needs: what it finds goes into the caches. */
export type Reach = { readonly client: Client; readonly caches: Caches }

export type CachesOptions = { readonly client: Client; readonly log: Log; readonly metrics: RuntimeMetrics }

/** The caches, and what keeps them equal to the API server until the signal aborts. */
export function createCaches({ client, log, metrics }: CachesOptions): {
  readonly caches: Caches
  readonly run: (signal: AbortSignal) => Promise<void>
} {
  const reflectors: { run(signal: AbortSignal): Promise<void> }[] = []
  const parts = new SharedParts()
  const managed = { labelSelector: `${label.managedBy}=${managerName}` } as const

  /** @param name of the cache in metrics */
  function keep<T extends KubeObject>(
    options: Omit<ReflectorOptions<T>, 'client' | 'log' | 'onRestart'>,
    name = resourceName(options.resource),
  ): Store<T> {
    const pick = (object: T): T => parts.share(options.pick?.(object) ?? object)
    const reflector = new Reflector<T>({ ...options, pick, client, log, onRestart: metrics.onRestart(name) })
    metrics.watchCache(name, reflector.store)
    reflectors.push(reflector)
    return reflector.store
  }

  const caches: Caches = {
    policies: keep<BackupPolicy>({
      resource: resources.backupPolicies,
      pick: withoutApplied,
      indexes: {
        namespace: byNamespace,
        label: policy => [keyFrom(policy.metadata.namespace, labelValue(policy.metadata.name))],
        cronJob: policy => [keyFrom(policy.metadata.namespace, cronJobName(policy.metadata.name))],
      },
    }),
    backups: keep<Backup>({
      resource: resources.backups,
      pick: withoutApplied,
      indexes: { policy: backup => [keyFrom(backup.metadata.namespace, backup.spec.policy)] },
    }),
    cronJobs: keep<CronJob>({ resource: resources.cronJobs, pick: strangerByNameOnly }),
    jobs: keep<Job>({
      resource: resources.jobs,
      ...managed,
      pick: jobEssence,
      indexes: { policy: byPolicyLabel, probe: job => (isRunningProbe(job) ? ['running'] : []) },
    }),
    pods: keep<Pod>({ resource: resources.pods, ...managed, indexes: { policy: byPolicyLabel }, pick: podEssence }),
    jobEvents: keep<JobEvent>({
      resource: resources.events,
      fieldSelector: 'involvedObject.kind=Job,type=Warning',
      indexes: { job: event => [event.involvedObject.uid ?? ''] },
      pick: eventEssence,
    }),
    cronJobEvents: keep<JobEvent>(
      {
        resource: resources.events,
        fieldSelector: 'involvedObject.kind=CronJob,type=Warning',
        indexes: { cronJob: event => [event.involvedObject.uid ?? ''] },
        pick: eventEssence,
      },
      'events of cronjobs',
    ),
    claims: keep<PersistentVolumeClaim>({
      resource: resources.claims,
      indexes: { namespace: byNamespace },
      pick: claimEssence,
    }),
    volumes: keep<PersistentVolume>({ resource: resources.volumes, pick: volumeEssence }),
    snapshots: keep<VolumeSnapshot>({
      resource: resources.snapshots,
      ...managed,
      indexes: { policy: byPolicyLabel },
      pick: withoutApplied,
    }),
    snapshotClasses: keep<VolumeSnapshotClass>({ resource: resources.snapshotClasses }),
  }
  return { caches, run: async signal => void (await Promise.all(reflectors.map(reflector => reflector.run(signal)))) }
}

function byNamespace({ metadata }: KubeObject): readonly string[] {
  return [metadata.namespace ?? '']
}

/** Objects of a policy carry its name as a label value, which may be cut; both sides of a comparison are cut the same way. */
function byPolicyLabel({ metadata }: KubeObject): readonly string[] {
  const policy = metadata.labels?.[label.policy]
  return policy === undefined ? [] : [keyFrom(metadata.namespace, policy)]
}

/** All CronJobs are watched, because a stranger may have the name that ours needs; of a stranger only the name matters. */
function strangerByNameOnly(cronJob: CronJob): CronJob {
  if (cronJob.metadata.labels?.[label.managedBy] === managerName) return cronJob
  const { apiVersion, kind, metadata } = cronJob
  const { name, namespace, uid, resourceVersion } = metadata
  return {
    apiVersion,
    kind,
    metadata: { name, namespace, uid, resourceVersion },
    spec: { schedule: '', jobTemplate: emptyTemplate },
  }
}

const emptyTemplate: JobTemplate = {
  spec: {
    template: {
      spec: {
        restartPolicy: 'Never',
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        terminationGracePeriodSeconds: 0,
        securityContext: {},
        containers: [],
        volumes: [],
      },
    },
  },
}

/**
 * What `kubectl apply` wrote down for itself is a second copy of the object. Objects without it may be used to write a status: the API
 * server takes nothing else from such a request. They must not be used to replace the object itself.
 */
function withoutApplied<T extends KubeObject>(object: T): T {
  const { [lastApplied]: applied, ...annotations } = object.metadata.annotations ?? {}
  return applied === undefined ? object : { ...object, metadata: { ...object.metadata, annotations } }
}

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration'

/**
 * Of a Job its limits and what became of it, but not its template, which is most of it: nobody changes a Job, or starts another like it. Its
 * pod's deadline is told to people.
 */
function jobEssence({ apiVersion, kind, metadata, spec, status }: Job): Job {
  const { activeDeadlineSeconds } = spec.template.spec
  const template = { spec: { ...emptyTemplate.spec.template.spec, activeDeadlineSeconds } }
  return {
    apiVersion,
    kind,
    metadata: withOurLabels(metadata),
    spec: { ...only(spec, 'suspend', 'backoffLimit', 'activeDeadlineSeconds'), template },
    status: status && {
      ...only(status, 'startTime', 'completionTime', 'active', 'failed', 'succeeded'),
      conditions: status.conditions?.map(withoutProbeTime),
    },
  }
}

/** Of our pods only what became of them is looked at. */
export function podEssence({ apiVersion, kind, metadata, status }: Pod): Pod {
  const { annotations: _, ...kept } = metadata
  return {
    apiVersion,
    kind,
    metadata: withOurLabels(kept),
    status: status && {
      ...only(status, 'phase', 'reason', 'message', 'startTime'),
      conditions: status.conditions?.map(withoutProbeTime),
      initContainerStatuses: status.initContainerStatuses?.map(containerEssence),
      containerStatuses: status.containerStatuses?.map(containerEssence),
    },
  }
}

/** These fields of it, where it has them. */
function only<T extends object, Key extends keyof T>(object: T, ...keys: readonly Key[]): Pick<T, Key> {
  return Object.fromEntries(keys.flatMap(key => (key in object ? [[key, object[key]]] : []))) as Pick<T, Key>
}

/** Without those by which the Job controller finds its pods: they say what the reference to the owner says. */
function withOurLabels(metadata: ObjectMeta): ObjectMeta {
  const labels = Object.entries(metadata.labels ?? {}).filter(([key]) => !jobControllersOwn.has(key))
  return { ...metadata, labels: Object.fromEntries(labels) }
}

const jobControllersOwn: ReadonlySet<string> = new Set([
  'batch.kubernetes.io/controller-uid',
  'batch.kubernetes.io/job-name',
  'controller-uid',
  'job-name',
])

/** A time that Jobs and pods have twice. */
function withoutProbeTime<T extends object>(condition: T): T {
  const { lastProbeTime: _, ...kept } = condition as T & { readonly lastProbeTime?: unknown }
  return kept as T
}

/** Without what says which image it was and where it ran, which is long and the same in all of them. */
function containerEssence(container: ContainerStatus): ContainerStatus {
  const {
    image,
    imageID,
    containerID,
    resources: _,
    allocatedResources,
    volumeMounts,
    user,
    ready,
    started,
    lastState,
    ...kept
  } = container as ContainerStatus & Readonly<Record<string, unknown>>
  return kept
}

/** Of a warning what it is about, what it says, and when. */
function eventEssence({
  apiVersion,
  kind,
  metadata,
  involvedObject,
  reason,
  message,
  type,
  lastTimestamp,
}: JobEvent): JobEvent {
  const { name, namespace, uid, resourceVersion } = metadata
  const { kind: of, name: about, uid: owner } = involvedObject
  return {
    apiVersion,
    kind,
    metadata: { name, namespace, uid, resourceVersion },
    involvedObject: { kind: of, name: about, uid: owner },
    reason,
    message,
    type,
    lastTimestamp,
  }
}

/** Of claims what says whether they are selected, and where their data are. */
export function claimEssence(claim: PersistentVolumeClaim): PersistentVolumeClaim {
  const { apiVersion, kind, metadata, spec, status } = claim
  const { name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp, labels, ownerReferences } =
    metadata
  const { storageClassName, volumeName, volumeMode } = spec
  return {
    apiVersion,
    kind,
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp, labels, ownerReferences },
    spec: { storageClassName, volumeName, volumeMode },
    status: { phase: status?.phase },
  }
}

function volumeEssence({ apiVersion, kind, metadata, spec }: PersistentVolume): PersistentVolume {
  const { name, uid, resourceVersion } = metadata
  return {
    apiVersion,
    kind,
    metadata: { name, uid, resourceVersion },
    spec: {
      csi: spec.csi && { driver: spec.csi.driver },
      claimRef: spec.claimRef && { namespace: spec.claimRef.namespace },
    },
  }
}
