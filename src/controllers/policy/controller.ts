// One key is one policy with everything that belongs to it: gather, plan, apply. Changes only enqueue keys.
import { isFinal } from '../../api/kinds/backup-phases.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { CronJob } from '../../api/kubernetes.ts'
import { label } from '../../api/labels.ts'
import { isGroup } from '../../plan/view/per-target.ts'
import { matches } from '../../plan/view/selection.ts'
import { planPolicy } from '../../plan/policy/policy.ts'
import { Controller, watching, watchingState } from '../../runtime/work/controller.ts'
import type { ControllerHooks } from '../../runtime/work/controller.ts'
import type { Log } from '../../runtime/log.ts'
import { keyFrom, keyOf, splitKey, type KubeObject } from '../../runtime/client/resource.ts'
import type { Settings } from '../../resources/settings.ts'
import { dryStartGroup } from '../../plan/policy/dry-start.ts'
import { probeGroup } from '../../plan/policy/store-probe.ts'
import { applyPlan, longestPassMs, type ApplyContext } from '../shared/apply.ts'
import { RefusalMemory } from '../shared/refusals.ts'
import type { WorkloadFinder } from '../shared/workloads.ts'
import type { Caches } from '../shared/caches.ts'
import { createObserver, probesRunning } from './observe.ts'

/**
 * Every policy is looked at again after this at the latest: waits run on monotonic time and plans on wall time, so that a clock that
 * jumps is noticed; and pods that the selector matches are counted, not watched.
 */
const longestWaitMs = 300_000

/**
 * A plan that wants to be made again at once builds on what it has written, of which the cache tells at once. Where that did not stick, because
 * the CRD is of an earlier version and drops a field for example, it is made again and again. Milliseconds.
 */
const againMs = 1000

/** For the looks before a plan. */
const longestLookMs = 60_000

export type PolicyControllerOptions = ApplyContext & {
  readonly settings: Settings
  readonly log: Log
  readonly hooks: ControllerHooks
  readonly workers: number
  /** Left out: what the presets find. */
  readonly find?: WorkloadFinder
}

export function createPolicyController(options: PolicyControllerOptions): Controller {
  const { caches, client, settings, clock, log, hooks, workers, find } = options
  const observe = createObserver(caches, client, settings, clock, log, find)
  const ofPolicy = policyKeys(caches)
  /** Policies whose probe is planned and not in the cache yet. */
  const startingProbe = new Set<string>()
  const memories = new Map<string, RefusalMemory>()
  return new Controller({
    name: 'policy',
    workers,
    timeoutMs: longestLookMs + longestPassMs,
    clock,
    log,
    hooks,
    watches: [
      watching(caches.policies, policy => [keyOf(policy)]),
      watching(caches.backups, backup => [keyFrom(backup.metadata.namespace, backup.spec.policy)]),
      watching(caches.cronJobs, cronJob => [...ofPolicy.labelled(cronJob), ...ofPolicy.wanting(cronJob)]),
      watching(caches.jobs, ofPolicy.labelled),
      watching(caches.pods, ofPolicy.labelled),
      watching(caches.snapshots, ofPolicy.labelled),
      watching(caches.jobEvents, event => {
        const job = caches.jobs.get(event.metadata.namespace, event.involvedObject.name)
        return job ? ofPolicy.labelled(job) : []
      }),
      watching(caches.cronJobEvents, event => {
        const cronJob = caches.cronJobs.get(event.metadata.namespace, event.involvedObject.name)
        return cronJob ? ofPolicy.labelled(cronJob) : []
      }),
      watching(caches.claims, claim =>
        ofPolicy
          .snapshotting(claim.metadata.namespace)
          .filter(({ spec }) => matches(spec.selector, claim.metadata.labels))
          .map(keyOf),
      ),
      watching(caches.volumes, volume => ofPolicy.snapshotting(volume.spec.claimRef?.namespace).map(keyOf)),
      watching(caches.snapshotClasses, () => ofPolicy.allSnapshotting().map(keyOf)),
      // The two kinds appear one after the other: what the first one's objects enqueued found the second one absent.
      watchingState(caches.snapshotClasses, ofPolicy.waitingForSnapshots),
      watchingState(caches.snapshots, ofPolicy.waitingForSnapshots),
    ],
    async reconcile(key, signal) {
      const { namespace = '', name } = splitKey(key)
      const observed = await observe(namespace, name, signal)
      const now = clock.now()
      // Counted and taken without a wait between them: workers that plan side by side must not take the same last place.
      const world = { ...observed, probesRunning: probesRunning(caches, now) + startingProbe.size }
      const plan = planPolicy(world, now)
      if (plan.groups.some(({ name }) => name === probeGroup || isGroup(dryStartGroup, name))) startingProbe.add(key)
      const memory = memories.get(key) ?? new RefusalMemory()
      memories.set(key, memory)
      let wakeAt: Date | undefined
      try {
        ;({ wakeAt } = await applyPlan(options, world, plan, memory, log.child({ policy: key }), signal))
      } finally {
        startingProbe.delete(key)
      }
      if (!wakeAt && !world.policy) {
        memories.delete(key)
        return undefined
      }
      const waitMs = wakeAt ? wakeAt.getTime() - clock.now().getTime() : longestWaitMs
      return { requeueAfterMs: waitMs > 0 ? Math.min(longestWaitMs, waitMs) : againMs }
    },
  })
}

/** Which policies a change is about. */
function policyKeys(caches: Caches) {
  function snapshotting(namespace: string | undefined): readonly BackupPolicy[] {
    return caches.policies.byIndex('namespace', namespace ?? '').filter(({ spec }) => spec.strategy.type === 'snapshot')
  }
  const allSnapshotting = () => caches.policies.list().filter(({ spec }) => spec.strategy.type === 'snapshot')
  return {
    snapshotting,
    /** A stranger has no label of ours, and may take the name that a policy wants, or let go of it. */
    wanting: (cronJob: CronJob) => caches.policies.byIndex('cronJob', keyOf(cronJob)).map(keyOf),
    allSnapshotting,
    /** Also what has begun and is out of sight: its policy may be gone, or have another strategy by now. */
    waitingForSnapshots: (): readonly string[] => {
      const unfinished = caches.backups.list().filter(({ status }) => !isFinal(status?.phase))
      const begun = unfinished.map(({ metadata, spec }) => keyFrom(metadata.namespace, spec.policy))
      return [...new Set([...allSnapshotting().map(keyOf), ...begun])]
    },
    /** A label value may be a cut name; a policy that is gone can only have been named by what is left of it. */
    labelled: ({ metadata }: KubeObject): readonly string[] => {
      const value = metadata.labels?.[label.policy]
      if (value === undefined) return []
      const policies = caches.policies.byIndex('label', keyFrom(metadata.namespace, value))
      return policies.length > 0 ? policies.map(keyOf) : [keyFrom(metadata.namespace, value)]
    },
  }
}
