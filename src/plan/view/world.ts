// Everything that planning one policy looks at, as it was gathered. `view.ts` is its only reader.
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type {
  CronJob,
  Job,
  JobEvent,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  VolumeSnapshot,
  VolumeSnapshotClass,
} from '../../api/kubernetes.ts'
import type { FoundTargets } from '../../presets/preset.ts'
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

/** What a preset has found by the selector of a policy. */
export type FoundWorkloads = FoundTargets & {
  /** Workloads whose pods it would match and that have none now: scaled to zero, or on their way to another node. */
  readonly withoutPods: readonly string[]
}

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
  readonly presetTargets: FoundWorkloads | undefined
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
