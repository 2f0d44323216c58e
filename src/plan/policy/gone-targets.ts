// CronJobs that should not be: of a policy that is gone or has another strategy, and of workloads that a preset does not find any more.
import type { CronJob } from '../../api/kubernetes.ts'
import { label } from '../../api/labels.ts'
import { commandTarget, cronJobName } from '../../api/names.ts'
import { addSeconds, earliest, timeOf } from '../../schedule/times.ts'
import { alone, deletion, type Group } from '../core/actions.ts'
import { isFinished } from '../jobs/verdict.ts'
import { isControlledBy } from '../view/chain.ts'
import type { JobTarget } from '../view/job-targets.ts'
import { isOf } from '../view/owners.ts'
import { ofTarget, viewsByTarget } from '../view/per-target.ts'
import type { JobStrategyView, View } from '../view/view.ts'

/** A pod that is moved to another node, or a workload that is applied anew, is found again by then. Seconds. */
const goneSeconds = 900

/**
 * Without the targets that have been gone for long. One of which a run goes on stays until that has ended: Jobs go with their CronJob.
 * Where nobody can say what there is nothing is gone.
 */
export function withoutGone(view: View, strategy: JobStrategyView, now: Date): JobStrategyView {
  const { targets } = strategy
  if (strategy.unknown || targets.every(target => goneAt(target) === undefined)) return strategy
  const views = viewsByTarget(view, strategy)
  const runs = (name: string) => views.get(name)?.runJobs.some(({ job }) => !isFinished(job)) ?? false
  return { ...strategy, targets: targets.filter(target => !isGone(target, now) || runs(target.name)) }
}

/** When the next of them is gone for long enough. */
export function nextGone({ targets }: JobStrategyView, now: Date): Date | undefined {
  return earliest(...targets.map(goneAt).filter(time => time && time > now))
}

function isGone(target: JobTarget, now: Date): boolean {
  const time = goneAt(target)
  return time !== undefined && time <= now
}

function goneAt(target: JobTarget): Date | undefined {
  const since = 'problem' in target ? timeOf(target.goneSince) : undefined
  return since && addSeconds(since, goneSeconds)
}

/** Our CronJobs where there should be none: those of a policy that is gone may have been orphaned. */
export function strayCronJobs({
  cronJobs,
  cronJobUIDs,
  name,
  policy,
  strategy,
}: Pick<View, 'cronJobs' | 'cronJobUIDs' | 'name' | 'policy' | 'strategy'>): readonly Group[] {
  const targets = strategy?.type === 'job' ? strategy.targets : []
  const wanted = new Set(targets.map(target => cronJobName(name, target.name)))
  // Somebody may have given one of his own our labels.
  const isOurs = (cronJob: CronJob) => {
    const { uid = '', labels } = cronJob.metadata
    if (!isOf(cronJob, name)) return false
    const names = [commandTarget, labels?.[label.target] ?? commandTarget].map(target => cronJobName(name, target))
    if (names.includes(cronJob.metadata.name)) return true
    return cronJobUIDs.includes(uid) || (policy !== undefined && isControlledBy(cronJob, policy))
  }
  return cronJobs
    .filter(({ metadata }) => !wanted.has(metadata.name) && !metadata.deletionTimestamp)
    .filter(isOurs)
    .map(cronJob => {
      const { name: cronJobNamed, labels } = cronJob.metadata
      const isCommand = cronJobNamed === cronJobName(name)
      const because =
        strategy?.type === 'job' ? 'the policy has no such target any more' : 'no policy with strategy job wants it'
      return alone(
        ofTarget('clean/cron-job', isCommand ? commandTarget : (labels?.[label.target] ?? cronJobNamed)),
        deletion(cronJob, because),
      )
    })
}
