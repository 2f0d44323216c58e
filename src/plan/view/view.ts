// The world of a policy in the shape in which it is judged, made once: targets, and runs with all that belongs to each.
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { BackendSpec } from '../../api/kinds/backup-policy-backend.ts'
import type {
  CronJob,
  Job,
  JobEvent,
  KubernetesObject,
  PersistentVolumeClaim,
  Pod,
  VolumeSnapshot,
} from '../../api/kubernetes.ts'
import { apiVersion, label, type JobRole } from '../../api/labels.ts'
import { commandTarget, cronJobName } from '../../api/names.ts'
import { stateHash, storeLocation } from '../../resources/desired-state.ts'
import type { Settings } from '../../resources/settings.ts'
import { once } from '../core/once.ts'
import { chainOf, controllerOf, isControlledBy, jobOf, jobUIDOf } from './chain.ts'
import {
  backupOfSnapshot,
  isOf,
  isPosing,
  madeFor,
  parentOf,
  parentOfOrphan,
  returnedRun,
  runJobName,
  volumeOf,
} from './owners.ts'
import { canHave, unreadOf } from './folder.ts'
import { jobTargets, unknownTargets, type JobTarget, type TargetProblem } from './job-targets.ts'
import { presetOf } from './preset.ts'
import { readinessOf, type Readiness } from './selection.ts'
import type { DryRun, PolicyWorld } from './world.ts'

/** A Job with its pods, oldest first, and the warnings about it. */
export type JobView = { readonly job: Job; readonly pods: readonly Pod[]; readonly warnings: readonly JobEvent[] }

/** A VolumeSnapshot with the Backup that it was made for, while that exists. */
export type SnapshotView = {
  readonly snapshot: VolumeSnapshot
  readonly backup: Backup | undefined
  /** `parentOf` that Backup in owners.ts, and `parentOfOrphan` where there is none. */
  readonly parent: Backup | undefined
  /** `volumeOf` in owners.ts. */
  readonly volume: string | undefined
  /** UID of the claim that has the name of its claim now. */
  readonly liveClaim: string | undefined
  /** Of its content, where known. */
  readonly deletionPolicy: 'Delete' | 'Retain' | undefined
}

/** One Backup with what belongs to it. */
export type RunView = {
  readonly backup: Backup
  readonly job: JobView | undefined
  /** Pods of the run, oldest first, also when its Job is gone. */
  readonly pods: readonly Pod[]
  /**
   * Pods that name the Job of an on-demand run as their controller, where that Job is gone and its UID was never recorded. They show that the
   * run has begun and may go on; what they say is not believed.
   */
  readonly unproven: readonly Pod[]
  readonly snapshot: SnapshotView | undefined
  /** The Backups of single targets that an on-demand Backup over several stands for. */
  readonly children: readonly Backup[]
  /** `parentOf` in owners.ts. */
  readonly parent: Backup | undefined
}

/** What a policy with strategy job backs up, with what has the name of its CronJob. */
export type JobTargetView = JobTarget & {
  readonly cronJob: CronJob | undefined
  /** About the CronJob. */
  readonly warnings: readonly JobEvent[]
}

/** A claim that a policy with strategy snapshot selects. `readiness` undefined: the snapshot CRDs are not installed. */
export type ClaimTarget = {
  readonly name: string
  readonly claim: PersistentVolumeClaim
  readonly readiness: Readiness | undefined
}

export type StoreView = {
  /** Hash of the backend's settings. */
  readonly hash: string
  /** Hash of the place that the backend means, whatever credentials open it. */
  readonly location: string
}

export type JobStrategyView = {
  readonly type: 'job'
  /** Undefined: the policy states its command. */
  readonly preset: string | undefined
  /** Of a preset: nobody can say what it would find. */
  readonly unknown: TargetProblem | undefined
  readonly targets: readonly JobTargetView[]
  /** What the selector matches and is no target of the preset, in sentences. */
  readonly passedOver: readonly string[]
  readonly store: StoreView | undefined
  /** How many pods the selector matches; undefined where nobody can say. */
  readonly selected: number | undefined
}

export type SnapshotStrategyView = {
  readonly type: 'snapshot'
  readonly targets: readonly ClaimTarget[]
}

/** What the policy wants, by its strategy. `policy` undefined: there is none (any more), and nothing starts. */
export type Wanted =
  | { readonly policy: BackupPolicy; readonly strategy: JobStrategyView | SnapshotStrategyView }
  | { readonly policy: undefined; readonly strategy: undefined }

export type View = Wanted & {
  readonly namespace: string
  readonly name: string
  readonly settings: Settings
  readonly runs: readonly RunView[]
  /** All Jobs of ours that make backups, whether or not a Backup tells of them. */
  readonly runJobs: readonly JobView[]
  /** Jobs of Backups that were deleted: they are waited for, and what they say is not heard. */
  readonly leaving: readonly JobView[]
  readonly probes: readonly JobView[]
  /** Dry starts. */
  readonly starts: readonly JobView[]
  /** Jobs that read pages of the catalog. */
  readonly pages: readonly JobView[]
  /** Jobs that hold a backup in the bucket, or release it. */
  readonly holds: readonly JobView[]
  /** All pods of Jobs of ours, also of those that are gone. */
  readonly pods: readonly Pod[]
  readonly snapshots: readonly SnapshotView[]
  /** Whether the snapshot CRDs are installed. */
  readonly snapshotApi: boolean
  /**
   * Since when they are not, as long as this process has looked: after a restart it begins anew, because late harms nobody, and a verdict
   * that comes early is final. No time that an object has will do: that may be of an earlier absence, or of none.
   */
  readonly snapshotApiAwaySince: Date | undefined
  /** Since when they are again, where this process has seen them away. */
  readonly snapshotApiBackSince: Date | undefined
  /** Whatever has the name of a CronJob of ours, or our labels. */
  readonly cronJobs: readonly CronJob[]
  /** Of the CronJobs whose Jobs are believed, newest first. */
  readonly cronJobUIDs: readonly string[]
  readonly dryRun: DryRun | undefined
  readonly serverTime: Date | undefined
  readonly probesRunning: number
}

export function viewOf(world: PolicyWorld): View {
  const { namespace, name, settings, policy, dryRun, serverTime, probesRunning } = world
  const cronJobs = cronJobsOf(world)
  const backups = byName(world.backups)
  const chain = chainOf(world)
  const pods = world.pods.toSorted(byCreation)
  const podsByJob = byOwner(pods, jobUIDOf)
  const standing = new Set(world.jobs.map(({ metadata }) => metadata.uid))
  const orphans = byOwner(pods, pod => (standing.has(jobUIDOf(pod)) ? undefined : jobOf(pod)?.name))
  const warnings = Map.groupBy(world.jobEvents, ({ involvedObject }) => involvedObject.uid)
  const jobs = world.jobs.map((job): JobView => {
    const { uid = '' } = job.metadata
    return { job, pods: podsByJob.get(uid) ?? [], warnings: warnings.get(uid) ?? [] }
  })
  const byStanding = Map.groupBy(jobs, ({ job }) => chain.standingOf(job))
  const own = byStanding.get('ours') ?? []
  const withRole = (role: JobRole) => own.filter(({ job }) => job.metadata.labels?.[label.role] === role)
  const believed = new Set([...chain.recorded, ...own.flatMap(({ job }) => job.metadata.uid ?? [])])
  const runJobs = withRole('run')
  const jobsByName = new Map(runJobs.map(each => [each.job.metadata.name, each]))
  const snapshots = believedSnapshots(world.snapshots, world.backups, each => backups.get(each), world.claimUIDs).map(
    (each): SnapshotView => {
      const content = each.snapshot.status?.boundVolumeSnapshotContentName
      return { ...each, deletionPolicy: content === undefined ? undefined : world.deletionPolicies.get(content) }
    },
  )
  const snapshotsByBackup = new Map(snapshots.flatMap(each => (each.backup ? [[each.backup, each] as const] : [])))
  const children = byOwner(world.backups, backup => controllerOf(backup, apiVersion, 'Backup')?.uid)
  const runs = world.backups.map((backup): RunView => {
    // One that came back from the bucket tells of what the bucket has: whoever asked for that run has deleted his Backup, and the Job with it.
    const job = returnedRun(backup) === undefined ? jobsByName.get(runJobName(backup)) : undefined
    const { jobUID } = backup.status ?? {}
    const isUnknown = !job && jobUID === undefined && backup.spec.slot === undefined
    return {
      backup,
      job,
      pods: job?.pods ?? podsByJob.get(jobUID ?? '') ?? [],
      unproven: (isUnknown && orphans.get(runJobName(backup))) || [],
      snapshot: snapshotsByBackup.get(backup),
      children: children.get(backup.metadata.uid ?? '') ?? [],
      parent: parentOf(backup, name => backups.get(name)),
    }
  })
  return {
    ...wantedOf(world, policy),
    namespace,
    name,
    settings,
    runs,
    runJobs,
    leaving: byStanding.get('leaving') ?? [],
    probes: withRole('probe'),
    starts: withRole('start'),
    pages: withRole('catalog'),
    holds: withRole('hold'),
    pods: world.pods.filter(pod => believed.has(jobUIDOf(pod) ?? '')),
    snapshots,
    snapshotApi: world.snapshotClasses !== undefined,
    snapshotApiAwaySince: world.snapshotApiAwaySince,
    snapshotApiBackSince: world.snapshotApiBackSince,
    cronJobs,
    cronJobUIDs: chain.cronJobUIDs,
    dryRun,
    serverTime,
    probesRunning,
  }
}

/**
 * The VolumeSnapshots of a policy that are believed, each with its Backup and its volume. The view and the last look both gather by this: what
 * the one alone counts would keep for ever what the other wants to go.
 * @param backups of the policy
 * @param claimUIDs of the claims that there are now, by their names
 */
export function believedSnapshots(
  snapshots: readonly VolumeSnapshot[],
  backups: readonly Backup[],
  named: (name: string) => Backup | undefined,
  claimUIDs: PolicyWorld['claimUIDs'],
): readonly Omit<SnapshotView, 'deletionPolicy'>[] {
  const wholes = backups.filter(({ status }) => status?.targets !== undefined)
  return snapshots
    .filter(each => !isPosing(each, named(madeFor(each) ?? '')))
    .map(snapshot => {
      const liveClaim = claimUIDs.get(snapshot.spec.source.persistentVolumeClaimName ?? '')
      const backup = backupOfSnapshot(snapshot, named)
      const parent = backup ? parentOf(backup, named) : parentOfOrphan(snapshot, wholes)
      return { snapshot, backup, parent, volume: volumeOf(snapshot, backup, liveClaim), liveClaim }
    })
}

function wantedOf(world: PolicyWorld, policy: BackupPolicy | undefined): Wanted {
  if (!policy || policy.metadata.deletionTimestamp) return { policy: undefined, strategy: undefined }
  const { backend, strategy } = policy.spec
  if (strategy.type === 'job') {
    const store = backend && storeOf(backend)
    const told = [...standingTargets(world, policy), ...unreadTargets(policy, store)]
    const targets = jobTargets(policy, world.presetTargets, [...new Set(told)]).map(target =>
      withCronJob(target, world),
    )
    const preset = presetOf(policy)
    const unknown = preset !== undefined && world.presetTargets === undefined ? unknownTargets : undefined
    const passedOver = world.presetTargets?.passedOver.map(({ message }) => message) ?? []
    const selected = world.selectedPods
    return { policy, strategy: { type: 'job', preset, unknown, targets, passedOver, store, selected } }
  }
  const named = strategy.snapshot?.volumeSnapshotClassName
  const classes = world.snapshotClasses
  const targets = world.claims.map((claim): ClaimTarget => ({
    name: claim.metadata.name,
    claim,
    readiness: classes && readinessOf(claim, world.volumes, classes, named),
  }))
  return { policy, strategy: { type: 'snapshot', targets } }
}

function cronJobsOf({ cronJob, targetCronJobs }: Pick<PolicyWorld, 'cronJob' | 'targetCronJobs'>): readonly CronJob[] {
  return cronJob ? [cronJob, ...targetCronJobs] : targetCronJobs
}

/** Of a label that was cut nobody can tell the target. */
function standingTargets({ name, targetCronJobs }: PolicyWorld, policy: BackupPolicy): readonly string[] {
  return targetCronJobs.flatMap(cronJob => {
    const { name: named, labels, deletionTimestamp } = cronJob.metadata
    const target = labels?.[label.target]
    const isOwn = !deletionTimestamp && isOf(cronJob, name) && isControlledBy(cronJob, policy)
    return isOwn && target !== undefined && named === cronJobName(name, target) ? [target] : []
  })
}

/** What the folder has, and nobody has read. */
function unreadTargets(policy: BackupPolicy, store: StoreView | undefined): readonly string[] {
  const unread = unreadOf(policy, store?.hash) ?? []
  return unread.map(({ target }) => target).filter(target => canHave(policy, target))
}

function withCronJob(target: JobTarget, world: PolicyWorld): JobTargetView {
  const name = cronJobName(world.name, target.name)
  const cronJob =
    target.name === commandTarget ? world.cronJob : world.targetCronJobs.find(({ metadata }) => metadata.name === name)
  const warnings = world.cronJobEvents.filter(({ involvedObject }) => involvedObject.name === name)
  return { ...target, cronJob, warnings }
}

const storeOf = once((backend: BackendSpec): StoreView => ({
  hash: stateHash(backend),
  location: storeLocation(backend),
}))

function byName<T extends KubernetesObject>(objects: readonly T[]): ReadonlyMap<string, T> {
  return new Map(objects.map(object => [object.metadata.name, object]))
}

/** Those that have an owner of the kind that is asked for, by its UID. */
function byOwner<T>(
  objects: readonly T[],
  ownerUID: (object: T) => string | undefined,
): ReadonlyMap<string, readonly T[]> {
  const owned = objects.filter(object => ownerUID(object) !== undefined)
  return Map.groupBy(owned, object => ownerUID(object) ?? '')
}

/** Oldest first by the API server's clock (those of nodes may differ), and by name where that cannot tell. */
export function byCreation(a: Pod, b: Pod): number {
  const [first = '', second = ''] = [a.metadata.creationTimestamp, b.metadata.creationTimestamp]
  return first === second ? (a.metadata.name < b.metadata.name ? -1 : 1) : first < second ? -1 : 1
}
