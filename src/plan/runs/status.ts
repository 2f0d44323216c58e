// The status of a Backup from what is known of its run, and the writing of it: the only author of Backup status.
import { isFinal, type BackupPhase } from '../../api/kinds/backup-phases.ts'
import type { Backup, BackupStatus } from '../../api/kinds/backup.ts'
import type { Reason } from '../../api/conditions.ts'
import { commandTarget } from '../../api/names.ts'
import type { Action, Group, Refusal, Unless, Written } from '../core/actions.ts'
import { conditionsFrom, type Verdict } from '../core/conditions.ts'
import { sameJson } from '../core/equal.ts'
import { addSeconds, durationText, rfc3339, timeOf } from '../../schedule/times.ts'

/** A start that the API server refuses for so long makes its run fail. Seconds. */
const refusedSeconds = 300

/** What is to be done for one Backup, and when to look at it again if nothing changes. */
export type BackupPlan = { readonly groups: readonly Group[]; readonly wakeAt?: Date }

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
  const stalled: readonly Verdict[] =
    phase === 'Failed' || phase === 'Skipped' ? [{ type: 'Stalled', status: 'True', reason, message }] : []
  return {
    ...facts,
    message,
    completionTime,
    ...(start && ended ? { duration: durationText((ended.getTime() - start.getTime()) / 1000) } : {}),
    conditions: conditionsFrom([ready, ...stalled], backup.status?.conditions, backup.metadata.generation, end),
  }
}

/** Until when a run waits whose start was first refused then. */
export function refusedUntil(since: Date): Date {
  return addSeconds(since, refusedSeconds)
}

export function failure(reason: Reason, message: string) {
  return { phase: 'Failed', reason, message } as const
}

/**
 * Writes the status that follows from the facts, where it changed; a final one is also told to people and counted.
 * @param now when the run ended, if the phase is final and the facts do not say.
 * @param strategy undefined: it is no run of its own, and is neither told nor counted.
 * @param unless what the verdict rests on being gone, or unsaid; it is looked at once more before it is written, because it is final.
 */
export function planStatus(
  backup: Backup,
  facts: Facts,
  now: Date,
  strategy?: 'job' | 'snapshot',
  unless?: Unless,
): BackupPlan {
  const status = isFinal(facts.phase) ? finished(backup, facts, now) : ongoing(backup, facts, now)
  if (sameJson(backup.status, status)) return { groups: [] }
  const { phase } = status
  const group = (...actions: readonly Action[]) => ({ groups: [{ name: `run/${backup.metadata.name}`, actions }] })
  const action: Action = { do: 'write-status', object: { ...backup, status }, ...(unless ? { unless } : {}) }
  if (strategy === undefined || (phase !== 'Completed' && phase !== 'Failed')) return group(action)
  const [start, end] = [timeOf(status.startTime), timeOf(status.completionTime)]
  const seconds = start && end ? Math.max(0, (end.getTime() - start.getTime()) / 1000) : 0
  const good = phase === 'Completed'
  const notice: Action = {
    do: 'event',
    about: backup,
    type: good ? 'Normal' : 'Warning',
    reason: (status.reason ?? phase) as Reason,
    message: status.message ?? '',
  }
  return group({ ...action, outcome: { outcome: good ? 'success' : 'failure', seconds, strategy } }, notice)
}

/**
 * A run whose Job or VolumeSnapshot cannot be created. No run fails because of the control plane alone (F33).
 * @param start what its start was to create
 * @param since of the refusals in a row that are about the run, the first; undefined where the last one says nothing about it
 */
export function planRefused(
  backup: Backup,
  start: Written | undefined,
  { words }: Refusal,
  since: Date | undefined,
  now: Date,
): BackupPlan {
  const message = `the API server refuses it: ${words}`
  if (since && now >= refusedUntil(since))
    return planNotStarted(backup, start, failure('CreationRefused', message), now)
  const { target } = backup.status ?? {}
  const facts = { phase: 'Pending', reason: 'CreationRefused', message, ...(target ? { target } : {}) } as const
  return planStatus(backup, facts, now)
}

/** A run that failed before it began is a failed run of its target: no Job and no snapshot tells of that. */
export function planNotStarted(
  backup: Backup,
  start: Written | undefined,
  facts: ReturnType<typeof failure>,
  now: Date,
): BackupPlan {
  const strategy = start && strategies.get(start.kind)
  const target = backup.spec.target ?? backup.status?.target ?? (strategy === 'job' ? commandTarget : undefined)
  return planStatus(backup, { ...facts, ...(target ? { target } : {}) }, now, strategy)
}

const strategies: ReadonlyMap<string, 'job' | 'snapshot'> = new Map([
  ['Job', 'job'],
  ['VolumeSnapshot', 'snapshot'],
])
