// Objects as the API server gives them, for tests of plans: each builder makes a whole, valid object, and takes what a test is about.
import type { Backup, BackupSpec, BackupStatus } from '../../src/api/kinds/backup.ts'
import { backupPolicySpec, type BackupPolicy } from '../../src/api/kinds/backup-policy.ts'
import type { BackupPolicyStatus, StartStatus, StoreStatus } from '../../src/api/kinds/backup-policy-status.ts'
import type {
  ContainerStatus,
  CronJob,
  Job,
  JobEvent,
  KubernetesObject,
  ObjectMeta,
  OwnerReference,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  VolumeSnapshot,
  VolumeSnapshotClass,
} from '../../src/api/kubernetes.ts'
import { annotation, label, labelValue, policyLabels, type JobRole } from '../../src/api/labels.ts'
import type { MoverMessage } from '../../src/api/mover/message.ts'
import { commandTarget, cronJobName, onDemandJobName, onDemandSnapshotName, slotText } from '../../src/api/names.ts'
import { claimEssence } from '../../src/controllers/shared/essence.ts'
import { scheduleOf } from '../../src/plan/policy/schedule.ts'
import type { PolicyWorld } from '../../src/plan/view/world.ts'
import { stateHash } from '../../src/resources/desired-state.ts'
import { backupCronJob } from '../../src/resources/jobs.ts'
import type { Settings } from '../../src/resources/settings.ts'

export const namespace = 'shop'
export const driver = 'csi.example.com'
export const settings: Settings = { image: 'backup-operator:test', imagePullSecrets: [], clusterId: 'cluster-1' }

/** The day on which most tests play: `at('02:00')` is two hours after its midnight, `at('+1d 02:00')` a day later. UTC. */
export function at(text: string): Date {
  const [, days = '0', hour, minute, second = '0'] = /^(?:\+(\d+)d )?(\d\d):(\d\d)(?::(\d\d))?$/.exec(text) ?? []
  if (hour === undefined) throw new TypeError(`${text} is no time of a test, which are like 02:00 or +1d 02:00:30`)
  return new Date(Date.UTC(2026, 0, 5 + Number(days), Number(hour), Number(minute), Number(second)))
}

export function stamp(time: Date): string {
  return `${time.toISOString().slice(0, 19)}Z`
}

type Meta = Partial<ObjectMeta>
function meta(kind: string, name: string, more: Meta = {}): ObjectMeta {
  return {
    name,
    namespace,
    uid: `uid-of-${kind}-${name}`,
    resourceVersion: '1',
    creationTimestamp: stamp(at('00:00')),
    ...more,
  }
}

export const jobStrategy = { type: 'job', job: { image: 'postgres:15', args: ['pg_dump', '-Fc', 'shop'] } } as const
export const snapshotStrategy = { type: 'snapshot' } as const
export const backend = {
  type: 's3',
  bucket: 'backups',
  endpoint: 'http://minio.minio.svc:9000',
  secretRef: 'minio-creds',
} as const

/** A policy with the schema's defaults: every night at two, seven kept, strategy job. */
export function policy(
  spec: object = {},
  more: { readonly metadata?: Meta; readonly status?: BackupPolicyStatus } = {},
): BackupPolicy {
  return {
    apiVersion: 'backup.dev/v1alpha1',
    kind: 'BackupPolicy',
    metadata: meta('policy', 'nightly', { generation: 1, ...more.metadata }),
    spec: backupPolicySpec.parse({
      selector: { matchLabels: { app: 'postgres' } },
      schedule: '0 2 * * *',
      retention: 7,
      backend,
      strategy: jobStrategy,
      ...spec,
    }),
    ...(more.status ? { status: more.status } : {}),
  }
}

export function snapshotPolicy(spec: object = {}, more: Parameters<typeof policy>[1] = {}): BackupPolicy {
  return policy({ strategy: snapshotStrategy, ...spec }, more)
}

/** What a person writes: `kubectl create` of a Backup. */
export function backup(
  name: string,
  more: { readonly spec?: Partial<BackupSpec>; readonly metadata?: Meta; readonly status?: BackupStatus } = {},
): Backup {
  return {
    apiVersion: 'backup.dev/v1alpha1',
    kind: 'Backup',
    metadata: meta('backup', name, { generation: 1, ...more.metadata }),
    spec: { policy: 'nightly', ...more.spec },
    ...(more.status ? { status: more.status } : {}),
  }
}

/** A Backup that the operator made for a slot; with strategy job its name is that of the CronJob's Job. */
export function scheduled(
  slot: Date,
  more: {
    readonly name?: string
    readonly target?: string
    readonly metadata?: Meta
    readonly status?: BackupStatus
  } = {},
): Backup {
  const { name = jobNameOfSlot(cronJobName('nightly'), slot), target = commandTarget } = more
  return backup(name, {
    spec: { target, slot: slot.toISOString() },
    metadata: {
      creationTimestamp: stamp(slot),
      labels: { ...policyLabels('nightly'), [label.target]: labelValue(target), [label.slot]: slotText(slot) },
      ...more.metadata,
    },
    ...(more.status ? { status: more.status } : {}),
  })
}

/** The status of a run in the bucket that ended well. */
export function completed(run: string, end: Date, more: Partial<BackupStatus> = {}): BackupStatus {
  return {
    phase: 'Completed',
    reason: 'Completed',
    message: 'the backup is complete',
    target: commandTarget,
    run,
    completionTime: stamp(end),
    ...more,
  }
}

export function failed(run: string, end: Date, more: Partial<BackupStatus> = {}): BackupStatus {
  return { ...completed(run, end), phase: 'Failed', reason: 'SourceExit', message: 'it failed', ...more }
}

type JobMore = { readonly metadata?: Meta; readonly status?: Job['status']; readonly spec?: Partial<Job['spec']> }

/** A controller, as what it makes names it. */
export function controlledBy({ apiVersion, kind, metadata: { name, uid = '' } }: KubernetesObject): OwnerReference {
  return { apiVersion, kind, name, uid, controller: true }
}

const cronJobOfPolicy: KubernetesObject = {
  apiVersion: 'batch/v1',
  kind: 'CronJob',
  metadata: meta('cronjob', cronJobName('nightly')),
}

/** A Job of ours with the spec's least: a run of the CronJob, or what the policy itself wants to know. */
export function job(name: string, role: JobRole, more: JobMore = {}): Job {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: meta('job', name, {
      labels: { ...policyLabels('nightly'), [label.target]: commandTarget, [label.role]: role },
      ownerReferences: [controlledBy(role === 'run' ? cronJobOfPolicy : policy())],
      ...more.metadata,
    }),
    spec: {
      backoffLimit: 2,
      activeDeadlineSeconds: 65_400,
      template: {
        spec: {
          restartPolicy: 'Never',
          activeDeadlineSeconds: 21_600,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: 30,
          securityContext: {},
          containers: [],
          volumes: [],
        },
      },
      ...more.spec,
    },
    ...(more.status ? { status: more.status } : {}),
  }
}

/** The name that the CronJob controller gives the Job of a slot. */
export function jobNameOfSlot(cronJob: string, slot: Date): string {
  return `${cronJob}-${Math.floor(slot.getTime() / 60_000)}`
}

/** The Job that the CronJob controller makes for a slot. */
export function jobOfSlot(slot: Date, more: JobMore = {}): Job {
  return job(jobNameOfSlot(cronJobName('nightly'), slot), 'run', {
    ...more,
    metadata: {
      creationTimestamp: stamp(slot),
      annotations: { [annotation.cronJobSlot]: stamp(slot) },
      ...more.metadata,
    },
    status: more.status ?? { startTime: stamp(slot), active: 1 },
  })
}

/** The Job of a Backup that a person asked for. */
export function jobOfBackup(of: Backup, more: JobMore = {}): Job {
  return job(onDemandJobName('nightly', of.metadata.uid ?? ''), 'run', {
    ...more,
    metadata: {
      annotations: { [annotation.backup]: of.metadata.name },
      ownerReferences: [controlledBy(of)],
      ...more.metadata,
    },
  })
}

type JobCondition = NonNullable<NonNullable<Job['status']>['conditions']>[number]

export function complete(start: Date, end: Date): Job['status'] {
  return {
    startTime: stamp(start),
    completionTime: stamp(end),
    succeeded: 1,
    conditions: [{ type: 'Complete', status: 'True', lastTransitionTime: stamp(end) }],
  }
}

export function jobFailed(start: Date, end: Date, more: Partial<JobCondition> = {}): Job['status'] {
  const condition = { type: 'Failed', status: 'True', reason: 'BackoffLimitExceeded', lastTransitionTime: stamp(end) }
  return { startTime: stamp(start), failed: 1, conditions: [{ ...condition, ...more }] }
}

/** A pod of a Job, running, unless told otherwise. */
export function pod(
  of: Job,
  attempt: number,
  more: { readonly metadata?: Meta; readonly status?: Pod['status'] } = {},
): Pod {
  const { name, labels } = of.metadata
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: meta('pod', `${name}-${attempt}`, {
      labels: { ...labels, 'batch.kubernetes.io/job-name': name },
      creationTimestamp: of.metadata.creationTimestamp,
      ownerReferences: [controlledBy(of)],
      ...more.metadata,
    }),
    status: more.status ?? { phase: 'Running', containerStatuses: [running('dump'), running('mover')] },
  }
}

export function running(name: string): ContainerStatus {
  return { name, state: { running: {} } }
}

export function waiting(name: string, reason: string, message = ''): ContainerStatus {
  return { name, state: { waiting: { reason, message } } }
}

type Terminated = NonNullable<NonNullable<ContainerStatus['state']>['terminated']>

export function ended(name: string, exitCode: number, more: Partial<Terminated> = {}): ContainerStatus {
  const reason = exitCode === 0 ? 'Completed' : 'Error'
  return { name, state: { terminated: { exitCode, reason, finishedAt: stamp(at('02:10')), ...more } } }
}

/** The mover's container with its last words. */
export function saying(message: MoverMessage, exitCode = message.phase === 'failed' ? 10 : 0): ContainerStatus {
  return ended('mover', exitCode, { message: JSON.stringify(message) })
}

/** A warning of the Job controller that it could not make a pod. */
export function failedCreate(of: Job, message: string, time: Date): JobEvent {
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: meta('event', `${of.metadata.name}.1`),
    involvedObject: { kind: 'Job', namespace, name: of.metadata.name, uid: of.metadata.uid },
    reason: 'FailedCreate',
    type: 'Warning',
    message,
    lastTimestamp: stamp(time),
  }
}

/** A bound claim with a volume of the driver, `volumeOf` makes that, as the caches keep it: a plan never sees more of one. */
export function claim(
  name: string,
  more: {
    readonly metadata?: Meta
    readonly spec?: PersistentVolumeClaim['spec']
    readonly status?: PersistentVolumeClaim['status']
  } = {},
): PersistentVolumeClaim {
  return claimEssence({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: meta('claim', name, { labels: { app: 'postgres' }, ...more.metadata }),
    spec: more.spec ?? { volumeName: `volume-of-${name}` },
    status: more.status ?? { phase: 'Bound' },
  })
}

export function volumeOf(
  claimName: string,
  csi: PersistentVolume['spec']['csi'] | 'none' = { driver },
): PersistentVolume {
  const { namespace: _, ...metadata } = meta('volume', `volume-of-${claimName}`)
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata,
    spec: { ...(csi === 'none' ? {} : { csi }), claimRef: { namespace } },
  }
}

export function snapshotClass(
  name: string,
  more: { readonly driver?: string; readonly deletionPolicy?: 'Delete' | 'Retain'; readonly isDefault?: boolean } = {},
): VolumeSnapshotClass {
  const annotations: ObjectMeta['annotations'] = more.isDefault
    ? { 'snapshot.storage.kubernetes.io/is-default-class': 'true' }
    : {}
  const { namespace: _, ...metadata } = meta('class', name, { annotations })
  return {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshotClass',
    metadata,
    driver: more.driver ?? driver,
    deletionPolicy: more.deletionPolicy ?? 'Retain',
  }
}

/** The VolumeSnapshot of a Backup. */
export function snapshotOf(
  of: Backup,
  more: { readonly status?: VolumeSnapshot['status']; readonly metadata?: Meta; readonly claim?: string } = {},
): VolumeSnapshot {
  const source = more.claim ?? of.spec.target ?? ''
  const name = of.spec.slot ? of.metadata.name : onDemandSnapshotName(of.metadata.name, of.metadata.uid ?? '')
  return {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshot',
    metadata: meta('snapshot', name, {
      labels: {
        ...policyLabels(of.spec.policy),
        [label.target]: labelValue(source),
        ...(of.spec.slot ? { [label.slot]: slotText(new Date(of.spec.slot)) } : {}),
      },
      annotations: {
        [annotation.backup]: of.metadata.name,
        [annotation.askedAt]: of.metadata.creationTimestamp ?? '',
      },
      creationTimestamp: of.metadata.creationTimestamp,
      ...more.metadata,
    }),
    spec: { volumeSnapshotClassName: 'fast', source: { persistentVolumeClaimName: source } },
    status: more.status ?? { readyToUse: false },
  }
}

export const ready = { readyToUse: true, restoreSize: '1Gi', boundVolumeSnapshotContentName: 'content' } as const

/** A world around a policy; for a job policy the CronJob is as it should be, unless the test says otherwise. */
export function world(of: BackupPolicy | undefined, more: Partial<PolicyWorld> = {}): PolicyWorld {
  const claims = more.claims ?? []
  const desired = of && desiredCronJob(of)
  return {
    namespace,
    name: 'nightly',
    settings,
    policy: of,
    backups: [],
    cronJob: desired && { ...desired, metadata: { ...cronJobOfPolicy.metadata, ...desired.metadata } },
    jobs: [],
    pods: [],
    targetCronJobs: [],
    cronJobEvents: [],
    jobEvents: [],
    presetTargets: undefined,
    selectedPods: 1,
    claims,
    claimUIDs: new Map(claims.map(({ metadata: { name, uid = '' } }) => [name, uid])),
    volumes: new Map(claims.map(({ metadata }) => [`volume-of-${metadata.name}`, volumeOf(metadata.name)])),
    snapshotClasses: [snapshotClass('fast')],
    snapshotApiAwaySince: undefined,
    snapshotApiBackSince: undefined,
    snapshots: [],
    deletionPolicies: new Map(),
    dryRun: { is: 'accepted', at: at('00:00') },
    serverTime: undefined,
    probesRunning: 0,
    ...more,
  }
}

export function desiredCronJob(of: BackupPolicy): CronJob | undefined {
  const clock = scheduleOf(of)
  const { job: strategy } = of.spec.strategy
  return strategy && !('problem' in clock)
    ? backupCronJob(of, strategy, clock.text, { held: [], accepted: [] }, settings)
    : undefined
}

/** What a probe at this time found of the store of `policy()`. */
export function usableStore(probed: Date, more: Partial<StoreStatus> = {}): StoreStatus {
  return {
    backendHash: stateHash(policy().spec.backend),
    result: 'Usable',
    reason: 'Ready',
    message: '',
    attempts: 1,
    failures: 0,
    lastProbeTime: stamp(probed),
    ...more,
  }
}

/** What a dry start at this time found of the command of `policy()`. */
export function startable(tried: Date, more: Partial<StartStatus> = {}): StartStatus {
  return {
    specHash: stateHash(policy().spec.strategy.job),
    result: 'Startable',
    reason: 'Ready',
    message: '',
    attempts: 1,
    failures: 0,
    lastTime: stamp(tried),
    ...more,
  }
}
