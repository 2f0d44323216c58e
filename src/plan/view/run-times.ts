// What orders the runs of a target in time.
import type { Backup } from '../../api/kinds/backup.ts'
import { CLOCK_TOLERANCE_MS } from '../../schedule/schedule.ts'
import { isAhead, timeOf } from '../../schedule/times.ts'
import { returnedRun } from './owners.ts'

/** When the run was to be: its slot, or when it was asked for. The object of one that came back from the bucket is younger than its data. */
export function dueTime(backup: Backup): Date | undefined {
  const { metadata, spec, status } = backup
  const taken = returnedRun(backup) === undefined ? undefined : timeOf(status?.takenTime)
  return timeOf(spec.slot) ?? taken ?? timeOf(metadata.creationTimestamp)
}

/**
 * Of when the data are, or would have been, which orders runs: one that began earlier is the older one, although it may end later.
 * By the clock of the API server: that of a storage system, or of a node, may be days ahead, and of a run that failed there is none.
 * When one was that is still to come nobody knows: a clock was wrong. Then no failure may be hidden: a success counts as the oldest run, and
 * a failure as the newest one; not where it is dated more than a day ahead, because it would stand for as long.
 * @param present `latestPresent`: where ours alone is behind, nothing is still to come
 */
export function dataTime(backup: Backup, present: Date): Date | undefined {
  const { metadata, status } = backup
  const made = timeOf(metadata.creationTimestamp)
  const stands = made && status?.phase === 'Failed' && made.getTime() - present.getTime() <= CLOCK_TOLERANCE_MS
  return firstPast(present, timeOf(status?.startTime), dueTime(backup), made) ?? (stands ? made : undefined)
}

/** The first of these times that is not ahead: what a wrong clock has dated must not hide what comes. */
export function firstPast(now: Date, ...times: readonly (Date | undefined)[]): Date | undefined {
  return times.find(time => time && !isAhead(time, now))
}
