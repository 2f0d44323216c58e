// When a store that was found usable is tried again (docs/design.md R35): once a day, and when a person asks.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { StoreStatus } from '../../api/kinds/backup-policy-status.ts'
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

/** What a person has asked for by annotation, where that was not done yet. */
export function probeAsked({ metadata }: BackupPolicy, { asked }: StoreStatus): string | undefined {
  const wanted = metadata.annotations?.[annotation.probe]
  return wanted === asked ? undefined : wanted
}

/**
 * When the next daily probe is due; a time that is not in the future: now. Undefined while a run goes on, whose end is a reason to look
 * again. A policy that runs more often than every half hour has no room for it: its runs try the store.
 */
export function dailyProbe(policy: BackupPolicy, store: StoreStatus, isRunning: boolean, now: Date): Date | undefined {
  const spread = Number.parseInt(nameHash(policy.metadata.uid ?? ''), 36) % spreadSeconds
  const due = addSeconds(timeOf(store.lastProbeTime) ?? now, daySeconds - spread)
  if (now < due) return due
  if (isRunning) return undefined
  const clock = scheduleOf(policy)
  if (policy.spec.suspend || 'problem' in clock) return now
  const slot = nextSlot(clock.schedule, clock.timeZone, addSeconds(now, -slotMarginSeconds), clock.rule)
  return slot && slot <= addSeconds(now, slotMarginSeconds) ? addSeconds(slot, slotMarginSeconds) : now
}
