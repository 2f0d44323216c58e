// The snapshot API is away: for a moment, or for good.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asked, now, plan, snapshots } from '../../../test/plan/backup-plan.ts'
import { kept } from '../../../test/plan/kept.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import { at, claim, policy, scheduled, snapshotOf, snapshotPolicy, stamp, world } from '../../../test/plan/world.ts'

const data = asked({ spec: { target: 'data' } })
const run = snapshotOf(data).metadata.name
/** It began more than a day ago. */
const begun = {
  ...data,
  status: { phase: 'Running', target: 'data', run, startTime: '2026-01-03T12:00:00Z' },
} as const
const ofSlot = scheduled(at('02:00'), { name: 'nightly-data-1', target: 'data' })

/** A policy that has not been ready for two days: in the first hours because of the snapshot API, or it only says so by now. */
const longUnready = snapshotPolicy(
  {},
  {
    status: {
      conditions: [
        {
          type: 'Ready',
          status: 'False',
          reason: 'SnapshotCRDsMissing',
          message: '',
          lastTransitionTime: '2026-01-03T12:00:00Z',
        },
      ],
    },
  },
)

const away = (of: Parameters<typeof world>[0], snapshotApiAwaySince: Date | undefined) =>
  world(of, { claims: [claim('data')], snapshotClasses: undefined, snapshotApiAwaySince })

test('a run ends as failed when the snapshot API has been away for a day, and not before, however long the run, or its policy, has its trouble', () => {
  for (const under of [longUnready, snapshotPolicy(), policy(), undefined])
    for (const each of [begun, ofSlot])
      for (const [since, does, reason] of [
        [at('11:59:59'), [], undefined],
        [new Date('2026-01-04T12:00:01Z'), [], undefined],
        [undefined, [], undefined],
        [new Date('2026-01-04T12:00:00Z'), ['status Backup', 'event'], 'SnapshotCRDsMissing'],
      ] as const) {
        const planned = plan(away(under, since), each)
        const what = `${each.metadata.name} of a policy ${under?.spec.strategy.type}, away since ${since?.toISOString()}`
        assert.deepEqual([planned.does, planned.status?.reason], [does, reason], what)
      }
})

test('a Backup that waited long for its turn waits a minute for the snapshot API, as a new one does', () => {
  const waiting = {
    ...data,
    metadata: { ...data.metadata, creationTimestamp: stamp(at('11:00')) },
    status: { phase: 'Pending', reason: 'Overlapping', target: 'data' },
  } as const
  for (const [of, since, time, expected] of [
    [waiting, at('11:59:59'), now, ['Pending', at('12:00:59')]],
    [waiting, undefined, now, ['Pending', at('12:01')]],
    [data, at('03:00'), now, ['Pending', at('12:01')]],
    [waiting, at('11:59'), now, ['Failed', undefined]],
  ] as const) {
    const { status, wakeAt } = plan(away(snapshotPolicy(), since), of, time)
    assert.equal(status?.reason, 'SnapshotCRDsMissing')
    assert.deepEqual([status.phase, wakeAt], expected)
  }
})

test('no snapshot is deleted because the snapshot API was away from its run', () => {
  const { backup, snapshot } = kept(1, { phase: 'Failed' })
  const deleted = (reason: string) => {
    const of = { ...backup, status: { ...backup.status, phase: 'Failed', reason } } as const
    const seen = snapshots({ backups: [of], snapshots: [snapshot] })
    const gone = world(undefined, { backups: [of], snapshots: [snapshot] })
    return [seen, gone].map(each => only(planPolicy(each, now).actions, 'delete VolumeSnapshot').length)
  }
  assert.deepEqual(deleted('SnapshotNotReady'), [1, 1])
  assert.deepEqual(deleted('SnapshotCRDsMissing'), [0, 0])
})

test('F79: a slot that Velero restored into a cluster without the snapshot API is skipped after a day, and nobody is told', () => {
  const labels = { 'velero.io/restore-name': 'monday' }
  const restored = scheduled(at('02:00'), { name: 'nightly-data-1', target: 'data', metadata: { labels } })
  for (const under of [snapshotPolicy(), policy(), undefined]) {
    assert.deepEqual(plan(away(under, at('00:00')), restored).does, [], 'its snapshot may come with the CRDs')
    const { actions, status, does } = plan(away(under, new Date('2026-01-04T12:00:00Z')), restored)
    assert.deepEqual([status?.phase, status?.reason, does], ['Skipped', 'RestoredObject', ['status Backup']])
    assert.equal(only(actions, 'status Backup')[0]?.outcome, undefined)
  }
})
