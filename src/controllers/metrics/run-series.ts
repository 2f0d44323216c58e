// What happened since this process leads: runs, counted by policy, and their seconds, by namespace. A histogram of each policy would be
// half of all that is scraped.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { keyFrom, keyOf } from '../../runtime/client/resource.ts'
import { familyHead, labelText, Observations, sample, type MetricFamily } from '../../runtime/exposition.ts'
import { policyLabels, policyLabelText } from './policy-series.ts'

/** How a run ended. */
export type RunObservation = {
  readonly namespace: string
  readonly policy: string
  readonly strategy: Strategy
  readonly outcome: 'success' | 'failure'
  /** From the start of the run to its end. */
  readonly seconds: number
}

type Strategy = 'snapshot' | 'job'
type Counts = { readonly strategy: Strategy; readonly success: number; readonly failure: number }

const labels = [...policyLabels, 'strategy']
const successFamily: MetricFamily = {
  name: 'backup_success_total',
  help: 'Backups that were completed since this process leads.',
  type: 'counter',
  labels,
}
const failureFamily: MetricFamily = {
  name: 'backup_failure_total',
  help: 'Backups that failed for good since this process leads.',
  type: 'counter',
  labels,
}
const durationFamily: MetricFamily = {
  name: 'backup_duration_seconds',
  help: 'How long the runs of a namespace took from their start to their end, failed ones included.',
  type: 'histogram',
  labels: ['namespace', 'policy_namespace', 'strategy'],
}
export const runFamilies = [successFamily, failureFamily, durationFamily]

/** From a snapshot of a second to a dump of a day. */
const durationBounds = [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400]

/** Every policy has its counters from the moment it exists, at 0; they go with the policy, or with its strategy. */
export class RunSeries {
  /** By policy. */
  readonly #counts = new Map<string, Counts>()
  /** By namespace and strategy. */
  readonly #durations = new Map<string, Observations>()

  observe({ namespace, policy, strategy, outcome, seconds }: RunObservation): void {
    const key = keyFrom(namespace, policy)
    const counts = this.#countsOf(key, strategy)
    this.#counts.set(key, { ...counts, [outcome]: counts[outcome] + 1 })
    const group = groupLabels(namespace, strategy)
    const durations = this.#durations.get(group) ?? new Observations(durationBounds)
    durations.observe(seconds)
    this.#durations.set(group, durations)
  }

  forget(policyKey: string): void {
    this.#counts.delete(policyKey)
  }

  clear(): void {
    this.#counts.clear()
    this.#durations.clear()
  }

  /** The text of all series, a family or a few samples at a time. */
  *text(policies: readonly BackupPolicy[]): Generator<string> {
    for (const [family, outcome] of [
      [successFamily, 'success'],
      [failureFamily, 'failure'],
    ] as const) {
      yield familyHead(family)
      for (const policy of policies) {
        const { type } = policy.spec.strategy
        const value = this.#countsOf(keyOf(policy), type)[outcome]
        yield sample(family.name, `${policyLabelText(policy)},strategy="${type}"`, value)
      }
    }
    yield familyHead(durationFamily)
    const groups = new Set(
      policies.map(({ metadata, spec }) => groupLabels(metadata.namespace ?? '', spec.strategy.type)),
    )
    for (const group of this.#durations.keys()) if (!groups.has(group)) this.#durations.delete(group)
    for (const group of groups) {
      const durations = this.#durations.get(group) ?? new Observations(durationBounds)
      yield durations.samples(durationFamily.name, group)
    }
  }

  #countsOf(key: string, strategy: Strategy): Counts {
    const counts = this.#counts.get(key)
    return counts?.strategy === strategy ? counts : { strategy, success: 0, failure: 0 }
  }
}

function groupLabels(namespace: string, strategy: Strategy): string {
  return labelText({ namespace, policy_namespace: namespace, strategy })
}
