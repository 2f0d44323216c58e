// Backups of slots that were made long before them: a clock was ahead, and was put right (F23). Names are locks, so that nothing more runs for
// such a slot; but its night has no backup, and the data are as old as the Backup.
import type { Backup } from '../../api/kinds/backup.ts'
import { nextSlot } from '../../schedule/schedule.ts'
import { addSeconds, isAhead, timeOf } from '../../schedule/times.ts'
import type { PolicySchedule } from './schedule.ts'

/**
 * Whether what was made then is of another night than the slot says: it was made nearer to an earlier slot than to its own. A clock that is
 * always some minutes ahead makes each of them so early, and they are of their slots.
 */
export function isTooEarly(made: Date | undefined, slot: Date, { schedule, timeZone, rule }: PolicySchedule): boolean {
  if (!made || !isAhead(slot, made)) return false
  const early = (slot.getTime() - made.getTime()) / 1000
  const nearest = nextSlot(schedule, timeZone, addSeconds(made, -early), rule)
  return nearest !== undefined && nearest < slot
}

/** The Backups that tell of slots, and those that only have the names of their runs. */
export function bySlot(
  backups: readonly Backup[],
  clock: PolicySchedule,
): { readonly ran: readonly Backup[]; readonly tooEarly: readonly Backup[] } {
  const { ran = [], tooEarly = [] } = Object.groupBy(backups, ({ metadata, spec }) => {
    const slot = timeOf(spec.slot)
    return slot && isTooEarly(timeOf(metadata.creationTimestamp), slot, clock) ? 'tooEarly' : 'ran'
  })
  return { ran, tooEarly }
}
