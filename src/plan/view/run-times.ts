// What orders the runs of a target in time.
import type { Backup } from '../../api/kinds/backup.ts'
import { timeOf } from '../../schedule/times.ts'
import { returnedRun } from './owners.ts'

/** When the run was to be: its slot, or when it was asked for. The object of one that came back from the bucket is younger than its data. */
export function dueTime(backup: Backup): Date | undefined {
  const { metadata, spec, status } = backup
  const taken = returnedRun(backup) === undefined ? undefined : timeOf(status?.takenTime)
  return timeOf(spec.slot) ?? taken ?? timeOf(metadata.creationTimestamp)
}

/** Of when the data are, or would have been: a run that began earlier is the older one, although it may end later. */
export function dataTime(backup: Backup): Date | undefined {
  const { takenTime, startTime } = backup.status ?? {}
  return timeOf(takenTime) ?? timeOf(startTime) ?? dueTime(backup)
}
