// Every label and annotation that we read or write, and what it is for; docs/labels.md lists them for users.
import { hashed } from './names.ts'

export const group = 'backup.dev'
export const version = 'v1alpha1'
export const apiVersion = `${group}/${version}`
export const managerName = 'backup-operator'

export const label = {
  /** Marks every object that the operator made. */
  managedBy: 'app.kubernetes.io/managed-by',
  /** The policy's name (cut and hashed when it is longer than a label value may be). */
  policy: 'backup.dev/policy',
  /** The target's name: a PVC, or `command` for an explicit command (same cutting). */
  target: 'backup.dev/target',
  /** The slot as `YYYYMMDDThhmmssZ`, on objects of a scheduled run. */
  slot: 'backup.dev/slot',
  /** `true` on a VolumeSnapshot: retention leaves it alone, also when its Backup object is gone (docs/design.md R28). */
  hold: 'backup.dev/hold',
  /** `true` on a VolumeSnapshot that was made of a claim which a pod owned (docs/design.md R38). */
  ephemeral: 'backup.dev/ephemeral',
  /** The Restore that a Job works for (same cutting). */
  restore: 'backup.dev/restore',
  /** What a Job is for: see `JobRole`. */
  role: 'backup.dev/role',
} as const

export const annotation = {
  /** Hash of the desired state that was last written, so that an unchanged object is never written again. */
  desiredState: 'backup.dev/desired-state',
  /** The Backup that an on-demand Job works for. */
  backup: 'backup.dev/backup',
  /** On a VolumeSnapshot: when it was asked for, RFC 3339. One that was made at another time was restored, and cut anew. */
  askedAt: 'backup.dev/asked-at',
  /** On a Backup that came back from the bucket without a slot: the run that it tells of. It never runs. */
  run: 'backup.dev/run',
  /** On a VolumeSnapshot: the UID of the claim that it is of. A claim that is made anew under the name has another volume. */
  claimUID: 'backup.dev/claim-uid',
  /** On a Job: which place in which store it writes to. */
  store: 'backup.dev/store',
  /** On a Backup, `true`: retention leaves it alone; `false` takes that back. */
  hold: 'backup.dev/hold',
  /** `true` on a suspect Backup: a person has looked, it counts again (docs/design.md R14). */
  accepted: 'backup.dev/accepted',
  /** On a policy, any new value: the store, and the start of the command, are tried now (docs/design.md R35). */
  probe: 'backup.dev/probe',
  /** Set by the CronJob controller on each Job: its slot, RFC 3339 (KEP-4026). */
  cronJobSlot: 'batch.kubernetes.io/cronjob-scheduled-timestamp',
} as const

/**
 * `run`: a backup; `probe`: can the store be used; `start`: can the command be started; `catalog`: what is in the bucket; `hold`: keep one
 * of it, or let it go; `resolve`: which backup a Restore is of; `restore`: bring it back.
 */
export type JobRole = 'run' | 'probe' | 'start' | 'catalog' | 'hold' | 'resolve' | 'restore'

/** Label values hold at most 63 characters; what is cut is hashed, so that two long names stay two. */
export function labelValue(name: string): string {
  return hashed(name, 63)
}

/** The labels that every object of a policy carries. */
export function policyLabels(policyName: string): Readonly<Record<string, string>> {
  return { [label.managedBy]: managerName, [label.policy]: labelValue(policyName) }
}

/** The labels that every Job of a Restore carries. They name no policy: what a policy counts and ends is none of a Restore. */
export function restoreLabels(restoreName: string): Readonly<Record<string, string>> {
  return { [label.managedBy]: managerName, [label.restore]: labelValue(restoreName) }
}

/** In place of the UID of a claim, which it can never be: nobody can tell of which claim the snapshot is. */
export const unprovenClaim = 'unproven'
