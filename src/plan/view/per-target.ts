// The view of one target of a policy with strategy job: of its runs, its CronJob and its Jobs. What decides about one target sees no other.
import type { CronJob } from '../../api/kubernetes.ts'
import { label, labelValue } from '../../api/labels.ts'
import { commandTarget, cronJobName } from '../../api/names.ts'
import { cronJobOf } from './chain.ts'
import { targetOfRun } from './owners.ts'
import type { JobStrategyView, JobTargetView, JobView, RunView, View } from './view.ts'

type Shared = Pick<View, 'name' | 'runs' | 'runJobs' | 'leaving' | 'starts' | 'pages'>

export type OneTarget<V> = V & { readonly target: string; readonly cronJob: CronJob | undefined }

/**
 * Of each target what is its own. An explicit command is the only target of its policy, and sees all there is: also runs of an earlier strategy
 * tell which slots have run.
 */
export function viewsByTarget<V extends Shared>(
  view: V,
  { preset, targets }: Pick<JobStrategyView, 'preset' | 'targets'>,
): ReadonlyMap<string, OneTarget<V>> {
  const whole = ({ name, cronJob }: JobTargetView) => [name, { ...view, target: name, cronJob }] as const
  if (preset === undefined) return new Map(targets.map(whole))
  const runs = Map.groupBy(view.runs, ({ backup }: RunView) => targetOfRun(backup))
  const cronJobs = new Map(targets.map(({ name }) => [cronJobName(view.name, name), name]))
  const labels = new Map(targets.map(({ name }) => [labelValue(name), name]))
  const targetOf = ({ job }: JobView) => {
    const made = cronJobs.get(cronJobOf(job)?.name ?? '')
    return made ?? labels.get(job.metadata.labels?.[label.target] ?? '')
  }
  const ofJobs = (jobs: readonly JobView[]) => {
    const byTarget = Map.groupBy(jobs, targetOf)
    return (target: string) => byTarget.get(target) ?? []
  }
  const [runJobs, leaving, starts, pages] = [view.runJobs, view.leaving, view.starts, view.pages].map(ofJobs)
  return new Map(
    targets.map(target => {
      const { name } = target
      const own = {
        runs: runs.get(name) ?? [],
        runJobs: runJobs?.(name) ?? [],
        leaving: leaving?.(name) ?? [],
        starts: starts?.(name) ?? [],
        pages: pages?.(name) ?? [],
      }
      return [name, { ...whole(target)[1], ...own }] as const
    }),
  )
}

/** What a target's name adds to that of a group: nothing for an explicit command. */
export function ofTarget(group: string, target: string): string {
  return target === commandTarget ? group : `${group}/${target}`
}

/** Whether a group is the one of this name, of whatever target. */
export function isGroup(group: string, name: string): boolean {
  return name === group || name.startsWith(`${group}/`)
}
