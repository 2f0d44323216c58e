import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kept, type Kept } from '../../../test/plan/kept.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import { at, claim, completed, policy, scheduled, snapshotPolicy, stamp, world } from '../../../test/plan/world.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation, label } from '../../api/labels.ts'
import { slotText } from '../../api/names.ts'
import { addSeconds } from '../../schedule/times.ts'
import { storeLocation } from '../../resources/desired-state.ts'

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

function pending(hour: number): Kept {
  const { backup, snapshot } = slow(hour)
  return { snapshot, backup: { ...backup, status: { phase: 'Running', reason: 'SnapshotPending' } } }
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
    ['its Backup does not say so yet', [pending(1), kept(2), kept(3)], []],
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
    now: at('12:00'),
  })
})

/** Ready ones of the first hour. */
function older(minute: number): Kept {
  const { backup, snapshot } = kept(0)
  const name = `nightly-data-0-${minute}`
  const labels = { ...snapshot.metadata.labels, [label.slot]: slotText(addSeconds(at('00:00'), minute * 60)) }
  const annotations = { ...snapshot.metadata.annotations, [annotation.backup]: name }
  return {
    backup: { ...backup, metadata: { ...backup.metadata, name }, status: { ...backup.status, run: name } },
    snapshot: { ...snapshot, metadata: { ...snapshot.metadata, name, labels, annotations } },
  }
}

/** Backups of the command that the policy has by now, of these hours. */
const stored = (...hours: readonly number[]) =>
  hours.map(hour => {
    const slot = at(`0${hour}:00`)
    const { name } = scheduled(slot).metadata
    const { backend } = policy().spec
    assert.ok(backend)
    const store = storeLocation(backend)
    return scheduled(slot, { status: completed(name, slot, { store, bytes: 9, storedBytes: 9 }) })
  })

test('R31: where the policy has strategy job by now, a slow snapshot goes when retention would not keep it beside the newer backups', () => {
  for (const [what, some, backups, expected] of [
    ['two newer ones in the bucket', [slow(1)], stored(2, 3), ['nightly-data-1']],
    ['one in the bucket and one snapshot', [slow(1), kept(2)], stored(3), ['nightly-data-1']],
    ['two newer snapshots', [slow(1), kept(2), kept(3)], [], ['nightly-data-1']],
    [
      'many older ones that are ready',
      [...Array.from({ length: 25 }, (_, n) => older(n)), slow(7)],
      stored(8, 9),
      ['nightly-data-7'],
    ],
    ['one newer one', [slow(1)], stored(2), []],
    ['one older and one newer one', [slow(3)], stored(2, 4), []],
    ['it is held', [slow(1, { held: true })], stored(2, 3), []],
    ['two newer ones of another claim', [slow(1), kept(2, { target: 'logs' }), kept(3, { target: 'logs' })], [], []],
  ] as const) {
    const seen = world(policy({ retention: 2 }), {
      backups: [...some.map(each => each.backup), ...backups],
      snapshots: some.map(each => each.snapshot),
    })
    const goes = only(planPolicy(seen, at('+2d 12:00')).actions, 'delete VolumeSnapshot')
    assert.deepEqual(
      goes.map(({ name, provided }) => [name, provided]),
      expected.map(name => [name, { that: 'nobody-needs-it' }]),
      what,
    )
  }
  const early = world(policy({ retention: 2 }), {
    backups: [slow(1).backup, ...stored(2, 3)],
    snapshots: [slow(1).snapshot],
  })
  assert.deepEqual(only(planPolicy(early, at('12:00')).actions, 'delete VolumeSnapshot'), [], 'it has its time')
})
