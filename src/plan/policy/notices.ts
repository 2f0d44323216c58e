// Events for each change of a policy's status that a person would want to hear of.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { BackupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import type { PolicyConditionType, Reason } from '../../api/conditions.ts'
import type { Condition } from '../../api/kubernetes.ts'
import type { Action } from '../core/actions.ts'
import { isAhead, rfc3339, timeOf } from '../../schedule/times.ts'
import { selectedNames } from './shown-targets.ts'
import type { SlotBook } from './slots.ts'
import type { Unmade } from './unmade.ts'

/** @param book as the pass took it up from the status, and what lacked its Backup of a slot that is settled now, where others had theirs */
export function notices(
  policy: BackupPolicy,
  status: BackupPolicyStatus,
  book: { readonly before: SlotBook; readonly missedFor: Unmade | undefined },
  present: Date,
): readonly Action[] {
  const { before, missedFor } = book
  const after: SlotBook = { accountedUntil: undefined, counts: status.slots ?? { missed: 0, skipped: 0 } }
  const actions: Action[] = []
  const lastRun = timeOf(policy.status?.lastRun)
  const streak = (last: string | undefined) => {
    const time = timeOf(last)
    return time !== undefined && !isAhead(time, present) && (!lastRun || time > lastRun)
  }
  const missed = after.counts.missed - before.counts.missed
  if (missed > 0 && !streak(before.counts.lastMissed)) {
    const of = missedFor
      ? `. The Backups of ${listOf(missedFor.targets)} for ${rfc3339(missedFor.slot)} could not be made`
      : ''
    const message = `${missed} slot(s) passed without a run, the newest at ${after.counts.lastMissed}${of}; further ones are only counted, in status.slots.missed`
    actions.push({ do: 'event', about: policy, type: 'Warning', reason: 'Missed', message })
  }
  const skipped = after.counts.skipped - before.counts.skipped
  if (skipped > 0 && !streak(before.counts.lastSkipped)) {
    const message = `the slot at ${after.counts.lastSkipped} was skipped because an earlier run was still going on; further ones are only counted, in status.slots.skipped`
    actions.push({ do: 'event', about: policy, type: 'Warning', reason: 'Skipped', message })
  }
  const mark = timeOf(policy.status?.accountedUntil)
  if (mark && before.accountedUntil && mark > before.accountedUntil) {
    const message = `status.accountedUntil was ${rfc3339(mark)}, in the future: a clock was ahead. It was set to ${rfc3339(before.accountedUntil)}, and the schedule goes on`
    actions.push({ do: 'event', about: policy, type: 'Warning', reason: 'ClockJumped', message })
  }
  const changed = (type: PolicyConditionType) => {
    const [was, is] = [conditionOf(policy.status, type), conditionOf(status, type)]
    return is && (was?.status !== is.status || was.reason !== is.reason) ? is : undefined
  }
  const pending = conditionOf(status, 'RetentionPending')
  if (pending && !conditionOf(policy.status, 'RetentionPending'))
    actions.push({ do: 'event', about: policy, type: 'Warning', reason: 'RetentionLowered', message: pending.message })
  const ready = changed('Ready')
  if (ready) actions.push(noticeOf(policy, ready))
  // Where no target is left Ready says the same.
  const targets = changed('TargetsReady')
  if (targets?.status === 'False' && targets.reason !== ready?.reason) actions.push(noticeOf(policy, targets))
  const selection = selectionNotice(policy.status, status)
  // Of claims Ready may say the same.
  if (selection && !actions.some(each => each.do === 'event' && each.reason === selection.reason))
    actions.push({ do: 'event', about: policy, ...selection })
  return actions
}

/** Names that an event has room for. */
const named = 5

type Notice = Omit<Extract<Action, { readonly do: 'event' }>, 'do' | 'about'>

/** Whether the selector matches something, and of claims also which. How many pods run is no news. */
function selectionNotice(before: BackupPolicyStatus | undefined, after: BackupPolicyStatus): Notice | undefined {
  const [was, is] = [conditionOf(before, 'TargetsSelected'), conditionOf(after, 'TargetsSelected')]
  if (!is || is.status === 'Unknown') return undefined
  const type = is.status === 'False' ? 'Warning' : 'Normal'
  const reason = is.reason as Notice['reason']
  if (was?.status !== is.status) return { type, reason, message: is.message }
  const [old, now] = [selectedNames(before), selectedNames(after)]
  if (!old || !now) return undefined
  const [come, gone] = [now.filter(name => !old.includes(name)), old.filter(name => !now.includes(name))]
  const changes = [
    ...(come.length > 0 ? [`it selects ${listOf(come)} since now`] : []),
    ...(gone.length > 0 ? [`no longer ${listOf(gone)}, whose backups stay`] : []),
  ]
  return changes.length === 0 ? undefined : { type, reason, message: `${is.message}: ${changes.join(', and ')}` }
}

function listOf(names: readonly string[]): string {
  const rest = names.length - named
  return names.slice(0, named).join(', ') + (rest > 0 ? ` and ${rest} more` : '')
}

function conditionOf(status: BackupPolicyStatus | undefined, type: PolicyConditionType): Condition | undefined {
  return status?.conditions?.find(each => each.type === type)
}

function noticeOf(policy: BackupPolicy, { status, reason, message }: Condition): Action {
  const type = status === 'False' ? 'Warning' : 'Normal'
  return { do: 'event', about: policy, type, reason: reason as Reason, message }
}
