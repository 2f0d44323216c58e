// Gathers what planning one policy looks at: from the caches, and the little that is not worth caching from the API server.
import { apiVersion, labelValue } from '../../api/labels.ts'
import type { BackupStatus } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Reason } from '../../api/conditions.ts'
import { isFinal } from '../../api/kinds/backup-phases.ts'
import type {
  CronJob,
  JobEvent,
  KubernetesObject,
  PersistentVolumeClaim,
  VolumeSnapshot,
} from '../../api/kubernetes.ts'
import { cronJobName } from '../../api/names.ts'
import { controllerOf, isControlledBy } from '../../plan/view/chain.ts'
import { snapshotName } from '../../plan/view/owners.ts'
import { jobTargets, type JobTarget } from '../../plan/view/job-targets.ts'
import { presetOf } from '../../plan/view/preset.ts'
import { matches, selectorText } from '../../plan/view/selection.ts'
import { lastRefusal } from '../../plan/policy/cron-job-warnings.ts'
import { takesPlace } from '../../plan/policy/store-probe.ts'
import type { DryRun, PolicyWorld } from '../../plan/view/world.ts'
import type { Settings } from '../../resources/settings.ts'
import { earliest } from '../../schedule/times.ts'
import type { Client } from '../../runtime/client/client.ts'
import type { Clock } from '../../runtime/clock.ts'
import { WaitError } from '../../runtime/client/errors.ts'
import { keyFrom } from '../../runtime/client/resource.ts'
import type { Log } from '../../runtime/log.ts'
import { unlessUnanswered } from '../shared/asked.ts'
import type { Caches } from '../shared/caches.ts'
import { DryRuns, ofAllTargets } from './dry-run.ts'
import { FirstLooks } from './first-look.ts'
import { SnapshotContents } from './snapshot-contents.ts'
import { pods } from '../shared/resources.ts'
import { WorkloadLooks, type WorkloadFinder } from '../shared/workloads.ts'

/** How soon to look again where a kind is not seen. */
const absentMs = 10_000
/**
 * What the plan of every policy rests on, since it may have runs of an earlier strategy. Snapshots come and go with their CRDs, and events are
 * for words only.
 */
const always = ['policies', 'backups', 'cronJobs', 'jobs', 'pods'] as const
/** What that of a policy with strategy snapshot rests on besides. */
const ofSnapshots = ['claims', 'volumes'] as const
/** That these are not served is a fact that a plan may rest on; that nothing is known of them is none. */
const snapshotKinds = ['snapshots', 'snapshotClasses'] as const

/** How often people are told that a kind is still not seen. */
const toldAgainMs = 600_000

/** How long a count of selected pods is good for: they are counted for a warning only. */
const podCountMs = 60_000
/** So long it is waited for. */
const podPatienceMs = 5_000

/** All but what changes while other policies are planned: see `probesRunning`. */
export type Observed = Omit<PolicyWorld, 'probesRunning'>
/** @throws WaitError while the API server does not show a kind that the plan rests on. */
export type Observer = (namespace: string, name: string, signal: AbortSignal) => Promise<Observed>

export function createObserver(
  caches: Caches,
  client: Client,
  settings: Settings,
  clock: Clock,
  log: Log,
  find?: WorkloadFinder,
): Observer {
  const podCounts = new Map<
    string,
    { readonly selector: string; readonly count: number | undefined; readonly untilMs: number }
  >()

  const contents = new SnapshotContents(client, clock)
  /** Monotonic milliseconds of the last warning about a kind. */
  const told = new Map<string, number>()
  const dryRuns = new DryRuns({ client, caches }, settings, clock)
  const firstLooks = new FirstLooks({ client, caches }, clock, log)
  const workloads = new WorkloadLooks(client, clock, find)

  return async function observe(namespace, name, signal) {
    const key = keyFrom(namespace, name)
    const labelKey = keyFrom(namespace, labelValue(name))
    // Before the look, and before anything is read: what comes while the API server is asked is then seen together.
    await lookForTargets(namespace, name, signal)
    const dryRun = await askDry(namespace, name, signal)
    const { later, againAt } = await firstLooks.look({ namespace, name }, signal)
    // Nobody can tell what was deleted from what cannot be seen, if a proxy or an API group that is away for a moment answers 404: policies and
    // runs would be gone, runs be started twice, slots be missed, holds be out of sight (F31, F63).
    waitFor(always.filter(isUnseen))
    const policy = caches.policies.get(namespace, name)
    const strategy = policy?.spec.strategy.type
    if (strategy === 'snapshot') waitFor(ofSnapshots.filter(isUnseen))
    // Of one that is gone, too: its Backups may have snapshots. Under strategy job what may have one is out of sight, and not judged.
    if (strategy !== 'job') waitFor(snapshotKinds.filter(isUnknown))
    const backups = byName(caches.backups.byIndex('policy', key).filter(({ metadata }) => !later.has(metadata.uid)))
    const jobs = byName(caches.jobs.byIndex('policy', labelKey))
    const snapshots = byName(caches.snapshots.byIndex('policy', labelKey))
    const open = new Set(backups.filter(({ status }) => !isFinal(status?.phase)).map(snapshotName))
    // Of which volume it is rests on its claim, whatever the policy wants by now.
    if (snapshots.some(({ metadata }) => open.has(metadata.name))) waitFor((['claims'] as const).filter(isUnseen))
    const snapshotApi = caches.snapshots.state === 'synced' && caches.snapshotClasses.state === 'synced'
    const claims = policy && strategy === 'snapshot' ? selectedClaims(policy) : []
    const cronJob = caches.cronJobs.get(namespace, cronJobName(name))
    const found = policy && workloads.found(policy)
    const lookAgainAt = earliest(againAt, policy && workloads.againAt(policy))
    const targetCronJobs = cronJobsOfTargets(namespace, name, found?.targets ?? [])
    const cronJobEvents = [...warningsOf(cronJob), ...targetCronJobs.flatMap(warningsOf)]
    if (!policy) {
      podCounts.delete(key)
      dryRuns.forget(key)
      workloads.forget(key)
    }
    // Read between two waits, all of it: what is not served after that is not seen as gone.
    const seen = {
      namespace,
      name,
      settings,
      policy,
      backups,
      ...(lookAgainAt ? { lookAgainAt } : {}),
      cronJob,
      targetCronJobs,
      cronJobEvents,
      presetTargets: found,
      dryRun,
      serverTime: client.serverTime(),
      jobs,
      pods: caches.pods.byIndex('policy', labelKey),
      jobEvents: jobs.flatMap(job => caches.jobEvents.byIndex('job', job.metadata.uid ?? '')),
      claims,
      claimUIDs: claimUIDs(namespace, snapshots),
      volumes: boundVolumes(claims),
      snapshotClasses: snapshotApi ? caches.snapshotClasses.list() : undefined,
      snapshotApiAwaySince: snapshotApiAwaySince(),
      snapshotApiBackSince: snapshotApi ? snapshotApiBackSince() : undefined,
      snapshots,
    }
    return {
      ...seen,
      selectedPods: policy && strategy === 'job' ? (found?.pods ?? (await countPods(policy, key, signal))) : undefined,
      deletionPolicies: await contents.deletionPolicies(key, unfinished(snapshots), signal),
    }

    function unfinished(some: readonly VolumeSnapshot[]): readonly VolumeSnapshot[] {
      return some.filter(({ metadata, status }) => status?.readyToUse && open.has(metadata.name))
    }
  }

  function isUnseen(kind: keyof Caches): boolean {
    return caches[kind].state !== 'synced'
  }

  /** It was not listed yet since the start: it may be refused, and there may be many. */
  function isUnknown(kind: keyof Caches): boolean {
    return caches[kind].state === 'syncing'
  }

  /** @throws WaitError where there is one, which stops every policy that needs it: people are told. */
  function waitFor([unseen]: readonly (keyof Caches)[]): void {
    if (!unseen) return
    const what = isUnknown(unseen) ? 'has not listed' : 'does not serve'
    const nowMs = clock.monotonic()
    if (nowMs >= (told.get(unseen) ?? -toldAgainMs) + toldAgainMs) {
      told.set(unseen, nowMs)
      log.warn({ kind: unseen }, `the API server ${what} a kind that policies rest on; they wait for it`)
    }
    throw new WaitError(absentMs, `the API server ${what} ${unseen}`)
  }

  /** Measured by monotonic time: a clock that jumps ahead must not make a moment a day (F23). */
  function snapshotApiAwaySince(): Date | undefined {
    const absent = [caches.snapshots, caches.snapshotClasses].flatMap(({ absentSince }) => absentSince ?? [])
    return absent.length === 0 ? undefined : wallTime(Math.min(...absent))
  }

  function snapshotApiBackSince(): Date | undefined {
    const back = [caches.snapshots, caches.snapshotClasses].flatMap(({ backSince }) => backSince ?? [])
    return back.length === 0 ? undefined : wallTime(Math.max(...back))
  }

  /** Of a moment that was measured by monotonic time. */
  function wallTime(monotonicMs: number): Date {
    return new Date(clock.now().getTime() - (clock.monotonic() - monotonicMs))
  }

  async function askDry(namespace: string, name: string, signal: AbortSignal): Promise<DryRun | undefined> {
    const policy = caches.policies.get(namespace, name)
    if (policy?.spec.strategy.type !== 'job' || policy.metadata.deletionTimestamp) return undefined
    const ask = (target?: JobTarget) => {
      const cronJob = caches.cronJobs.get(namespace, cronJobName(name, target?.name))
      return dryRuns.ask(policy, cronJob, lastRefusal(warningsOf(cronJob)), signal, target)
    }
    if (presetOf(policy) === undefined) return ask()
    const said: DryRun[] = []
    for (const target of jobTargets(policy, workloads.found(policy))) {
      const answer = 'source' in target ? await ask(target) : undefined
      if (answer) said.push(answer)
    }
    return ofAllTargets(said)
  }

  async function lookForTargets(namespace: string, name: string, signal: AbortSignal): Promise<void> {
    const policy = caches.policies.get(namespace, name)
    if (!policy || policy.metadata.deletionTimestamp) return
    const asked = caches.backups.byIndex('policy', keyFrom(namespace, name))
    const isWanted = asked.some(({ spec, status }) => spec.slot === undefined && isWaiting(status))
    await workloads.look(policy, isWanted, signal)
  }

  /** Those with our labels, and strangers that have the name of one. */
  function cronJobsOfTargets(
    namespace: string,
    name: string,
    targets: readonly { readonly name: string }[],
  ): readonly CronJob[] {
    const labelled = caches.cronJobs.byIndex('policy', keyFrom(namespace, labelValue(name)))
    const taken = targets.flatMap(target => caches.cronJobs.get(namespace, cronJobName(name, target.name)) ?? [])
    const ofCommand = cronJobName(name)
    return byName([...new Set([...labelled, ...taken])].filter(({ metadata }) => metadata.name !== ofCommand))
  }

  function warningsOf(cronJob: CronJob | undefined): readonly JobEvent[] {
    return cronJob ? caches.cronJobEvents.byIndex('cronJob', cronJob.metadata.uid ?? '') : []
  }

  function selectedClaims(policy: BackupPolicy) {
    const { namespace = '' } = policy.metadata
    const claims = caches.claims.byIndex('namespace', namespace)
    return byName(claims.filter(({ metadata }) => matches(policy.spec.selector, metadata.labels)))
  }

  function claimUIDs(namespace: string, snapshots: readonly VolumeSnapshot[]): PolicyWorld['claimUIDs'] {
    const names = new Set(snapshots.map(({ spec }) => spec.source.persistentVolumeClaimName ?? ''))
    const uids = [...names].map(name => [name, caches.claims.get(namespace, name)?.metadata.uid] as const)
    return new Map(uids.flatMap(([name, uid]) => (uid === undefined ? [] : [[name, uid] as const])))
  }

  function boundVolumes(claims: readonly PersistentVolumeClaim[]): PolicyWorld['volumes'] {
    const volumes = claims.map(({ spec }) => caches.volumes.get(undefined, spec.volumeName ?? ''))
    return new Map(volumes.flatMap(volume => (volume ? [[volume.metadata.name, volume] as const] : [])))
  }

  /** It is for a warning only, and keeps nothing from being planned (F71). */
  async function countPods(policy: BackupPolicy, key: string, signal: AbortSignal): Promise<number | undefined> {
    const selector = selectorText(policy.spec.selector)
    const known = podCounts.get(key)
    if (known?.selector === selector && clock.monotonic() < known.untilMs) return known.count
    const { namespace } = policy.metadata
    const ask = (either: AbortSignal) =>
      client.list<KubernetesObject>(pods, {
        namespace,
        labelSelector: selector,
        metadataOnly: true,
        signal: either,
      })
    const count = (await unlessUnanswered(ask, podPatienceMs, clock, signal))?.items.length
    podCounts.set(key, { selector, count, untilMs: clock.monotonic() + podCountMs })
    return count
  }
}

/** Policies whose probe takes one of the bounded places now; each takes one at most, whatever Jobs look like probes (F74). */
export function probesRunning(caches: Caches, now: Date): number {
  const running = caches.jobs.byIndex('probe', 'running').filter(job => takesPlace(job, now))
  const probing = running.flatMap(job => {
    const { name = '' } = controllerOf(job, apiVersion, 'BackupPolicy') ?? {}
    const policy = caches.policies.get(job.metadata.namespace, name)
    return policy && isControlledBy(job, policy) ? [policy] : []
  })
  return new Set(probing).size
}

/** Nothing is known of it yet, or it waits for a workload. */
function isWaiting(status: BackupStatus | undefined): boolean {
  return !status?.phase || (status.phase === 'Pending' && waitsForWorkloads.has(status.reason))
}

const waitsForWorkloads: ReadonlySet<string | undefined> = new Set<Reason>([
  'TargetNotFound',
  'TargetsUnknown',
  'SelectorMatchedNothing',
  'NoPods',
])

/** The order of a cache changes with a restart; what is written must not. */
function byName<T extends KubernetesObject>(objects: readonly T[]): readonly T[] {
  return objects.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
}
