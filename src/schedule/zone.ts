/**
 * Offsets of IANA time zones and the instants at which they change, from the runtime's own database (Intl).
 *
 * Asking Intl costs microseconds, so offsets are kept in chunks of about twelve days, shorter than any two changes of a
 * zone have ever been apart since 1980. What is kept follows from the arguments alone: the functions are pure for callers.
 * All instants and offsets are milliseconds.
 */

/** A time zone with its offsets as far as they have been asked for. */
export interface Zone {
  readonly name: string
  readonly format: Intl.DateTimeFormat
  readonly chunks: Map<number, Chunk>
}

/** A change of offset: from `at` on, the zone is `after` ahead of UTC, and was `before`. */
export interface Transition {
  readonly at: number
  readonly before: number
  readonly after: number
}

interface Chunk {
  readonly offset: number
  readonly transition: Transition | undefined
}

const chunkMs = 2 ** 30
/** Zones change on whole minutes since 1972. */
const minuteMs = 60_000

const zones = new Map<string, Zone>()

/** The zone of an IANA name. Throws a RangeError for a name that is none, for `Local`, and for bare offsets such as `+01:00`. */
export function zoneOf(name: string): Zone {
  const known = zones.get(name)
  if (known !== undefined) return known
  // Intl reads offsets and compares names without case; Go's LoadLocation, which CronJobs use, does neither.
  if (!/^[A-Za-z]/.test(name) || name === 'Local') throw unknownZone(name)
  let format: Intl.DateTimeFormat
  try {
    format = new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'longOffset' })
  } catch (error) {
    throw unknownZone(name, error)
  }
  const zone: Zone = { name, format, chunks: new Map() }
  zones.set(name, zone)
  return zone
}

/** How far the zone is ahead of UTC at an instant. */
export function offsetAt(zone: Zone, instant: number): number {
  const { offset, transition } = chunkAt(zone, Math.floor(instant / chunkMs))
  return transition !== undefined && instant >= transition.at ? transition.after : offset
}

/** The first change of offset with `after` < at ≤ `until`. The work grows with the range: about 30 look-ups a year. */
export function nextTransition(zone: Zone, after: number, until: number): Transition | undefined {
  const last = Math.floor(until / chunkMs)
  for (let index = Math.floor(after / chunkMs); index <= last; index++) {
    const { transition } = chunkAt(zone, index)
    if (transition !== undefined && transition.at > after) return transition.at <= until ? transition : undefined
  }
  return undefined
}

function chunkAt(zone: Zone, index: number): Chunk {
  const known = zone.chunks.get(index)
  if (known !== undefined) return known
  const start = index * chunkMs
  const end = start + chunkMs
  const before = readOffset(zone, start)
  // A change exactly at the end belongs to this chunk; the next one begins with the new offset.
  const after = readOffset(zone, end)
  const chunk = {
    offset: before,
    transition: before === after ? undefined : findTransition(zone, start, end, before, after),
  }
  zone.chunks.set(index, chunk)
  return chunk
}

/** Bisects (start, end], whose ends have different offsets, to the minute at which the offset changes. */
function findTransition(zone: Zone, start: number, end: number, before: number, after: number): Transition {
  let low = Math.floor(start / minuteMs)
  let high = Math.ceil(end / minuteMs)
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (readOffset(zone, middle * minuteMs) === before) low = middle
    else high = middle
  }
  return { at: high * minuteMs, before, after }
}

function readOffset(zone: Zone, instant: number): number {
  const match = /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(zone.format.format(instant))
  if (match === null)
    throw new Error(`the runtime gave no offset for ${zone.name} at ${new Date(instant).toISOString()}`)
  const [, sign, hours = '0', minutes = '0', seconds = '0'] = match
  const size = ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000
  return sign === '-' ? -size : size
}

function unknownZone(name: string, cause?: unknown): RangeError {
  return new RangeError(
    `${JSON.stringify(name)} is not a time zone that is known here: write an IANA name, for example Europe/Berlin or Etc/UTC`,
    { cause },
  )
}
