// Everything that planning one policy looks at. Gathered by the controller, judged here.
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

export type PolicyWorld = {
  readonly namespace: string
  readonly name: string
  /** Undefined: there is no such policy (any more). */
  readonly policy: BackupPolicy | undefined
  /** All Backups that name this policy, made by us or by people. */
  readonly backups: readonly Backup[]
  /** Whatever has the name of our CronJob. */
  readonly cronJob: CronJob | undefined
  /** What our CronJob should be; undefined unless the strategy is job and the schedule can be read. */
  readonly desiredCronJob: CronJob | undefined
  /** Jobs that carry the policy's labels, and their pods and warnings. */
  readonly jobs: readonly Job[]
  readonly pods: readonly Pod[]
  readonly jobEvents: readonly JobEvent[]
  /** Hash of the backend's settings. */
  readonly backendHash: string | undefined
  /** Hash of the place that the backend means, whatever credentials open it. */
  readonly storeLocation: string | undefined
  /** How many pods the selector matches (strategy job). */
  readonly selectedPods: number
  /** Claims of the namespace that the selector matches (strategy snapshot), by name. */
  readonly claims: readonly PersistentVolumeClaim[]
  readonly volumes: ReadonlyMap<string, PersistentVolume>
  /** Undefined: the snapshot CRDs are not installed. */
  readonly snapshotClasses: readonly VolumeSnapshotClass[] | undefined
  /** VolumeSnapshots that carry the policy's labels. */
  readonly snapshots: readonly VolumeSnapshot[]
  /** Deletion policies of bound VolumeSnapshotContents by name, where known. */
  readonly deletionPolicies: ReadonlyMap<string, 'Delete' | 'Retain'>
  /** Probe Jobs that run now in the whole cluster; their number is bounded. */
  readonly probesRunning: number
}
