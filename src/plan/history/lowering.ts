/**
 * A `retention` that was lowered (docs/design.md R29): a typo must not cost the backups that the number before had kept. For an hour
 * the larger number applies; afterwards what only it had kept goes slowly.
 */

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
