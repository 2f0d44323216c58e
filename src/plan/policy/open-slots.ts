// Which slots of a policy with strategy job may still get a Job. The CronJob that stands decides that, and it may not be as the policy says:
// a webhook changes it, or its change is refused (F77).
import type { CronJob } from '../../api/kubernetes.ts'
import { InvalidScheduleError, parseSchedule } from '../../schedule/parse.ts'
import { nextSlot, summarizeSlots } from '../../schedule/schedule.ts'
import { addSeconds, earliest } from '../../schedule/times.ts'
import type { PolicySchedule } from './schedule.ts'

/** A Job may appear in the cache so much later than its controller had the right to make it. Seconds. */
export const lateJobSeconds = 120

/** `closed`: slots up to here that have no Job get none any more. `closes`: when the next slot gets its outcome. */
export type OpenSlots = { readonly closed: Date; readonly closes: Date | undefined }

/**
 * The policy's own deadline closes its slots, but not past one that the CronJob may still start: until the deadline that it has, where it has
 * one, and until its next slot, because it starts the newest alone.
 * @param recorded slots up to here have an outcome; `since`: the schedule has been as it is since then
 */
export function openSlots(
  cronJob: CronJob | undefined,
  clock: PolicySchedule,
  deadlineSeconds: number,
  { recorded, since }: { readonly recorded: Date; readonly since: Date },
  now: Date,
): OpenSlots {
  const openSeconds = deadlineSeconds + lateJobSeconds
  const to = addSeconds(now, -openSeconds)
  const waiting = cronJob && waitingSlot(cronJob, { from: recorded, to }, now)
  if (waiting) return { closed: new Date(waiting.slot.getTime() - 1), closes: waiting.until }
  const open = nextSlot(clock.schedule, clock.timeZone, since > to ? since : to, clock.rule)
  return { closed: to, closes: open && addSeconds(open, openSeconds) }
}

/** The newest slot of the CronJob itself in that range, where it may still be started, and until when. */
function waitingSlot(
  { spec }: CronJob,
  range: { readonly from: Date; readonly to: Date },
  now: Date,
): { readonly slot: Date; readonly until: Date } | undefined {
  const { schedule, timeZone = 'Etc/UTC', startingDeadlineSeconds } = spec
  try {
    const parsed = parseSchedule(schedule)
    const slot = summarizeSlots(parsed, timeZone, range, 'cronjob')?.newest
    if (!slot) return undefined
    const deadline = startingDeadlineSeconds === undefined ? undefined : addSeconds(slot, startingDeadlineSeconds)
    const last = earliest(deadline, nextSlot(parsed, timeZone, slot, 'cronjob'))
    // Where its schedule never matches again and it has no deadline it may start it at any time: that would be waited for without an end.
    const until = last && addSeconds(last, lateJobSeconds)
    return until && until > now ? { slot, until } : undefined
  } catch (error) {
    // What nobody can read starts nothing.
    if (error instanceof InvalidScheduleError || error instanceof RangeError) return undefined
    throw error
  }
}
