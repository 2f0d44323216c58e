// The two Jobs of a Restore: one that finds out which backup it is of, and one that brings that back.
import type { BackendSpec } from '../api/kinds/backup-policy-backend.ts'
import type { Restore } from '../api/kinds/restore.ts'
import type { Container, EnvVar, Job, JobSpec, PodSpec, Volume } from '../api/kubernetes.ts'
import { annotation, apiVersion, label, restoreLabels, type JobRole } from '../api/labels.ts'
import { restoreCommand } from '../api/mover/pod.ts'
import type { MoverTaskInput, PrefixOwner } from '../api/mover/task.ts'
import { resolveJobName, restoreJobName } from '../api/names.ts'
import { storeLocation } from './desired-state.ts'
import { labelled } from './jobs.ts'
import {
  attempts,
  container,
  deadlineOfAttempts,
  locked,
  moverContainer,
  nonRootId,
  podDefaults,
  prepareContainer,
  sharedMount,
  sharedVolumes,
  startTimeoutSeconds,
  storeJobDeadlineSeconds,
  storeJobSpec,
  storeTask,
  storeVolumes,
} from './mover-pod.ts'
import type { Settings } from './settings.ts'

/** A folder of the bucket, and what opens it. */
export type Folder = { readonly backend: BackendSpec; readonly owner: PrefixOwner }

type ResolveTask = Extract<MoverTaskInput, { readonly kind: 'resolve' }>
/** Which backup of a folder. */
export type Choice = ResolveTask['pick']

/** The backup that was chosen. */
export type Chosen = { readonly target: string; readonly run: string; readonly slot: Date }

/** What runs beside the mover, in the image of the database. */
export type RestoreContainer = {
  readonly image: string
  readonly imagePullPolicy?: string | undefined
  readonly imagePullSecrets?: readonly { readonly name: string }[] | undefined
  /** The command line, which calls `feed` for the artifacts that it wants. */
  readonly args: readonly string[]
  readonly env: readonly EnvVar[]
  readonly envFrom?: readonly object[] | undefined
  readonly resources?: object | undefined
  readonly runAsUser?: number | undefined
  readonly runAsGroup?: number | undefined
  readonly volumes: readonly Volume[]
  readonly mounts: NonNullable<Container['volumeMounts']>
}

/** A pin is good for so long after its Job is certainly over: clocks differ. Seconds. */
const pinGraceSeconds = 3600

/** A store that cannot serve for a moment is asked again: whoever restores has no time to make another Restore. */
const resolveLimits = { activeDeadlineSeconds: storeJobDeadlineSeconds - 60, backoffLimit: 2 }

const identitiesDirectory = '/var/run/backup/identities'

/**
 * Finds out which backup is meant, and pins it there.
 * @param now of its creation: the pin lasts until the Job that restores is over as well
 */
export function resolveJob(
  restore: Restore,
  folder: Folder,
  { target, pick }: { readonly target: string | undefined; readonly pick: Choice },
  settings: Settings,
  now: Date,
): Job {
  const { name, uid = '' } = restore.metadata
  const seconds = deadlineOfAttempts(resolveLimits) + deadlineOfAttempts(restore.spec)
  const task = { ...taskBase(restore, folder, seconds, now), kind: 'resolve', target, pick } as const
  const spec = { ...storeJobSpec(folder.backend, task, settings), ...attempts(resolveLimits) }
  return ownJob(restore, folder, resolveJobName(name, uid), 'resolve', spec)
}

/**
 * Brings the backup back, or reads it only.
 * @param command undefined: nothing runs beside the mover, which reads and checks
 * @param now of its creation
 */
export function restoreJob(
  restore: Restore,
  folder: Folder,
  chosen: Chosen,
  command: RestoreContainer | undefined,
  settings: Settings,
  now: Date,
): Job {
  const { name, uid = '' } = restore.metadata
  const { spec } = restore
  const task = {
    ...taskBase(restore, folder, deadlineOfAttempts(spec), now),
    kind: 'restore',
    target: chosen.target,
    run: chosen.run,
    slot: chosen.slot.getTime(),
    identitiesDirectory: spec.identities ? identitiesDirectory : undefined,
    verify: spec.verify,
    startTimeoutSeconds,
    stallTimeoutSeconds: Math.min(1800, spec.activeDeadlineSeconds),
  } as const
  const pod = restorePod(restore, folder, task, command, settings)
  return ownJob(restore, folder, restoreJobName(name, uid), 'restore', { ...attempts(spec), template: { spec: pod } })
}

function taskBase({ metadata }: Restore, { backend, owner }: Folder, seconds: number, now: Date) {
  const { uid = '', namespace = '', name } = metadata
  const expiresAt = now.getTime() + (seconds + pinGraceSeconds) * 1000
  return { ...storeTask(backend, owner), restore: { uid, namespace, name }, expiresAt }
}

function restorePod(
  { spec }: Restore,
  { backend }: Folder,
  task: MoverTaskInput,
  command: RestoreContainer | undefined,
  settings: Settings,
): PodSpec {
  const defaults = podDefaults(settings)
  const { identities } = spec
  const identitiesMount = { name: 'identities', mountPath: identitiesDirectory, readOnly: true }
  const mounts = [...(command ? [sharedMount] : []), ...(identities ? [identitiesMount] : [])]
  const mover = moverContainer(task, settings, mounts)
  return {
    ...defaults,
    activeDeadlineSeconds: spec.activeDeadlineSeconds,
    imagePullSecrets: [...defaults.imagePullSecrets, ...(command?.imagePullSecrets ?? [])],
    ...(command ? { initContainers: [prepareContainer(settings)] } : {}),
    containers: command ? [commandContainer(command), mover] : [mover],
    volumes: [
      ...(command ? [...sharedVolumes, ...command.volumes] : []),
      ...storeVolumes(backend),
      // Optional, as the credentials: the mover says itself what is missing.
      ...(identities
        ? [{ name: 'identities', secret: { secretName: identities.secretRef, optional: true, defaultMode: 0o444 } }]
        : []),
    ],
  }
}

function commandContainer(command: RestoreContainer): Container {
  const { runAsUser = nonRootId, runAsGroup = nonRootId } = command
  const home = command.env.some(({ name }) => name === 'HOME') ? [] : [{ name: 'HOME', value: '/tmp' }]
  return {
    name: container.restore,
    image: command.image,
    imagePullPolicy: command.imagePullPolicy,
    command: restoreCommand(startTimeoutSeconds),
    args: command.args,
    env: [...home, ...command.env],
    envFrom: command.envFrom,
    resources: command.resources,
    securityContext: { ...locked, runAsUser, runAsGroup },
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [sharedMount, { name: 'tmp', mountPath: '/tmp' }, ...command.mounts],
  }
}

/** It belongs to the Restore, so that deleting one that goes on ends it. */
function ownJob(restore: Restore, { backend }: Folder, name: string, role: JobRole, spec: JobSpec): Job {
  const { namespace, name: ownerName, uid = '' } = restore.metadata
  const labels = { ...restoreLabels(ownerName), [label.role]: role }
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name,
      namespace,
      labels,
      annotations: { [annotation.store]: storeLocation(backend) },
      ownerReferences: [
        { apiVersion, kind: 'Restore', name: ownerName, uid, controller: true, blockOwnerDeletion: false },
      ],
    },
    spec: labelled(spec, labels),
  }
}
