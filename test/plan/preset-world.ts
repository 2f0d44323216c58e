// Worlds of policies with a preset, for tests: what it has found is given, and each CronJob is as it should be, unless the test says otherwise.
import type { Backup } from '../../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../../src/api/kinds/backup-policy.ts'
import type { BackupPolicyStatus, TargetStatus } from '../../src/api/kinds/backup-policy-status.ts'
import type { CronJob, Job } from '../../src/api/kubernetes.ts'
import { label, labelValue } from '../../src/api/labels.ts'
import { cronJobName } from '../../src/api/names.ts'
import { desiredCronJob } from '../../src/plan/policy/cron-job.ts'
import { scheduleHash } from '../../src/plan/policy/schedule.ts'
import { jobTargets } from '../../src/plan/view/job-targets.ts'
import type { FoundWorkloads, PolicyWorld } from '../../src/plan/view/world.ts'
import type { ResolvedTarget, Target, UnresolvedTarget } from '../../src/presets/preset.ts'
import {
  at,
  controlledBy,
  jobNameOfSlot,
  jobOfSlot,
  policy,
  scheduled,
  settings,
  stamp,
  usableStore,
  world,
} from './world.ts'

/** A policy with a preset, whose schedule has been the same since midnight, and whose store can be used. */
export function presetPolicy(spec: object = {}, status: Partial<BackupPolicyStatus> = {}): BackupPolicy {
  const stated = policy(spec)
  const made = { ...stated, spec: { ...stated.spec, strategy: presetStrategy(stated.spec.strategy) } }
  const known = { scheduleHash: scheduleHash(made), scheduleSince: stamp(at('00:00')), store: usableStore(at('00:00')) }
  return { ...made, status: { ...known, ...status } }
}

/** The strategy of an explicit command with a preset in its place. */
export function presetStrategy({ type, job }: BackupPolicy['spec']['strategy']): BackupPolicy['spec']['strategy'] {
  const { image: _, command: __, args: ___, ...rest } = job ?? {}
  return { type, job: { ...rest, preset: 'postgres' } } as BackupPolicy['spec']['strategy']
}

export function found(name: string, more: Partial<ResolvedTarget> = {}): ResolvedTarget {
  const user = { is: 'named', name: 'postgres' } as const
  const password = { is: 'key', reference: { kind: 'Secret', name, key: 'password' } } as const
  return {
    is: 'resolved',
    name,
    workload: { apiVersion: 'apps/v1', kind: 'StatefulSet', name },
    image: `registry.example.com/${name}:17`,
    imagePullSecrets: [],
    connection: { host: name, port: 5432, user, password },
    administrator: { user, password },
    notes: [],
    ...more,
  }
}

export function unresolved(name: string, message = `two Services reach ${name}`): UnresolvedTarget {
  const workload = { apiVersion: 'apps/v1', kind: 'StatefulSet', name }
  const problem = { reason: 'Ambiguous', message, field: 'strategy.job.connection.host' } as const
  return { is: 'unresolved', name, workload, problems: [problem] }
}

/** What a preset finds where nothing else is. */
export function all(targets: readonly Target[], more: Partial<FoundWorkloads> = {}): FoundWorkloads {
  return { targets, passedOver: [], withoutPods: [], ...more }
}

/** How the status tells of a target that has run until then. */
export function known(name: string, accountedUntil: Date, more: Partial<TargetStatus> = {}): TargetStatus {
  return { name, ready: true, reason: 'Ready', message: '', kept: 1, accountedUntil: stamp(accountedUntil), ...more }
}

function withoutStatus({ status: _, ...policy }: BackupPolicy): BackupPolicy {
  return policy
}

export function cronJobOf(of: BackupPolicy, target: ResolvedTarget, more: Partial<CronJob> = {}): CronJob {
  const [wanted] = jobTargets(withoutStatus(of), all([target]))
  const desired = wanted && desiredCronJob(of, wanted, { held: [], accepted: [] }, settings)
  if (!desired) throw new TypeError(`${target.name} has no CronJob`)
  const identity = { uid: `uid-of-cronjob-${target.name}`, creationTimestamp: stamp(at('00:00')), resourceVersion: '1' }
  return { ...desired, metadata: { ...desired.metadata, ...identity }, ...more }
}

export function presetWorld(
  of: BackupPolicy,
  targets: readonly Target[],
  more: Partial<PolicyWorld> = {},
): PolicyWorld {
  const stand = () => targets.flatMap(target => (target.is === 'unresolved' ? [] : [cronJobOf(of, target)]))
  return {
    ...world(of),
    cronJob: undefined,
    presetTargets: all(targets),
    targetCronJobs: more.targetCronJobs ?? stand(),
    ...more,
  }
}

/** The Job that the CronJob of a target makes for a slot. */
export function jobOfTarget(target: string, slot: Date, more: Parameters<typeof jobOfSlot>[1] = {}): Job {
  const name = jobNameOfSlot(cronJobName('nightly', target), slot)
  const made = jobOfSlot(slot, more)
  const cronJob = {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name: cronJobName('nightly', target), uid: `uid-of-cronjob-${target}` },
  }
  return {
    ...made,
    metadata: {
      ...made.metadata,
      name,
      uid: `uid-of-job-${name}`,
      labels: { ...made.metadata.labels, [label.target]: labelValue(target) },
      ownerReferences: [controlledBy(cronJob)],
    },
  }
}

export function scheduledOf(target: string, slot: Date, status?: Backup['status']): Backup {
  const name = jobNameOfSlot(cronJobName('nightly', target), slot)
  return scheduled(slot, { name, target, ...(status ? { status: { ...status, target, run: name } } : {}) })
}
