import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kept, type Kept } from '../../../test/plan/kept.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import { at, claim, snapshotPolicy, stamp, world } from '../../../test/plan/world.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { label } from '../../api/labels.ts'

const limits = { strategy: { type: 'snapshot', snapshot: { readyTimeoutSeconds: 3600 } } }

/** The snapshot of an hour that is cut and not ready. */
function slow(hour: number, more: { readonly status?: VolumeSnapshot['status']; readonly held?: boolean } = {}): Kept {
  const { backup, snapshot } = kept(hour)
  const labels = { ...snapshot.metadata.labels, ...(more.held ? { [label.hold]: 'true' } : {}) }
  return {
    backup: { ...backup, status: { phase: 'Running', reason: 'SnapshotSlow', run: snapshot.metadata.name } },
    snapshot: {
      ...snapshot,
      metadata: { ...snapshot.metadata, labels },
      status: { readyToUse: false, creationTime: stamp(at('01:00')), ...more.status },
    },
  }
}

function goes(some: readonly Kept[], now = at('12:00')) {
  const seen = world(snapshotPolicy({ retention: 2, ...limits }), {
    claims: [claim('data')],
    backups: some.map(each => each.backup),
    snapshots: some.map(each => each.snapshot),
  })
  return only(planPolicy(seen, now).actions, 'delete VolumeSnapshot')
}

test('F67: a slow snapshot goes when as many newer ones are good as retention keeps, and not before', () => {
  const lonely = { ...slow(1), backup: { ...slow(1).backup, metadata: { ...slow(1).backup.metadata, name: 'other' } } }
  for (const [what, some, expected] of [
    ['one newer is good', [slow(1), kept(2)], []],
    ['two newer are good', [slow(1), kept(2), kept(3)], ['nightly-data-1']],
    ['one older and one newer is good', [kept(1), slow(2), kept(3)], []],
    ['two newer are slow as well', [slow(1), slow(2), slow(3)], []],
    ['it is held', [slow(1, { held: true }), kept(2), kept(3)], []],
    ['its Backup object is gone', [lonely, kept(2), kept(3)], ['nightly-data-1']],
    ['two newer ones of another claim', [slow(1), kept(2, { target: 'logs' }), kept(3, { target: 'logs' })], []],
  ] as const)
    assert.deepEqual(
      goes(some).map(({ name }) => name),
      expected,
      what,
    )
  assert.deepEqual(goes([slow(1), kept(2), kept(3)], at('01:59')), [], 'it has its time')
})

test('F67: it is judged once more on what the API server says, as if it were ready', () => {
  const [deletion] = goes([slow(1), kept(2), kept(3)])
  assert.deepEqual(deletion?.provided, {
    that: 'retention',
    target: 'data',
    keeping: { keep: 2, onDemand: { keep: 2 } },
    slow: true,
  })
})
