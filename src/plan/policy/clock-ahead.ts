// A CronJob that says that it has been scheduled at a time that is not yet: a clock was ahead, and until then it starts nothing (F23).
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { CronJob } from '../../api/kubernetes.ts'
import { isAhead, latest, rfc3339, timeOf } from '../../schedule/times.ts'
import type { Action } from '../core/actions.ts'
import { slotOfJob } from '../view/owners.ts'
import type { View } from '../view/view.ts'

/**
 * Sets it to now. Not to before a slot that has run: our own clock may be behind, and the slot would run twice, or the controller and we write
 * against each other without an end. A run that is dated later than the API server made it tells of a clock that was ahead, and keeps nothing.
 */
export function putClockBack(
  { metadata, status }: CronJob,
  policy: BackupPolicy,
  view: Pick<View, 'runs' | 'runJobs'>,
  now: Date,
): readonly Action[] {
  const is = timeOf(status?.lastScheduleTime)
  if (!is || !isAhead(is, now)) return []
  const right = latest(now, ...slotsThatRan(view))
  if (!right || !isAhead(is, right)) return []
  const { name, uid = '' } = metadata
  const message = `CronJob ${name} said that it was last scheduled at ${rfc3339(is)}, in the future: a clock was ahead. It was set to ${rfc3339(right)}, and the schedule goes on`
  return [
    { do: 'patch-status', kind: 'CronJob', name, uid, status: { lastScheduleTime: rfc3339(right) } },
    { do: 'event', about: policy, type: 'Warning', reason: 'ClockJumped', message },
  ]
}

function slotsThatRan({ runs, runJobs }: Pick<View, 'runs' | 'runJobs'>): readonly Date[] {
  const recorded = runs.map(({ backup: { metadata, spec } }) => ({ slot: timeOf(spec.slot), metadata }))
  const started = runJobs.map(({ job }) => ({ slot: slotOfJob(job), metadata: job.metadata }))
  return [...recorded, ...started].flatMap(({ slot, metadata }) => {
    const made = timeOf(metadata.creationTimestamp)
    return slot && (!made || !isAhead(slot, made)) ? [slot] : []
  })
}
