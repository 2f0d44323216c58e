// The book of slots: every slot of a policy has run, or is counted as missed or skipped, exactly once.
import type { BackupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import type { Group } from '../core/actions.ts'
import { slotsBetween, summarizeSlots } from '../../schedule/schedule.ts'
import type { PolicySchedule } from './schedule.ts'
import { isAhead, latest, rfc3339, timeOf } from '../../schedule/times.ts'
import type { Unmade } from './unmade.ts'

/** More slots than this in one go are not looked at one by one: what passed unseen for so long was missed. */
const looksAtEach = 200

export type SlotBook = {
  /** Every slot up to here has an outcome. */
  readonly accountedUntil: Date | undefined
  readonly counts: NonNullable<BackupPolicyStatus['slots']>
  /** What lacked its Backup of a slot that was settled now, where that was remembered. */
  readonly missedFor?: Unmade
}

/** What is to be done for the slots of a policy now. */
export type SlotPlan = {
  /** What records slots as Backups; the book advances with their success. */
  readonly groups: readonly Group[]
  /** What starts the runs of these Backups in the same pass, where the operator itself does. */
  readonly starts?: readonly Group[]
  readonly book: SlotBook
  /** The book where a stranger has the name of one of these Backups, so that a run never begins; absent where the run has its Job. */
  readonly ifTaken?: SlotBook
  /** The book without the slot that these Backups are of, what that lacks before they are made, and the names of their groups. */
  readonly open?: {
    readonly book: SlotBook
    readonly lacking: Unmade
    readonly groupOf: (target: string) => string
  }
  /** The next slot of the schedule; undefined while that is suspended. */
  readonly next: Date | undefined
  /** When the next slot that is still open gets its outcome. */
  readonly closes: Date | undefined
}

/**
 * A mark in the future was made by a clock that was ahead: until then nothing would run, or be told of, so that it is put back (F23).
 * @param clock `clockOf`, by which CronJobs are put back, too
 */
export function bookOf(status: BackupPolicyStatus | undefined, clock: Date): SlotBook {
  const mark = timeOf(status?.accountedUntil)
  return {
    accountedUntil: mark && isAhead(mark, clock) ? clock : mark,
    counts: status?.slots ?? { missed: 0, skipped: 0 },
  }
}

/** When a run was going on; without an end it still is. */
export type Interval = { readonly from: Date; readonly to: Date | undefined }

/**
 * Counts the slots with `from` < slot ≤ `to` that have no run: skipped where a run covered them, otherwise missed.
 * @param recorded slots that have a Backup, however many: their Jobs may be gone while the book waits for the Backups of others, and a crash
 * can come between making the Backups of a slot and writing the book (F28)
 */
export function countUnrun(
  book: SlotBook,
  clock: PolicySchedule,
  range: { readonly from: Date; readonly to: Date },
  runs: readonly Interval[],
  recorded: ReadonlySet<number>,
): SlotBook {
  const all = summarizeSlots(clock.schedule, clock.timeZone, range, clock.rule)
  if (!all) return book
  const ran = [...recorded].map(ms => new Date(ms)).filter(slot => slot > range.from && slot <= range.to)
  const isPlain = ran.length === 0 && runs.length === 0
  const each = isPlain ? [] : slotsBetween(clock.schedule, clock.timeZone, range, clock.rule, looksAtEach)
  const covers = ({ from, to }: Interval, slot: Date) => from <= slot && (to === undefined || slot <= to)
  const skipped = each.filter(slot => !recorded.has(slot.getTime()) && runs.some(run => covers(run, slot)))
  return counted(
    counted(advanceTo(book, all.newest), 'skipped', skipped.length, skipped.at(-1)),
    'missed',
    Math.max(0, all.count - ran.length - skipped.length),
    newestMissed(all, each, [...ran, ...skipped]),
  )
}

/** Of a slot that has its outcome nothing is remembered any more. */
export function advanceTo(book: SlotBook, slot: Date): SlotBook {
  const { unmade, ...counts } = book.counts
  const accountedUntil = latest(book.accountedUntil, slot) ?? slot
  const open = timeOf(unmade?.slot)
  return { ...book, accountedUntil, counts: open && open > accountedUntil ? book.counts : counts }
}

export function counted(
  book: SlotBook,
  outcome: 'missed' | 'skipped',
  count: number,
  newest: Date | undefined,
): SlotBook {
  if (count === 0 || !newest) return book
  const last = outcome === 'missed' ? { lastMissed: rfc3339(newest) } : { lastSkipped: rfc3339(newest) }
  return { ...book, counts: { ...book.counts, [outcome]: book.counts[outcome] + count, ...last } }
}

function newestMissed(
  all: { readonly count: number; readonly newest: Date },
  each: readonly Date[],
  others: readonly Date[],
): Date | undefined {
  if (all.count > each.length) return all.newest
  const covered = new Set(others.map(slot => slot.getTime()))
  return each.findLast(slot => !covered.has(slot.getTime()))
}
