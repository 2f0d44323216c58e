// How long a policy has owed a good backup.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { scheduleOf, scheduleSince } from './schedule.ts'
import { nextSlot } from '../../schedule/schedule.ts'
import { latest, timeOf } from '../../schedule/times.ts'

/**
 * Seconds since the first slot that should have led to a good backup by now and did not; 0 while nothing is owed, and while the
 * policy is suspended. Undefined where the schedule cannot be read.
 *
 * The first slot after the newest good backup (or after the schedule last changed, whichever is later) is owed once its deadlines
 * are over: `startingDeadlineSeconds`, and then `activeDeadlineSeconds` of one attempt, or `readyTimeoutSeconds` of a snapshot.
 * From then on the value is the age of that slot, and grows until a backup succeeds. Of several targets the worst counts.
 */
export function overdueSeconds(policy: BackupPolicy, now: Date): number | undefined {
  if (policy.spec.suspend) return 0
  const clock = scheduleOf(policy)
  if ('problem' in clock) return undefined
  const since = scheduleSince(policy, now)
  const allowed = allowedSeconds(policy)
  const ages = newestGood(policy).map(good => {
    const slot = nextSlot(clock.schedule, clock.timeZone, latest(good, since) ?? since, clock.rule)
    const age = slot ? (now.getTime() - slot.getTime()) / 1000 : 0
    return age > allowed ? age : 0
  })
  return Math.max(...ages)
}

/** How long after its slot a run may be complete and still be in time. Seconds. */
function allowedSeconds({ spec }: BackupPolicy): number {
  const { startingDeadlineSeconds, activeDeadlineSeconds, strategy } = spec
  return (
    startingDeadlineSeconds +
    (strategy.type === 'job' ? activeDeadlineSeconds : (strategy.snapshot?.readyTimeoutSeconds ?? 600))
  )
}

/** The newest good backup of each selected target. A target that has none yet may be new: it goes with the policy's newest. */
function newestGood({ status }: BackupPolicy): readonly (Date | undefined)[] {
  const lastSuccess = timeOf(status?.lastSuccess)
  const targets = status?.targets?.filter(({ reason }) => reason !== 'TargetNotFound') ?? []
  if (targets.length < 2) return [latest(lastSuccess, timeOf(targets[0]?.newest))]
  return targets.map(({ newest }) => timeOf(newest) ?? lastSuccess)
}
