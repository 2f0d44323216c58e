// The pods that we create: always `restricted`, without a token, with the credentials as files and with both lifelines of the data path.
import type { BackupPolicy } from '../api/kinds/backup-policy.ts'
import type { BackendSpec } from '../api/kinds/backup-policy-backend.ts'
import type { JobStrategy } from '../api/kinds/backup-policy-job.ts'
import type { Container, JobSpec, PodSpec, Volume } from '../api/kubernetes.ts'
import { apiVersion } from '../api/labels.ts'
import {
  announcingCommand,
  encodeMoverTask,
  lookCommand,
  lookForOneCommand,
  moverAllocator,
  moverEnvironment,
  moverPaths,
  prepareCommand,
  sourceCommand,
} from '../api/mover/pod.ts'
import type { BackendTask, MoverTaskInput, PrefixOwner } from '../api/mover/task.ts'
import { backupArtifact } from '../api/names.ts'
import { permanentExitCodes } from '../api/mover/reasons.ts'
import type { OwnerReference } from '../api/kubernetes.ts'
import type { Settings } from './settings.ts'

export type BackupTaskInput = Extract<MoverTaskInput, { readonly kind: 'backup' }>

/** What the container of a dump is given: the policy's own words, or what was inferred of a workload in their place. */
export type DumpSource = Omit<JobStrategy, 'volumes'> & {
  /** Its command is a script that announces its artifacts itself. The image needs one of the programs. */
  readonly script?: { readonly programs: readonly string[] }
  readonly volumes?: readonly Volume[]
  readonly mounts?: NonNullable<Container['volumeMounts']>
}

/** Names of the containers, as they are in status, docs and the chart's admission policy. */
export const container = { prepare: 'prepare', dump: 'dump', restore: 'restore', mover: 'mover' } as const

/** The image's own folder of shell helpers. */
const helpers = '/app/src/mover/shell'
const credentialsDirectory = '/var/run/backup/credentials'
const caDirectory = '/var/run/backup/ca'
export const nonRootId = 65532

/** One attempt may start so late after its pod began (image pulls). Seconds. */
export const startTimeoutSeconds = 300

/** A Job outlives the pods of all its attempts by this, for pods that never start. Seconds (docs/design.md R17). */
const jobGraceSeconds = 600

export const locked = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
  runAsNonRoot: true,
  seccompProfile: { type: 'RuntimeDefault' },
}

/** `activeDeadlineSeconds` of the Job of a policy: all attempts and a grace. */
export function jobDeadlineSeconds(policy: BackupPolicy): number {
  return deadlineOfAttempts(policy.spec)
}

export function deadlineOfAttempts({
  activeDeadlineSeconds,
  backoffLimit,
}: {
  readonly activeDeadlineSeconds: number
  readonly backoffLimit: number
}): number {
  return (backoffLimit + 1) * activeDeadlineSeconds + jobGraceSeconds
}

export function policyReference(policy: BackupPolicy): OwnerReference {
  const { name, uid = '' } = policy.metadata
  return { apiVersion, kind: 'BackupPolicy', name, uid, controller: true, blockOwnerDeletion: false }
}

/** The parts of every task that come from the policy. */
export function taskBase(policy: BackupPolicy, settings: Settings) {
  const { backend } = policy.spec
  if (!backend)
    throw new TypeError(`BackupPolicy ${policy.metadata.name} has no backend; admission requires one with strategy job`)
  const owner: PrefixOwner = {
    clusterId: settings.clusterId,
    namespace: policy.metadata.namespace ?? '',
    policy: policy.metadata.name,
    policyUid: policy.metadata.uid,
  }
  return storeTask(backend, owner)
}

/** The parts of every task that say where its folder is, and what opens it. */
export function storeTask(backend: BackendSpec, owner: PrefixOwner) {
  const { bucket, endpoint, region, prefix, forcePathStyle } = backend
  const store: BackendTask = { bucket, endpoint, region, prefix, forcePathStyle }
  const caFile = backend.ca ? `${caDirectory}/ca.crt` : undefined
  const { adopt } = backend
  return {
    version: 1,
    owner,
    adopt,
    backend: store,
    secretName: backend.secretRef,
    credentialsDirectory,
    caFile,
  } as const
}

/** The Job spec of one backup run: the user's command and our mover, side by side. */
export function backupJobSpec(
  policy: BackupPolicy,
  job: DumpSource,
  task: BackupTaskInput,
  settings: Settings,
): JobSpec {
  const command =
    job.script === undefined
      ? sourceCommand({ artifact: backupArtifact, startTimeoutSeconds })
      : announcingCommand({ startTimeoutSeconds })
  const spec = runPod(policy, job, command, task, settings, policy.spec.activeDeadlineSeconds)
  return {
    ...attempts(policy.spec),
    template: { spec },
  }
}

/** So many attempts, one after the other; what no retry can cure ends them at once. */
export function attempts(limits: { readonly activeDeadlineSeconds: number; readonly backoffLimit: number }) {
  return {
    backoffLimit: limits.backoffLimit,
    activeDeadlineSeconds: deadlineOfAttempts(limits),
    podReplacementPolicy: 'Failed',
    podFailurePolicy: {
      rules: [
        { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
        {
          action: 'FailJob',
          onExitCodes: { containerName: container.mover, operator: 'In', values: [...permanentExitCodes] },
        },
      ],
    },
  } as const satisfies Omit<JobSpec, 'template'>
}

/** The Job spec of a dry start: the pod of a run, whose command is looked for and not run (docs/design.md R35). */
export function startJobSpec(policy: BackupPolicy, job: DumpSource, settings: Settings): JobSpec {
  const task = { ...taskBase(policy, settings), kind: 'start' } as const
  const spec = runPod(policy, lookingSource(job), lookingCommand(job), task, settings, startJobDeadlineSeconds - 60)
  return { backoffLimit: 0, activeDeadlineSeconds: startJobDeadlineSeconds, template: { spec } }
}

/** The script of a preset is there for certain; what it needs of the image is looked for. */
function lookingSource(job: DumpSource): DumpSource {
  return job.script === undefined ? job : { ...job, command: undefined, args: [...job.script.programs] }
}

function lookingCommand({ script }: DumpSource): readonly string[] {
  return script === undefined ? lookCommand() : lookForOneCommand()
}

/** So long a dry start may wait for a node, and pull its images. Seconds. */
const startJobDeadlineSeconds = 1200

/** @param command what stands before the user's command line in its container */
function runPod(
  policy: BackupPolicy,
  job: DumpSource,
  command: readonly string[],
  task: MoverTaskInput,
  settings: Settings,
  activeDeadlineSeconds: number,
): PodSpec {
  return {
    ...podDefaults(settings),
    activeDeadlineSeconds,
    imagePullSecrets: [...settings.imagePullSecrets.map(name => ({ name })), ...(job.imagePullSecrets ?? [])],
    initContainers: [prepareContainer(settings)],
    containers: [sourceContainer(job, command), moverContainer(task, settings, [sharedMount])],
    volumes: [...sharedVolumes, ...storeVolumes(policy.spec.backend), ...(job.volumes ?? [])],
  }
}

/** Puts the helpers into the folder that the two containers share. */
export function prepareContainer(settings: Settings): Container {
  return {
    name: container.prepare,
    image: settings.image,
    imagePullPolicy: settings.imagePullPolicy,
    command: prepareCommand(helpers),
    resources: { requests: { cpu: '10m', memory: '16Mi' }, limits: { memory: '64Mi' } },
    securityContext: { ...locked, runAsUser: nonRootId, runAsGroup: nonRootId },
    volumeMounts: [sharedMount],
  }
}

/** Of a pod with a command: the folder of both containers, and its own place for files. */
export const sharedVolumes: readonly Volume[] = [
  { name: 'shared', emptyDir: { sizeLimit: '16Mi' } },
  { name: 'tmp', emptyDir: {} },
]

/** The Job spec of a task that only talks to the store. */
export function storeJobSpec(backend: BackendSpec | undefined, task: MoverTaskInput, settings: Settings): JobSpec {
  return {
    backoffLimit: 0,
    activeDeadlineSeconds: storeJobDeadlineSeconds,
    template: {
      spec: {
        ...podDefaults(settings),
        activeDeadlineSeconds: storeJobDeadlineSeconds - 60,
        containers: [moverContainer(task, settings, [])],
        volumes: storeVolumes(backend),
      },
    },
  }
}

/** A probe, or one page of a catalog, takes seconds; what takes longer cannot start. Seconds. */
export const storeJobDeadlineSeconds = 240

export const sharedMount = { name: 'shared', mountPath: moverPaths.shared }

export function podDefaults(settings: Settings) {
  return {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 30,
    imagePullSecrets: settings.imagePullSecrets.map(name => ({ name })),
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
  } as const
}

/** The user's image. User and group are set, because an image whose USER is root or a name cannot start otherwise (docs/design.md R10). */
function sourceContainer(job: DumpSource, command: readonly string[]): Container {
  const { runAsUser = nonRootId, runAsGroup = nonRootId, env = [] } = job
  const home = env.some(({ name }) => name === 'HOME') ? [] : [{ name: 'HOME', value: '/tmp' }]
  return {
    name: container.dump,
    // Admission asks for one where there is no preset, whose target has one.
    image: job.image ?? '',
    imagePullPolicy: job.imagePullPolicy,
    command,
    args: [...(job.command ?? []), ...(job.args ?? [])],
    env: [...home, ...env],
    envFrom: job.envFrom,
    resources: job.resources,
    securityContext: { ...locked, runAsUser, runAsGroup },
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [sharedMount, { name: 'tmp', mountPath: '/tmp' }, ...(job.mounts ?? [])],
  }
}

export function moverContainer(
  task: MoverTaskInput,
  settings: Settings,
  mounts: NonNullable<Container['volumeMounts']>,
): Container {
  const field = (fieldPath: string) => ({ fieldRef: { fieldPath } })
  return {
    name: container.mover,
    image: settings.image,
    imagePullPolicy: settings.imagePullPolicy,
    args: ['mover'],
    env: [
      { name: moverEnvironment.task, value: encodeMoverTask(task) },
      { name: moverEnvironment.run, valueFrom: field("metadata.labels['batch.kubernetes.io/job-name']") },
      { name: moverEnvironment.jobUid, valueFrom: field("metadata.labels['batch.kubernetes.io/controller-uid']") },
      { name: moverEnvironment.attempt, valueFrom: field('metadata.uid') },
      ...Object.entries(moverAllocator).map(([name, value]) => ({ name, value })),
    ],
    resources: { requests: { cpu: '100m', memory: '96Mi' }, limits: { memory: '256Mi' } },
    securityContext: { ...locked, runAsUser: nonRootId, runAsGroup: nonRootId },
    volumeMounts: [
      ...mounts,
      { name: 'credentials', mountPath: credentialsDirectory, readOnly: true },
      ...('caFile' in task && task.caFile ? [{ name: 'ca', mountPath: caDirectory, readOnly: true }] : []),
    ],
  }
}

/** Both are optional, so that the mover starts and says itself what is missing (docs/design.md R2). */
export function storeVolumes(backend: BackendSpec | undefined): readonly Volume[] {
  return [
    { name: 'credentials', secret: { secretName: backend?.secretRef, optional: true, defaultMode: 0o444 } },
    ...(backend?.ca ? [{ name: 'ca', configMap: { name: backend.ca, optional: true } }] : []),
  ]
}
