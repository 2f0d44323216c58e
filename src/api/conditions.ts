// Every condition type and reason that we write. docs/conditions.md explains each for users; a test compares the two.
// Events and metrics use the same reasons.
import type { MoverReason, MoverWarningReason } from './mover/reasons.ts'

export const policyConditionTypes = [
  /** The next run can start. */
  'Ready',
  /** Something is being found out; present only while True (kstatus). */
  'Reconciling',
  /** A person must act; present only while True (kstatus). */
  'Stalled',
  /** The newest run that ended was a success. */
  'LastBackupSucceeded',
  /** The selector matches something. */
  'TargetsSelected',
  /** Every selected target can be backed up. */
  'TargetsReady',
  /** A copy exists outside the storage system (strategy snapshot). */
  'OffsiteCopy',
  /** Deleting the namespace would lose the snapshots' data; present only while True. */
  'NamespaceDeletionLosesData',
  /** The CronJob controller skips or doubles this schedule when clocks change; present only while True. */
  'DaylightSavingAffectsSchedule',
  /** Retention cannot delete, or has paused; present only while True. */
  'RetentionBlocked',
  /** A number of backups to keep was lowered, and some are still to go for it; present only while True. */
  'RetentionPending',
  /** The store has no conditional writes; present only while True. */
  'UnconditionalCommit',
  /** The newest run, or the probe, warned of something that no other condition tells; present only while True. */
  'BackupWarned',
  /** The list of the bucket cannot be read whole, or holds what is none of the policy's; present only while True. */
  'CatalogIncomplete',
  /** The CronJob controller warns of something that does not keep Jobs from starting; present only while True. */
  'CronJobWarned',
  /** The API server refuses some other write; present only while True. */
  'WritesRefused',
] as const
export type PolicyConditionType = (typeof policyConditionTypes)[number]

/** `Ready`, `Reconciling` and `Stalled`, as kstatus reads them; `Held`: what holds is where the data are; and that nobody prunes it any more. */
export const backupConditionTypes = ['Ready', 'Reconciling', 'Stalled', 'Held', 'PolicyGone'] as const
export type BackupConditionType = (typeof backupConditionTypes)[number]

/** As of a Backup; `Unpinned`: retention may take the backup away before it is read; present only while True. */
export const restoreConditionTypes = ['Ready', 'Reconciling', 'Stalled', 'Unpinned'] as const
export type RestoreConditionType = (typeof restoreConditionTypes)[number]

/** Reasons that the operator finds itself. Those of movers are in `mover-message.ts`. */
export const operatorReasons = [
  // policy
  /** Nothing is wrong. */
  'Ready',
  /** The store is being tried for the first time, or again after a failure. */
  'Probing',
  /** The probe ended without saying anything. */
  'ProbeFailed',
  /** The API server refuses the Job that tries the store. */
  'ProbeRefused',
  /** The CronJob is about to be created. */
  'CronJobPending',
  /** The API server refuses to create or change the CronJob. */
  'CronJobRefused',
  /** Something changes the CronJob whenever it is written. */
  'CronJobChanged',
  /** The API server would refuse the Job of a run. */
  'RunRefused',
  /** The CronJob controller cannot start Jobs. */
  'JobsNotStarted',
  /** The CronJob controller warns of something else. */
  'CronJobWarning',
  /** The schedule is suspended; on-demand Backups still run. */
  'Suspended',
  /** The schedule never matches a date. */
  'ScheduleNeverFires',
  /** The schedule or the time zone is not understood (an object from before the rules at admission). */
  'InvalidSchedule',
  /** The selector matches nothing. */
  'SelectorMatchedNothing',
  /** The selector matches something. */
  'Selected',
  /** The API server does not say what the selector matches. */
  'SelectionUnknown',
  /** The CRDs of VolumeSnapshots are not installed. */
  'SnapshotCRDsMissing',
  /** No VolumeSnapshotClass serves the volume's driver. */
  'NoSnapshotClass',
  /** Several VolumeSnapshotClasses would do and none, or more than one, is the default. */
  'AmbiguousSnapshotClass',
  /** The named VolumeSnapshotClass does not exist. */
  'SnapshotClassNotFound',
  /** The named VolumeSnapshotClass belongs to another driver. */
  'DriverMismatch',
  /** The volume is not of a CSI driver. */
  'NotACsiVolume',
  /** The PersistentVolumeClaim has no volume yet. */
  'PVCPending',
  /** The volume of the PersistentVolumeClaim is gone. */
  'PVCLost',
  /** The PersistentVolumeClaim is being deleted, or is gone. */
  'PVCGone',
  /** So many snapshots of the PersistentVolumeClaim are slow that no further one is begun. */
  'SnapshotsStuck',
  /** The API server does not say which workloads a preset is to back up. */
  'TargetsUnknown',
  /** The workload of a preset's target has no pods now. */
  'NoPods',
  /** More workloads match than one policy backs up. */
  'TooManyTargets',
  /** Several targets have different problems. */
  'SeveralTargetsNotReady',
  /** Several Services, containers or workloads would do, and nothing says which (presets). */
  'Ambiguous',
  /** No Service leads to the server of a preset. */
  'NoService',
  /** Nothing says as whom, or with which password, a preset may connect. */
  'CredentialsUnknown',
  /** The password of a preset's server stands in its pod, from where it is not copied. */
  'LiteralPassword',
  /** No container looks like a server of the preset. */
  'ServerNotRecognized',
  /** An object that is not ours has the name that ours would need. */
  'NameTaken',
  /** Snapshots are not exported before that feature exists. */
  'NotExported',
  /** The policy names no backend. */
  'NoBackend',
  /** Snapshots are deleted with their VolumeSnapshot, and so with their namespace. */
  'DeletionPolicyDelete',
  /** No run has ended yet. */
  'NoBackupYet',
  /** Times of the schedule do not exist, or exist twice, on days when clocks change. */
  'ClockChange',
  // backup
  /** The run waits for its pod. */
  'PodPending',
  /** The run is going on. */
  'Running',
  /** The backup is complete. */
  'Completed',
  /** Several targets, each with its own Backup. */
  'Children',
  /** Some of the targets failed. */
  'PartiallyFailed',
  /** The policy does not exist. */
  'PolicyNotFound',
  /** The policy was deleted while the run was going on. */
  'PolicyDeleted',
  /** The policy is gone, and nobody prunes its backups any more. */
  'PolicyGone',
  /** The policy does not select the target. */
  'TargetNotFound',
  /** A Backup of a slot long ago came without its status: it is not run. */
  'SlotPassed',
  /** A Backup was restored without its status: it is not run. */
  'RestoredObject',
  /** An earlier run of the same target is still going. */
  'Overlapping',
  /** The Job is gone before it ended. */
  'JobDeleted',
  /** The Job failed and no pod says why. */
  'JobFailed',
  /** The run took longer than its deadline. */
  'DeadlineExceeded',
  /** The image cannot be pulled. */
  'ImagePullFailed',
  /** The container cannot be configured: a Secret or ConfigMap is missing, or the image's user is not allowed. */
  'ContainerConfigError',
  /** No node can take the pod. */
  'PodUnschedulable',
  /** A quota of the namespace refuses the pod. */
  'QuotaExceeded',
  /** The namespace's pod security level refuses the pod. */
  'PodSecurityRejected',
  /** The pod cannot be created for another reason. */
  'PodCreationFailed',
  /** The command or the mover used more memory than its limit. */
  'OOMKilled',
  /** The Job is suspended, by a queue controller for example. */
  'JobSuspended',
  /** The pod was evicted, or its node is lost. */
  'Evicted',
  /** The mover ended without a message. */
  'MoverDied',
  /** The snapshot is being taken. */
  'SnapshotPending',
  /** The storage system reports an error and tries again. */
  'SnapshotError',
  /** The snapshot was not cut in time. */
  'SnapshotNotCut',
  /** The snapshot is cut, without an error, and not ready in time: it is waited for all the same. */
  'SnapshotSlow',
  /** The snapshot was not ready in time. */
  'SnapshotNotReady',
  /** The snapshot disappeared before it was ready. */
  'SnapshotDeleted',
  // holds
  /** The hold is where the data are. */
  'Held',
  /** The hold is about to be written into the bucket, or removed from it. */
  'HoldPending',
  /** The backup lies in a store that the policy no longer names. */
  'HoldUnreachable',
  /** Somebody took the hold back. */
  'HoldReleased',
  // the list of the bucket
  /** The store answers every page of the list with the same one. */
  'CatalogRepeats',
  /** The list has more pages than are read. */
  'CatalogTooLong',
  /** Some entry of the list is of no run of the policy. */
  'CatalogForeign',
  /** The folder has backups of targets that the policy cannot have. */
  'OtherTargets',
  /** What an adopted folder has is read before the schedule goes on. */
  'Adopting',
  /** Fewer backups are to be kept than were. */
  'RetentionLowered',
  // restore
  /** The backup is looked for in the bucket. */
  'Resolving',
  /** The Backup has not ended yet, or is none: it failed, was skipped, or is being deleted. */
  'BackupNotCompleted',
  /** The Backup is a snapshot, of which the bucket has nothing. */
  'NotInBucket',
  /** The Backup lies in a store that its policy no longer names. */
  'StoreChanged',
  /** Nothing says which program, of which image, restores. */
  'RestoreCommandMissing',
  /** The preset cannot restore one table alone. */
  'TableUnsupported',
  /** The store refuses what keeps retention from deleting the backup. */
  'PinRefused',
  // events only
  /** Slots passed without a run. */
  'Missed',
  /** A slot passed while an earlier run was going. */
  'Skipped',
  /** The API server refuses what a run needs: a quota, an admission policy, a namespace that is going. */
  'CreationRefused',
  /** The API server refuses to change an object or its status. */
  'ChangeRefused',
  /** A claim that is not bound yet names the snapshot as its source. */
  'SnapshotInUse',
  /** The API server refuses to delete what should go: an admission policy, or a webhook that fails. */
  'DeletionRefused',
  /** The book of slots was ahead of the clock by more than a day, or that of a CronJob by some minutes. */
  'ClockJumped',
  /** Retention deleted a backup. */
  'Pruned',
] as const
export type OperatorReason = (typeof operatorReasons)[number]
export type Reason = OperatorReason | MoverReason | MoverWarningReason
