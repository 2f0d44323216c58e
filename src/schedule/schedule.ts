/**
 * When a policy's backups are due. Slots are UTC instants; there is no clock here, "now" is an argument.
 *
 * Two rules for the days on which clocks change: `cronjob` says what the CronJob controller does (jobs, R18), `civil` is what our
 * own clock does (snapshots). On all other days they agree.
 */
import { hourMs } from './calendar.ts'
import { nextCivilSlot, summarizeCivilSlots } from './civil.ts'
import { nextCronJobSlot, summarizeCronJobSlots } from './cronjob.ts'
import type { Schedule } from './parse.ts'
import { nextTransition, zoneOf, type Zone } from './zone.ts'

export type SlotRule = 'cronjob' | 'civil'

/** Slots that lie together, however many. */
export interface SlotSummary {
  readonly count: number
  readonly oldest: Date
  readonly newest: Date
}

/** A time in the future of `now` by less than this is a clock that was set back; by more, it is a clock that once ran wild. */
export const CLOCK_TOLERANCE_MS = 24 * hourMs

/** Throws a RangeError with a sentence where the name is no IANA time zone. */
export function validateTimeZone(timeZone: string): void {
  zoneOf(timeZone)
}

/**
 * The first slot after an instant. Undefined where there is none: the schedule never matches a date (31 February), or, by the
 * `cronjob` rule, not in the next five years.
 */
export function nextSlot(schedule: Schedule, timeZone: string, after: Date, rule: SlotRule): Date | undefined {
  const slot = next(schedule, zoneOf(timeZone), after.getTime(), rule)
  return slot === undefined ? undefined : new Date(slot)
}

/** The first `limit` slots with `from` < slot ≤ `to`, oldest first. */
export function slotsBetween(
  schedule: Schedule,
  timeZone: string,
  range: { readonly from: Date; readonly to: Date },
  rule: SlotRule,
  limit: number,
): readonly Date[] {
  const slots: Date[] = []
  let slot = nextSlot(schedule, timeZone, range.from, rule)
  while (slot !== undefined && slot <= range.to && slots.length < limit) {
    slots.push(slot)
    slot = nextSlot(schedule, timeZone, slot, rule)
  }
  return slots
}

/**
 * How many slots there are with `from` < slot ≤ `to`, and the first and the last; undefined where there is none. The work is
 * some steps a day of the range, however many slots a day has: a year of minutely slots takes milliseconds.
 */
export function summarizeSlots(
  schedule: Schedule,
  timeZone: string,
  range: { readonly from: Date; readonly to: Date },
  rule: SlotRule,
): SlotSummary | undefined {
  const zone = zoneOf(timeZone)
  const [from, to] = [range.from.getTime(), range.to.getTime()]
  const summary =
    rule === 'civil' ? summarizeCivilSlots(schedule, zone, from, to) : summarizeCronJobSlots(schedule, zone, from, to)
  if (summary === undefined) return undefined
  return { count: summary.count, oldest: new Date(summary.oldest), newest: new Date(summary.newest) }
}

export interface SlotQuestion {
  readonly schedule: Schedule
  readonly timeZone: string
  readonly rule: SlotRule
  /** The newest slot that has an outcome (run, skipped or missed); undefined before the first. */
  readonly lastAccounted: Date | undefined
  /** Creation, or the last edit of schedule or time zone, or the last resume: nothing up to here fires. */
  readonly notBefore: Date
  readonly now: Date
  /** How late a slot may still start. */
  readonly startingDeadlineSeconds: number
}

export interface SlotPlan {
  /** Start this slot now: the newest one that is not accounted for, if it is within the deadline. Older ones are not caught up. */
  readonly due: Date | undefined
  /** Slots to account for as missed (or skipped, where a run covered them). */
  readonly missed: SlotSummary | undefined
  /** The next slot in the future: when to ask again. Undefined where the schedule has none. */
  readonly next: Date | undefined
  /** `lastAccounted` or `notBefore` lies so far in the future that a clock must have been wrong; it was taken for `now` (F23). */
  readonly clamped: boolean
}

/**
 * What to do about the slots up to now. At most one run, whatever the length of an outage (F20, F21). A slot is never due twice: a clock
 * that was set back finds `lastAccounted` in its future, and waits.
 */
export function planSlots(question: SlotQuestion): SlotPlan {
  const { schedule, timeZone, rule, now, startingDeadlineSeconds } = question
  const since = Math.max(question.lastAccounted?.getTime() ?? Number.NEGATIVE_INFINITY, question.notBefore.getTime())
  const clamped = since - now.getTime() > CLOCK_TOLERANCE_MS
  const from = clamped ? now : new Date(since)
  const open = summarizeSlots(schedule, timeZone, { from, to: now }, rule)
  const isDue = open !== undefined && now.getTime() - open.newest.getTime() <= startingDeadlineSeconds * 1000
  const due = isDue ? open.newest : undefined
  const missed =
    due === undefined ? open : summarizeSlots(schedule, timeZone, { from, to: new Date(due.getTime() - 1) }, rule)
  // From the last slot, not from now: the controller's chain depends on where it starts (schedule-cronjob.ts).
  return { due, missed, next: nextSlot(schedule, timeZone, open?.newest ?? from, rule), clamped }
}

/** The slots that the CronJob controller skips or runs twice at the next change of clocks, seen from the rule for times of day. */
export interface ClockChangeEffect {
  /** When the clocks change. */
  readonly at: Date
  /** `skips`: a time of day does not exist and is left out; `doubles`: it exists twice and runs twice. */
  readonly effect: 'skips' | 'doubles'
}

/**
 * The first change of clocks with `from` < change ≤ `to` around which the controller's slots are not the times that the
 * schedule names (R3: shown as a warning condition of job policies). Undefined for intervals, and in zones without changes.
 */
export function clockChangeEffect(
  schedule: Schedule,
  timeZone: string,
  range: { readonly from: Date; readonly to: Date },
): ClockChangeEffect | undefined {
  const zone = zoneOf(timeZone)
  const to = range.to.getTime()
  let change = nextTransition(zone, range.from.getTime(), to)
  for (; change !== undefined; change = nextTransition(zone, change.at, to)) {
    const around = { from: new Date(change.at - 26 * hourMs), to: new Date(change.at + 26 * hourMs) }
    const real = summarizeSlots(schedule, timeZone, around, 'cronjob')?.count ?? 0
    const meant = summarizeSlots(schedule, timeZone, around, 'civil')?.count ?? 0
    if (real !== meant) return { at: new Date(change.at), effect: real < meant ? 'skips' : 'doubles' }
  }
  return undefined
}

function next(schedule: Schedule, zone: Zone, after: number, rule: SlotRule): number | undefined {
  return rule === 'civil' ? nextCivilSlot(schedule, zone, after) : nextCronJobSlot(schedule, zone, after)
}
