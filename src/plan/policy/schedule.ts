// A policy's schedule as its own clock reads it, and since when it has been that way.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { commandTarget, nameHash } from '../../api/names.ts'
import type { SlotRule } from '../../schedule/schedule.ts'
import { expandHash, InvalidScheduleError, parseSchedule, type Schedule } from '../../schedule/parse.ts'
import { validateTimeZone } from '../../schedule/schedule.ts'
import { timeOf } from '../../schedule/times.ts'
import { once } from '../core/once.ts'
import { presetOf } from '../view/preset.ts'

export type PolicySchedule = {
  /** The schedule in plain CronJob grammar: H is replaced. */
  readonly text: string
  readonly schedule: Schedule
  readonly timeZone: string
  readonly rule: SlotRule
}

export type UnreadableSchedule = { readonly problem: string }

/**
 * Admission refuses schedules that cannot be read; one may still be there from before a rule was added.
 * @param target of strategy job: H spreads the targets of a preset, too
 */
export function scheduleOf(policy: BackupPolicy, target: string = commandTarget): PolicySchedule | UnreadableSchedule {
  const { schedule, timeZone, strategy } = policy.spec
  const job = strategy.type === 'job'
  const seed = [policy.metadata.namespace, policy.metadata.name, ...(job ? [target] : [])].join('/')
  try {
    validateTimeZone(timeZone)
    const text = expandHash(schedule, seed)
    return { text, schedule: parseSchedule(text), timeZone, rule: job ? 'cronjob' : 'civil' }
  } catch (error) {
    if (error instanceof InvalidScheduleError || error instanceof RangeError) return { problem: error.message }
    throw error
  }
}

/** What must not change without the clock starting anew: nothing fires for a time before the change (F24). */
export const scheduleHash = once(({ spec }: BackupPolicy) => {
  const { schedule, timeZone, suspend, strategy } = spec
  // What has other targets has slots of others.
  const preset = presetOf({ spec })
  return nameHash(schedule, timeZone, String(suspend), strategy.type, ...(preset === undefined ? [] : [preset]))
})

/**
 * Since when the schedule has been as it is now: its creation, or the moment at which a change was first seen. A policy that was edited
 * before anybody looked may have been suspended, or on another clock, until just now.
 */
export function scheduleSince(policy: BackupPolicy, now: Date): Date {
  const { status, metadata } = policy
  if (status?.scheduleHash === undefined)
    return metadata.generation === 1 ? (timeOf(metadata.creationTimestamp) ?? now) : now
  const since = timeOf(status.scheduleSince) ?? now
  return status.scheduleHash === scheduleHash(policy) && since <= now ? since : now
}
