// Carries out the actions of a plan, one after the other: the only place that creates, changes or deletes anything.
// Every write is either a create under a fixed name or guarded by uid or resourceVersion, so that doing it twice, or from an old
// view of the world, does nothing wrong (F28, F31).
import type { Backup } from '../api/backup.ts'
import type { BackupPolicy } from '../api/backup-policy.ts'
import type { CronJob, Job, KubernetesObject, Pod, VolumeSnapshot } from '../api/kubernetes.ts'
import { annotation, label, labelValue } from '../api/labels.ts'
import type { Action, Unless } from '../plan/actions.ts'
import { finished, ongoing } from '../plan/backup-status.ts'
import { isOurs } from '../plan/cron-job.ts'
import { marksOf, snapshotRun } from '../plan/history.ts'
import { sameJson } from '../plan/equal.ts'
import { backupOf, isGenuine } from '../plan/lookup.ts'
import { planRetention } from '../plan/retention.ts'
import { addSeconds, rfc3339, timeOf } from '../plan/times.ts'
import type { PolicyWorld } from '../plan/world.ts'
import { childBackup, scheduledBackup, volumeSnapshot } from '../resources/backup-objects.ts'
import { catalogJob, onDemandJob, probeJob } from '../resources/jobs.ts'
import type { Settings } from '../resources/settings.ts'
import type { Client } from '../runtime/client.ts'
import type { Clock } from '../runtime/clock.ts'
import { ApiError, isAlreadyExists, isNotFound, WaitError } from '../runtime/errors.ts'
import type { EventRecorder } from '../runtime/events.ts'
import type { Log } from '../runtime/log.ts'
import type { Resource } from '../runtime/resource.ts'
import type { Store } from '../runtime/store.ts'
import { podEssence, type Caches } from './caches.ts'
import type { BackupMetrics } from './metrics.ts'
import { backupPolicies, backups, cronJobs, jobs, pods, snapshots } from './resources.ts'

/** After so long the watch has told that an object is gone. */
const goneMs = 1000

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

/** A start that is refused for so long makes its run fail. Seconds. */
const refusedSeconds = 300

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
        if (!(await this.#create(snapshots, object, caches.snapshots))) await this.#nameTaken(action.backup, object)
        return
      }
      case 'delete-snapshot':
        if (action.prune && !(await this.#stillPrunes(action.name, action.prune.target, action.prune.keep))) return
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
    const now = clock.now()
    const until = addSeconds(timeOf(backup.metadata.creationTimestamp) ?? now, refusedSeconds)
    const facts = {
      ...(backup.status?.target ? { target: backup.status.target } : {}),
      reason: 'CreationRefused',
      message,
    } as const
    const status =
      now < until
        ? ongoing(backup, { ...facts, phase: 'Pending' }, now)
        : finished(backup, { ...facts, phase: 'Failed' }, now)
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
    const existing = await client.get<T>(resource, object.metadata.namespace, object.metadata.name, {
      signal: this.#signal,
    })
    if (existing && !isSame(existing, object)) return false
    if (existing) cache.offer(existing)
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
    if (unless && (await this.#isThere(unless))) return
    caches.backups.offer(await this.#replaceStatus<Backup>(backups, { ...backup, status }))
    if (status.phase !== backup.status?.phase)
      this.#log.info(
        { backup: backup.metadata.name, phase: status.phase, reason: status.reason },
        'Backup changed its phase',
      )
    if (outcome) metrics.observe({ namespace: this.#world.namespace, policy: this.#world.name, ...outcome })
  }

  /** @throws WaitError when the object was deleted meanwhile: the cache will hear of it, and nobody needs to. */
  async #replaceStatus<T extends KubernetesObject>(resource: Resource, object: T): Promise<T> {
    try {
      return await this.#context.client.replace<T>(resource, object, { signal: this.#signal, subresource: 'status' })
    } catch (error) {
      if (!isNotFound(error)) throw error
      throw new WaitError(goneMs, `${resource.kind} ${object.metadata.name} was deleted meanwhile`, { cause: error })
    }
  }

  /** What is found goes into the cache, which plans anew. */
  async #isThere({ kind, name }: Unless): Promise<boolean> {
    const { client, caches } = this.#context
    const options = { signal: this.#signal }
    const { namespace } = this.#world
    if (kind === 'newer-pods') {
      const { items } = await client.list<Pod>(pods, {
        ...options,
        namespace,
        labelSelector: `batch.kubernetes.io/job-name=${name}`,
      })
      const newer = items.filter(
        pod => caches.pods.get(namespace, pod.metadata.name)?.metadata.resourceVersion !== pod.metadata.resourceVersion,
      )
      for (const pod of newer) caches.pods.offer(podEssence(pod))
      return newer.length > 0
    }
    if (kind === 'job') {
      const job = await client.get<Job>(jobs, namespace, name, options)
      if (job) caches.jobs.offer(job)
      return job !== undefined
    }
    const snapshot = await client.get<VolumeSnapshot>(snapshots, namespace, name, options)
    if (snapshot) caches.snapshots.offer(snapshot)
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
    const runs = items.filter(isGenuine).map(snapshot => snapshotRun(snapshot, backupOf(this.#world, snapshot)))
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
