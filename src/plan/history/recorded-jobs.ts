// Jobs whose Backup says all that they had to say go (docs/design.md R33): kept ones eat the namespace's quota on Jobs, a failed one alerts for
// ever, and one that a sidecar keeps from ending holds the schedule up.
import { isFinal } from '../../api/kinds/backup-phases.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { CronJob } from '../../api/kubernetes.ts'
import { addSeconds, earliest, timeOf } from '../../schedule/times.ts'
import { alone, deletion, type Group } from '../core/actions.ts'
import { haveMoversEnded, statusOf } from '../jobs/pods.ts'
import { isFinished, lostAt } from '../jobs/verdict.ts'
import { cronJobOf } from '../view/chain.ts'
import { accountedUntilOf, slotOfJob, targetOfRun } from '../view/owners.ts'
import type { JobView, RunView, View } from '../view/view.ts'

/** Containers of one pod end one after the other, and the Job's own controller takes its time: before this nothing hangs. Seconds. */
const endingSeconds = 60

/** So long a Job that cannot end by itself stays for the bucket to be compared with what its mover said. Seconds. */
const comparedSeconds = 900

type Recorded = { readonly backup: Backup; readonly view: JobView }

/** @param bucketIsOpen what the newest success said of the bucket is still being followed up */
export function recordedJobs(
  { runs, cronJobs, policy }: Pick<View, 'runs' | 'cronJobs'> & { readonly policy: BackupPolicy },
  bucketIsOpen: boolean,
  now: Date,
): readonly Group[] {
  const recorded = recordedRuns(runs)
  const kept = keptJobs(recorded)
  return recorded.flatMap(({ backup, view }): readonly Group[] => {
    const { job } = view
    const { name, deletionTimestamp } = job.metadata
    // One that failed and does not end is another matter: `stuckJobs`.
    if (deletionTimestamp || (backup.status?.phase === 'Failed' && !isFinished(job))) return []
    const go = (because: string) => [alone(`recorded/${name}`, deletion(job, because))]
    const lost = lostAt(job)
    if (!isFinished(job) && lost && now >= lost)
      return go(`its Backup ${backup.metadata.name} is complete, and it does not end`)
    if (!mayGo({ backup, view }, cronJobs, policy)) return []
    if (!kept.has(view)) return go(`its Backup ${backup.metadata.name} tells of it`)
    const until = afterEnd(backup, bucketIsOpen ? comparedSeconds : endingSeconds)
    const hangs = !isFinished(job) && haveMoversEnded(view) && (!until || now >= until)
    return hangs ? go(`its Backup ${backup.metadata.name} is complete, and another container keeps it from ending`) : []
  })
}

/** When one of them is next to go though nothing changes. */
export function nextRecorded(runs: readonly RunView[], now: Date): Date | undefined {
  const hanging = recordedRuns(runs).filter(({ view }) => !isFinished(view.job) && haveMoversEnded(view))
  const times = hanging.flatMap(({ backup }) => [endingSeconds, comparedSeconds].map(each => afterEnd(backup, each)))
  return earliest(...times.filter(time => time && time > now))
}

function recordedRuns(runs: readonly RunView[]): readonly Recorded[] {
  return runs.flatMap(({ backup, job }) => (job && isFinal(backup.status?.phase) ? [{ backup, view: job }] : []))
}

/** Of each target the newest success, whose words on the bucket count; and the newest failure, until the next success. */
function keptJobs(recorded: readonly Recorded[]): ReadonlySet<JobView> {
  const byTarget = Map.groupBy(recorded, ({ backup }) => targetOfRun(backup))
  return new Set([...byTarget.values()].flatMap(keptOfTarget))
}

function keptOfTarget(recorded: readonly Recorded[]): readonly JobView[] {
  const byAge = recorded.toSorted((a, b) => (ageKey(a) < ageKey(b) ? -1 : 1))
  const success = byAge.findLast(({ backup }) => backup.status?.phase === 'Completed')
  const failure = byAge.findLast(({ backup }) => backup.status?.phase === 'Failed')
  const newerFailure = failure && (!success || ageKey(failure) > ageKey(success)) ? [failure.view] : []
  return [...(success ? [success.view] : []), ...newerFailure]
}

/** By the API server's clock; those of one second by name. */
function ageKey({ view: { job, pods } }: Recorded): string {
  const { creationTimestamp = '', name } = job.metadata
  return `${pods.at(-1)?.metadata.creationTimestamp ?? creationTimestamp} ${name}`
}

/**
 * Not while a mover works: it prunes after its commit. And the Job of a slot only when its controller knows that it made it, and we have
 * accounted for the slot: the name is the lock that keeps the slot from running twice.
 */
function mayGo({ backup, view }: Recorded, cronJobs: readonly CronJob[], policy: BackupPolicy): boolean {
  if (!isFinished(view.job) && !haveMoversEnded(view)) return false
  if (view.pods.some(pod => statusOf(pod, 'mover')?.state?.running)) return false
  const slot = slotOfJob(view.job)
  if (!slot) return true
  const cronJob = cronJobs.find(({ metadata }) => metadata.name === cronJobOf(view.job)?.name)
  const scheduled = timeOf(cronJob?.status?.lastScheduleTime)
  const accounted = timeOf(accountedUntilOf(policy.status, targetOfRun(backup)))
  return scheduled !== undefined && scheduled >= slot && accounted !== undefined && accounted >= slot
}

function afterEnd({ status }: Backup, seconds: number): Date | undefined {
  const end = timeOf(status?.completionTime)
  return end && addSeconds(end, seconds)
}
