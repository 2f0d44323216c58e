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

export interface RetentionInForce {
  /** How many newest good runs are kept now. */
  readonly keep: number
  /** What this larger number has kept goes slowly: runs of slots before `before`, the instant from which the lower one applies. */
  readonly previous?: { readonly keep: number; readonly before: Date }
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
  if (!from || from > now) return remembered({ ...before, since }, value, found, now)
  if (value === before.value) return before
  const largest = Math.max(before.value, before.previous ?? 0)
  if (value < before.value) return { value, previous: largest, since }
  return largest > value ? { ...before, value } : { value, since }
}

/** Snapshots go with no run that could pace them: an hour after since their number comes down by one hour's share, and waits again. */
export function comeDown(number: RetentionChange, now: Date): RetentionChange {
  const { value, previous, since } = number
  const at = lowerAt(number)
  if (previous === undefined || !at || now < at) return number
  const next = previous - slowDeletesPerHour
  return next > value ? { value, previous: next, since: rfc3339(now) } : { value, since }
}

/** When the lower number applies, or the next lower one; undefined where none is. */
export function lowerAt({ value, previous, since }: RetentionChange): Date | undefined {
  const from = timeOf(since)
  return previous !== undefined && previous > value && from ? addSeconds(from, loweringDelayMs / 1000) : undefined
}

/** What is known of a number, as a mover is told it. */
export function settingOf({ value, previous, since }: RetentionChange): RetentionSetting {
  const from = timeOf(since)
  return { value, ...(previous !== undefined && from ? { changed: { previous, since: from } } : {}) }
}
