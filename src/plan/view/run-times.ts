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
 * One that is ahead by all clocks but ours has just run, and it is ours that is behind: it is newer than all that is not. Not by more than a day,
 * which a clock that ran wild has dated: it would hide that later runs fail.
 */
export function dataTime(backup: Backup, now: Date): Date | undefined {
  const made = timeOf(backup.metadata.creationTimestamp)
  const isNearby = made && made.getTime() - now.getTime() <= CLOCK_TOLERANCE_MS
  return firstPast(now, timeOf(backup.status?.startTime), dueTime(backup), made) ?? (isNearby ? made : undefined)
}

/** The first of these times that is not ahead: what a wrong clock has dated must not hide what comes. */
export function firstPast(now: Date, ...times: readonly (Date | undefined)[]): Date | undefined {
  return times.find(time => time && !isAhead(time, now))
}
