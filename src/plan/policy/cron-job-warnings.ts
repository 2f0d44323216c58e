// What the CronJob controller warns of, in events on the CronJob, where nobody looks (F75).
// Source of the reasons: kubernetes pkg/controller/cronjob/cronjob_controllerv2.go.
import type { JobEvent } from '../../api/kubernetes.ts'
import type { Verdict } from '../core/conditions.ts'
import { slotOfJob } from '../view/owners.ts'
import { firstPast } from '../view/run-times.ts'
import type { JobTargetView, View } from '../view/view.ts'
import type { DryRun } from '../view/world.ts'
import { latest, timeOf } from '../../schedule/times.ts'
import { latestPresent } from './two-clocks.ts'

/** With these it starts no Job. */
const failures: readonly (string | undefined)[] = [
  'FailedCreate',
  'FailedNeedsStart',
  'UnparseableSchedule',
  'InvalidSchedule',
  'UnknownTimeZone',
]
/** Slots that had no run are counted in the book. */
const counted = 'MissSchedule'

export type CronJobWarning = {
  /** The next run cannot start, as far as is known. */
  readonly blocks: boolean
  readonly name: string
  readonly words: string
}

/** When the API server last refused a Job to the CronJob controller. */
export function lastRefusal(events: readonly JobEvent[]): Date | undefined {
  return latest(...events.filter(({ reason }) => reason === 'FailedCreate').map(timeOfEvent))
}

/**
 * The newest warning about the CronJob of a target that still says something. A failure is over when a Job was started after it; the refusal of a Job
 * also when the API server was asked since, and would take it.
 */
export function cronJobWarning(
  view: Pick<View, 'runs' | 'runJobs' | 'dryRun' | 'serverTime'>,
  { warnings }: Pick<JobTargetView, 'warnings'>,
  now: Date,
): CronJobWarning | undefined {
  const { runs, runJobs, dryRun } = view
  const began = [
    ...runJobs.map(({ job }) => (slotOfJob(job) ? job.metadata.creationTimestamp : undefined)),
    ...runs.map(({ backup }) => (backup.spec.slot ? backup.status?.startTime : undefined)),
  ]
  const present = latestPresent(view, now)
  const started = latest(...began.map(time => firstPast(present, timeOf(time))))
  const told = warnings.filter(({ reason }) => reason !== counted)
  const open = told.filter(event => !isFailure(event) || !isAfter(started, event))
  const newest = (events: readonly JobEvent[]) =>
    events.toSorted((a, b) => ((a.lastTimestamp ?? '') < (b.lastTimestamp ?? '') ? -1 : 1)).at(-1)
  const blocking = newest(open.filter(event => isFailure(event) && !isDisproved(event, dryRun)))
  const event = blocking ?? newest(open)
  if (!event) return undefined
  const { involvedObject, reason = '', message = '' } = event
  return { blocks: blocking !== undefined, name: involvedObject.name, words: `${reason}: ${message}` }
}

export function cronJobVerdicts(warning: CronJobWarning | undefined): readonly Verdict[] {
  if (!warning || warning.blocks) return []
  const message = `the CronJob controller says of CronJob ${warning.name}: ${warning.words}`
  return [{ type: 'CronJobWarned', status: 'True', reason: 'CronJobWarning', message }]
}

function isFailure({ reason }: JobEvent): boolean {
  return failures.includes(reason)
}

function isDisproved(event: JobEvent, dryRun: DryRun | undefined): boolean {
  return event.reason === 'FailedCreate' && dryRun?.is === 'accepted' && isAfter(dryRun.at, event)
}

/** Events have whole seconds. */
function isAfter(time: Date | undefined, event: JobEvent): boolean {
  const told = timeOfEvent(event)
  return time !== undefined && told !== undefined && time >= told
}

function timeOfEvent({ lastTimestamp }: JobEvent): Date | undefined {
  return timeOf(lastTimestamp)
}
