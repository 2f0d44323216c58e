/**
 * The rule of our own clock (snapshot strategy), made for backups: no slot is lost and none runs twice when clocks change.
 *
 * A schedule that names hours means times of day. Each of its times fires at the first instant at which the clock on the wall shows
 * that time or a later one: in a gap this is the end of the gap (once, however many times fell into it), in an overlap the
 * first pass. A schedule that runs in every hour is an interval: it fires at every instant at which the clock shows one of
 * its minutes, in both passes of an overlap.
 */
import { countWalls, dayMs, hourMs, lastWall, nextWall, type Slots } from './calendar.ts'
import { isEveryHour, type Schedule } from './parse.ts'
import { nextTransition, offsetAt, type Transition, type Zone } from './zone.ts'

/** 29 February can be eight years away (1896–1904, 2096–2104). */
const searchMs = 9 * 366 * dayMs

/** Clocks show at most 14 hours more than UTC. */
const mostAheadMs = 15 * hourMs

/** The next slot after an instant, or undefined where the schedule never matches a date (31 February). */
export function nextCivilSlot(schedule: Schedule, zone: Zone, after: number): number | undefined {
  if (isEveryHour(schedule)) return nextInterval(schedule, zone, after)
  const shown = latestShown(zone, after)
  const wall = nextWall(schedule, shown, shown + searchMs)
  return wall === undefined ? undefined : firstShowing(zone, wall)
}

function nextInterval(schedule: Schedule, zone: Zone, after: number): number | undefined {
  const until = after + searchMs
  let from = after
  for (;;) {
    const offset = offsetAt(zone, from)
    const wall = nextWall(schedule, from + offset, until + offset)
    if (wall === undefined) return undefined
    const change = nextTransition(zone, from, wall - offset)
    if (change === undefined) return wall - offset
    if (countWalls(schedule, change.at + change.after - 1, change.at + change.after) === 1) return change.at
    from = change.at
  }
}

/** How many slots there are with `from` < slot ≤ `to`, and the first and last of them; undefined where there is none. */
export function summarizeCivilSlots(schedule: Schedule, zone: Zone, from: number, to: number): Slots | undefined {
  const oldest = nextCivilSlot(schedule, zone, from)
  if (oldest === undefined || oldest > to) return undefined
  return isEveryHour(schedule)
    ? summarizeIntervals(schedule, zone, from, to, oldest)
    : summarizeTimes(schedule, zone, from, to, oldest)
}

function summarizeIntervals(schedule: Schedule, zone: Zone, from: number, to: number, oldest: number): Slots {
  let count = 0
  let newest = oldest
  // Spans of steady offset, each (start, end].
  for (let start = from; start < to;) {
    const change = nextTransition(zone, start, to)
    const end = change === undefined ? to : change.at - 1
    const offset = offsetAt(zone, end)
    count += countWalls(schedule, start + offset, end + offset)
    const last = lastWall(schedule, start + offset, end + offset)
    if (last !== undefined) newest = last - offset
    start = end
    if (change !== undefined) {
      // The instant of the change, which shows the new offset.
      const shown = change.at + change.after
      const isSlot = countWalls(schedule, shown - 1, shown) === 1
      if (isSlot) newest = change.at
      count += isSlot ? 1 : 0
      start = change.at
    }
  }
  return { count, oldest, newest }
}

function summarizeTimes(schedule: Schedule, zone: Zone, from: number, to: number, oldest: number): Slots {
  const shownFrom = latestShown(zone, from)
  const shownTo = latestShown(zone, to)
  let count = countWalls(schedule, shownFrom, shownTo)
  for (const change of transitionsWithin(zone, from, to)) {
    if (change.after < change.before) continue
    // All times of a gap, and the one at its end, are one slot.
    const together = countWalls(schedule, change.at + change.before - 1, change.at + change.after)
    if (together > 1) count -= together - 1
  }
  const last = lastWall(schedule, shownFrom, shownTo)
  return { count, oldest, newest: last === undefined ? oldest : firstShowing(zone, last) }
}

function transitionsWithin(zone: Zone, from: number, to: number): readonly Transition[] {
  const found: Transition[] = []
  for (
    let change = nextTransition(zone, from, to);
    change !== undefined;
    change = nextTransition(zone, change.at, to)
  ) {
    found.push(change)
  }
  return found
}

/** The latest wall-clock time that has been shown up to and including an instant: in the second pass of an overlap, its end. */
function latestShown(zone: Zone, instant: number): number {
  return transitionsWithin(zone, instant - 2 * dayMs, instant).reduce(
    (latest, change) => Math.max(latest, change.at + change.before - 1),
    instant + offsetAt(zone, instant),
  )
}

/** The first instant at which the clock shows this wall-clock time or a later one. */
function firstShowing(zone: Zone, wall: number): number {
  for (let start = wall - mostAheadMs; ;) {
    const slot = Math.max(start, wall - offsetAt(zone, start))
    const change = nextTransition(zone, start, slot)
    if (change === undefined) return slot
    start = change.at
  }
}
