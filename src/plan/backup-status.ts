// The status of a Backup from what is known of its run: the only author of Backup status.
import type { Backup, BackupPhase, BackupStatus } from '../api/backup.ts'
import type { Reason } from '../api/conditions.ts'
import { conditionsFrom, type Verdict } from './conditions.ts'
import { durationText, rfc3339, timeOf } from './times.ts'

/** A status without what is derived from it. */
export type Facts = Omit<BackupStatus, 'conditions' | 'duration' | 'phase' | 'reason' | 'message'> & {
  readonly phase: BackupPhase
  readonly reason: Reason
  readonly message: string
}

/** The status of a run that goes on. */
export function ongoing(backup: Backup, facts: Facts, now: Date): BackupStatus {
  const { phase, reason } = facts
  const message = facts.message.slice(0, 2048)
  return {
    ...facts,
    message,
    conditions: conditionsFrom(
      [
        { type: 'Ready', status: 'Unknown', reason, message },
        {
          type: 'Reconciling',
          status: 'True',
          reason,
          message: phase === 'Pending' ? 'the run waits to start' : 'the run is going on',
        },
      ],
      backup.status?.conditions,
      backup.metadata.generation,
      now,
    ),
  }
}

/** The status of a run that has ended at `end`, unless the facts say when. */
export function finished(backup: Backup, facts: Facts, end: Date): BackupStatus {
  const { phase, reason } = facts
  const completionTime = facts.completionTime ?? rfc3339(end)
  const [start, ended] = [timeOf(facts.startTime), timeOf(completionTime)]
  const message = facts.message.slice(0, 2048)
  const ready: Verdict = { type: 'Ready', status: phase === 'Completed' ? 'True' : 'False', reason, message }
  const stalled: readonly Verdict[] = phase === 'Failed' ? [{ type: 'Stalled', status: 'True', reason, message }] : []
  return {
    ...facts,
    message,
    completionTime,
    ...(start && ended ? { duration: durationText((ended.getTime() - start.getTime()) / 1000) } : {}),
    conditions: conditionsFrom([ready, ...stalled], backup.status?.conditions, backup.metadata.generation, end),
  }
}
