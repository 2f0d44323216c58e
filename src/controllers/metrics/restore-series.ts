// Series of Restores: how they ended since this process leads, and how long the newest good one of each policy took, which objects know.
import type { Restore } from '../../api/kinds/restore.ts'
import { timeOf } from '../../schedule/times.ts'
import { familyHead, labelText, sample, type MetricFamily } from '../../runtime/exposition.ts'
import { policyLabels } from './policy-series.ts'

/** How a Restore ended. */
export type RestoreObservation = {
  readonly namespace: string
  /** That made its backup; empty where nobody knows. */
  readonly policy: string
  readonly phase: RestoreEnd
}

const ends = ['Completed', 'Failed'] as const
type RestoreEnd = (typeof ends)[number]

const countFamily: MetricFamily = {
  name: 'backup_restores_total',
  help: 'Restores that ended since this process leads, by the policy that made the backup.',
  type: 'counter',
  labels: [...policyLabels, 'phase'],
}
const durationFamily: MetricFamily = {
  name: 'backup_restore_last_duration_seconds',
  help: 'How long the newest completed Restore of a backup of the policy took, from when it was asked for; those that only verify are left out.',
  type: 'gauge',
  labels: policyLabels,
}
export const restoreFamilies = [countFamily, durationFamily]

/** What is said of a policy stands as long as there is a Restore of a backup of it. */
export class RestoreSeries {
  /** By the text of the labels without the phase. */
  readonly #counts = new Map<string, Readonly<Record<RestoreEnd, number>>>()

  observe({ namespace, policy, phase }: RestoreObservation): void {
    const group = groupLabels(namespace, policy)
    const counts = this.#counts.get(group) ?? none
    this.#counts.set(group, { ...counts, [phase]: counts[phase] + 1 })
  }

  clear(): void {
    this.#counts.clear()
  }

  *text(restores: readonly Restore[]): Generator<string> {
    const groups = Map.groupBy(restores, ({ metadata, status }) =>
      groupLabels(metadata.namespace ?? '', status?.policy ?? ''),
    )
    for (const group of this.#counts.keys()) if (!groups.has(group)) this.#counts.delete(group)
    yield familyHead(countFamily)
    for (const group of groups.keys()) {
      const counts = this.#counts.get(group) ?? none
      for (const phase of ends) yield sample(countFamily.name, `${group},phase="${phase}"`, counts[phase])
    }
    yield familyHead(durationFamily)
    for (const [group, some] of groups) {
      const seconds = lastDuration(some)
      if (seconds !== undefined) yield sample(durationFamily.name, group, seconds)
    }
  }
}

const none = { Completed: 0, Failed: 0 } as const

function lastDuration(restores: readonly Restore[]): number | undefined {
  const took = restores.flatMap(({ spec, status }) => {
    const [start, end] = [timeOf(status?.startTime), timeOf(status?.completionTime)]
    return status?.phase === 'Completed' && !spec.verify && start && end
      ? [{ end: end.getTime(), seconds: Math.max(0, (end.getTime() - start.getTime()) / 1000) }]
      : []
  })
  return took.toSorted((a, b) => a.end - b.end).at(-1)?.seconds
}

function groupLabels(namespace: string, policy: string): string {
  return labelText({ namespace, policy_namespace: namespace, policy })
}
