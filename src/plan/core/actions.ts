// What a plan can ask for: whole objects, in groups of what needs each other. `controllers/shared/apply.ts` is the only place that carries
// it out; a new kind needs no new verb.
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Restore } from '../../api/kinds/restore.ts'
import type { Reason } from '../../api/conditions.ts'
import type { CronJob, Job, KubernetesObject, VolumeSnapshot } from '../../api/kubernetes.ts'

/** The kinds that the operator writes. */
export type Written = Backup | BackupPolicy | CronJob | Job | Restore | VolumeSnapshot
export type WrittenKind = 'Backup' | 'BackupPolicy' | 'CronJob' | 'Job' | 'Restore' | 'VolumeSnapshot'

export type Action =
  /** Names are locks: what exists under the name and was made for the same is adopted. `cost`: what is lacking where a stranger has it. */
  | { readonly do: 'create'; readonly object: Written; readonly cost?: string }
  /** The resourceVersion refuses to overwrite what has not been seen; that of an earlier write of the group replaces it. */
  | { readonly do: 'replace'; readonly object: Written }
  | {
      readonly do: 'patch-status'
      readonly kind: WrittenKind
      readonly name: string
      readonly uid: string
      readonly status: object
    }
  /**
   * `was`: what the phase was before. `outcome`: a run that has just become final, for the counters; `restored`: a Restore that has.
   * `unless`: what is asked once more before the verdict is written; where it disagrees the group is put off to the next plan, which is soon.
   */
  | {
      readonly do: 'write-status'
      readonly object: Backup | BackupPolicy | Restore
      readonly outcome?: RunOutcome
      readonly restored?: RestoreOutcome
      readonly unless?: Unless
    }
  /** Sets labels of an object that was seen; null takes one away. */
  | {
      readonly do: 'label'
      readonly kind: WrittenKind
      readonly name: string
      readonly uid: string
      readonly labels: Readonly<Record<string, string | null>>
    }
  /**
   * `provided`: what must hold right before, asked of the API server; otherwise the rest of the group is left undone. `resourceVersion`: nor
   * is it done where the object was written to since.
   */
  | {
      readonly do: 'delete'
      readonly kind: WrittenKind
      readonly name: string
      readonly uid: string
      readonly resourceVersion?: string
      readonly because: string
      readonly provided?: Provided
    }
  | {
      readonly do: 'event'
      readonly about: Backup | BackupPolicy | Restore
      readonly type: 'Normal' | 'Warning'
      readonly reason: Reason
      readonly message: string
    }

/**
 * What is asked of the API server once more before a verdict is written, because the caches of several kinds are not of one moment:
 * whether this object is there after all (where it is a Job, also whether its pods say more than was known), or only the latter, or whether
 * the snapshot is cut by now, or ready or without its error, or stays without its policy, or whether there are Backups of the policy that no
 * cache knew, or Jobs of its CronJob, or whether another claim has the name than the one with this UID, or any where it has none.
 * Then the rest of the group, which may tell people of the verdict, is left to the next plan. What is new is so to the plan, and not to a cache,
 * which may have learnt of it since.
 */
export type Unless =
  /** `uid`: of the Job, where it is known: only its pods are heard. `seen`: their versions that the plan knows. */
  | {
      readonly kind: 'job' | 'newer-pods'
      readonly name: string
      readonly uid?: string
      readonly seen?: readonly string[]
    }
  /** `seen`: UIDs that the plan knows. */
  | { readonly kind: 'newer-backups' | 'newer-jobs'; readonly name: string; readonly seen: ReadonlySet<string> }
  | { readonly kind: 'other-claim'; readonly name: string; readonly uid: string | undefined }
  | { readonly kind: 'snapshot' | 'cut-snapshot' | 'ready-snapshot' | 'wanted-snapshot'; readonly name: string }

/** Tells two states of an object apart. */
export function versionOf({ metadata: { uid = '', resourceVersion = '' } }: KubernetesObject): string {
  return `${uid}@${resourceVersion}`
}

/**
 * What must hold right before a deletion, beside that nobody holds the backup (docs/design.md R28), and that no claim waits to be made from
 * the snapshot. `retention`: it is judged once more on what the API server says now, `slow`: as if it were ready. `no-snapshot`: no
 * VolumeSnapshot of the Backup has this name. `no-backup`: the Backup that the snapshot was made for is gone. `no-claim`: so is the claim that
 * it is of, whoever has its name, and the snapshot is old by the clock of the API server, too, which has dated it.
 */
export type Provided =
  | {
      readonly that: 'retention'
      readonly target: string
      readonly keeping: RetentionKeeping
      readonly slow?: true
      /** When it was planned. */
      readonly now: Date
    }
  | { readonly that: 'no-snapshot'; readonly name: string }
  | { readonly that: 'no-backup' }
  | { readonly that: 'no-claim'; readonly claim: string; readonly uid?: string }
  | { readonly that: 'nobody-needs-it' }

/** How many runs retention keeps, of a schedule and on demand. */
type RetentionKeeping = TriggerKeeping & { readonly onDemand: TriggerKeeping }

/** `previous`: a larger number from before, which keeps what is of slots from `from` until `before`. */
type TriggerKeeping = {
  readonly keep: number
  readonly previous?: { readonly keep: number; readonly before: Date; readonly from?: Date }
}

/** A run that has just become final, for the counters. */
export type RunOutcome = {
  readonly outcome: 'success' | 'failure'
  readonly seconds: number
  readonly strategy: 'job' | 'snapshot'
}

/** A Restore that has just ended, for the counters. `policy`: that made its backup; empty where nobody knows. */
export type RestoreOutcome = { readonly phase: 'Completed' | 'Failed'; readonly policy: string }

/** Writes that need each other, in their order. What is refused stops its group, and the groups that need it, and nothing else. */
export type Group = {
  /** The same in every plan, so that a refusal can be remembered. */
  readonly name: string
  /** What must have become of other groups of this plan; one that is not in it was not needed. */
  readonly needs?: readonly Need[]
  /** The run that it is for, which says so itself where it cannot start. */
  readonly run?: Backup
  readonly share?: Share
  readonly actions: readonly Action[]
}

/**
 * Of the groups of one pass that have this in common at most `most` are carried out, in their order. Those that were tried and not carried out
 * take none of these places; `mostFailures` of them end it as well. All others are left to a later pass.
 */
export type Share = { readonly of: string; readonly most: number; readonly mostFailures: number }

/** `made`: done, and what it creates was not there before. `undone`: it is in the plan, and for whatever reason was not done. */
export type Need = { readonly group: string; readonly was: 'done' | 'made' | 'refused' | 'undone' }

/** What the API server refused to do, in its own words; or why it is not done: see `withheld`. */
export type Refusal = {
  readonly action: Exclude<Action['do'], 'event'>
  readonly kind: WrittenKind
  readonly name: string
  readonly words: string
  /** The server failed, or had too much to do, and may not the next time; it says nothing about the object. */
  readonly passing: boolean
  /** It cost its pass much time: the answer came late, or none, and perhaps none ever will. */
  readonly slow?: true
  /** Not the API server refuses it: we keep what somebody needs, or somebody changes what is written; `words` say why. */
  readonly withheld?: Reason
}

/** By the name of the group. */
export type Refusals = ReadonlyMap<string, Refusal>

/** Names of groups that were not carried out, though nothing refused them. */
export type Undone = {
  /** A stranger has a name that they need. */
  readonly taken: ReadonlySet<string>
  /** The API server knows more than they rest on, and the next plan will. */
  readonly putOff: ReadonlySet<string>
}

export const nothingUndone: Undone = { taken: new Set(), putOff: new Set() }

/** The name of a conclusion that is not written before something was asked once more. */
export const askedConclusion = 'conclude/asked'

export type Plan = {
  readonly groups: readonly Group[]
  /**
   * What is written last, in every pass: the policy's status, which also tells what was refused, and what became of a slot, and nothing of the
   * groups that were put off. Where `askedConclusion` was refused, nothing that rests on an answer.
   */
  readonly conclude: (refused: Refusals, undone?: Undone) => readonly Action[]
  /** When to look again without being woken. */
  readonly wakeAt: Date | undefined
}

/** A group of one action. */
export function alone(name: string, ...actions: readonly Action[]): Group {
  return { name, actions }
}

/** Deletes an object that was seen. */
export function deletion(
  { kind, metadata }: { readonly kind: string; readonly metadata: Written['metadata'] },
  because: string,
  more: { readonly resourceVersion?: string; readonly provided?: Provided } = {},
): Extract<Action, { readonly do: 'delete' }> {
  const { name, uid = '' } = metadata
  return { do: 'delete', kind: kind as WrittenKind, name, uid, because, ...more }
}
