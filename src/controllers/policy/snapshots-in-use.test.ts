import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { fillCaches, toyCaches } from '../../../test/histories/toy/caches.ts'
import {
  at,
  claim,
  completed,
  ready,
  scheduled,
  snapshotOf,
  snapshotPolicy,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import { planPolicy } from '../../plan/policy/policy.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { silentLog } from '../../runtime/log.ts'
import { addSeconds } from '../../schedule/times.ts'
import { applyPlan } from '../shared/apply.ts'
import { RefusalMemory } from '../shared/refusals.ts'

const now = at('12:00')

/** Snapshots of one claim, one every five minutes; claims that wait to be made from the oldest of them. */
function made(server: ToyApiServer, count: number, inUse: number): void {
  for (let n = 0; n < count; n++) {
    const slot = addSeconds(at('06:00'), n * 300)
    const name = `nightly-data-${n}`
    const backup = scheduled(slot, {
      name,
      target: 'data',
      status: completed(name, slot, { target: 'data', snapshot: { name } }),
    })
    const of = server.create('backups', backup)
    server.update('backups', name, each => ({ ...each, status: backup.status }))
    server.create('volumesnapshots', snapshotOf(of))
    server.update('volumesnapshots', name, each => ({
      ...each,
      metadata: { ...each.metadata, creationTimestamp: stamp(slot) },
      status: ready,
    }))
    if (n >= inUse) continue
    const waiting = claim(`of-${n}`, { metadata: { labels: {} } })
    const dataSource = { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name }
    server.create('persistentvolumeclaims', { ...waiting, spec: { dataSource } })
    server.update('persistentvolumeclaims', `of-${n}`, each => ({ ...each, status: { phase: 'Pending' } }))
  }
}

test('F65: snapshots that are needed stand in the way of no others, however many they are, and a pass deletes 20', async () => {
  const server = new ToyApiServer(now)
  const number = { value: 2, since: stamp(at('00:00')) }
  server.create('backuppolicies', snapshotPolicy({ retention: 2 }))
  server.update('backuppolicies', 'nightly', each => ({
    ...each,
    status: { retention: number, onDemandRetention: number },
  }))
  made(server, 60, 30)
  const client = toyClient(server)
  const caches = toyCaches(client)
  const context = applyContext(client, new FakeClock(now), { caches })
  const memory = new RefusalMemory()
  const standing = () => server.all('volumesnapshots').filter(({ metadata }) => !metadata.deletionTimestamp).length
  const left: number[] = []
  for (let pass = 0; pass < 3; pass++) {
    fillCaches(caches, server, true)
    const seen = world(server.get('backuppolicies', 'nightly'), {
      claims: [claim('data')],
      backups: server.all('backups'),
      snapshots: server.all('volumesnapshots'),
    })
    const { groups, conclude } = planPolicy(seen, now)
    const plan = { groups: groups.filter(({ name }) => name.startsWith('prune/')), conclude, wakeAt: undefined }
    await applyPlan(context, seen, plan, memory, silentLog, new AbortController().signal)
    left.push(standing())
  }
  assert.deepEqual(left, [40, 32, 32])
  const conditions = server.get('backuppolicies', 'nightly')?.status?.conditions ?? []
  const blocked = conditions.find(({ type }) => type === 'RetentionBlocked')
  assert.equal(blocked?.reason, 'SnapshotInUse')
  assert.match(blocked.message, /; and 25 more$/)
})
