/**
 * Retention: which backups of ONE target stay, which go, and why. The mover (which deletes), the policy status and the
 * command line all use this function, so that they never disagree.
 *
 * The rule: the newest N runs that are good (completed, ready) and not suspect are kept, and everything good that is older
 * than those goes. Whatever the input, the newest good run stays. There is no clock: a run is never old, only superseded,
 * and a run dated in the future is a run like any other.
 */

/** One run of a target, as the catalog of the bucket or the Backup objects show it. */
export interface RetentionRun {
  /** Unique among the runs of the target. */
  readonly id: string
  /** What orders runs: the scheduled slot, or the creation time of an on-demand run. Ties are ordered by id. */
  readonly slot: Date
  /** Completed and restorable as far as is known. Failed, running and unready runs are not good. */
  readonly good: boolean
  /** Shrank far below its predecessor and nobody has accepted that yet (R14). False once accepted. */
  readonly suspect?: boolean
  /** Somebody asked that this run be kept. A hold does not change what counts. */
  readonly held?: boolean
}

/** Why a run stays or goes. */
export type RetentionReason =
  /** Stays: one of the newest N good runs. */
  | 'WithinRetention'
  /** Stays: retention is done with it, but it is held. */
  | 'Held'
  /** Stays: suspect, so that it does not count; it goes when N good runs are newer than it. */
  | 'Suspect'
  /** Stays for now: retention is done with it, but the newest good run is suspect, so that nothing is deleted. */
  | 'PruningStopped'
  /** Stays, because it is none of retention's business: not a good run; it neither counts nor pushes a good one out. */
  | 'NotCounted'
  /** Goes in this pass. */
  | 'BeyondRetention'
  /** Goes in a later pass: this one has reached its number of deletions. */
  | 'BeyondRetentionLater'

export interface RetentionVerdict {
  readonly id: string
  /** False: retention is done with it, and it is deleted in this pass or a later one. */
  readonly keep: boolean
  readonly reason: RetentionReason
  /** One sentence for people. */
  readonly message: string
}

export interface RetentionPlan {
  /** One verdict a run, newest run first. */
  readonly verdicts: readonly RetentionVerdict[]
  /** The ids to delete in this pass, oldest first. */
  readonly deleteNow: readonly string[]
  /** How many more go in later passes. */
  readonly deleteLater: number
  /** The oldest of the runs that count, if any run counts. */
  readonly oldestKept: string | undefined
  /** What goes first: now, or when one more good run arrives. Undefined when nothing would. */
  readonly nextToGo: string | undefined
}

export interface RetentionOptions {
  /** N of `spec.retention`, a whole number ≥ 1. */
  readonly keep: number
  /** Ids of held runs, besides those that say so themselves. */
  readonly held?: Iterable<string>
  /** Most deletions a pass; the guard against a mass deletion by mistake. */
  readonly maxDeletes?: number
}

const DEFAULT_MAX_DELETES = 20

/**
 * Judges the runs of one target, in any order.
 *
 * Throws a RangeError, and so deletes nothing, where the input makes no sense: `keep` below 1, an invalid date, an id that
 * occurs twice (its double would push a good run out).
 */
export function planRetention(runs: readonly RetentionRun[], options: RetentionOptions): RetentionPlan {
  const { keep, maxDeletes = DEFAULT_MAX_DELETES } = options
  if (!Number.isInteger(keep) || keep < 1) {
    throw new RangeError(
      `retention must be a whole number of at least 1, not ${keep}: it would delete the last good backup`,
    )
  }
  if (!Number.isInteger(maxDeletes) || maxDeletes < 0) {
    throw new RangeError(`maxDeletes must be a whole number of at least 0, not ${maxDeletes}`)
  }
  refuseAmbiguous(runs)

  const heldIds = new Set(options.held)
  const ordered = [...runs].sort(newestFirst)
  const stoppedBy = suspectNewest(ordered)
  const judged: { readonly run: RetentionRun; readonly newerCounted: number; readonly held: boolean }[] = []
  let counted = 0
  for (const run of ordered) {
    judged.push({ run, newerCounted: counted, held: run.held === true || heldIds.has(run.id) })
    if (counts(run)) counted++
  }

  const superseded = judged.filter(({ run, newerCounted, held }) => run.good && !held && newerCounted >= keep)
  const goes = stoppedBy === undefined ? superseded.map(({ run }) => run.id).toReversed() : []
  const deleteNow = goes.slice(0, maxDeletes)
  const now = new Set(deleteNow)

  const verdicts = judged.map(({ run, newerCounted, held }): RetentionVerdict => {
    const verdict = (stays: boolean, reason: RetentionReason, message: string) => ({
      id: run.id,
      keep: stays,
      reason,
      message,
    })
    if (!run.good) return verdict(true, 'NotCounted', 'not a good backup: retention neither counts nor deletes it')
    if (newerCounted < keep) {
      return run.suspect === true
        ? verdict(
            true,
            'Suspect',
            'kept but not counted: it is far smaller than the one before; accept it, or take a good one',
          )
        : verdict(true, 'WithinRetention', `kept: number ${newerCounted + 1} of the newest ${keep} good backups`)
    }
    if (held) return verdict(true, 'Held', `kept: ${superseding(keep)}, but it is held`)
    if (stoppedBy !== undefined) {
      return verdict(
        true,
        'PruningStopped',
        `kept for now: ${superseding(keep)}, but the newest backup, ${stoppedBy.id}, is suspect, and nothing is deleted until it is accepted or a good one follows`,
      )
    }
    return now.has(run.id)
      ? verdict(false, 'BeyondRetention', `deleted: ${superseding(keep)}`)
      : verdict(
          false,
          'BeyondRetentionLater',
          `deleted in a later pass: ${superseding(keep)}, and a pass deletes at most ${maxDeletes}`,
        )
  })

  const afterOneMore = judged.findLast(({ run, newerCounted, held }) => run.good && !held && newerCounted >= keep - 1)
  return {
    verdicts,
    deleteNow,
    deleteLater: goes.length - deleteNow.length,
    oldestKept: judged.findLast(({ run, newerCounted }) => counts(run) && newerCounted < keep)?.run.id,
    nextToGo: stoppedBy === undefined ? afterOneMore?.run.id : undefined,
  }
}

function counts(run: RetentionRun): boolean {
  return run.good && run.suspect !== true
}

function superseding(keep: number): string {
  return keep === 1 ? '1 newer good backup exists' : `${keep} newer good backups exist`
}

/** The newest good run if it is suspect: it may be the only fresh dump, or the good old ones the only whole ones. */
function suspectNewest(ordered: readonly RetentionRun[]): RetentionRun | undefined {
  const newest = ordered.find(run => run.good)
  return newest?.suspect === true ? newest : undefined
}

function newestFirst(a: RetentionRun, b: RetentionRun): number {
  const byTime = b.slot.getTime() - a.slot.getTime()
  if (byTime !== 0) return byTime
  return a.id < b.id ? 1 : -1
}

function refuseAmbiguous(runs: readonly RetentionRun[]): void {
  const seen = new Set<string>()
  for (const { id, slot } of runs) {
    if (seen.has(id))
      throw new RangeError(`the run ${id} occurs twice, so that nothing is deleted: list every run once`)
    seen.add(id)
    if (Number.isNaN(slot.getTime()))
      throw new RangeError(`the run ${id} has no valid time, so that nothing is deleted`)
  }
}
