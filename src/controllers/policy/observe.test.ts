import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { toyCaches } from '../../../test/histories/toy/caches.ts'
import { at, controlledBy, job, policy, stamp } from '../../../test/plan/world.ts'
import type { OwnerReference } from '../../api/kubernetes.ts'
import { probesRunning } from './observe.ts'

const now = at('12:00')

/** How many places are taken where Jobs that look like probes have just begun, with these owners. */
function taken(owners: readonly (readonly OwnerReference[])[]): number {
  const caches = toyCaches(toyClient(new ToyApiServer(now)))
  caches.policies.replace([policy(), policy({}, { metadata: { name: 'other', uid: 'other' } })])
  const status = { startTime: stamp(now), active: 1 }
  const metadata = { creationTimestamp: stamp(now) }
  caches.jobs.replace(
    owners.map((ownerReferences, n) =>
      job(`probe-${n}`, 'probe', { status, metadata: { ...metadata, ownerReferences } }),
    ),
  )
  return probesRunning(caches, now)
}

test('what only looks like a probe takes none of the places of all tenants, and a policy takes one at most (F74)', () => {
  const own = controlledBy(policy())
  assert.equal(taken([[], [{ ...own, uid: 'gone' }], [{ ...own, controller: false }], [{ ...own, kind: 'Backup' }]]), 0)
  assert.equal(taken([[own], [own], [own]]), 1)
  assert.equal(taken([[own], [{ ...own, name: 'other', uid: 'other' }]]), 2)
})
