// The operator as one process: caches on every replica, controllers only on the one that holds the lease.
import { randomUUID } from 'node:crypto'
import { Registry } from 'prom-client'
import type { KubernetesObject } from '../api/kubernetes.ts'
import { managerName } from '../api/labels.ts'
import type { Settings } from '../resources/settings.ts'
import { Client } from '../runtime/client/client.ts'
import { realClock } from '../runtime/clock.ts'
import type { ClientConfig } from '../runtime/client/config.ts'
import { EventRecorder } from '../runtime/events.ts'
import { Lease } from '../runtime/work/lease.ts'
import type { Log } from '../runtime/log.ts'
import { createRuntimeMetrics } from '../runtime/metrics.ts'
import { startServer, type Report } from '../runtime/server.ts'
import { createCaches, type Caches } from './shared/caches.ts'
import { BackupMetrics } from './metrics/metrics.ts'
import { createPolicyController } from './policy/controller.ts'
import { createRestoreController } from './restore/controller.ts'
import { namespaces } from './shared/resources.ts'

export type OperatorOptions = {
  readonly config: ClientConfig
  /** Without a cluster id, the UID of kube-system is used. */
  readonly settings: Omit<Settings, 'clusterId'> & { readonly clusterId?: string }
  /** Where the lease is. */
  readonly namespace: string
  /** Name of the pod. */
  readonly identity: string
  readonly metricsPort: number
  readonly healthPort: number
  /** The address that both ports listen on; all of them, unless said otherwise. */
  readonly host?: string
  readonly workers: number
  readonly log: Log
}

/** Resolves when the signal aborted and everything has ended, or `lost` when the lease was lost and the process must exit now. */
export async function runOperator(options: OperatorOptions, signal: AbortSignal): Promise<'stopped' | 'lost'> {
  const { log, namespace, workers } = options
  // A container that restarts in its pod is another candidate: it must not take the lease of the one that died for its own.
  const identity = `${options.identity}_${randomUUID()}`
  const clock = realClock
  const registry = new Registry()
  const runtimeMetrics = createRuntimeMetrics(registry, clock)
  const client = new Client(options.config, { clock, log, onRequest: runtimeMetrics.onRequest })
  const lease = new Lease({
    client,
    namespace,
    name: managerName,
    identity,
    clock,
    log,
    onChange: runtimeMetrics.onLeader(managerName),
  })
  const { caches, run } = createCaches({ client, log, metrics: runtimeMetrics })
  const backupMetrics = new BackupMetrics({
    policies: caches.policies,
    backups: caches.backups,
    restores: caches.restores,
    isLeader: () => lease.isHeld(),
    now: () => clock.now(),
    serverTime: () => client.serverTime(),
  })

  const metrics = () => ({ contentType: registry.contentType, parts: allMetrics(registry, backupMetrics) })
  const probes = { host: options.host, healthy: () => alive, ready: () => readiness(caches), metrics, log }
  const servers = await Promise.all([
    startServer({ port: options.healthPort, ...probes }),
    startServer({ port: options.metricsPort, ...probes }),
  ])
  // Ends the watches also when the lease was lost: closing waits for requests that are under way, and a watch is one for a minute.
  const ending = new AbortController()
  const watching = run(AbortSignal.any([signal, ending.signal]))
  try {
    const outcome = await lease.run(signal, async leading => {
      const fenced = client.fenced(() => lease.isHeld())
      const settings: Settings = {
        ...options.settings,
        clusterId: options.settings.clusterId ?? (await clusterId(client, leading)),
      }
      const events = new EventRecorder({ client: fenced, component: managerName, instance: identity, clock, log })
      const context = { client: fenced, caches, settings, events, metrics: backupMetrics, clock, log, workers }
      const controllers = [
        createPolicyController({ ...context, hooks: runtimeMetrics.controllerHooks('policy') }),
        createRestoreController({ ...context, hooks: runtimeMetrics.controllerHooks('restore') }),
      ]
      await Promise.all(controllers.map(controller => controller.run(leading)))
      await events.flush()
    })
    return outcome
  } finally {
    ending.abort(new Error('the operator ends'))
    await Promise.all([watching, ...servers.map(server => server.close())])
    await client.close()
  }
}

async function* allMetrics(registry: Registry, backupMetrics: BackupMetrics): AsyncGenerator<string> {
  yield `${await registry.metrics()}\n`
  yield* backupMetrics.text()
}

const alive: Report = { ok: true, detail: {} }

/** Ready to serve, as leader or standby: every cache has seen the API server's answer. */
function readiness(caches: Caches): Report {
  const detail = Object.fromEntries(Object.entries(caches).map(([name, { state }]) => [name, state]))
  return { ok: Object.values(caches).every(({ state }) => state !== 'syncing'), detail }
}

async function clusterId(client: Client, signal: AbortSignal): Promise<string> {
  const kubeSystem = await client.get<KubernetesObject>(namespaces, undefined, 'kube-system', { signal })
  const uid = kubeSystem?.metadata.uid
  if (!uid)
    throw new Error(
      'there is no namespace kube-system to take the cluster id from; set clusterId in the values of the chart',
    )
  return uid
}
