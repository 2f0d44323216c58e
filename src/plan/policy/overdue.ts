// How long a policy has owed a good backup.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { scheduleOf, scheduleSince } from './schedule.ts'
import { limitsOf } from '../runs/snapshot-limits.ts'
import { nextSlot } from '../../schedule/schedule.ts'
import { addSeconds, earliest, latest, timeOf } from '../../schedule/times.ts'

/**
 * Seconds since the first slot that should have led to a good backup by now and did not; 0 while nothing is owed, and while the
 * policy is suspended. Undefined where the schedule cannot be read.
 *
 * The first slot after the newest good backup (or after the schedule last changed, whichever is later) is owed once its deadlines
 * are over: `startingDeadlineSeconds`, and then `activeDeadlineSeconds` of one attempt, or `readyTimeoutSeconds` of a snapshot.
 * From then on the value is the age of that slot, and grows until a backup succeeds. Of several targets the worst counts.
 */
export function overdueSeconds(policy: BackupPolicy, now: Date): number | undefined {
  const owed = owedOf(policy, now)
  return owed && ageOfOwed(owed, now)
}

/** The first slot, of any target, that no good backup has followed; `slot` undefined: there is none to come either. */
export type Owed = { readonly slot: Date | undefined; readonly allowedSeconds: number }

/**
 * What the policy owes. It changes only with the policy, so that it can be kept for as long as that stays as it is: `now` counts only
 * where the status does not tell yet since when the schedule is as it is. Undefined where the schedule cannot be read.
 */
export function owedOf(policy: BackupPolicy, now: Date): Owed | undefined {
  const allowedSeconds = allowedSecondsOf(policy)
  if (policy.spec.suspend) return { slot: undefined, allowedSeconds }
  const slots = owedSlots(policy, now)
  return slots && { slot: earliest(...slots), allowedSeconds }
}

/** Age of what is owed, in seconds; 0 while its deadlines run. */
export function ageOfOwed({ slot, allowedSeconds }: Owed, now: Date): number {
  const age = slot ? (now.getTime() - slot.getTime()) / 1000 : 0
  return age > allowedSeconds ? age : 0
}

/** When a target is next to be overdue, if nothing happens. */
export function nextOverdue(policy: BackupPolicy, now: Date): Date | undefined {
  if (policy.spec.suspend) return undefined
  const allowed = allowedSecondsOf(policy)
  // A moment later than allowed: what is just in time is in time.
  const times = owedSlots(policy, now)?.map(slot => slot && addSeconds(slot, allowed + 1)) ?? []
  return earliest(...times.filter(time => time && time > now))
}

/** Of each target the first slot after its newest good backup. Undefined where the schedule cannot be read. */
function owedSlots(policy: BackupPolicy, now: Date): readonly (Date | undefined)[] | undefined {
  if ('problem' in scheduleOf(policy)) return undefined
  const since = scheduleSince(policy, now)
  return newestGood(policy).map(({ target, good }) => {
    const clock = scheduleOf(policy, target)
    if ('problem' in clock) return undefined
    return nextSlot(clock.schedule, clock.timeZone, latest(good, since) ?? since, clock.rule)
  })
}

/** How long after its slot a run may be complete and still be in time. Seconds. */
function allowedSecondsOf(policy: BackupPolicy): number {
  const { startingDeadlineSeconds, activeDeadlineSeconds, strategy } = policy.spec
  return startingDeadlineSeconds + (strategy.type === 'job' ? activeDeadlineSeconds : limitsOf(policy).readySeconds)
}

/** The newest good backup of each selected target. A target that has none yet may be new: it goes with the policy's newest. */
function newestGood({ status }: BackupPolicy): readonly {
  readonly target: string | undefined
  readonly good: Date | undefined
}[] {
  const lastSuccess = timeOf(status?.lastSuccess)
  const targets = status?.targets?.filter(({ reason }) => reason !== 'TargetNotFound') ?? []
  const [only] = targets
  if (targets.length < 2) return [{ target: only?.name, good: latest(lastSuccess, timeOf(only?.newest)) }]
  return targets.map(({ name, newest }) => ({ target: name, good: timeOf(newest) ?? lastSuccess }))
}
