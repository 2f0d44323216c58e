import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Client } from '../../../src/runtime/client/client.ts'
import { FakeClock } from '../../../src/runtime/fake-clock.ts'
import { ConnectionError, FencedError, isConflict, isGone, isInvalid } from '../../../src/runtime/client/errors.ts'
import { EventRecorder, events } from '../../../src/runtime/events.ts'
import { Lease, leases } from '../../../src/runtime/work/lease.ts'
import { Reflector, type ReflectorOptions, type RestartReason } from '../../../src/runtime/cache/reflector.ts'
import type { RequestSample } from '../../../src/runtime/client/requests.ts'
import type { KubeObject, Resource } from '../../../src/runtime/client/resource.ts'
import type { Store } from '../../../src/runtime/cache/store.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'

type ConfigMap = KubeObject & { readonly data?: Readonly<Record<string, string>> }

const configMaps: Resource = { group: '', version: 'v1', plural: 'configmaps', kind: 'ConfigMap', namespaced: true }
const namespaces: Resource = { group: '', version: 'v1', plural: 'namespaces', kind: 'Namespace', namespaced: false }
const crds: Resource = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
}
const widgets: Resource = { group: 'example.dev', version: 'v1', plural: 'widgets', kind: 'Widget', namespaced: true }

let plane: ControlPlane
let client: Client
before(async () => {
  plane = await startControlPlane()
  client = new Client(plane.adminConfig)
})
after(async () => {
  await client.close()
  await plane.stop()
})

function configMap(namespace: string, name: string, data: Record<string, string> = {}): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace, labels: { test: namespace } }, data }
}

async function makeNamespace(name: string): Promise<string> {
  await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  return name
}

type Followed<T extends KubeObject> = {
  readonly store: Store<T>
  readonly samples: RequestSample[]
  readonly restarts: RestartReason[]
  /** Resolves when the condition holds, looked at after every change of the store and every restart of the watch. */
  readonly seen: (condition: () => boolean) => Promise<void>
}

/** Follows a resource until the test ends. */
function follow<T extends KubeObject>(
  t: { after: (fn: () => Promise<void>) => void },
  options: Omit<ReflectorOptions<T>, 'client'>,
): Followed<T> {
  const looks = new Set<() => void>()
  const lookAll = () => looks.forEach(look => look())
  const samples: RequestSample[] = []
  const restarts: RestartReason[] = []
  const ownClient = new Client(plane.adminConfig, { onRequest: sample => samples.push(sample) })
  const onRestart = (reason: RestartReason) => {
    restarts.push(reason)
    lookAll()
  }
  const reflector = new Reflector<T>({ ...options, client: ownClient, onRestart })
  reflector.store.subscribe(lookAll)
  const stop = new AbortController()
  const running = reflector.run(stop.signal)
  t.after(async () => {
    stop.abort()
    await running
    await ownClient.close()
  })
  const seen = async (condition: () => boolean) => {
    const met = Promise.withResolvers<void>()
    const look = () => {
      if (condition()) met.resolve()
    }
    looks.add(look)
    look()
    await met.promise
    looks.delete(look)
  }
  return { store: reflector.store, samples, restarts, seen }
}

function names(objects: readonly KubeObject[]): readonly string[] {
  return objects.map(object => object.metadata.name).toSorted()
}

test('the first sync is one WatchList that goes on as the watch', async t => {
  const namespace = await makeNamespace('watch-list')
  await client.create(configMaps, configMap(namespace, 'before'))
  const { store, samples, seen } = follow<ConfigMap>(t, {
    resource: configMaps,
    namespace,
    labelSelector: `test=${namespace}`,
  })
  await store.settled()
  assert.deepEqual(names(store.list()), ['before'])
  const created = await client.create(configMaps, configMap(namespace, 'later'))
  await client.replace(configMaps, { ...created, data: { a: 'b' } })
  await seen(() => store.get(namespace, 'later')?.data?.['a'] === 'b')
  assert.equal('managedFields' in (store.get(namespace, 'later')?.metadata ?? {}), false)
  await client.delete(configMaps, namespace, 'before')
  await seen(() => store.get(namespace, 'before') === undefined)
  assert.deepEqual(
    samples.map(({ verb, code }) => `${verb} ${code}`),
    ['watch 200'],
  )
})

test('metadata alone is listed where only metadata is wanted', async () => {
  const namespace = await makeNamespace('metadata-only')
  const created = await client.create(configMaps, configMap(namespace, 'x', { big: 'data' }))
  const { items } = await client.list(configMaps, { namespace, metadataOnly: true, labelSelector: 'test' })
  assert.deepEqual(items, [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: created.metadata }])
})

test('a resource that the API server does not cache is followed too, by fields', async t => {
  const namespace = await makeNamespace('uncached')
  const fieldSelector = `involvedObject.namespace=${namespace},type=Warning`
  const { store, restarts, seen } = follow(t, { resource: events, fieldSelector })
  await store.settled()
  const object = await client.create(configMaps, configMap(namespace, 'x'))
  const recorder = new EventRecorder({ client, component: 'runtime-test', instance: 'one' })
  recorder.record(object, { type: 'Normal', reason: 'Fine', message: 'nothing to see' })
  recorder.record(object, { type: 'Warning', reason: 'Bent', message: 'it is bent' })
  await seen(() => store.list().length > 0)
  assert.deepEqual(
    store.list().map(event => (event as KubeObject & { readonly reason?: string }).reason),
    ['Bent'],
  )
  assert.deepEqual(restarts, [])
})

test('a list of several pages is complete', async () => {
  const namespace = await makeNamespace('pages')
  const expected = ['a', 'b', 'c', 'd', 'e']
  for (const name of expected) await client.create(configMaps, configMap(namespace, name))
  const list = await client.list<ConfigMap>(configMaps, { namespace, labelSelector: 'test', pageSize: 2 })
  assert.deepEqual(names(list.items), expected)
  assert.equal(list.items[0]?.kind, 'ConfigMap')
})

const widgetDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.dev' },
  spec: {
    group: 'example.dev',
    names: { plural: 'widgets', singular: 'widget', kind: 'Widget' },
    scope: 'Namespaced',
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        subresources: { status: {} },
      },
    ],
  },
}

test('a kind whose definition appears later is followed without a restart, and its going is seen too', async t => {
  const namespace = await makeNamespace('later-kind')
  const { store, seen } = follow(t, { resource: widgets, timings: { absentMs: 100, firstBackoffMs: 50 } })
  await store.settled()
  assert.equal(store.state, 'absent')
  await client.create(crds, widgetDefinition)
  await plane.kubectl(['wait', 'crd/widgets.example.dev', '--for=condition=Established', '--timeout=30s'])
  const widget = {
    apiVersion: 'example.dev/v1',
    kind: 'Widget',
    metadata: { name: 'w', namespace },
    spec: { odd: [1] },
  }
  await client.create(widgets, widget)
  await seen(() => store.get(namespace, 'w') !== undefined)
  assert.equal(store.state, 'synced')

  const applied = await client.patch<KubeObject & { readonly status?: unknown }>(
    widgets,
    namespace,
    'w',
    {
      kind: 'apply',
      body: { apiVersion: 'example.dev/v1', kind: 'Widget', metadata: { name: 'w', namespace }, status: { ok: true } },
      fieldManager: 'runtime-test',
      force: true,
    },
    { subresource: 'status' },
  )
  assert.deepEqual(applied.status, { ok: true })

  await client.delete(crds, undefined, 'widgets.example.dev')
  await seen(() => store.get(namespace, 'w') === undefined)
  await seen(() => store.state === 'absent')
})

test('preconditions, stale versions and failed tests are refused as what they are', async () => {
  const namespace = await makeNamespace('refusals')
  const created = await client.create(configMaps, configMap(namespace, 'x'))
  const changed = await client.patch<ConfigMap>(configMaps, namespace, 'x', {
    kind: 'merge',
    body: { data: { a: 'b' } },
  })
  assert.deepEqual(changed.data, { a: 'b' })
  await assert.rejects(client.replace(configMaps, created), isConflict)
  await assert.rejects(client.delete(configMaps, namespace, 'x', { uid: 'another' }), isConflict)
  const { resourceVersion } = created.metadata
  await assert.rejects(client.delete(configMaps, namespace, 'x', { resourceVersion }), isConflict)
  const jsonTest = [{ op: 'test', path: '/data/a', value: 'c' }]
  await assert.rejects(client.patch(configMaps, namespace, 'x', { kind: 'json', body: jsonTest }), isInvalid)
  const { uid } = created.metadata
  assert.equal(await client.delete(configMaps, namespace, 'x', { uid, propagationPolicy: 'Background' }), true)
  assert.equal(await client.get(configMaps, namespace, 'x'), undefined)
})

test('of two candidates one leads and may write, and a stop hands over within seconds', async t => {
  const namespace = await makeNamespace('leader')
  const candidates = ['first', 'second'].map(identity => {
    const lease = new Lease({ client, namespace, name: 'lock', identity })
    const stop = new AbortController()
    const leading = Promise.withResolvers<void>()
    const running = lease.run(stop.signal, async signal => {
      leading.resolve()
      await new Promise(resolve => signal.addEventListener('abort', resolve))
    })
    t.after(async () => {
      stop.abort()
      await running
    })
    return { identity, fenced: client.fenced(() => lease.isHeld()), lease, stop, leading: leading.promise, running }
  })
  const leader = await Promise.race(candidates.map(candidate => candidate.leading.then(() => candidate)))
  const other = candidates.find(candidate => candidate !== leader)
  assert.ok(other)
  assert.equal(other.lease.isHeld(), false)
  await leader.fenced.create(configMaps, configMap(namespace, 'by-leader'))
  await assert.rejects(other.fenced.create(configMaps, configMap(namespace, 'by-other')), FencedError)
  leader.stop.abort()
  assert.equal(await leader.running, 'stopped')
  await assert.rejects(leader.fenced.delete(configMaps, namespace, 'by-leader'), FencedError)
  await other.leading
  const lease = await client.get<KubeObject & { readonly spec?: object }>(leases, namespace, 'lock')
  const { renewTime, acquireTime, ...spec } = (lease?.spec ?? {}) as Record<string, unknown>
  assert.deepEqual(spec, { holderIdentity: other.identity, leaseDurationSeconds: 15, leaseTransitions: 1 })
  for (const time of [renewTime, acquireTime]) assert.match(String(time), /^\d{4}-.*\.\d{6}Z$/)
})

test('an event told again, also by the next process, is one event with a count that kubectl describe shows', async () => {
  const namespace = await makeNamespace('events')
  const object = await client.create(configMaps, configMap(namespace, 'x'))
  const note = { type: 'Warning', reason: 'Bent', message: 'it is bent' } as const
  for (const instance of ['one', 'two']) {
    const recorder = new EventRecorder({ client, component: 'runtime-test', instance })
    recorder.record(object, note)
    recorder.record(object, note)
    await recorder.flush()
    recorder.record(object, note)
    await recorder.flush()
  }
  const list = await client.list<KubeObject & { readonly count?: number }>(events, { namespace })
  assert.deepEqual(
    list.items.map(({ count }) => count),
    [6],
  )
  const described = await plane.kubectl(['-n', namespace, 'describe', 'configmap', 'x'])
  assert.match(described, /Warning\s+Bent\s+.*\(x6 over .*runtime-test\s+it is bent/)
})

test('a CA that is replaced on disk is used without a restart, in both directions', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'runtime-ca-'))
  t.after(() => rm(directory, { recursive: true }))
  const caFile = join(directory, 'ca.crt')
  const { clientCertificate, url, ca } = plane.adminConfig
  const clock = new FakeClock()
  // A certificate authority that did not sign the server's certificate.
  const otherCa = clientCertificate.cert
  await writeFile(caFile, ca)
  const rotating = new Client({ url, caFile, clientCertificate }, { clock })
  t.after(() => rotating.close())
  const ask = () => rotating.get(namespaces, undefined, 'default', { attempts: 1 })
  assert.ok(await ask())
  await writeFile(caFile, otherCa)
  await clock.advance(10_000)
  await assert.rejects(ask(), (error: unknown) => error instanceof ConnectionError && /certificate/.test(error.message))
  await writeFile(caFile, ca)
  await clock.advance(10_000)
  assert.ok(await ask())
})

test('after a crash of the API server everything is followed again, with what changed since', async t => {
  const namespace = await makeNamespace('crash')
  await client.create(configMaps, configMap(namespace, 'before'))
  const { store, restarts, seen } = follow<ConfigMap>(t, { resource: configMaps, namespace, labelSelector: 'test' })
  await store.settled()
  await plane.killApiServer()
  await plane.restartApiServer()
  // Deleting without a watch that works: whether it comes as an event or by a new sync is the reflector's business.
  await plane.kubectl(['-n', namespace, 'delete', 'configmap', 'before'])
  await client.create(configMaps, configMap(namespace, 'after'))
  await seen(() => names(store.list()).join() === 'after')
  assert.equal(store.lastError, undefined)
  assert.ok(restarts.includes('error'))
})

test('a watch from before the API server started says that its resourceVersion is gone', async () => {
  await plane.restartApiServer()
  const stop = new AbortController()
  await assert.rejects(async () => {
    for await (const _ of client.watch(configMaps, { signal: stop.signal, query: { resourceVersion: '1' } })) {
      // What the server still knows may come before the refusal.
    }
  }, isGone)
})
