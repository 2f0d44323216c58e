// Every series about backups. What objects know is read from the caches at scrape time, so that it is right on the first scrape after
// a restart and gone with its object; only what happened since this process leads is counted here. docs/metrics.md explains each.
import { Counter, Gauge, Histogram } from 'prom-client'
import type { Registry } from 'prom-client'
import { backupPhases, type Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { lastRunSucceeded, lastSizeBytes } from '../../plan/policy/measures.ts'
import { overdueSeconds } from '../../plan/policy/overdue.ts'
import { timeOf } from '../../schedule/times.ts'
import { keyFrom, keyOf } from '../../runtime/client/resource.ts'
import type { Cache } from '../../runtime/cache/store.ts'

export type BackupMetricsOptions = {
  readonly policies: Cache<BackupPolicy>
  readonly backups: Cache<Backup>
  /** Whether this process leads: no other exports series about backups, or sums would count each backup once per copy. */
  readonly isLeader: () => boolean
  readonly now: () => Date
}

/** How a run ended. */
export type RunObservation = {
  readonly namespace: string
  readonly policy: string
  readonly strategy: 'snapshot' | 'job'
  readonly outcome: 'success' | 'failure'
  /** From the start of the run to its end. */
  readonly seconds: number
}

type RunLabels = Pick<RunObservation, 'namespace' | 'policy' | 'strategy'>

/** One policy with its Backups, at one scrape. */
type Subject = { readonly policy: BackupPolicy; readonly backups: readonly Backup[] }

const policyLabels = ['namespace', 'policy'] as const
const runLabels = ['namespace', 'policy', 'strategy'] as const

/** From a snapshot of a second to a dump of a day. */
const durationBuckets = [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400]

/** Gauges of one value for each policy; undefined leaves the series out. */
const policyGauges: readonly {
  readonly name: string
  readonly help: string
  readonly read: (subject: Subject, now: Date) => number | undefined
}[] = [
  {
    name: 'backup_last_success_timestamp_seconds',
    help: 'When the newest successful backup of the policy was complete. Absent before the first.',
    read: ({ policy }) => unixSeconds(policy.status?.lastSuccess),
  },
  {
    name: 'backup_last_run_succeeded',
    help: '1 when the newest run of every target succeeded, 0 when one failed. Absent before the first run has ended.',
    read: ({ policy, backups }) => lastRunSucceeded(policy, backups),
  },
  {
    name: 'backup_last_size_bytes',
    help: 'Stored size of the newest successful backup of each target, added up. Of snapshots: the size of a volume that they restore to.',
    read: ({ backups }) => lastSizeBytes(backups),
  },
  {
    name: 'backup_overdue_seconds',
    help: 'Age of the first slot that should have led to a good backup by now and did not; 0 while nothing is owed or the policy is suspended.',
    read: ({ policy }, now) => overdueSeconds(policy, now),
  },
  {
    name: 'backup_next_run_timestamp_seconds',
    help: 'The next slot of the schedule. Absent while the policy is suspended.',
    read: ({ policy }) => (policy.spec.suspend ? undefined : unixSeconds(policy.status?.nextRun)),
  },
  {
    name: 'backup_policy_ready',
    help: '1 while the condition Ready of the policy is True: its next run can start.',
    read: ({ policy }) => (conditionStatus(policy, 'Ready') === 'True' ? 1 : 0),
  },
  {
    name: 'backup_policy_suspended',
    help: '1 while the schedule of the policy is suspended.',
    read: ({ policy }) => (policy.spec.suspend ? 1 : 0),
  },
]

/** Counters that the policy's status keeps, so that restarts do not reset them. */
const policyCounters: typeof policyGauges = [
  {
    name: 'backup_missed_slots_total',
    help: 'Slots of the schedule that never ran, because operator or cluster were down for too long.',
    read: ({ policy }) => policy.status?.slots?.missed ?? 0,
  },
  {
    name: 'backup_skipped_slots_total',
    help: 'Slots of the schedule that did not run because an earlier run was still going.',
    read: ({ policy }) => policy.status?.slots?.skipped ?? 0,
  },
]

/** The series of backups. Labels are bounded by the policies that exist: a Backup that names none adds nothing. */
export class BackupMetrics {
  readonly #options: BackupMetricsOptions
  readonly #success: Counter<keyof RunLabels>
  readonly #failure: Counter<keyof RunLabels>
  readonly #duration: Histogram<keyof RunLabels>
  /** Label sets of the run metrics, by their text. */
  readonly #counted = new Map<string, RunLabels>()
  #subjects: readonly Subject[] | undefined

  constructor(options: BackupMetricsOptions) {
    this.#options = options
    const shared = { labelNames: runLabels, registers: [], collect: () => this.#alignRunSeries() }
    this.#success = new Counter({
      ...shared,
      name: 'backup_success_total',
      help: 'Backups that were completed since this process leads.',
    })
    this.#failure = new Counter({
      ...shared,
      name: 'backup_failure_total',
      help: 'Backups that failed for good since this process leads.',
    })
    this.#duration = new Histogram({
      ...shared,
      name: 'backup_duration_seconds',
      help: 'How long runs took from their start to their end, failed ones included.',
      buckets: durationBuckets,
    })
  }

  /** Adds every metric to the registry that is scraped. Call once. */
  register(registry: Registry): void {
    for (const metric of [this.#success, this.#failure, this.#duration]) registry.registerMetric(metric)
    const registers = [registry]
    const read = () => this.#read()
    const now = this.#options.now
    for (const { name, help, read: value } of policyGauges)
      void new Gauge({
        name,
        help,
        labelNames: policyLabels,
        registers,
        collect() {
          this.reset()
          for (const subject of read()) setIfKnown(value(subject, now()), number => this.set(labelsOf(subject), number))
        },
      })
    for (const { name, help, read: value } of policyCounters)
      void new Counter({
        name,
        help,
        labelNames: policyLabels,
        registers,
        collect() {
          this.reset()
          for (const subject of read()) setIfKnown(value(subject, now()), number => this.inc(labelsOf(subject), number))
        },
      })
    void new Gauge({
      name: 'backup_objects',
      help: 'Backup objects of the policy by phase.',
      labelNames: [...policyLabels, 'phase'],
      registers,
      collect() {
        this.reset()
        for (const subject of read()) {
          for (const phase of backupPhases) this.set({ ...labelsOf(subject), phase }, 0)
          for (const { status } of subject.backups)
            this.inc({ ...labelsOf(subject), phase: status?.phase ?? 'Pending' })
        }
      },
    })
    const { isLeader } = this.#options
    void new Gauge({
      name: 'backup_operator_leader',
      help: '1 on the copy of the operator that leads, 0 on the others. Only the leader has the other series of backups.',
      registers,
      collect() {
        this.set(isLeader() ? 1 : 0)
      },
    })
  }

  /** Counts the end of a run. Call once for each Backup that reaches a final phase by running. */
  observe({ namespace, policy, strategy, outcome, seconds }: RunObservation): void {
    // A policy that is gone has no series; adding one here would bring it back.
    if (!this.#options.policies.get(namespace, policy)) return
    const labels = { namespace, policy, strategy }
    this.#begin(labels)
    ;(outcome === 'success' ? this.#success : this.#failure).inc(labels)
    this.#duration.observe(labels, seconds)
  }

  /** Every policy has its counters from the moment it exists, at 0; they go with the policy, or with its strategy. */
  #alignRunSeries(): void {
    const wanted = new Map(
      this.#read().map(({ policy }) => {
        const { namespace = '', name } = policy.metadata
        const labels: RunLabels = { namespace, policy: name, strategy: policy.spec.strategy.type }
        return [JSON.stringify(labels), labels]
      }),
    )
    for (const [key, labels] of this.#counted) {
      if (wanted.has(key)) continue
      this.#counted.delete(key)
      for (const metric of [this.#success, this.#failure, this.#duration]) metric.remove(labels)
    }
    for (const labels of wanted.values()) this.#begin(labels)
  }

  #begin(labels: RunLabels): void {
    const key = JSON.stringify(labels)
    if (this.#counted.has(key)) return
    this.#counted.set(key, labels)
    this.#success.inc(labels, 0)
    this.#failure.inc(labels, 0)
    this.#duration.zero(labels)
  }

  /** The policies with their Backups. All metrics of one scrape are collected in one turn and share one reading. */
  #read(): readonly Subject[] {
    if (this.#subjects) return this.#subjects
    const { policies, backups, isLeader } = this.#options
    // Half a cache would show a policy without its Backups, as if they had been deleted.
    const whole = isLeader() && policies.state !== 'syncing' && backups.state !== 'syncing'
    const byPolicy = Map.groupBy(whole ? backups.list() : [], ({ metadata, spec }) =>
      keyFrom(metadata.namespace, spec.policy),
    )
    const known = whole ? policies.list() : []
    this.#subjects = known.map(policy => ({ policy, backups: byPolicy.get(keyOf(policy)) ?? [] }))
    queueMicrotask(() => {
      this.#subjects = undefined
    })
    return this.#subjects
  }
}

function labelsOf({ policy }: Subject) {
  const { namespace = '', name } = policy.metadata
  return { namespace, policy: name }
}

function setIfKnown(value: number | undefined, set: (value: number) => void): void {
  if (value !== undefined) set(value)
}

function unixSeconds(text: string | undefined): number | undefined {
  const time = timeOf(text)
  return time && time.getTime() / 1000
}

function conditionStatus(policy: BackupPolicy, type: string): string | undefined {
  return policy.status?.conditions?.find(condition => condition.type === type)?.status
}
