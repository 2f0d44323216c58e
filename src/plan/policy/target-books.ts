// One book of slots for a policy whose targets have CronJobs of their own: each target has its mark, and what it counts is counted together.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { isAhead, latest, rfc3339, timeOf } from '../../schedule/times.ts'
import type { OneTarget } from '../view/per-target.ts'
import type { View } from '../view/view.ts'
import type { SlotBook } from './slots.ts'

/** What one target, or the policy as a whole, has added to a book. */
export type BookPart = { readonly target: string; readonly before: SlotBook; readonly after: SlotBook }

/**
 * The book of a target of a preset, and since when its schedule is as it is. One without a mark is new: before its CronJob stood no slot of it could
 * run. Its mark is its own from then on, so that a CronJob that somebody deletes does not make it new again.
 * @param clock `clockOf`: a mark in the future is put back to that
 */
export function bookOfTarget(
  policy: BackupPolicy,
  { target, cronJob }: Pick<OneTarget<View>, 'target' | 'cronJob'>,
  whole: SlotBook,
  since: Date,
  clock: Date,
  now: Date,
): { readonly before: SlotBook; readonly since: Date } {
  const mark = timeOf(policy.status?.targets?.find(({ name }) => name === target)?.accountedUntil)
  if (mark) return { before: { ...whole, accountedUntil: isAhead(mark, clock) ? clock : mark }, since }
  const begun = timeOf(cronJob?.metadata.creationTimestamp)
  const from = begun && !isAhead(begun, clock) ? begun : now
  return { before: { ...whole, accountedUntil: undefined }, since: latest(since, from) ?? from }
}

/** The mark of a target that had none: until then nothing was owed to it. */
export function withMark(book: SlotBook, since: Date): SlotBook {
  return book.accountedUntil ? book : { ...book, accountedUntil: since }
}

/**
 * What all of them have counted. The mark of the policy, which is also that of targets that are gone, is the earliest of theirs.
 * @param before the book that all parts were begun with, but for their marks
 */
export function addedUp(before: SlotBook, parts: readonly BookPart[]): SlotBook {
  const marks = parts.flatMap(({ after }) => after.accountedUntil?.getTime() ?? [])
  const counts = parts.map(({ after }) => after.counts)
  const added = (outcome: 'missed' | 'skipped') =>
    counts.reduce((sum, each) => sum + each[outcome] - before.counts[outcome], before.counts[outcome])
  const newest = (outcome: 'lastMissed' | 'lastSkipped') => {
    const last = latest(...[before.counts, ...counts].map(each => timeOf(each[outcome])))
    return last ? { [outcome]: rfc3339(last) } : {}
  }
  return {
    accountedUntil: marks.length === 0 ? before.accountedUntil : new Date(Math.min(...marks)),
    counts: {
      missed: added('missed'),
      skipped: added('skipped'),
      ...newest('lastMissed'),
      ...newest('lastSkipped'),
    },
  }
}
