// What the operator watches. Only objects that we made, or that a policy can select, are kept; where less is enough, less is kept.
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Restore } from '../../api/kinds/restore.ts'
import type {
  CronJob,
  Job,
  JobEvent,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  VolumeSnapshot,
  VolumeSnapshotClass,
} from '../../api/kubernetes.ts'
import { label, labelValue, managerName } from '../../api/labels.ts'
import { cronJobName } from '../../api/names.ts'
import { presetOf } from '../../plan/view/preset.ts'
import { isRunningProbe } from '../../plan/policy/store-probe.ts'
import type { Client } from '../../runtime/client/client.ts'
import type { Log } from '../../runtime/log.ts'
import type { RuntimeMetrics } from '../../runtime/metrics.ts'
import { Reflector, type ReflectorOptions } from '../../runtime/cache/reflector.ts'
import { SharedParts } from '../../runtime/cache/shared-parts.ts'
import { keyFrom, resourceName, type KubeObject } from '../../runtime/client/resource.ts'
import type { Store } from '../../runtime/cache/store.ts'
import {
  claimEssence,
  eventEssence,
  jobEssence,
  podEssence,
  restoreEssence,
  strangerByNameOnly,
  volumeEssence,
  withoutApplied,
} from './essence.ts'
import * as resources from './resources.ts'

export type Caches = {
  readonly policies: Store<BackupPolicy>
  readonly backups: Store<Backup>
  readonly restores: Store<Restore>
  readonly cronJobs: Store<CronJob>
  readonly jobs: Store<Job>
  readonly pods: Store<Pod>
  readonly jobEvents: Store<JobEvent>
  readonly cronJobEvents: Store<JobEvent>
  readonly claims: Store<PersistentVolumeClaim>
  readonly volumes: Store<PersistentVolume>
  readonly snapshots: Store<VolumeSnapshot>
  readonly snapshotClasses: Store<VolumeSnapshotClass>
}

/** What a look at the API server needs: what it finds goes into the caches. */
export type Reach = { readonly client: Client; readonly caches: Caches }

export type CachesOptions = { readonly client: Client; readonly log: Log; readonly metrics: RuntimeMetrics }

/** The caches, and what keeps them equal to the API server until the signal aborts. */
export function createCaches({ client, log, metrics }: CachesOptions): {
  readonly caches: Caches
  readonly run: (signal: AbortSignal) => Promise<void>
} {
  const reflectors: { run(signal: AbortSignal): Promise<void> }[] = []
  const parts = new SharedParts()
  const managed = { labelSelector: `${label.managedBy}=${managerName}` } as const

  /** @param name of the cache in metrics */
  function keep<T extends KubeObject>(
    options: Omit<ReflectorOptions<T>, 'client' | 'log' | 'onRestart'>,
    name = resourceName(options.resource),
  ): Store<T> {
    const pick = (object: T): T => parts.share(options.pick?.(object) ?? object)
    const reflector = new Reflector<T>({ ...options, pick, client, log, onRestart: metrics.onRestart(name) })
    metrics.watchCache(name, reflector.store)
    reflectors.push(reflector)
    return reflector.store
  }

  const caches: Caches = {
    policies: keep<BackupPolicy>({
      resource: resources.backupPolicies,
      pick: withoutApplied,
      indexes: {
        namespace: byNamespace,
        label: policy => [keyFrom(policy.metadata.namespace, labelValue(policy.metadata.name))],
        cronJob: policy => cronJobNames(policy).map(name => keyFrom(policy.metadata.namespace, name)),
      },
    }),
    backups: keep<Backup>({
      resource: resources.backups,
      pick: withoutApplied,
      indexes: { policy: backup => [keyFrom(backup.metadata.namespace, backup.spec.policy)] },
    }),
    restores: keep<Restore>({
      resource: resources.restores,
      pick: restoreEssence,
      indexes: {
        label: restore => [keyFrom(restore.metadata.namespace, labelValue(restore.metadata.name))],
        backup: ({ metadata, spec: { source } }) =>
          source.backup === undefined ? [] : [keyFrom(metadata.namespace, source.backup)],
        policy: ({ metadata, spec: { source } }) =>
          source.policy === undefined ? [] : [keyFrom(metadata.namespace, source.policy.name)],
      },
    }),
    cronJobs: keep<CronJob>({
      resource: resources.cronJobs,
      indexes: { policy: byPolicyLabel },
      pick: strangerByNameOnly,
    }),
    jobs: keep<Job>({
      resource: resources.jobs,
      ...managed,
      pick: jobEssence,
      indexes: {
        policy: byPolicyLabel,
        restore: byRestoreLabel,
        probe: job => (isRunningProbe(job) ? ['running'] : []),
      },
    }),
    pods: keep<Pod>({
      resource: resources.pods,
      ...managed,
      indexes: { policy: byPolicyLabel, restore: byRestoreLabel },
      pick: podEssence,
    }),
    jobEvents: keep<JobEvent>({
      resource: resources.events,
      fieldSelector: 'involvedObject.kind=Job,type=Warning',
      indexes: { job: event => [event.involvedObject.uid ?? ''] },
      pick: eventEssence,
    }),
    cronJobEvents: keep<JobEvent>(
      {
        resource: resources.events,
        fieldSelector: 'involvedObject.kind=CronJob,type=Warning',
        indexes: { cronJob: event => [event.involvedObject.uid ?? ''] },
        pick: eventEssence,
      },
      'events of cronjobs',
    ),
    claims: keep<PersistentVolumeClaim>({
      resource: resources.claims,
      indexes: { namespace: byNamespace },
      pick: claimEssence,
    }),
    volumes: keep<PersistentVolume>({ resource: resources.volumes, pick: volumeEssence }),
    snapshots: keep<VolumeSnapshot>({
      resource: resources.snapshots,
      ...managed,
      indexes: { policy: byPolicyLabel },
      pick: withoutApplied,
    }),
    snapshotClasses: keep<VolumeSnapshotClass>({ resource: resources.snapshotClasses }),
  }
  return { caches, run: async signal => void (await Promise.all(reflectors.map(reflector => reflector.run(signal)))) }
}

/** The names that its CronJobs have, or would have. */
function cronJobNames(policy: BackupPolicy): readonly string[] {
  const { name } = policy.metadata
  const targets = presetOf(policy) === undefined ? [] : (policy.status?.targets ?? [])
  return [cronJobName(name), ...targets.map(target => cronJobName(name, target.name))]
}

function byNamespace({ metadata }: KubeObject): readonly string[] {
  return [metadata.namespace ?? '']
}

/** Objects of a policy carry its name as a label value, which may be cut; both sides of a comparison are cut the same way. */
function byPolicyLabel({ metadata }: KubeObject): readonly string[] {
  const policy = metadata.labels?.[label.policy]
  return policy === undefined ? [] : [keyFrom(metadata.namespace, policy)]
}

/** The same of what belongs to a Restore. */
function byRestoreLabel({ metadata }: KubeObject): readonly string[] {
  const restore = metadata.labels?.[label.restore]
  return restore === undefined ? [] : [keyFrom(metadata.namespace, restore)]
}
