import type { Kinds, Plural, ToyApiServer } from './api-server.ts'
import type { KubernetesObject } from '../../../src/api/kubernetes.ts'
import type { Store } from '../../../src/runtime/cache/store.ts'
import { createCaches, type Caches } from '../../../src/controllers/shared/caches.ts'
import type { Client } from '../../../src/runtime/client/client.ts'
import { silentLog } from '../../../src/runtime/log.ts'
import type { RuntimeMetrics } from '../../../src/runtime/metrics.ts'

/** The caches of an operator whose watches tell nothing: a test fills them. */
export function toyCaches(client: Client): Caches {
  const metrics = { watchCache: () => {}, onRestart: () => () => {} } as unknown as RuntimeMetrics
  return createCaches({ client, log: silentLog, metrics }).caches
}

/** The version of its kind that a store has; none of one that is behind. */
const known = new WeakMap<object, number>()

/** What watches that deliver everything have told; of the kinds in `behind` an earlier state. */
export function fillCaches(
  caches: Caches,
  server: ToyApiServer,
  snapshotApi: boolean,
  behind: ReadonlyMap<string, readonly KubernetesObject[]> = new Map(),
): void {
  const fill = <K extends Plural>(store: Store<Kinds[K]>, plural: K) => {
    const earlier = behind.get(plural) as readonly Kinds[K][] | undefined
    const version = earlier ? undefined : server.changedAt(plural)
    if (version !== undefined && known.get(store) === version) return
    store.replace(earlier ?? server.all(plural))
    setKnown(store, version)
  }
  fill(caches.policies, 'backuppolicies')
  fill(caches.backups, 'backups')
  fill(caches.cronJobs, 'cronjobs')
  fill(caches.jobs, 'jobs')
  fill(caches.pods, 'pods')
  fill(caches.jobEvents, 'events')
  caches.cronJobEvents.replace([])
  fill(caches.claims, 'persistentvolumeclaims')
  fill(caches.volumes, 'persistentvolumes')
  if (snapshotApi) {
    fill(caches.snapshots, 'volumesnapshots')
    fill(caches.snapshotClasses, 'volumesnapshotclasses')
  } else {
    for (const store of [caches.snapshots, caches.snapshotClasses]) {
      store.markAbsent(server.now.getTime())
      setKnown(store, undefined)
    }
  }
}

function setKnown(store: object, version: number | undefined): void {
  if (version === undefined) known.delete(store)
  else known.set(store, version)
}
