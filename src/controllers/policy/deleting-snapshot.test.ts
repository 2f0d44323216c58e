// A snapshot that is ready, that somebody deletes, and that a finalizer holds, while the policy of its run is gone.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { toyCaches } from '../../../test/histories/toy/caches.ts'
import { at, ready, scheduled, settings, snapshotOf, stamp } from '../../../test/plan/world.ts'
import { slotRunName } from '../../api/names.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import type { Resource } from '../../runtime/client/resource.ts'
import { silentLog } from '../../runtime/log.ts'
import { createPolicyController } from './controller.ts'

const start = at('02:10')

/** @param lists is told of each list */
function watched(server: ToyApiServer, lists: () => void) {
  const plain = toyClient(server)
  const client: typeof plain = Object.assign(Object.create(plain), {
    async list(resource: Resource, ...rest: readonly [Parameters<typeof plain.list>[1]]) {
      lists()
      return await plain.list(resource, ...rest)
    },
  })
  return client
}

test('F31: the run of a ready snapshot that is being deleted ends when its policy is gone, after few looks', async t => {
  const server = new ToyApiServer(start)
  const clock = new FakeClock(start)
  let lists = 0
  const client = watched(server, () => lists++)
  const caches = toyCaches(client)
  const slot = at('02:00')
  const name = slotRunName('nightly', 'data', slot)
  const { resourceVersion: _, ...metadata } = scheduled(slot, { name, target: 'data' }).metadata
  const made = server.create('backups', { ...scheduled(slot, { name, target: 'data' }), metadata })
  const wanted = snapshotOf(made, { status: ready })
  const { resourceVersion: _version, ...of } = wanted.metadata
  server.create('volumesnapshots', { ...wanted, metadata: of })
  const snapshot = server.update('volumesnapshots', name, each => ({
    ...each,
    metadata: { ...each.metadata, creationTimestamp: stamp(slot), deletionTimestamp: stamp(at('02:05')) },
    status: { ...ready, creationTime: stamp(slot) },
  }))
  const running = server.update('backups', name, each => ({
    ...each,
    status: {
      phase: 'Running',
      reason: 'SnapshotPending',
      message: 'waiting',
      target: 'data',
      run: name,
      startTime: stamp(slot),
    },
  }))
  assert.ok(snapshot && running)
  const { backups, snapshots, ...others } = caches
  for (const cache of Object.values(others)) cache.replace([])
  backups.replace([running])
  snapshots.replace([snapshot])
  const controller = createPolicyController({
    client,
    caches,
    settings,
    events: { record: () => {} } as never,
    metrics: { observe() {}, observeRestore() {} },
    clock,
    log: silentLog,
    hooks: {},
    workers: 1,
  })
  const stop = new AbortController()
  const run = controller.run(stop.signal)
  t.after(async () => {
    stop.abort(new Error('over'))
    await run
  })
  await clock.advance(600_000)
  const { status } = server.get('backups', name) ?? {}
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'PolicyDeleted'])
  assert.ok(lists < 10, `${lists} lists in ten minutes`)
})
