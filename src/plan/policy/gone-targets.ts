// CronJobs that should not be: of a policy that is gone or has another strategy, and of workloads that a preset does not find any more.
import type { CronJob } from '../../api/kubernetes.ts'
import { label, labelValue } from '../../api/labels.ts'
import { commandTarget, cronJobName } from '../../api/names.ts'
import { addSeconds, earliest, timeOf } from '../../schedule/times.ts'
import { alone, deletion, type Group } from '../core/actions.ts'
import { isFinished } from '../jobs/verdict.ts'
import { isControlledBy } from '../view/chain.ts'
import { unreadOf } from '../view/folder.ts'
import type { JobTarget } from '../view/job-targets.ts'
import { isOf } from '../view/owners.ts'
import { ofTarget, viewsByTarget } from '../view/per-target.ts'
import type { JobStrategyView, View } from '../view/view.ts'

/** A pod that is moved to another node, or a workload that is applied anew, is found again by then. Seconds. */
const goneSeconds = 900

/**
 * Without the targets that have been gone for long. One of which a run goes on stays until that has ended: Jobs go with their CronJob.
 * So does one of which the folder has what was not read yet. Where nobody can say what there is nothing is gone.
 */
export function withoutGone(view: View, strategy: JobStrategyView, now: Date): JobStrategyView {
  const { targets } = strategy
  if (strategy.unknown || targets.every(target => goneAt(target) === undefined)) return strategy
  const views = viewsByTarget(view, strategy)
  const runs = (name: string) => views.get(name)?.runJobs.some(({ job }) => !isFinished(job)) ?? false
  const unread = new Set((view.policy && unreadOf(view.policy, strategy.store?.hash))?.map(({ target }) => target))
  const stays = ({ name }: JobTarget) => unread.has(name) || runs(name)
  return { ...strategy, targets: targets.filter(target => !isGone(target, now) || stays(target)) }
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
  // Then nobody can tell either which of those is wanted that no status tells of.
  const isUnknown = strategy?.type === 'job' && strategy.unknown !== undefined
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
    .filter(({ metadata }) => !isUnknown || metadata.name === cronJobName(name))
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

/** Dry starts and pages of the list that were made for a target that is gone: of the others each is cleaned up by who reads it. */
export function strayHelpers(
  { starts, pages }: Pick<View, 'starts' | 'pages'>,
  { preset, targets }: JobStrategyView,
): readonly Group[] {
  // An explicit command sees all there are.
  if (preset === undefined) return []
  const wanted = new Set(targets.map(({ name }) => labelValue(name)))
  return [...starts, ...pages]
    .map(({ job }) => job)
    .filter(({ metadata }) => !wanted.has(metadata.labels?.[label.target] ?? '') && !metadata.deletionTimestamp)
    .filter(isFinished)
    .map(job => alone(`clean/${job.metadata.name}`, deletion(job, 'the policy has no such target any more')))
}
