import { Counter, Gauge, Histogram } from 'prom-client'
import type { Registry } from 'prom-client'
import type { RequestSample } from './client/requests.ts'
import { realClock } from './clock.ts'
import type { Clock } from './clock.ts'
import type { ControllerHooks, ReconcileResult } from './work/controller.ts'
import type { RestartReason } from './cache/reflector.ts'
import type { KubeObject } from './client/resource.ts'
import type { Cache } from './cache/store.ts'

/** What the runtime measures about itself, under the names that client-go and controller-runtime made known. */
export type RuntimeMetrics = {
  /** For `ClientOptions.onRequest`. */
  readonly onRequest: (sample: RequestSample) => void
  /** For `ControllerOptions.hooks`. */
  readonly controllerHooks: (name: string) => ControllerHooks
  /** For `ReflectorOptions.onRestart`. */
  readonly onRestart: (resource: string) => (reason: RestartReason) => void
  /** Shows the cache's age, size and state at every scrape. */
  readonly watchCache: (resource: string, cache: Cache<KubeObject>) => void
  /** For `LeaseOptions.onChange`; the name is the lease's. */
  readonly onLeader: (name: string) => (held: boolean) => void
}

const seconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60]
const results: readonly ReconcileResult[] = ['done', 'requeued', 'waiting', 'conflict', 'error', 'fenced', 'stopped']
const restarts: readonly RestartReason[] = ['ended', 'dead', 'gone', 'absent', 'error']

export function createRuntimeMetrics(registry: Registry, clock: Clock = realClock): RuntimeMetrics {
  const registers = [registry]
  const requests = new Counter({
    name: 'rest_client_requests_total',
    help: 'Requests to the API server by verb, resource and HTTP status; "error" where no answer came.',
    labelNames: ['verb', 'resource', 'code'],
    registers,
  })
  const requestSeconds = new Histogram({
    name: 'rest_client_request_duration_seconds',
    help: 'Time until the API server answered; for watches until the first byte.',
    labelNames: ['verb'],
    buckets: seconds,
    registers,
  })
  const depth = new Gauge({
    name: 'workqueue_depth',
    help: 'Keys that wait for a worker.',
    labelNames: ['name'],
    registers,
  })
  const adds = new Counter({
    name: 'workqueue_adds_total',
    help: 'Keys added to the queue.',
    labelNames: ['name'],
    registers,
  })
  const retries = new Counter({
    name: 'workqueue_retries_total',
    help: 'Keys that were put back with a backoff.',
    labelNames: ['name'],
    registers,
  })
  const queueSeconds = new Histogram({
    name: 'workqueue_queue_duration_seconds',
    help: 'How long keys waited for a worker.',
    labelNames: ['name'],
    buckets: seconds,
    registers,
  })
  const reconciles = new Counter({
    name: 'controller_reconcile_total',
    help: 'Finished reconciles by what became of them.',
    labelNames: ['controller', 'result'],
    registers,
  })
  const reconcileSeconds = new Histogram({
    name: 'controller_reconcile_duration_seconds',
    help: 'How long reconciles took.',
    labelNames: ['controller'],
    buckets: seconds,
    registers,
  })
  const watchRestarts = new Counter({
    name: 'reflector_restarts_total',
    help: 'Watches that were started over, by reason; "ended" and "absent" are normal.',
    labelNames: ['resource', 'reason'],
    registers,
  })
  const leader = new Gauge({
    name: 'leader_election_master_status',
    help: '1 while this process holds the lease.',
    labelNames: ['name'],
    registers,
  })
  const caches = new Map<string, Cache<KubeObject>>()
  cacheGauges(registry, clock, caches)

  return {
    onRequest: ({ verb, resource, code, seconds: took }) => {
      requests.inc({ verb, resource, code })
      requestSeconds.observe({ verb }, took)
    },
    controllerHooks: name => {
      depth.set({ name }, 0)
      adds.inc({ name }, 0)
      retries.inc({ name }, 0)
      for (const result of results) reconciles.inc({ controller: name, result }, 0)
      return {
        onDepth: value => depth.set({ name }, value),
        onAdd: () => adds.inc({ name }),
        onRetry: () => retries.inc({ name }),
        onTaken: waited => queueSeconds.observe({ name }, waited),
        onReconciled: (result, took) => {
          reconciles.inc({ controller: name, result })
          reconcileSeconds.observe({ controller: name }, took)
        },
      }
    },
    onRestart: resource => {
      for (const reason of restarts) watchRestarts.inc({ resource, reason }, 0)
      return reason => watchRestarts.inc({ resource, reason })
    },
    watchCache: (resource, cache) => caches.set(resource, cache),
    onLeader: name => {
      leader.set({ name }, 0)
      return held => leader.set({ name }, held ? 1 : 0)
    },
  }
}

function cacheGauges(registry: Registry, clock: Clock, caches: ReadonlyMap<string, Cache<KubeObject>>): void {
  const options = { labelNames: ['resource'] as const, registers: [registry] }
  void new Gauge({
    ...options,
    name: 'reflector_last_seen_age_seconds',
    help: 'Time since the API server last told this cache anything; a bookmark, or the end of a watch in good order, comes within a minute.',
    collect() {
      for (const [resource, { lastSeen }] of caches) {
        if (lastSeen !== undefined) this.set({ resource }, (clock.monotonic() - lastSeen) / 1000)
      }
    },
  })
  void new Gauge({
    ...options,
    name: 'reflector_objects',
    help: 'Objects in the cache.',
    collect() {
      for (const [resource, cache] of caches) this.set({ resource }, cache.size)
    },
  })
  void new Gauge({
    ...options,
    name: 'reflector_synced',
    help: '1 once the cache was filled; also when the API server does not serve the resource.',
    collect() {
      for (const [resource, { state }] of caches) this.set({ resource }, state === 'syncing' ? 0 : 1)
    },
  })
  void new Gauge({
    ...options,
    name: 'reflector_served',
    help: '1 while the API server serves the resource, 0 while it answers that it does not know it. Absent before the first answer.',
    collect() {
      for (const [resource, { state }] of caches)
        if (state !== 'syncing') this.set({ resource }, state === 'absent' ? 0 : 1)
    },
  })
}
