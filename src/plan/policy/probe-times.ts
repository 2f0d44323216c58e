// When what was found good is tried again, the store and the start of the command (docs/design.md R35): once a day, and when a person asks.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { annotation } from '../../api/labels.ts'
import { nameHash } from '../../api/names.ts'
import { nextSlot } from '../../schedule/schedule.ts'
import { addSeconds, timeOf } from '../../schedule/times.ts'
import { scheduleOf } from './schedule.ts'

const daySeconds = 24 * 3600
/** Each policy so much earlier after its own time, so that what was applied together is not tried together for ever. Seconds. */
const spreadSeconds = 2 * 3600
/** So long before and after a slot the store is left to the run. Seconds. */
const slotMarginSeconds = 15 * 60

/** What a person asks for by annotation, as far as a status has room for it. */
export function askedFor({ annotations }: BackupPolicy['metadata']): string | undefined {
  return annotations?.[annotation.probe]?.slice(0, 1024)
}

/** When a trial ended; undefined where a clock that ran ahead wrote a time that is still to come. */
export function pastTrial(time: string | undefined, now: Date): Date | undefined {
  const last = timeOf(time)
  return last && last <= now ? last : undefined
}

/** What a person has asked for by annotation, where that was not done yet. `asked`: what was answered last. */
export function probeAsked({ metadata }: BackupPolicy, asked: string | undefined): string | undefined {
  const wanted = askedFor(metadata)
  return wanted === asked ? undefined : wanted
}

/** When the next daily trial is due, see {@link quietTime}. @param last when the last one ended; where nobody knows, it is due now */
export function dailyProbe(
  policy: BackupPolicy,
  last: Date | undefined,
  isRunning: boolean,
  now: Date,
): Date | undefined {
  return quietTime(
    policy,
    last ? addSeconds(last, daySeconds - ownSeconds(policy, spreadSeconds)) : now,
    isRunning,
    now,
  )
}

/** A number below `below` that each policy has for good: what was applied together does not come together. Seconds. */
export function ownSeconds({ metadata }: BackupPolicy, below: number): number {
  return Number.parseInt(nameHash(metadata.uid ?? ''), 36) % below
}

/**
 * When something that is due then may be tried without being in the way of runs; a time that is not in the future: now. Undefined while
 * a run goes on, whose end is a reason to look again. A policy that runs more often than every half hour has no room for it: its runs
 * are the trial.
 */
export function quietTime(policy: BackupPolicy, due: Date, isRunning: boolean, now: Date): Date | undefined {
  if (now < due) return due
  if (isRunning) return undefined
  const clock = scheduleOf(policy)
  if (policy.spec.suspend || 'problem' in clock) return now
  const slot = nextSlot(clock.schedule, clock.timeZone, addSeconds(now, -slotMarginSeconds), clock.rule)
  return slot && slot <= addSeconds(now, slotMarginSeconds) ? addSeconds(slot, slotMarginSeconds) : now
}
