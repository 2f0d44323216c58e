/**
 * Reading a schedule: the grammar of `src/api/schema/cron-grammar.ts`, the stable hash behind `H`, and the sets of values that each
 * field allows. The meaning of every construct is robfig/cron v3's standard parser, because the CronJob controller uses it.
 */
import { cronMaxLength, cronMessage, cronPattern } from '../api/schema/cron-grammar.ts'
import { remembered } from './remembered.ts'

/** A schedule ready for calculation. Made by `parseSchedule`; times are wall-clock times of a zone that is given later. */
export interface Schedule {
  /** The plain CronJob schedule that this was read from. */
  readonly text: string
  /** Ascending, 0–59; like `hours`, never empty. */
  readonly minutes: readonly number[]
  /** Ascending, 0–23. */
  readonly hours: readonly number[]
  /** Indexed by day of month, 1–31. */
  readonly monthDays: readonly boolean[]
  /** Indexed by month, 1–12. */
  readonly months: readonly boolean[]
  /** Indexed by day of week, 0 (Sunday) – 6. */
  readonly weekdays: readonly boolean[]
  /**
   * A day runs when both the day of month and the day of week allow it; false: when one of them does. robfig's rule: both,
   * if either field holds a star. A star with a step of 1 is a star, one with a larger step is not.
   */
  readonly bothDays: boolean
}

/** The schedule is not one. The message says what to write instead. */
export class InvalidScheduleError extends Error {
  override readonly name = 'InvalidScheduleError'
}

interface FieldSpec {
  readonly name: string
  readonly min: number
  readonly max: number
  /** Largest value that `H` picks: every month has a 28th. */
  readonly hashMax: number
  readonly names: readonly string[]
}

const fieldSpecs: readonly FieldSpec[] = [
  { name: 'minute', min: 0, max: 59, hashMax: 59, names: [] },
  { name: 'hour', min: 0, max: 23, hashMax: 23, names: [] },
  { name: 'day of month', min: 1, max: 31, hashMax: 28, names: [] },
  {
    name: 'month',
    min: 1,
    max: 12,
    hashMax: 12,
    names: ['', 'jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'],
  },
  { name: 'day of week', min: 0, max: 6, hashMax: 6, names: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] },
]

const nicknames: Readonly<Record<string, string>> = {
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
}

const pattern = new RegExp(cronPattern)
/** An H that is not part of a name such as THU. */
const loneH = /(?<![A-Za-z])H(?![A-Za-z])/
const itemPattern =
  /^(?:(?<star>[*?])|(?<hash>H)(?:[(](?<hashLow>\w+)-(?<hashHigh>\w+)[)])?|(?<low>\w+)(?:-(?<high>\w+))?)(?:\/(?<step>\d+))?$/

/**
 * Replaces every `H` by a value, or a start, that follows from the seed, and gives a plain CronJob schedule. A schedule without
 * `H` comes back as it is.
 *
 * The seed is `namespace/name/target`, not a UID (R17): a policy that is applied again, or restored into a new cluster,
 * keeps its times. The results are a promise for ever: changing them moves everybody's backups.
 * Throws InvalidScheduleError.
 */
export function expandHash(text: string, seed: string): string {
  if (text.length > cronMaxLength) {
    throw new InvalidScheduleError(
      `the schedule is longer than ${cronMaxLength} characters: shorten its lists to ranges and steps`,
    )
  }
  refuseMalformed(text)
  if (!loneH.test(text)) return text
  return splitFields(text)
    .map((field, index) => {
      const spec = specOf(index)
      return field
        .split(',')
        .map(item => expandItem(item, spec, hash(`${seed}#${index}`)))
        .join(',')
    })
    .join(' ')
}

/** Reads a plain schedule, one without `H`. Throws InvalidScheduleError. */
export const parseSchedule: (text: string) => Schedule = remembered(1000, read)

function read(text: string): Schedule {
  refuseMalformed(text)
  const [minute, hour, monthDay, month, weekday] = splitFields(nicknames[text] ?? text).map((field, index) =>
    readField(field, specOf(index)),
  ) as [FieldValues, FieldValues, FieldValues, FieldValues, FieldValues]
  return {
    text,
    minutes: indices(minute.allowed),
    hours: indices(hour.allowed),
    monthDays: monthDay.allowed,
    months: month.allowed,
    weekdays: weekday.allowed,
    bothDays: monthDay.star || weekday.star,
  }
}

/** True where the schedule runs in every hour of its days, so that it is an interval rather than a time of day. */
export function isEveryHour(schedule: Schedule): boolean {
  return schedule.hours.length === 24
}

function refuseMalformed(text: string): void {
  if (pattern.test(text)) return
  throw new InvalidScheduleError(`${JSON.stringify(text)} is not a schedule: ${cronMessage}`)
}

function specOf(index: number): FieldSpec {
  const spec = fieldSpecs[index]
  if (spec === undefined) throw new InvalidScheduleError(`a schedule has five fields, not ${index + 1}`)
  return spec
}

function splitFields(text: string): readonly string[] {
  return text.trim().split(/\s+/)
}

function readNumber(text: string, spec: FieldSpec): number {
  const named = spec.names.indexOf(text.toLowerCase())
  return named === -1 ? Number.parseInt(text, 10) : named
}

function itemParts(item: string): Readonly<Record<string, string | undefined>> {
  const groups = itemPattern.exec(item)?.groups
  if (groups === undefined)
    throw new InvalidScheduleError(`${JSON.stringify(item)} is not a value, range or step of a schedule`)
  return groups
}

function refuseBackward(item: string, low: number, high: number, spec: FieldSpec): void {
  if (low <= high) return
  const twoRanges = `${low}-${spec.max},${spec.min}-${high}`
  throw new InvalidScheduleError(`the ${spec.name} range ${item} runs backward: write it as two ranges, ${twoRanges}`)
}

function expandItem(item: string, spec: FieldSpec, hashed: number): string {
  const { hash: isHash, hashLow, hashHigh, step } = itemParts(item)
  if (isHash === undefined) return item
  const low = hashLow === undefined ? spec.min : readNumber(hashLow, spec)
  const high = hashHigh === undefined ? spec.hashMax : readNumber(hashHigh, spec)
  refuseBackward(item, low, high, spec)
  const size = high - low + 1
  if (step === undefined) return String(low + (hashed % size))
  // The start is within the first step, so that the values are as many as without the hash, or one fewer.
  const start = low + (hashed % Math.min(size, Number(step)))
  return start === high ? String(start) : `${start}-${high}/${Number(step)}`
}

interface FieldValues {
  readonly allowed: readonly boolean[]
  readonly star: boolean
}

function readField(field: string, spec: FieldSpec): FieldValues {
  const allowed = Array.from({ length: spec.max + 1 }, () => false)
  let star = false
  for (const item of field.split(',')) {
    const parts = itemParts(item)
    if (parts['hash'] !== undefined)
      throw new InvalidScheduleError(`${item} still has to be expanded: H is ours, not the CronJob grammar's`)
    const step = parts['step'] === undefined ? 1 : Number(parts['step'])
    const low = parts['low'] === undefined ? spec.min : readNumber(parts['low'], spec)
    // A single value with a step, `5/15`, means from there to the end.
    const openEnded = parts['low'] === undefined || (parts['high'] === undefined && parts['step'] !== undefined)
    const high = openEnded ? spec.max : parts['high'] === undefined ? low : readNumber(parts['high'], spec)
    refuseBackward(item, low, high, spec)
    star ||= parts['star'] !== undefined && step === 1
    for (let value = low; value <= high; value += step) allowed[value] = true
  }
  return { allowed, star }
}

function indices(allowed: readonly boolean[]): readonly number[] {
  return allowed.flatMap((isAllowed, index) => (isAllowed ? [index] : []))
}

/** FNV-1a over the UTF-8 bytes, then murmur3's finaliser, without which the low bits of similar names are too alike. */
function hash(text: string): number {
  let h = 0x811c9dc5
  for (const byte of new TextEncoder().encode(text)) h = Math.imul(h ^ byte, 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
