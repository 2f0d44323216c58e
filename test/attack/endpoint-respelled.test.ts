// Attack: TLS is switched on for the store (http → https in backend.endpoint): the same bucket, another `location`.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { annotation } from '../../src/api/labels.ts'
import { storeLocation } from '../../src/resources/desired-state.ts'
import { only, planPolicy } from '../plan/planned.ts'
import { at, backend, completed, policy, scheduled, world } from '../plan/world.ts'

test('a backup cannot be held any more, and its owner is told that nothing deletes it, after its endpoint was written otherwise: the movers prune it all the same (R28, F63)', () => {
  const name = scheduled(at('02:00')).metadata.name
  const of = scheduled(at('02:00'), {
    metadata: { annotations: { [annotation.hold]: 'true' } },
    status: completed(name, at('02:10'), { store: storeLocation(backend), bytes: 10 }),
  })
  const seen = world(policy({ backend: { ...backend, endpoint: 'https://minio.minio.svc:9000' } }), { backups: [of] })
  const { actions } = planPolicy(seen, at('12:00'))
  const told = only(actions, 'status Backup')[0]?.status.conditions?.find(({ type }) => type === 'Held')
  assert.equal(only(actions, 'create hold Job').length, 1, `no Job asks the bucket; the Backup says ${told?.reason}: ${told?.message}`)
})
