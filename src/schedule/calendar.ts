/**
 * Arithmetic of a schedule on wall-clock times, without any zone: which minutes of which days it selects. A wall-clock time is
 * the number of milliseconds that `Date.UTC` gives for its year, month, day, hour and minute.
 */
import type { Schedule } from './parse.ts'

export const minuteMs = 60_000
export const hourMs = 3_600_000
export const dayMs = 86_400_000

/** Some slots (instants): how many, the first and the last. */
export interface Slots {
  readonly count: number
  readonly oldest: number
  readonly newest: number
}

/** True where the schedule selects the day of this wall-clock time. */
export function selectsDay(schedule: Schedule, wall: number): boolean {
  const date = new Date(wall)
  if (!schedule.months[date.getUTCMonth() + 1]) return false
  const byMonthDay = schedule.monthDays[date.getUTCDate()]
  const byWeekday = schedule.weekdays[date.getUTCDay()]
  return schedule.bothDays ? byMonthDay && byWeekday : byMonthDay || byWeekday
}

/** The first selected minute with `after` < minute < `until`. */
export function nextWall(schedule: Schedule, after: number, until: number): number | undefined {
  const firstDay = Math.floor(after / dayMs) * dayMs
  for (let day = nextDay(schedule, firstDay, until); day !== undefined; day = nextDay(schedule, day + dayMs, until)) {
    for (const hour of schedule.hours) {
      const start = day + hour * hourMs
      if (start + hourMs <= after) continue
      const minute = schedule.minutes.find(m => start + m * minuteMs > after)
      if (minute !== undefined) return start + minute * minuteMs < until ? start + minute * minuteMs : undefined
    }
  }
  return undefined
}

/** The last selected minute with `from` < minute ≤ `to`. */
export function lastWall(schedule: Schedule, from: number, to: number): number | undefined {
  for (let day = Math.floor(to / dayMs) * dayMs; day + dayMs > from; day -= dayMs) {
    if (!selectsDay(schedule, day)) continue
    for (const hour of schedule.hours.toReversed()) {
      const start = day + hour * hourMs
      if (start > to) continue
      const minute = schedule.minutes.findLast(m => start + m * minuteMs <= to)
      if (minute !== undefined) return start + minute * minuteMs > from ? start + minute * minuteMs : undefined
    }
  }
  return undefined
}

/** How many selected minutes there are with `from` < minute ≤ `to`. The work is one step a day. */
export function countWalls(schedule: Schedule, from: number, to: number): number {
  let count = 0
  const lastDay = Math.floor(to / dayMs) * dayMs
  for (let day = Math.floor(from / dayMs) * dayMs; day <= lastDay; day += dayMs) {
    if (!selectsDay(schedule, day)) continue
    count +=
      day > from && day + dayMs <= to
        ? schedule.hours.length * schedule.minutes.length
        : minutesOfDayUpTo(schedule, to - day) - minutesOfDayUpTo(schedule, from - day)
  }
  return count
}

/** The first selected day on or after `day` (a midnight) and before `until`; months that cannot match are stepped over whole. */
function nextDay(schedule: Schedule, day: number, until: number): number | undefined {
  let candidate = day
  while (candidate < until) {
    if (selectsDay(schedule, candidate)) return candidate
    const date = new Date(candidate)
    candidate = schedule.months[date.getUTCMonth() + 1]
      ? candidate + dayMs
      : Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1)
  }
  return undefined
}

function minutesOfDayUpTo(schedule: Schedule, sinceMidnight: number): number {
  const hour = Math.floor(sinceMidnight / hourMs)
  const before = schedule.hours.filter(h => h < hour).length * schedule.minutes.length
  if (!schedule.hours.includes(hour)) return before
  return before + schedule.minutes.filter(m => hour * hourMs + m * minuteMs <= sinceMidnight).length
}
