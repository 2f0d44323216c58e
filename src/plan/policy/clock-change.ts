// The condition that warns of clock changes: the CronJob controller skips or doubles what falls into one (docs/design.md R3).
import type { Verdict } from '../core/conditions.ts'
import type { PolicyFacts } from './facts.ts'
import type { PolicySchedule } from './schedule.ts'
import { clockChangeEffect, type ClockChangeEffect } from '../../schedule/schedule.ts'
import { addSeconds, rfc3339 } from '../../schedule/times.ts'

/** How far ahead clock changes are looked for. Seconds. */
const yearSeconds = 366 * 24 * 3600

/** By schedule, zone and day: looking through a year takes milliseconds, and every plan asks. */
const clockChanges = new Map<string, ClockChangeEffect | undefined>()
const clockChangesKept = 1000

function clockChangeAfter(clock: PolicySchedule, now: Date): ClockChangeEffect | undefined {
  const day = rfc3339(now).slice(0, 10)
  const key = `${clock.text}|${clock.timeZone}|${day}`
  if (clockChanges.has(key)) return clockChanges.get(key)
  const from = new Date(`${day}T00:00:00Z`)
  const change = clockChangeEffect(clock.schedule, clock.timeZone, { from, to: addSeconds(from, yearSeconds) })
  if (clockChanges.size >= clockChangesKept) clockChanges.clear()
  clockChanges.set(key, change)
  return change
}

export function clockVerdict({ policy, clock }: PolicyFacts, now: Date): readonly Verdict[] {
  if ('problem' in clock || clock.rule !== 'cronjob') return []
  const change = clockChangeAfter(clock, now)
  if (!change) return []
  const what =
    change.effect === 'skips' ? 'does not run a time that does not exist' : 'runs a time twice that exists twice'
  return [
    {
      type: 'DaylightSavingAffectsSchedule',
      status: 'True',
      reason: 'ClockChange',
      message: `when the clocks of ${policy.spec.timeZone} change at ${rfc3339(change.at)}, the CronJob ${what}; choose another hour, or timeZone Etc/UTC`,
    },
  ]
}
