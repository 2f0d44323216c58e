// Carries out the actions of a plan, one after the other: the only place that creates, changes or deletes anything.
// Every write is either a create under a fixed name or guarded by uid or resourceVersion, so that doing it twice, or from an old
// view of the world, does nothing wrong (F28, F31).
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { CronJob, KubernetesObject } from '../../api/kubernetes.ts'
import type { Action, Unless } from '../../plan/core/actions.ts'
import { failure, finished, refusedStatus } from '../../plan/runs/status.ts'
import { marksOf } from '../../plan/history/history.ts'
import { sameJson } from '../../plan/core/equal.ts'
import { rfc3339 } from '../../schedule/times.ts'
import type { PolicyWorld } from '../../plan/view/world.ts'
import { childBackup, scheduledBackup, volumeSnapshot } from '../../resources/backup-objects.ts'
import { catalogJob, onDemandJob, probeJob } from '../../resources/jobs.ts'
import type { Settings } from '../../resources/settings.ts'
import type { Client } from '../../runtime/client/client.ts'
import type { Clock } from '../../runtime/clock.ts'
import { ApiError, isAlreadyExists, isNotFound, WaitError } from '../../runtime/client/errors.ts'
import type { EventRecorder } from '../../runtime/events.ts'
import type { Log } from '../../runtime/log.ts'
import type { Resource } from '../../runtime/client/resource.ts'
import type { Store } from '../../runtime/cache/store.ts'
import { isSame, replaced, takenMessage } from './adoption.ts'
import type { Caches } from './caches.ts'
import { isThere, stillPrunes } from '../policy/last-look.ts'
import type { BackupMetrics } from '../metrics/metrics.ts'
import { backupPolicies, backups, cronJobs, jobs, snapshots } from './resources.ts'

/** After so long the watch has told what a write, or the look before it, found out first. */
const watchMs = 1000

export type ApplyContext = {
  readonly client: Client
  readonly caches: Caches
  readonly settings: Settings
  readonly events: EventRecorder
  readonly metrics: Pick<BackupMetrics, 'observe'>
  readonly clock: Clock
}

/**
 * A create that the API server refuses for what it is (quota, admission policy, terminating namespace) is told to people and does not
 * keep the other actions from being done: what retention deletes may be the very room that it needs.
 * @throws ApiError and others as the client does; the actions after the failing one are left to the next plan. A refusal is thrown
 * at the end, so that it is tried again with a backoff.
 */
export async function applyPlan(
  context: ApplyContext,
  world: PolicyWorld,
  actions: readonly Action[],
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  const step = new Step(context, world, log, signal)
  let refusal: unknown
  for (const action of actions) {
    signal.throwIfAborted()
    try {
      await step.take(action)
    } catch (error) {
      if (!isRefusal(error) || !action.do.startsWith('create-')) throw error
      await step.refused(action, error)
      refusal = error
    }
  }
  if (refusal !== undefined) throw refusal
}

/** 400, 403 and 422 speak of the object itself, and will be said again until somebody changes something. */
function isRefusal(error: unknown): error is ApiError {
  return error instanceof ApiError && [400, 403, 422].includes(error.status)
}

/** The actions of one plan, with what earlier ones changed under later ones. */
class Step {
  readonly #context: ApplyContext
  readonly #world: PolicyWorld
  readonly #log: Log
  readonly #signal: AbortSignal
  /** The CronJob after its clock was set, with its new resourceVersion. */
  #rested: CronJob | undefined
  /** Some Backup of a slot, or of a target, could not be created: what would say that it was must not be written. */
  #unrecorded = false

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
        return this.#createForPolicy(cronJobs, this.#desiredCronJob(), caches.cronJobs, 'no scheduled run starts')
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
        caches.cronJobs.offer(written)
        this.#log.info({ cronJob: written.metadata.name }, 'CronJob updated')
        return
      }
      case 'delete-cron-job':
        return this.#delete(cronJobs, action)
      case 'create-run-job': {
        const { job } = this.#policy().spec.strategy
        if (!job) throw new TypeError('a run Job was planned for a policy without strategy.job')
        const object = onDemandJob(this.#policy(), job, action.backup, marksOf(this.#world.backups), settings)
        return this.#createFor(action.backup, jobs, object, caches.jobs)
      }
      case 'create-probe-job': {
        const object = probeJob(this.#policy(), action.backendHash, action.attempt, settings)
        return this.#createForPolicy(jobs, object, caches.jobs, 'nobody finds out whether the store can be used')
      }
      case 'create-catalog-job': {
        const object = catalogJob(this.#policy(), action.run, action.cursor, settings)
        return this.#createForPolicy(jobs, object, caches.jobs, 'Backups are not compared with what the bucket holds')
      }
      case 'delete-job':
        if (action.unlessRecorded && !this.#unrecorded) return
        return this.#delete(jobs, action)
      case 'create-scheduled-backup': {
        const object = scheduledBackup(namespace, this.#world.name, action.name, action.target, action.slot)
        return this.#createForPolicy(backups, object, caches.backups, 'this run has no Backup')
      }
      case 'create-child-backup': {
        const object = childBackup(action.parent, action.target)
        return this.#createFor(action.parent, backups, object, caches.backups)
      }
      case 'write-backup-status':
        if (this.#unrecorded && action.status.reason === 'Children') return
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
        return this.#createFor(action.backup, snapshots, object, caches.snapshots)
      }
      case 'delete-snapshot':
        if (action.prune && !(await stillPrunes(client, this.#world, action.name, action.prune, this.#signal))) return
        await this.#delete(snapshots, action)
        if (action.prune && policy) {
          const message = `VolumeSnapshot ${action.name} of ${action.prune.target}: ${action.because}`
          this.#context.events.record(policy, { type: 'Normal', reason: 'Pruned', message })
        }
        return
      case 'write-policy-status': {
        const current = this.#policy()
        const { accountedUntil, slots } = current.status ?? {}
        const status = this.#unrecorded ? { ...action.status, accountedUntil, slots } : action.status
        const object = { ...current, status }
        await this.#lookOnceMore(action.unless)
        caches.policies.offer(await this.#replaceStatus<BackupPolicy>(backupPolicies, object))
        return
      }
      case 'event': {
        const about = action.about === 'policy' ? policy : action.about
        if (about) this.#context.events.record(about, action)
      }
    }
  }

  /** Tells people why something cannot be created; a run that cannot start says so itself, and fails in the end. */
  async refused(action: Action, error: ApiError): Promise<void> {
    const { events, clock } = this.#context
    const message = `the API server refuses it: ${error.detail || error.message}`
    if (this.#world.policy) events.record(this.#world.policy, { type: 'Warning', reason: 'CreationRefused', message })
    if (action.do === 'create-scheduled-backup' || action.do === 'create-child-backup') this.#unrecorded = true
    if (action.do !== 'create-run-job' && action.do !== 'create-snapshot') return
    const { backup } = action
    const status = refusedStatus(backup, message, clock.now())
    if (!sameJson(backup.status, status)) await this.#writeBackupStatus({ do: 'write-backup-status', backup, status })
  }

  /** False when a stranger has the name. An object of ours that is already there is adopted: names are locks. */
  async #create<T extends KubernetesObject>(resource: Resource, object: T, cache: Store<T>): Promise<boolean> {
    const { client } = this.#context
    try {
      const created = await client.create(resource, object, { signal: this.#signal })
      cache.offer(created)
      this.#log.info({ kind: object.kind, name: object.metadata.name }, 'created')
      return true
    } catch (error) {
      if (!isAlreadyExists(error)) throw error
    }
    const { namespace, name } = object.metadata
    const existing = await client.get<T>(resource, namespace, name, { signal: this.#signal })
    if (!existing) throw new WaitError(watchMs, `${object.kind} ${name} was there, and is gone a moment later`)
    if (!isSame(existing, object)) return false
    cache.offer(existing)
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
    const { caches, metrics } = this.#context
    const { backup, status, outcome, unless } = action
    await this.#lookOnceMore(unless)
    caches.backups.offer(await this.#replaceStatus<Backup>(backups, { ...backup, status }))
    if (status.phase !== backup.status?.phase)
      this.#log.info(
        { backup: backup.metadata.name, phase: status.phase, reason: status.reason },
        'Backup changed its phase',
      )
    if (outcome) metrics.observe({ namespace: this.#world.namespace, policy: this.#world.name, ...outcome })
  }

  /** @throws WaitError when the API server knows more than the verdict rests on. */
  async #lookOnceMore(unless: Unless | undefined): Promise<void> {
    if (!unless || !(await isThere(this.#context, this.#world, unless, this.#signal))) return
    throw new WaitError(watchMs, `a cache was behind (${unless.kind} ${unless.name}), planning anew`)
  }

  /** @throws WaitError when the object was deleted meanwhile: the cache will hear of it, and nobody needs to. */
  async #replaceStatus<T extends KubernetesObject>(resource: Resource, object: T): Promise<T> {
    try {
      return await this.#context.client.replace<T>(resource, object, { signal: this.#signal, subresource: 'status' })
    } catch (error) {
      if (!isNotFound(error)) throw error
      throw new WaitError(watchMs, `${resource.kind} ${object.metadata.name} was deleted meanwhile`, { cause: error })
    }
  }

  /** Creates what a run needs; the run fails where a stranger has the name. */
  async #createFor<T extends KubernetesObject>(backup: Backup, resource: Resource, object: T, cache: Store<T>) {
    if (await this.#create(resource, object, cache)) return
    const message = takenMessage(object)
    this.#context.events.record(backup, { type: 'Warning', reason: 'NameTaken', message })
    const status = finished(backup, failure('NameTaken', message), this.#context.clock.now())
    await this.#writeBackupStatus({ do: 'write-backup-status', backup, status })
  }

  /** Creates what the policy needs; where a stranger has the name, people are told at what cost. */
  async #createForPolicy<T extends KubernetesObject>(resource: Resource, object: T, cache: Store<T>, cost: string) {
    if (await this.#create(resource, object, cache)) return
    const message = `${takenMessage(object)}: without ours, ${cost}`
    this.#context.events.record(this.#policy(), { type: 'Warning', reason: 'NameTaken', message })
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
