// Everything that planning one policy looks at, as it was gathered. `view.ts` is its only reader.
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Reason } from '../../api/conditions.ts'
import type {
  Container,
  CronJob,
  EnvVar,
  Job,
  JobEvent,
  KubernetesObject,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  VolumeSnapshot,
  VolumeSnapshotClass,
  Volume,
} from '../../api/kubernetes.ts'
import type { Settings } from '../../resources/settings.ts'

/**
 * A dry run of the CronJob and of a run's Job. `unsaid`: it was not asked yet, or gave no answer that says anything of them. `stands`: what was
 * refused earlier of the very same object. `cronJobAccepted`: the answer that is lacking is about the Job.
 */
export type DryRun =
  | { readonly is: 'accepted'; readonly at: Date; readonly againAt?: Date }
  | {
      readonly is: 'unsaid'
      readonly againAt: Date
      readonly stands?: DryRunRefusal
      readonly cronJobAccepted?: true
    }
  | { readonly is: 'refused'; readonly refusal: DryRunRefusal; readonly againAt: Date }

/** What is refused, in the API server's words. */
export type DryRunRefusal = { readonly kind: 'CronJob' | 'Job'; readonly name: string; readonly words: string }

/** Whole objects of the namespace, as the API server gives them, from which the targets of a preset are inferred. */
export type Workloads = {
  /** Those that the selector matches. */
  readonly pods: readonly KubernetesObject[]
  readonly statefulSets: readonly KubernetesObject[]
  readonly deployments: readonly KubernetesObject[]
  readonly replicaSets: readonly KubernetesObject[]
  readonly services: readonly KubernetesObject[]
}

/** A workload that a preset backs up: where its database is reached, and by which references its credentials come. */
export type FoundTarget = {
  /** Unique in the policy. It names the folder of the target in the bucket, and is never `command`. */
  readonly name: string
  readonly workload: { readonly apiVersion: string; readonly kind: string; readonly name: string }
  readonly image: string
  readonly environment: readonly EnvVar[]
  readonly volumes: readonly Volume[]
  readonly mounts: NonNullable<Container['volumeMounts']>
}

/** A workload of which something could not be inferred. `field`: where in the spec it can be stated. */
export type UnresolvedTarget = {
  readonly name: string
  readonly unresolved: { readonly reason: Reason; readonly message: string; readonly field?: string }
}

export type PresetTarget = FoundTarget | UnresolvedTarget

/** The targets of a policy with a preset, by inference alone: pure. Each name once, in an order that does not change with that of the objects. */
export type TargetFinder = (policy: BackupPolicy, workloads: Workloads) => readonly PresetTarget[]

export type PolicyWorld = {
  readonly namespace: string
  readonly name: string
  /** What the installation decides about the objects that we create. */
  readonly settings: Settings
  /** Undefined: there is no such policy (any more). */
  readonly policy: BackupPolicy | undefined
  /** All Backups that name this policy, made by us or by people. */
  readonly backups: readonly Backup[]
  /** There are more, which cannot be judged: the API server does not say what stands now. Then is the time to ask it again. */
  readonly lookAgainAt?: Date
  /** Whatever has the name of the CronJob of an explicit command. */
  readonly cronJob: CronJob | undefined
  /** Whatever has the name of the CronJob of a target of a preset, and all others with the policy's labels. */
  readonly targetCronJobs: readonly CronJob[]
  /** Warnings about these CronJobs. */
  readonly cronJobEvents: readonly JobEvent[]
  /** Jobs that carry the policy's labels, and their pods and warnings. */
  readonly jobs: readonly Job[]
  readonly pods: readonly Pod[]
  readonly jobEvents: readonly JobEvent[]
  /** What a preset has found; undefined where the policy has none, or nobody can say. */
  readonly presetTargets: readonly PresetTarget[] | undefined
  /** How many pods the selector matches (strategy job); undefined where nobody can say. */
  readonly selectedPods: number | undefined
  /** Claims of the namespace that the selector matches (strategy snapshot), by name. */
  readonly claims: readonly PersistentVolumeClaim[]
  /** UIDs of the claims that the VolumeSnapshots below are of, by their names, whatever the policy selects by now. */
  readonly claimUIDs: ReadonlyMap<string, string>
  readonly volumes: ReadonlyMap<string, PersistentVolume>
  /** Undefined: the snapshot CRDs are not installed. */
  readonly snapshotClasses: readonly VolumeSnapshotClass[] | undefined
  /** Since when they are not, as long as this process has looked; undefined where they are, or nobody has looked yet. */
  readonly snapshotApiAwaySince: Date | undefined
  /** Since when they are again, where this process has seen them away; undefined where they never were. */
  readonly snapshotApiBackSince: Date | undefined
  /** VolumeSnapshots that carry the policy's labels. */
  readonly snapshots: readonly VolumeSnapshot[]
  /** Deletion policies of bound VolumeSnapshotContents by name, where known. */
  readonly deletionPolicies: ReadonlyMap<string, 'Delete' | 'Retain'>
  /** What the API server says of a run that it was asked about; undefined where there is none to ask about. */
  readonly dryRun: DryRun | undefined
  /** What the clock of the API server says, which may be another than ours; undefined where nobody knows. */
  readonly serverTime: Date | undefined
  /** Probe Jobs that run now in the whole cluster; their number is bounded. */
  readonly probesRunning: number
}
