// One key is one Restore with its Jobs: gather, plan, apply. Changes only enqueue keys.
import { isRestoreFinal } from '../../api/kinds/restore-phases.ts'
import type { Restore } from '../../api/kinds/restore.ts'
import { label } from '../../api/labels.ts'
import { planRestore } from '../../plan/restore/plan.ts'
import type { Settings } from '../../resources/settings.ts'
import { keyFrom, keyOf, splitKey, type KubeObject } from '../../runtime/client/resource.ts'
import type { Log } from '../../runtime/log.ts'
import { Controller, watching } from '../../runtime/work/controller.ts'
import type { ControllerHooks } from '../../runtime/work/controller.ts'
import { applyPlan, longestPassMs, type ApplyContext } from '../shared/apply.ts'
import type { Caches } from '../shared/caches.ts'
import { RefusalMemory } from '../shared/refusals.ts'
import { WorkloadLooks } from '../shared/workloads.ts'
import { observeRestore } from './observe.ts'

/** One that goes on is looked at again after this at the latest: waits run on monotonic time and plans on wall time. */
const longestWaitMs = 300_000

/** For the look at workloads before a plan. */
const longestLookMs = 30_000

/** A plan that wants to be made again at once builds on what it has written; where that did not stick, it is made again and again. */
const againMs = 1000

export type RestoreControllerOptions = ApplyContext & {
  readonly settings: Settings
  readonly log: Log
  readonly hooks: ControllerHooks
  readonly workers: number
}

export function createRestoreController(options: RestoreControllerOptions): Controller {
  const { caches, client, settings, clock, log, hooks, workers } = options
  const keys = restoreKeys(caches)
  const memories = new Map<string, RefusalMemory>()
  const looks = new WorkloadLooks(client, clock)
  return new Controller({
    name: 'restore',
    workers,
    timeoutMs: longestLookMs + longestPassMs,
    clock,
    log,
    hooks,
    watches: [
      watching(caches.restores, restore => [keyOf(restore)]),
      watching(caches.backups, ({ metadata }) => keys.ofBackup(metadata.namespace, metadata.name)),
      watching(caches.policies, ({ metadata }) => keys.ofPolicy(metadata.namespace, metadata.name)),
      watching(caches.jobs, keys.labelled),
      watching(caches.pods, keys.labelled),
      watching(caches.jobEvents, event => {
        const job = caches.jobs.get(event.metadata.namespace, event.involvedObject.name)
        return job ? keys.labelled(job) : []
      }),
    ],
    async reconcile(key, signal) {
      const { namespace = '', name } = splitKey(key)
      const world = await observeRestore(caches, settings, looks, { namespace, name }, signal)
      if (!world.restore) {
        memories.delete(key)
        return undefined
      }
      const plan = planRestore(world, clock.now())
      const memory = memories.get(key) ?? new RefusalMemory()
      memories.set(key, memory)
      const owner = { namespace, name, restore: world.restore, of: 'Restore' } as const
      const { wakeAt } = await applyPlan(options, owner, plan, memory, log.child({ restore: key }), signal)
      if (isRestoreFinal(world.restore.status?.phase)) {
        memories.delete(key)
        if (world.policy) looks.forget(keyOf(world.policy))
        return undefined
      }
      const waitMs = wakeAt ? wakeAt.getTime() - clock.now().getTime() : longestWaitMs
      return { requeueAfterMs: waitMs > 0 ? Math.min(longestWaitMs, waitMs) : againMs }
    },
  })
}

/** Which Restores a change is about. One that has ended is about nothing any more. */
function restoreKeys(caches: Caches) {
  const going = (restores: readonly Restore[]) =>
    restores.filter(({ status }) => !isRestoreFinal(status?.phase)).map(keyOf)
  const ofBackup = (namespace: string | undefined, backup: string) =>
    going(caches.restores.byIndex('backup', keyFrom(namespace, backup)))
  return {
    ofBackup,
    /** Also of those whose Backup was made by it. */
    ofPolicy: (namespace: string | undefined, policy: string): readonly string[] => {
      const named = going(caches.restores.byIndex('policy', keyFrom(namespace, policy)))
      const backups = caches.backups.byIndex('policy', keyFrom(namespace, policy))
      return [...named, ...backups.flatMap(({ metadata }) => ofBackup(namespace, metadata.name))]
    },
    /** A label value may be a cut name. */
    labelled: ({ metadata }: KubeObject): readonly string[] => {
      const value = metadata.labels?.[label.restore]
      return value === undefined ? [] : going(caches.restores.byIndex('label', keyFrom(metadata.namespace, value)))
    },
  }
}
