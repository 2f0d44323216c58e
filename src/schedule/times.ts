// Times as they stand in objects, and the earliest of several.
import { remembered } from './remembered.ts'

/** RFC 3339 with whole seconds, as Kubernetes writes it. */
export function rfc3339(time: Date): string {
  return `${time.toISOString().slice(0, 19)}Z`
}

/** Undefined for a text that is no time: objects may have been written by others. Where it knows none, Kubernetes writes null or nothing. */
export function timeOf(text: string | null | undefined): Date | undefined {
  if (text === undefined || text === null) return undefined
  const ms = text.length > longestTime ? Date.parse(text) : read(text)
  return Number.isNaN(ms) ? undefined : new Date(ms)
}

/** No time that Kubernetes writes is longer; what others write there may be, and is not kept. */
const longestTime = 40
const read = remembered(10_000, Date.parse)

/** Milliseconds of a time that can be written as RFC 3339, with a year of four digits: others come from outside. */
export function isTime(ms: number): boolean {
  return ms >= 0 && ms < 253_402_300_800_000
}

/** Clocks of a cluster differ by less, ms. */
const mostSkewMs = 300_000

/** Whether something is dated in the future, which only a clock that was wrong can have done. */
export function isAhead(time: Date, now: Date): boolean {
  return time.getTime() > now.getTime() + mostSkewMs
}

export function addSeconds(time: Date, seconds: number): Date {
  return new Date(time.getTime() + seconds * 1000)
}

export function earliest(...times: readonly (Date | undefined)[]): Date | undefined {
  return times.reduce((first, time) => (time && (!first || time < first) ? time : first), undefined)
}

export function latest(...times: readonly (Date | undefined)[]): Date | undefined {
  return times.reduce((last, time) => (time && (!last || time > last) ? time : last), undefined)
}

/** `1h2m3s`, as kubectl shows durations: the two largest units. */
export function durationText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60]
  if (hours > 0) return minutes > 0 ? `${hours}h${minutes}m` : `${hours}h`
  if (minutes > 0) return rest > 0 ? `${minutes}m${rest}s` : `${minutes}m`
  return `${rest}s`
}

/** `12.3 MiB`: sizes for people. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** power
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`
}
