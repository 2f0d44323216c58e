// Backups of slots that were made long before them: a clock was ahead, and was put right (F23). Names are locks, so that nothing more runs for
// such a slot; but its night has no backup, and the data are as old as the Backup.
import type { Backup } from '../../api/kinds/backup.ts'
import { nextSlot } from '../../schedule/schedule.ts'
import { addSeconds, timeOf } from '../../schedule/times.ts'
import type { View } from '../view/view.ts'
import type { PolicySchedule } from './schedule.ts'
import { earliestPresent } from './two-clocks.ts'

/** So long before its slot nothing is made but by a clock that is far ahead, of which nobody counts the runs by minutes. */
const leastSeconds = 3600

/**
 * Whether what was made then is of another night than the slot says: it was made nearer to an earlier slot than to its own. A clock that is
 * always somewhat ahead makes each of them so early, and they are of their slots: so are those that look early because the clocks of the
 * operator and of the API server, which dates them, do not agree now either.
 */
export function isTooEarly(
  made: Date | undefined,
  slot: Date,
  clock: PolicySchedule,
  view: Pick<View, 'serverTime'>,
  now: Date,
): boolean {
  const behindSeconds = (now.getTime() - earliestPresent(view, now).getTime()) / 1000
  const time = made && addSeconds(made, behindSeconds)
  if (!time || slot <= addSeconds(time, leastSeconds)) return false
  const early = (slot.getTime() - time.getTime()) / 1000
  const nearest = nextSlot(clock.schedule, clock.timeZone, addSeconds(time, -early), clock.rule)
  return nearest !== undefined && nearest < slot
}

/** The Backups that tell of slots, and those that only have the names of their runs. */
export function bySlot(
  view: Pick<View, 'runs' | 'serverTime'>,
  clock: PolicySchedule,
  now: Date,
): { readonly ran: readonly Backup[]; readonly tooEarly: readonly Backup[] } {
  const { ran = [], tooEarly = [] } = Object.groupBy(
    view.runs.map(({ backup }) => backup),
    ({ metadata, spec }) => {
      const slot = timeOf(spec.slot)
      const made = timeOf(metadata.creationTimestamp)
      return slot && isTooEarly(made, slot, clock, view, now) ? 'tooEarly' : 'ran'
    },
  )
  return { ran, tooEarly }
}
