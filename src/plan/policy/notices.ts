// Events for each change of a policy's status that a person would want to hear of.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { BackupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import type { PolicyConditionType, Reason } from '../../api/conditions.ts'
import type { Condition } from '../../api/kubernetes.ts'
import type { Action } from '../core/actions.ts'
import { rfc3339, timeOf } from '../../schedule/times.ts'
import { bookOf, type SlotBook } from './slots.ts'

export function notices(policy: BackupPolicy, status: BackupPolicyStatus, now: Date): readonly Action[] {
  const before = bookOf(policy.status, now)
  const after: SlotBook = { accountedUntil: undefined, counts: status.slots ?? { missed: 0, skipped: 0 } }
  const actions: Action[] = []
  const lastRun = timeOf(policy.status?.lastRun)
  const streak = (last: string | undefined) => {
    const time = timeOf(last)
    return time !== undefined && (!lastRun || time > lastRun)
  }
  const missed = after.counts.missed - before.counts.missed
  if (missed > 0 && !streak(before.counts.lastMissed)) {
    const message = `${missed} slot(s) passed without a run, the newest at ${after.counts.lastMissed}; further ones are only counted, in status.slots.missed`
    actions.push({ do: 'event', about: policy, type: 'Warning', reason: 'Missed', message })
  }
  const skipped = after.counts.skipped - before.counts.skipped
  if (skipped > 0 && !streak(before.counts.lastSkipped)) {
    const message = `the slot at ${after.counts.lastSkipped} was skipped because an earlier run was still going on; further ones are only counted, in status.slots.skipped`
    actions.push({ do: 'event', about: policy, type: 'Warning', reason: 'Skipped', message })
  }
  const mark = timeOf(policy.status?.accountedUntil)
  if (mark && before.accountedUntil && mark > before.accountedUntil) {
    const message = `status.accountedUntil was ${rfc3339(mark)}, far in the future: a clock ran wild. It was set to now, and the schedule goes on`
    actions.push({ do: 'event', about: policy, type: 'Warning', reason: 'ClockJumped', message })
  }
  const changed = (type: PolicyConditionType) => {
    const [was, is] = [policy.status, status].map(some => some?.conditions?.find(each => each.type === type))
    return is && (was?.status !== is.status || was.reason !== is.reason) ? is : undefined
  }
  const pending = status.conditions?.find(({ type }) => type === 'RetentionPending')
  if (pending && !policy.status?.conditions?.some(({ type }) => type === 'RetentionPending'))
    actions.push({ do: 'event', about: policy, type: 'Warning', reason: 'RetentionLowered', message: pending.message })
  const ready = changed('Ready')
  if (ready) actions.push(noticeOf(policy, ready))
  // Where no target is left Ready says the same.
  const targets = changed('TargetsReady')
  if (targets?.status === 'False' && targets.reason !== ready?.reason) actions.push(noticeOf(policy, targets))
  return actions
}

function noticeOf(policy: BackupPolicy, { status, reason, message }: Condition): Action {
  const type = status === 'False' ? 'Warning' : 'Normal'
  return { do: 'event', about: policy, type, reason: reason as Reason, message }
}
