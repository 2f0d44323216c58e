// The CronJob of a policy and the Jobs that we create ourselves: on-demand runs, probes of the store, pages of the catalog, holds.
import type { Backup } from '../api/kinds/backup.ts'
import type { BackupPolicy } from '../api/kinds/backup-policy.ts'
import type { CronJob, Job, JobSpec, ObjectMeta } from '../api/kubernetes.ts'
import { annotation, apiVersion, label, labelValue, policyLabels } from '../api/labels.ts'
import type { JobRole } from '../api/labels.ts'
import type { BackupTaskInput, DumpSource } from './mover-pod.ts'
import {
  backupArtifact,
  catalogJobName,
  commandTarget,
  cronJobName,
  dryRunJobName,
  holdJobName,
  onDemandJobName,
  probeJobName,
  startJobName,
} from '../api/names.ts'
import { storeLocation, withDesiredState } from './desired-state.ts'
import {
  backupJobSpec,
  jobDeadlineSeconds,
  policyReference,
  startJobSpec,
  startTimeoutSeconds,
  storeJobSpec,
  taskBase,
} from './mover-pod.ts'
import type { Settings } from './settings.ts'

/** What a mover is told of the runs before its own: by name those that retention must treat in a special way, and what numbers were. */
export type Marks = {
  readonly held: readonly string[]
  readonly accepted: readonly string[]
} & Pick<BackupTaskInput, 'retentionChanged' | 'onDemandRetentionChanged' | 'sizeHint' | 'maxDeletes'>

/** History that the CronJob controller keeps: enough for the operator to be down a while (docs/design.md R6). */
const historyLimit = 10

/**
 * The CronJob of one target of a policy with strategy job.
 * @param schedule the policy's schedule in plain CronJob grammar (H already replaced).
 */
export function backupCronJob(
  policy: BackupPolicy,
  job: DumpSource,
  schedule: string,
  marks: Marks,
  settings: Settings,
  target: string = commandTarget,
): CronJob {
  const { spec } = policy
  const labels = runLabels(policy, target, 'run')
  const name = cronJobName(policy.metadata.name, target)
  return withDesiredState({
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: {
      name,
      namespace: policy.metadata.namespace,
      labels,
      ownerReferences: [policyReference(policy)],
    },
    spec: {
      schedule,
      timeZone: spec.timeZone,
      suspend: spec.suspend,
      startingDeadlineSeconds: spec.startingDeadlineSeconds,
      concurrencyPolicy: 'Forbid',
      successfulJobsHistoryLimit: historyLimit,
      failedJobsHistoryLimit: historyLimit,
      jobTemplate: {
        metadata: { labels, annotations: storeAnnotation(policy) },
        spec: labelled(
          backupJobSpec(policy, job, { ...backupTask(policy, job, target, marks, settings), cronJob: name }, settings),
          labels,
        ),
      },
    },
  })
}

/** A run of the CronJob as its controller would start it, for the API server to be asked about and never made (docs/design.md R26). */
export function dryRunJob(policy: BackupPolicy, { spec }: CronJob): Job {
  const { name, namespace, uid = '' } = policy.metadata
  const { metadata, spec: job } = spec.jobTemplate
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { ...metadata, name: dryRunJobName(name, uid), namespace, ownerReferences: [policyReference(policy)] },
    spec: job,
  }
}

/** The Job of an on-demand Backup. It belongs to the Backup, so that deleting a running one cancels it (docs/design.md R9). */
export function onDemandJob(
  policy: BackupPolicy,
  job: DumpSource,
  backup: Backup,
  marks: Marks,
  settings: Settings,
  target: string = commandTarget,
): Job {
  const { name, namespace, uid = '', creationTimestamp = '' } = backup.metadata
  const labels = runLabels(policy, target, 'run')
  const task = {
    ...backupTask(policy, job, target, marks, settings),
    slot: Date.parse(creationTimestamp),
    trigger: 'on-demand' as const,
  }
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: onDemandJobName(policy.metadata.name, uid),
      namespace,
      labels,
      annotations: { [annotation.backup]: name, ...storeAnnotation(policy) },
      ownerReferences: [{ apiVersion, kind: 'Backup', name, uid, controller: true, blockOwnerDeletion: false }],
    },
    spec: labelled(backupJobSpec(policy, job, task, settings), labels),
  }
}

/** A Job that finds out whether the backend can be used (docs/design.md R2). */
export function probeJob(policy: BackupPolicy, backendHash: string, attempt: number, settings: Settings): Job {
  const name = probeJobName(policy.metadata.name, policy.metadata.uid ?? '', backendHash, attempt)
  return storeJob(policy, name, commandTarget, 'probe', { ...taskBase(policy, settings), kind: 'probe' }, settings)
}

/** A Job that finds out whether the pod of a run can start, and its image has the program (docs/design.md R35). */
export function startJob(
  policy: BackupPolicy,
  job: DumpSource,
  specHash: string,
  attempt: number,
  settings: Settings,
  target: string = commandTarget,
): Job {
  const name = startJobName(policy.metadata.name, policy.metadata.uid ?? '', specHash, attempt, target)
  return ownJob(policy, name, target, 'start', startJobSpec(policy, job, settings))
}

/** A Job that reads one page of what is in the bucket (docs/design.md R7). */
export function catalogJob(
  policy: BackupPolicy,
  run: string,
  cursor: string | undefined,
  settings: Settings,
  target: string = commandTarget,
): Job {
  const name = catalogJobName(policy.metadata.name, run, cursor ?? '')
  const task = { ...taskBase(policy, settings), kind: 'catalog', target, cursor } as const
  return storeJob(policy, name, target, 'catalog', task, settings)
}

/** A Job that holds one run in the bucket, or releases it (docs/design.md R28). */
export function holdJob(
  policy: BackupPolicy,
  { run, slot, held }: { readonly run: string; readonly slot: Date | undefined; readonly held: boolean },
  settings: Settings,
  target: string = commandTarget,
): Job {
  const task = {
    ...taskBase(policy, settings),
    kind: 'hold',
    target,
    run,
    slot: slot?.getTime(),
    held,
  } as const
  return storeJob(policy, holdJobName(policy.metadata.name, run, held), target, 'hold', task, settings)
}

function storeJob(
  policy: BackupPolicy,
  name: string,
  target: string,
  role: JobRole,
  task: Parameters<typeof storeJobSpec>[1],
  settings: Settings,
): Job {
  return ownJob(policy, name, target, role, storeJobSpec(policy.spec.backend, task, settings))
}

/** A Job of the policy that makes no backup. */
function ownJob(policy: BackupPolicy, name: string, target: string, role: JobRole, spec: JobSpec): Job {
  const labels = runLabels(policy, target, role)
  const metadata: ObjectMeta = {
    name,
    namespace: policy.metadata.namespace,
    labels,
    ownerReferences: [policyReference(policy)],
  }
  return { apiVersion: 'batch/v1', kind: 'Job', metadata, spec: labelled(spec, labels) }
}

function backupTask(
  policy: BackupPolicy,
  { compression }: DumpSource,
  target: string,
  marks: Marks,
  settings: Settings,
): BackupTaskInput {
  const { retention, onDemandRetention } = policy.spec
  const { held, accepted, ...known } = marks
  const changed = known.retentionChanged !== undefined || known.onDemandRetentionChanged !== undefined
  return {
    ...taskBase(policy, settings),
    kind: 'backup',
    target,
    artifact: backupArtifact,
    compression,
    retention,
    // Where it is left out a mover takes the change of the other number for its own.
    onDemandRetention: onDemandRetention ?? (changed ? retention : undefined),
    ...known,
    held: [...held].sort(),
    accepted: [...accepted].sort(),
    startingDeadlineSeconds: policy.spec.startingDeadlineSeconds,
    jobDeadlineSeconds: jobDeadlineSeconds(policy),
    stallTimeoutSeconds: Math.min(1800, policy.spec.activeDeadlineSeconds),
    startTimeoutSeconds,
  }
}

function storeAnnotation({ spec }: BackupPolicy): Readonly<Record<string, string>> {
  return spec.backend ? { [annotation.store]: storeLocation(spec.backend) } : {}
}

function runLabels(policy: BackupPolicy, target: string, role: JobRole): Readonly<Record<string, string>> {
  return { ...policyLabels(policy.metadata.name), [label.target]: labelValue(target), [label.role]: role }
}

export function labelled(spec: Job['spec'], labels: Readonly<Record<string, string>>): Job['spec'] {
  return { ...spec, template: { ...spec.template, metadata: { labels } } }
}
