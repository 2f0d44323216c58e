/**
 * The slots of the CronJob controller, which asks robfig/cron v3 for the next time after the last one.
 *
 * Where the zone's offset does not change, these are the schedule's wall-clock times. Around a change they follow from how
 * robfig walks: it adds real hours and minutes and looks at the clock, so that times in a gap are skipped, times in an overlap
 * come twice, and after a change of half an hour (Lord Howe) its walk can stay half an hour off until the next minute that it
 * has to search, which loses a slot on a day that looks ordinary. To say the same, we take the same walk.
 * The truth is robfig's own output: `test/robfig-oracle` writes it to `schedule.golden.json`.
 */
import { countWalls, hourMs, lastWall, minuteMs, nextWall, selectsDay, type Slots } from './calendar.ts'
import type { Schedule } from './parse.ts'
import { nextTransition, offsetAt, type Zone } from './zone.ts'

/** robfig gives up when no time is found until the end of the fifth year after the current one. */
const yearsAhead = 5

/** No zone's clocks change by more, so that a wall-clock time farther than this from a change is unambiguous. */
const marginMs = 3 * hourMs

/** The controller's next slot after an instant, or undefined if there is none in about five years. */
export function nextCronJobSlot(schedule: Schedule, zone: Zone, after: number): number | undefined {
  const offset = offsetAt(zone, after)
  // robfig starts at the next whole second; on a New Year's Eve that decides the limit.
  const start = Math.floor(after / 1000) * 1000 + 1000
  const lastYear = new Date(start + offsetAt(zone, start)).getUTCFullYear() + yearsAhead
  const wall = nextWall(schedule, after + offset, Date.UTC(lastYear + 1, 0))
  if (wall !== undefined) {
    const slot = wall - offset
    if (nextTransition(zone, steadySince(schedule, after, offset) - marginMs, slot + marginMs) === undefined)
      return slot
  }
  for (let from = start; ; from += minuteMs) {
    const slot = walk(schedule, zone, from, lastYear)
    // Near an overlap that does not begin on the hour (Chatham), cutting to the hour can lead robfig back to the first pass,
    // again and again. Time goes forward here: from the next minute, until the overlap is behind.
    if (slot === undefined || slot > after) return slot
  }
}

/**
 * How many slots the chain of next slots has with `from` < slot ≤ `to`, and the first and last of them; undefined where there is
 * none. Where the offset is steady they are counted by the day, around its changes one by one.
 */
export function summarizeCronJobSlots(schedule: Schedule, zone: Zone, from: number, to: number): Slots | undefined {
  const oldest = nextCronJobSlot(schedule, zone, from)
  if (oldest === undefined || oldest > to) return undefined
  let count = 0
  let newest = oldest
  for (let slot: number | undefined = oldest; slot !== undefined && slot <= to;) {
    newest = slot
    count++
    const change = nextTransition(zone, slot - marginMs, to + marginMs)
    const steadyUntil = change === undefined ? to : Math.min(to, change.at - marginMs - 1)
    if (steadyUntil > slot) {
      const offset = offsetAt(zone, slot)
      count += countWalls(schedule, slot + offset, steadyUntil + offset)
      newest = (lastWall(schedule, slot + offset, steadyUntil + offset) ?? slot + offset) - offset
    }
    slot = nextCronJobSlot(schedule, zone, newest)
  }
  return { count, oldest, newest }
}

/** From where the offset must be steady: the walk goes forward from a slot, but back to the start of the month from elsewhere. */
function steadySince(schedule: Schedule, after: number, offset: number): number {
  const wall = new Date(after + offset)
  const isSlot =
    after % minuteMs === 0 &&
    schedule.hours.includes(wall.getUTCHours()) &&
    schedule.minutes.includes(wall.getUTCMinutes()) &&
    selectsDay(schedule, wall.getTime())
  return isSlot ? after : Date.UTC(wall.getUTCFullYear(), wall.getUTCMonth()) - offset
}

/** The walk, unit by unit. Whenever a unit overflows into the next larger one, everything is looked at again from the month on. */
function walk(schedule: Schedule, zone: Zone, start: number, lastYear: number): number | undefined {
  let time = start
  // The first step of any unit cuts off what is smaller; later steps keep it, and with it any half hour that a change brought.
  let cut = false

  const clock = () => new Date(time + offsetAt(zone, time))
  const set = (year: number, month: number, day: number, sinceMidnight: number) => {
    time = resolveLikeGo(zone, Date.UTC(year, month, day) + sinceMidnight)
  }
  const cutTo = (unit: 'month' | 'day' | 'hour') => {
    if (cut) return
    cut = true
    const now = clock()
    const hour = unit === 'hour' ? now.getUTCHours() * hourMs : 0
    set(now.getUTCFullYear(), now.getUTCMonth(), unit === 'month' ? 1 : now.getUTCDate(), hour)
  }

  /** Each gives true when its unit has overflowed, and false when it matches. */
  const seekMonth = () => {
    while (!schedule.months[clock().getUTCMonth() + 1]) {
      cutTo('month')
      const now = clock()
      set(now.getUTCFullYear(), now.getUTCMonth() + 1, now.getUTCDate(), timeOfDay(now))
      if (clock().getUTCMonth() === 0) return true
    }
    return false
  }
  const seekDay = () => {
    while (!selectsDay(schedule, clock().getTime())) {
      cutTo('day')
      const now = clock()
      set(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate() + 1, timeOfDay(now))
      // Where midnight does not exist, whole hours back or forward to the day's start.
      const hour = clock().getUTCHours()
      if (hour !== 0) time += (hour > 12 ? 24 - hour : -hour) * hourMs
      if (clock().getUTCDate() === 1) return true
    }
    return false
  }
  const seekHour = () => {
    while (!schedule.hours.includes(clock().getUTCHours())) {
      cutTo('hour')
      time += hourMs
      if (clock().getUTCHours() === 0) return true
    }
    return false
  }
  const seekMinute = () => {
    while (!schedule.minutes.includes(clock().getUTCMinutes())) {
      time = cut ? time : Math.floor(time / minuteMs) * minuteMs
      cut = true
      time += minuteMs
      if (clock().getUTCMinutes() === 0) return true
    }
    return false
  }
  const seekSecond = () => {
    if (time % minuteMs === 0) return false
    cut = true
    time = Math.ceil(time / minuteMs) * minuteMs
    return true
  }

  while (clock().getUTCFullYear() <= lastYear) {
    if (!seekMonth() && !seekDay() && !seekHour() && !seekMinute() && !seekSecond()) return time
  }
  return undefined
}

/** The instant that Go's `time.Date` gives for a wall-clock time, also for one that does not exist, or exists twice. */
function resolveLikeGo(zone: Zone, wall: number): number {
  return wall - offsetAt(zone, wall - offsetAt(zone, wall))
}

function timeOfDay(wall: Date): number {
  return wall.getTime() - Date.UTC(wall.getUTCFullYear(), wall.getUTCMonth(), wall.getUTCDate())
}
