import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromPolicy, restore, restoring } from '../../../test/plan/restore-world.ts'
import { restoreEssence } from './essence.ts'

const spec = {
  ...fromPolicy,
  into: { ...fromPolicy.into, env: [{ name: 'PGHOST', value: 'db' }] },
  identities: { secretRef: 'keys' },
}

test('of a Restore that has ended is kept what finds it and what metrics tell, and it is still the same object', () => {
  const times = { startTime: '2026-01-05T03:00:00Z', completionTime: '2026-01-05T03:05:00Z' }
  const of = restore(spec, { status: { ...restoring, ...times, phase: 'Completed', policy: 'nightly' } })
  const { metadata, spec: kept, status } = restoreEssence(of)
  assert.deepEqual([metadata.uid, metadata.resourceVersion], [of.metadata.uid, of.metadata.resourceVersion])
  assert.deepEqual(kept.source, fromPolicy.source)
  assert.ok(!('into' in kept) && !('identities' in kept))
  assert.deepEqual(status, { phase: 'Completed', policy: 'nightly', ...times })
  assert.deepEqual(restoreEssence(restoreEssence(of)), restoreEssence(of))
})

test('of one that goes on everything is kept that its Jobs are made of', () => {
  const of = restore(spec, { status: restoring })
  assert.deepEqual(restoreEssence(of), of)
})
