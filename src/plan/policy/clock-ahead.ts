// A CronJob that says that it has been scheduled at a time that is not yet: a clock was ahead, and until then it starts nothing (F23).
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { CronJob } from '../../api/kubernetes.ts'
import { CLOCK_TOLERANCE_MS } from '../../schedule/schedule.ts'
import { addSeconds, earliest, isAhead, latest, rfc3339, timeOf } from '../../schedule/times.ts'
import type { Action } from '../core/actions.ts'
import { slotOfJob } from '../view/owners.ts'
import type { View } from '../view/view.ts'
import { latestPresent } from './two-clocks.ts'

const mostAheadSeconds = 3600

/** Whoever is ahead still does the same again, so that it is carried out ever more seldom (`put-back.ts`). */
export function putClockBack(
  { metadata, status }: CronJob,
  policy: BackupPolicy,
  view: Pick<View, 'runs' | 'runJobs' | 'serverTime'>,
  now: Date,
): readonly Action[] {
  const is = timeOf(status?.lastScheduleTime)
  const right = clockOf(view, now)
  if (!is || !isAhead(is, right)) return []
  const { name, uid = '' } = metadata
  // Without times: who is ahead all day makes one event of it.
  const message = `CronJob ${name} said that it was last scheduled in the future: a clock was ahead. It was put back, and the schedule goes on`
  return [
    { do: 'patch-status', kind: 'CronJob', name, uid, status: { lastScheduleTime: rfc3339(right) } },
    { do: 'event', about: policy, type: 'Warning', reason: 'ClockJumped', message },
  ]
}

/**
 * Up to when the schedule is done with, by the book of slots at most and by a CronJob that is to fire nothing for the past: now. Where all clocks
 * were set back by less than a day it waits for the slots that have run by then, which would run twice. What is dated further ahead, or later than the API server made it,
 * tells of a clock that ran wild, and keeps nothing.
 */
export function clockOf(view: Pick<View, 'runs' | 'runJobs' | 'serverTime'>, now: Date): Date {
  const present = latestPresent(view, now)
  const ran = slotsThatRan(view).filter(slot => slot.getTime() - present.getTime() <= CLOCK_TOLERANCE_MS)
  return latest(present, ...ran) ?? present
}

/**
 * What a CronJob that is changed is to say. It starts nothing until then, and where the clock of the API server alone is ahead nobody puts it
 * back: so much of the schedule is given away for that at most.
 */
export function clockOfChange(view: Pick<View, 'runs' | 'runJobs' | 'serverTime'>, now: Date): Date {
  const { serverTime } = view
  return clockOf({ ...view, serverTime: serverTime && earliest(serverTime, addSeconds(now, mostAheadSeconds)) }, now)
}

function slotsThatRan({ runs, runJobs }: Pick<View, 'runs' | 'runJobs'>): readonly Date[] {
  const recorded = runs.map(({ backup: { metadata, spec } }) => ({ slot: timeOf(spec.slot), metadata }))
  const started = runJobs.map(({ job }) => ({ slot: slotOfJob(job), metadata: job.metadata }))
  return [...recorded, ...started].flatMap(({ slot, metadata }) => {
    const made = timeOf(metadata.creationTimestamp)
    return slot && (!made || !isAhead(slot, made)) ? [slot] : []
  })
}
