// The series that one policy and its Backups determine. docs/metrics.md explains each.
import { backupPhases } from '../../api/kinds/backup-phases.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { TargetStatus } from '../../api/kinds/backup-policy-status.ts'
import { owedOf, type Owed } from '../../plan/policy/overdue.ts'
import { lastRunSucceeded, lastSizeBytes } from '../../plan/policy/measures.ts'
import { isAccepted } from '../../plan/runs/marks.ts'
import { labelText, sample, type MetricFamily } from '../../runtime/exposition.ts'
import { timeOf } from '../../schedule/times.ts'

/** One policy with its Backups. */
export type Subject = { readonly policy: BackupPolicy; readonly backups: readonly Backup[] }

/** What `of` gives is the value for all of the policy, or undefined where there is none. */
type PolicyFamily = MetricFamily & { readonly of: (subject: Subject, present: Date) => number | undefined }

/** `policy_namespace` says the same as `namespace`, which a Prometheus may be set up to overwrite with its own (docs/design.md R40). */
export const policyLabels = ['namespace', 'policy_namespace', 'policy'] as const

export function policyLabelText({ metadata: { namespace = '', name } }: BackupPolicy): string {
  return labelText({ namespace, policy_namespace: namespace, policy: name })
}

const gauge = { type: 'gauge', labels: policyLabels } as const
/** Kept by the policy's status, so that restarts do not reset them. */
const counter = { type: 'counter', labels: policyLabels } as const

export const policyFamilies: readonly PolicyFamily[] = [
  {
    ...gauge,
    name: 'backup_last_success_timestamp_seconds',
    help: 'When the newest successful backup of the policy was complete. Absent before the first.',
    of: ({ policy }) => unixSeconds(policy.status?.lastSuccess),
  },
  {
    ...gauge,
    name: 'backup_last_run_succeeded',
    help: '1 when the newest run of every target succeeded, 0 when one failed. Absent before the first run has ended.',
    of: ({ policy, backups }, present) => lastRunSucceeded(policy, backups, present),
  },
  {
    ...gauge,
    name: 'backup_last_size_bytes',
    help: 'Stored size of the newest successful backup of each target, added up. Of snapshots: the size of a volume that they restore to.',
    of: ({ backups }, present) => lastSizeBytes(backups, present),
  },
  {
    ...gauge,
    name: 'backup_next_run_timestamp_seconds',
    help: 'The next slot of the schedule. Absent while the policy is suspended.',
    of: ({ policy }) => (policy.spec.suspend ? undefined : unixSeconds(policy.status?.nextRun)),
  },
  {
    ...gauge,
    name: 'backup_policy_ready',
    help: '1 while the condition Ready of the policy is True: its next run can start.',
    of: ({ policy }) => hasCondition(policy, 'Ready'),
  },
  {
    ...gauge,
    name: 'backup_targets_not_ready',
    help: 'Selected targets that no backup can be made of now; the status of the policy says why.',
    of: ({ policy }) => (policy.status?.targets ?? []).filter(isUnready).length,
  },
  {
    ...gauge,
    name: 'backup_policy_suspended',
    help: '1 while the schedule of the policy is suspended.',
    of: ({ policy }) => (policy.spec.suspend ? 1 : 0),
  },
  {
    ...gauge,
    name: 'backup_kept',
    help: 'Good backups that are kept now, of all targets.',
    // Of more targets than it shows the status tells the sum.
    of: ({ policy: { status } }) => status?.kept ?? sumOf(status?.targets?.map(({ kept }) => kept) ?? []),
  },
  {
    ...gauge,
    name: 'backup_stored_bytes',
    help: 'Stored size of all completed backups in the bucket. Absent where nothing is stored in one.',
    of: ({ backups }) => sumOf(completed(backups).map(({ status }) => status?.storedBytes)),
  },
  {
    ...gauge,
    name: 'backup_suspect',
    help: 'Completed backups that are far smaller than the good ones before and that nobody has accepted: they stop retention.',
    of: ({ backups }) => completed(backups).filter(isSuspect).length,
  },
  {
    ...gauge,
    name: 'backup_retention_blocked',
    help: '1 while the condition RetentionBlocked of the policy is True: nothing is deleted, and the bucket fills up.',
    of: ({ policy }) => hasCondition(policy, 'RetentionBlocked'),
  },
  {
    ...counter,
    name: 'backup_missed_slots_total',
    help: 'Slots of the schedule that never ran, because operator or cluster were down for too long.',
    of: ({ policy }) => policy.status?.slots?.missed ?? 0,
  },
  {
    ...counter,
    name: 'backup_skipped_slots_total',
    help: 'Slots of the schedule that did not run because an earlier run was still going.',
    of: ({ policy }) => policy.status?.slots?.skipped ?? 0,
  },
]

export const objectsFamily: MetricFamily = {
  name: 'backup_objects',
  help: 'Backup objects of the policy by phase.',
  type: 'gauge',
  labels: [...policyLabels, 'phase'],
}

/** The values of a policy, until it or one of its Backups changes. */
export type PolicyValues = {
  readonly policy: BackupPolicy
  readonly labels: string
  /** In the order of `policyFamilies`. */
  readonly values: readonly (number | undefined)[]
  readonly owed: Owed | undefined
  /** In the order of `backupPhases`. */
  readonly objects: readonly number[]
}

export function policyValues(subject: Subject, present: Date): PolicyValues {
  const { policy, backups } = subject
  const objects = backupPhases.map(
    phase => backups.filter(({ status }) => (status?.phase ?? 'Pending') === phase).length,
  )
  const labels = policyLabelText(policy)
  return {
    policy,
    labels,
    values: policyFamilies.map(({ of }) => of(subject, present)),
    owed: owedOf(policy, present),
    objects,
  }
}

export function objectsSamples({ labels, objects }: PolicyValues): string {
  return backupPhases
    .map((phase, index) => sample(objectsFamily.name, `${labels},phase="${phase}"`, objects[index] ?? 0))
    .join('')
}

function completed(backups: readonly Backup[]): readonly Backup[] {
  return backups.filter(({ status }) => status?.phase === 'Completed')
}

/** What the policy no longer selects keeps its backups and needs no more. */
function isUnready({ ready, reason }: TargetStatus): boolean {
  return !ready && reason !== 'TargetNotFound'
}

function isSuspect(backup: Backup): boolean {
  return backup.status?.suspect === true && !isAccepted(backup)
}

/** Undefined where no part is known. */
function sumOf(parts: readonly (number | undefined)[]): number | undefined {
  const known = parts.filter(part => part !== undefined)
  return known.length === 0 ? undefined : known.reduce((sum, part) => sum + part, 0)
}

function unixSeconds(text: string | undefined): number | undefined {
  const time = timeOf(text)
  return time && time.getTime() / 1000
}

function hasCondition(policy: BackupPolicy, type: string): number {
  return policy.status?.conditions?.some(condition => condition.type === type && condition.status === 'True') ? 1 : 0
}
