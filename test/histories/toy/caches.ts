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

/** What watches that deliver everything have told; of the kinds in `behind` an earlier state. */
export function fillCaches(
  caches: Caches,
  server: ToyApiServer,
  snapshotApi: boolean,
  behind: ReadonlyMap<string, readonly KubernetesObject[]> = new Map(),
): void {
  const fill = <K extends Plural>(store: Store<Kinds[K]>, plural: K) => {
    store.replace((behind.get(plural) as readonly Kinds[K][] | undefined) ?? server.all(plural))
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
    caches.snapshots.markAbsent()
    caches.snapshotClasses.markAbsent()
  }
}
