/**
 * A `retention` that was lowered (docs/design.md R29): a typo must not cost the backups that the number before had kept. For an hour
 * the larger number applies; afterwards what only it had kept goes slowly.
 */

import type { RetentionChange } from '../../api/kinds/backup-policy-status.ts'
import { addSeconds, rfc3339, timeOf } from '../../schedule/times.ts'

/** N of a policy, and what it was before, where it was changed. */
export interface RetentionSetting {
  readonly value: number
  readonly changed?: { readonly previous: number; readonly since: Date }
}

/** A larger number from before, whose runs go slowly. */
export interface Previous {
  readonly keep: number
  /** The instant from which the lower number applies: of later slots nothing is kept by this one. */
  readonly before: Date
  /** Of slots from here on it still keeps what it had kept; absent: of none. */
  readonly from?: Date
}

export interface RetentionInForce {
  /** How many newest good runs are kept now. */
  readonly keep: number
  /** What this larger number has kept goes slowly: runs of slots before `before`, the instant from which the lower one applies. */
  readonly previous?: Previous
  /** The lower number, and when it applies: nothing that only the larger one keeps goes before. */
  readonly pending?: { readonly value: number; readonly at: Date }
}

const hourMs = 3_600_000

/** How long a lowered number waits, ms. */
export const loweringDelayMs = hourMs

/** Of what only the number before had kept, at most so many go in an hour, for each target. */
export const slowDeletesPerHour = 20

export function retentionInForce({ value, changed }: RetentionSetting, now: Date): RetentionInForce {
  if (!changed || changed.previous <= value) return { keep: value }
  const at = new Date(changed.since.getTime() + loweringDelayMs)
  return now < at
    ? { keep: changed.previous, pending: { value, at } }
    : { keep: value, previous: { keep: changed.previous, before: at } }
}

/**
 * How many of them may go in this pass, without a memory of earlier ones: each pass follows a run, so that the first run that ends in
 * an hour of the clock deletes, and the others of that hour leave them alone. `ends`: when the other runs of the target ended.
 */
export function slowDeletesNow(ends: readonly Date[], now: Date): number {
  const hour = Math.floor(now.getTime() / hourMs)
  return ends.some(end => Math.floor(end.getTime() / hourMs) === hour) ? 0 : slowDeletesPerHour
}

/** Of the clock. */
export function endOfHour(time: Date): Date {
  return new Date(Math.ceil(time.getTime() / hourMs) * hourMs)
}

/**
 * What the status remembers of a number from now on. A lowering starts the hour anew, with the largest number that was ever in force since
 * the last raise above it: a second typo must not make the first one fast.
 * @param before what it remembered so far; undefined: nobody knows what was kept until now
 * @param found how many backups there are of the target that has most: where nobody knows, all of them were kept
 */
export function remembered(
  before: RetentionChange | undefined,
  value: number,
  found: number,
  now: Date,
): RetentionChange {
  const since = rfc3339(now)
  if (!before) return found > value ? { value, previous: found, since } : { value, since }
  const from = timeOf(before.since)
  // A clock ran wild, or somebody else wrote it.
  const shared = before.share && (timeOf(before.share.since) ?? now)
  if (!from || from > now || (shared && shared > now)) {
    const { share: _, ...rest } = before
    return remembered({ ...rest, since }, value, found, now)
  }
  if (value === before.value) return before
  const largest = Math.max(before.value, before.previous ?? 0)
  if (value < before.value) return { value, previous: largest, since }
  return largest > value ? { ...before, value } : { value, since }
}

/** Snapshots go with no run that could pace them: the larger number keeps them but for the shares that the status tells of. */
export function snapshotsInForce(number: RetentionChange, now: Date): RetentionInForce {
  const { previous, ...rest } = retentionInForce(settingOf(number), now)
  if (!previous) return rest
  return { ...rest, previous: { ...previous, from: timeOf(number.share?.before) ?? new Date(0) } }
}

/** When of snapshots the next share goes; undefined where none is to. */
export function nextShare(number: RetentionChange): Date | undefined {
  const last = timeOf(number.share?.since)
  const first = lowerAt(number)
  return first && last ? addSeconds(last, loweringDelayMs / 1000) : first
}

/**
 * Up to which slot a share goes, that no target may lose more than an hour's for; undefined: to the end.
 * @param slow what only the larger number keeps of one target, oldest first
 */
export function shareEnd(slow: readonly { readonly slot: Date }[]): Date | undefined {
  const [first, end] = [slow[0], slow[slowDeletesPerHour]]
  if (!first || !end) return undefined
  // So many of one second go together, or none would ever.
  return end.slot > first.slot ? end.slot : addSeconds(first.slot, 1)
}

/** When the lower number applies; undefined where none is. */
export function lowerAt({ value, previous, since }: RetentionChange): Date | undefined {
  const from = timeOf(since)
  return previous !== undefined && previous > value && from ? addSeconds(from, loweringDelayMs / 1000) : undefined
}

/** What is known of a number, as a mover is told it. */
export function settingOf({ value, previous, since }: RetentionChange): RetentionSetting {
  const from = timeOf(since)
  return { value, ...(previous !== undefined && from ? { changed: { previous, since: from } } : {}) }
}
