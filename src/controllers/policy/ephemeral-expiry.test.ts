// Age alone ends snapshots of claims that went with their pods, the last good one of each as well: it must not be the age by a wrong clock.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { toyCaches } from '../../../test/histories/toy/caches.ts'
import { passOf } from '../../../test/histories/toy/pass.ts'
import { at, completed, ready, scheduled, snapshotOf, snapshotPolicy, stamp, world } from '../../../test/plan/world.ts'
import { annotation, label } from '../../api/labels.ts'
import { slotRunName } from '../../api/names.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { addSeconds } from '../../schedule/times.ts'

const day = 24 * 3600
const slot = at('02:00')

/**
 * Thirty pods are away, and their claims with them, of each of which one snapshot is left.
 * @returns how many of these one pass deletes
 */
async function expire(clocks: { readonly server: Date; readonly operator: Date }): Promise<number> {
  const server = new ToyApiServer(clocks.server)
  const policy = server.create('backuppolicies', snapshotPolicy())
  for (let n = 0; n < 30; n++) {
    const target = `scratch-worker-${n}`
    const name = slotRunName('nightly', target, slot)
    const claimUID = `uid-of-${target}`
    server.create('backups', scheduled(slot, { name, target }))
    const status = completed(name, addSeconds(slot, 60), {
      target,
      takenTime: stamp(slot),
      snapshot: { name, claimUID },
    })
    const told =
      server.update('backups', name, each => ({
        ...each,
        metadata: { ...each.metadata, creationTimestamp: stamp(slot) },
        status,
      })) ?? assert.fail()
    server.create('volumesnapshots', snapshotOf(told))
    server.update('volumesnapshots', name, each => ({
      ...each,
      metadata: {
        ...each.metadata,
        creationTimestamp: stamp(slot),
        labels: { ...each.metadata.labels, [label.ephemeral]: 'true' },
        annotations: { ...each.metadata.annotations, [annotation.claimUID]: claimUID },
      },
      status: { ...ready, creationTime: stamp(slot) },
    }))
  }
  const client = toyClient(server)
  const context = applyContext(client, new FakeClock(clocks.operator), { caches: toyCaches(client) })
  const seen = world(policy, {
    claims: [],
    backups: server.all('backups'),
    snapshots: server.all('volumesnapshots'),
  })
  await passOf(context, seen, clocks.operator, /^expire\//)
  return server.all('volumesnapshots').filter(({ metadata }) => metadata.deletionTimestamp).length
}

test('F23: the last snapshots of claims that went with their pods stay, however far ahead the clock of the operator is', async () => {
  const real = addSeconds(slot, 2 * 3600)
  for (const days of [0, 8, 365])
    assert.equal(await expire({ server: real, operator: addSeconds(real, days * day) }), 0, `${days} days ahead`)
})

test('F23: the last snapshots of claims that went with their pods go once both clocks are past seven days', async () => {
  const times = { past: addSeconds(slot, 7 * day), before: addSeconds(slot, 7 * day - 1) }
  assert.equal(await expire({ server: times.past, operator: times.past }), 30)
  assert.equal(await expire({ server: times.before, operator: times.past }), 0)
  assert.equal(await expire({ server: times.past, operator: times.before }), 0)
})
