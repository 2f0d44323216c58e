// Every series about backups. What objects know is right on the first scrape after a restart, and gone with its object; it is computed
// when a policy or one of its Backups has changed, not at each scrape. Only what happened since this process leads is counted here.
import { setImmediate } from 'node:timers/promises'
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Restore } from '../../api/kinds/restore.ts'
import { ageOfOwed } from '../../plan/policy/overdue.ts'
import { latestPresent } from '../../plan/policy/two-clocks.ts'
import { keyFrom, splitKey } from '../../runtime/client/resource.ts'
import { familyHead, sample, type MetricFamily } from '../../runtime/exposition.ts'
import type { Cache } from '../../runtime/cache/store.ts'
import {
  objectsFamily,
  objectsSamples,
  policyFamilies,
  policyLabels,
  policyValues,
  type PolicyValues,
} from './policy-series.ts'
import { restoreFamilies, RestoreSeries, type RestoreObservation } from './restore-series.ts'
import { runFamilies, RunSeries, type RunObservation } from './run-series.ts'

export type BackupMetricsOptions = {
  readonly policies: Cache<BackupPolicy>
  /** With an index `policy`, by the key of the policy. */
  readonly backups: Cache<Backup>
  readonly restores: Cache<Restore>
  /** Whether this process leads: no other exports series about backups, or sums would count each backup once per copy. */
  readonly isLeader: () => boolean
  readonly now: () => Date
  /** What the clock of the API server says. */
  readonly serverTime: () => Date | undefined
}

const overdueFamily: MetricFamily = {
  name: 'backup_overdue_seconds',
  help: 'Age of the first slot that should have led to a good backup by now and did not; 0 while nothing is owed or the policy is suspended.',
  type: 'gauge',
  labels: policyLabels,
}
const leaderFamily: MetricFamily = {
  name: 'backup_operator_leader',
  help: '1 on the copy of the operator that leads, 0 on the others. Only the leader has the other series of backups.',
  type: 'gauge',
  labels: [],
}

/** So much of a scrape is made in one go; then whatever else waits has its turn. */
const turnMs = 5
/** Characters that are sent at once. */
const partLength = 64 * 1024

/** The series of backups. Labels are bounded by the policies that exist: a Backup that names none adds nothing. */
export class BackupMetrics {
  /** Name, type and labels of every series. */
  static readonly families: readonly MetricFamily[] = [
    leaderFamily,
    ...runFamilies,
    ...restoreFamilies,
    ...policyFamilies,
    overdueFamily,
    objectsFamily,
  ]
  readonly #options: BackupMetricsOptions
  readonly #runs = new RunSeries()
  readonly #restores = new RestoreSeries()
  /** By policy. */
  readonly #values = new Map<string, PolicyValues>()
  /** Policies whose values are not those of their objects any more. */
  readonly #changed = new Set<string>()

  constructor(options: BackupMetricsOptions) {
    this.#options = options
    options.policies.subscribe(({ type, key }) => {
      this.#changed.add(key)
      if (type === 'deleted') this.#runs.forget(key)
    })
    options.backups.subscribe(({ object: { metadata, spec } }) =>
      this.#changed.add(keyFrom(metadata.namespace, spec.policy)),
    )
  }

  /** Counts the end of a run. Call once for each Backup that reaches a final phase by running. */
  observe(run: RunObservation): void {
    // A policy that is gone has no series; adding one here would bring it back.
    if (this.#options.policies.get(run.namespace, run.policy)) this.#runs.observe(run)
  }

  /** Counts the end of a Restore. Call once for each. */
  observeRestore(restore: RestoreObservation): void {
    this.#restores.observe(restore)
  }

  /** One scrape, in parts. Objects that change while it is read out show in the next one. */
  async *text(): AsyncGenerator<string> {
    let part = ''
    let turn = performance.now()
    for (const text of this.#scrape()) {
      part += text
      if (part.length > partLength) {
        yield part
        part = ''
      }
      if (performance.now() - turn < turnMs) continue
      await setImmediate()
      turn = performance.now()
    }
    yield part
  }

  *#scrape(): Generator<string> {
    const { policies, backups, restores, isLeader, now } = this.#options
    yield familyHead(leaderFamily) + sample(leaderFamily.name, '', isLeader() ? 1 : 0)
    if (!isLeader()) {
      this.#runs.clear()
      this.#restores.clear()
    }
    // Half a cache would show a policy without its Backups, as if they had been deleted.
    if (!isLeader() || policies.state === 'syncing' || backups.state === 'syncing') return
    for (const key of this.#changed) {
      this.#refresh(key)
      yield ''
    }
    const known = [...this.#values.values()]
    yield* this.#runs.text(known.map(({ policy }) => policy))
    for (const [index, family] of policyFamilies.entries()) {
      yield familyHead(family)
      for (const { labels, values } of known) {
        const value = values[index]
        if (value !== undefined) yield sample(family.name, labels, value)
      }
    }
    yield familyHead(overdueFamily)
    const time = now()
    for (const { owed, labels } of known) if (owed) yield sample(overdueFamily.name, labels, ageOfOwed(owed, time))
    yield familyHead(objectsFamily)
    for (const values of known) yield objectsSamples(values)
    yield* this.#restores.text(restores.list())
  }

  #refresh(key: string): void {
    this.#changed.delete(key)
    const { policies, backups, now, serverTime } = this.#options
    const { namespace, name } = splitKey(key)
    const policy = policies.get(namespace, name)
    const present = latestPresent({ serverTime: serverTime() }, now())
    if (policy) this.#values.set(key, policyValues({ policy, backups: backups.byIndex('policy', key) }, present))
    else this.#values.delete(key)
  }
}
