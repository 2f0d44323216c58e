// Carries out the actions of a plan, one after the other: the only place that creates, changes or deletes anything.
// Every write is either a create under a fixed name or guarded by uid or resourceVersion, so that doing it twice, or from an old
// view of the world, does nothing wrong (F28, F31).
import type { Backup } from '../api/backup.ts'
import type { BackupPolicy } from '../api/backup-policy.ts'
import type { CronJob, Job, KubernetesObject, VolumeSnapshot } from '../api/kubernetes.ts'
import { annotation, label, labelValue } from '../api/labels.ts'
import type { Action } from '../plan/actions.ts'
import { finished } from '../plan/backup-status.ts'
import { isOurs } from '../plan/cron-job.ts'
import { marksOf, snapshotRun } from '../plan/history.ts'
import { planRetention } from '../plan/retention.ts'
import { rfc3339 } from '../plan/times.ts'
import type { PolicyWorld } from '../plan/world.ts'
import { isSnapshotOf } from '../plan/backup-run.ts'
import { childBackup, scheduledBackup, volumeSnapshot } from '../resources/backup-objects.ts'
import { catalogJob, onDemandJob, probeJob } from '../resources/jobs.ts'
import type { Settings } from '../resources/settings.ts'
import type { Client } from '../runtime/client.ts'
import type { Clock } from '../runtime/clock.ts'
import { isAlreadyExists } from '../runtime/errors.ts'
import type { EventRecorder } from '../runtime/events.ts'
import type { Log } from '../runtime/log.ts'
import type { Resource } from '../runtime/resource.ts'
import type { Store } from '../runtime/store.ts'
import type { Caches } from './caches.ts'
import type { BackupMetrics } from './metrics.ts'
import { backupPolicies, backups, cronJobs, jobs, snapshots } from './resources.ts'

export type ApplyContext = {
  readonly client: Client
  readonly caches: Caches
  readonly settings: Settings
  readonly events: EventRecorder
  readonly metrics: Pick<BackupMetrics, 'observe'>
  readonly clock: Clock
}

/** @throws ApiError and others as the client does; the actions after the failing one are left to the next plan. */
export async function applyPlan(
  context: ApplyContext,
  world: PolicyWorld,
  actions: readonly Action[],
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  const step = new Step(context, world, log, signal)
  for (const action of actions) {
    signal.throwIfAborted()
    await step.take(action)
  }
}

/** The actions of one plan, with what earlier ones changed under later ones. */
class Step {
  readonly #context: ApplyContext
  readonly #world: PolicyWorld
  readonly #log: Log
  readonly #signal: AbortSignal
  /** The CronJob after its clock was set, with its new resourceVersion. */
  #rested: CronJob | undefined

  constructor(context: ApplyContext, world: PolicyWorld, log: Log, signal: AbortSignal) {
    this.#context = context
    this.#world = world
    this.#log = log
    this.#signal = signal
  }

  async take(action: Action): Promise<void> {
    const { caches, settings, client } = this.#context
    const { namespace, policy } = this.#world
    const options = { signal: this.#signal }
    switch (action.do) {
      case 'create-cron-job':
        await this.#create(cronJobs, this.#desiredCronJob(), caches.cronJobs)
        return
      case 'rest-cron-job-clock': {
        const body = { metadata: { uid: action.uid }, status: { lastScheduleTime: rfc3339(this.#context.clock.now()) } }
        this.#rested = await client.patch<CronJob>(
          cronJobs,
          namespace,
          action.name,
          { kind: 'merge', body },
          { ...options, subresource: 'status' },
        )
        return
      }
      case 'replace-cron-job': {
        const written = await client.replace(
          cronJobs,
          replaced(this.#rested ?? action.current, this.#desiredCronJob()),
          options,
        )
        caches.cronJobs.set(written)
        this.#log.info({ cronJob: written.metadata.name }, 'CronJob updated')
        return
      }
      case 'delete-cron-job':
        return this.#delete(cronJobs, action)
      case 'create-run-job': {
        const { job } = this.#policy().spec.strategy
        if (!job) throw new TypeError('a run Job was planned for a policy without strategy.job')
        const object = onDemandJob(this.#policy(), job, action.backup, marksOf(this.#world.backups), settings)
        if (!(await this.#create(jobs, object, caches.jobs))) await this.#nameTaken(action.backup, object)
        return
      }
      case 'create-probe-job':
        await this.#create(jobs, probeJob(this.#policy(), action.backendHash, action.attempt, settings), caches.jobs)
        return
      case 'create-catalog-job':
        await this.#create(jobs, catalogJob(this.#policy(), action.run, action.cursor, settings), caches.jobs)
        return
      case 'delete-job':
        return this.#delete(jobs, action)
      case 'create-scheduled-backup': {
        const object = scheduledBackup(namespace, this.#world.name, action.name, action.target, action.slot)
        if (!(await this.#create(backups, object, caches.backups)) && policy) this.#tellNameTaken(policy, object)
        return
      }
      case 'create-child-backup': {
        const object = childBackup(action.parent, action.target)
        if (!(await this.#create(backups, object, caches.backups))) await this.#nameTaken(action.parent, object)
        return
      }
      case 'write-backup-status':
        return this.#writeBackupStatus(action)
      case 'delete-backup':
        // The cache may be behind: the data must be gone for good before the object that tells of them goes.
        if (
          action.unlessSnapshot !== undefined &&
          (await client.get(snapshots, namespace, action.unlessSnapshot, options))
        )
          return
        return this.#delete(backups, action)
      case 'create-snapshot': {
        const object = volumeSnapshot(action.backup, action.name, action.claim, action.className)
        if (!(await this.#create(snapshots, object, caches.snapshots))) await this.#nameTaken(action.backup, object)
        return
      }
      case 'delete-snapshot':
        if (action.prune && !(await this.#stillPrunes(action.name, action.prune.target, action.prune.keep))) return
        return this.#delete(snapshots, action)
      case 'write-policy-status': {
        const current = this.#policy()
        caches.policies.set(
          await client.replace<BackupPolicy>(
            backupPolicies,
            { ...current, status: action.status },
            { ...options, subresource: 'status' },
          ),
        )
        return
      }
      case 'event': {
        const about = action.about === 'policy' ? policy : action.about
        if (about) this.#context.events.record(about, action)
      }
    }
  }

  /** False when a stranger has the name. An object of ours that is already there is adopted: names are locks. */
  async #create<T extends KubernetesObject>(resource: Resource, object: T, cache: Store<T>): Promise<boolean> {
    const { client } = this.#context
    try {
      const created = await client.create(resource, object, { signal: this.#signal })
      cache.set(created)
      this.#log.info({ kind: object.kind, name: object.metadata.name }, 'created')
      return true
    } catch (error) {
      if (!isAlreadyExists(error)) throw error
    }
    const existing = await client.get<T>(resource, object.metadata.namespace, object.metadata.name, {
      signal: this.#signal,
    })
    if (existing && !isSame(existing, object)) return false
    if (existing) cache.set(existing)
    return true
  }

  async #delete(
    resource: Resource,
    action: {
      readonly name: string
      readonly uid: string
      readonly resourceVersion?: string
      readonly because: string
    },
  ): Promise<void> {
    const { namespace } = this.#world
    const deleted = await this.#context.client.delete(resource, namespace, action.name, {
      uid: action.uid,
      resourceVersion: action.resourceVersion,
      propagationPolicy: 'Background',
      signal: this.#signal,
    })
    if (deleted) this.#log.info({ kind: resource.kind, name: action.name, because: action.because }, 'deleted')
  }

  /** Counted only once it is written: a conflict means that somebody else has seen more, and the next plan decides anew. */
  async #writeBackupStatus(action: Extract<Action, { readonly do: 'write-backup-status' }>): Promise<void> {
    const { client, caches, metrics } = this.#context
    const { backup, status, outcome, unless } = action
    if (unless && (await this.#isThere(unless))) return
    const written = await client.replace<Backup>(
      backups,
      { ...backup, status },
      { signal: this.#signal, subresource: 'status' },
    )
    caches.backups.set(written)
    if (status.phase !== backup.status?.phase)
      this.#log.info(
        { backup: backup.metadata.name, phase: status.phase, reason: status.reason },
        'Backup changed its phase',
      )
    if (outcome) metrics.observe({ namespace: this.#world.namespace, policy: this.#world.name, ...outcome })
  }

  async #isThere({ kind, name }: { readonly kind: 'job' | 'snapshot'; readonly name: string }): Promise<boolean> {
    const { client, caches } = this.#context
    const options = { signal: this.#signal }
    const { namespace } = this.#world
    if (kind === 'job') {
      const job = await client.get<Job>(jobs, namespace, name, options)
      if (job) caches.jobs.set(job)
      return job !== undefined
    }
    const snapshot = await client.get<VolumeSnapshot>(snapshots, namespace, name, options)
    if (snapshot) caches.snapshots.set(snapshot)
    return snapshot !== undefined
  }

  async #nameTaken(backup: Backup, object: KubernetesObject): Promise<void> {
    const message = takenMessage(object)
    const facts = { phase: 'Failed', reason: 'NameTaken', message } as const
    this.#context.events.record(backup, { type: 'Warning', reason: 'NameTaken', message })
    await this.#writeBackupStatus({
      do: 'write-backup-status',
      backup,
      status: finished(backup, facts, this.#context.clock.now()),
    })
  }

  #tellNameTaken(policy: BackupPolicy, object: KubernetesObject): void {
    this.#context.events.record(policy, { type: 'Warning', reason: 'NameTaken', message: takenMessage(object) })
  }

  /** Retention judged once more, on what the API server says now: a cache that is behind must not cost the last good one. */
  async #stillPrunes(name: string, target: string, keep: number): Promise<boolean> {
    const { namespace, name: policy } = this.#world
    const { items } = await this.#context.client.list<VolumeSnapshot>(snapshots, {
      namespace,
      labelSelector: `${label.policy}=${labelValue(policy)},${label.target}=${labelValue(target)}`,
      signal: this.#signal,
    })
    const runs = items.map(snapshot =>
      snapshotRun(
        snapshot,
        this.#world.backups.find(backup => isSnapshotOf(snapshot, backup)),
      ),
    )
    return planRetention(runs, { keep }).deleteNow.includes(name)
  }

  #policy(): BackupPolicy {
    const { policy, name } = this.#world
    if (!policy) throw new TypeError(`an action needs BackupPolicy ${name}, which is gone`)
    return policy
  }

  #desiredCronJob(): CronJob {
    const { desiredCronJob } = this.#world
    if (!desiredCronJob) throw new TypeError('a CronJob was planned for a policy that wants none')
    return desiredCronJob
  }
}

/** Labels and annotations of others stay; the spec is ours alone. The resourceVersion refuses to overwrite what we have not seen. */
function replaced(current: CronJob, desired: CronJob): CronJob {
  const { metadata } = current
  return {
    ...current,
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, ...desired.metadata.labels },
      annotations: { ...metadata.annotations, ...desired.metadata.annotations },
      ownerReferences: desired.metadata.ownerReferences,
    },
    spec: desired.spec,
  }
}

/** Whether an object that has our name is ours: made by us, for the same owner and the same purpose. */
function isSame(existing: KubernetesObject, wanted: KubernetesObject): boolean {
  if (!isOurs(existing)) return false
  const owner = (object: KubernetesObject) => object.metadata.ownerReferences?.find(({ controller }) => controller)?.uid
  const mark = (object: KubernetesObject, key: string) => object.metadata.labels?.[key]
  if (owner(existing) !== owner(wanted)) return false
  if (existing.metadata.annotations?.[annotation.backup] !== wanted.metadata.annotations?.[annotation.backup])
    return false
  return [label.policy, label.target, label.slot].every(key => mark(existing, key) === mark(wanted, key))
}

function takenMessage({ kind, metadata }: KubernetesObject): string {
  return `a ${kind} named ${metadata.name} exists and was not made for this; delete or rename it`
}
