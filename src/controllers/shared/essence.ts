// What is kept of an object of each kind: what plans read. A field that nothing reads yet is to be added here, or it is never seen.
import type {
  ContainerStatus,
  CronJob,
  Job,
  JobEvent,
  ObjectMeta,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
} from '../../api/kubernetes.ts'
import { isRestoreFinal } from '../../api/kinds/restore-phases.ts'
import type { Restore } from '../../api/kinds/restore.ts'
import { label, managerName } from '../../api/labels.ts'
import type { KubeObject } from '../../runtime/client/resource.ts'

type JobTemplate = CronJob['spec']['jobTemplate']

/** All CronJobs are watched, because a stranger may have the name that ours needs; of a stranger only the name matters. */
export function strangerByNameOnly(cronJob: CronJob): CronJob {
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
export function withoutApplied<T extends KubeObject>(object: T): T {
  const { [lastApplied]: applied, ...annotations } = object.metadata.annotations ?? {}
  return applied === undefined ? object : { ...object, metadata: { ...object.metadata, annotations } }
}

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration'

/** Nobody plans or writes one that has ended: of that is kept what metrics tell, and what finds it. */
export function restoreEssence(restore: Restore): Restore {
  const { apiVersion, kind, metadata, spec, status } = restore
  if (!status || !isRestoreFinal(status.phase)) return withoutApplied(restore)
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata
  const { source, verify, activeDeadlineSeconds, backoffLimit } = spec
  const named = only(source, 'backup', 'policy')
  return {
    apiVersion,
    kind,
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { source: named, verify, activeDeadlineSeconds, backoffLimit },
    status: only(status, 'phase', 'policy', 'startTime', 'completionTime'),
  }
}

/**
 * Of a Job its limits and what became of it, but not its template, which is most of it: nobody changes a Job, or starts another like it. Its
 * pod's deadline is told to people.
 */
export function jobEssence({ apiVersion, kind, metadata, spec, status }: Job): Job {
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
export function eventEssence({
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

export function volumeEssence({ apiVersion, kind, metadata, spec }: PersistentVolume): PersistentVolume {
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
