import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asked, now, plan, snapshots } from '../../../test/plan/backup-plan.ts'
import {
  at,
  backup,
  claim,
  completed,
  policy,
  ready,
  scheduled,
  snapshotOf,
  snapshotPolicy,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation } from '../../api/labels.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'

const data = asked({ spec: { target: 'data' } })
test('a Backup of a claim makes a VolumeSnapshot with the class of its driver', () => {
  const [action] = only(plan(snapshots(), data).actions, 'create VolumeSnapshot')
  const { source, volumeSnapshotClassName } = action?.object.spec ?? {}
  assert.deepEqual([source?.persistentVolumeClaimName, volumeSnapshotClassName], ['data', 'fast'])
  assert.equal(action?.object.metadata.annotations?.[annotation.claimUID], 'uid-of-claim-data')
})

test('what is known before creating fails at once', () => {
  for (const [seen, reason] of [
    [snapshots({ snapshotClasses: [] }), 'NoSnapshotClass'],
    [snapshots({ claims: [claim('data', { status: { phase: 'Lost' } })] }), 'PVCLost'],
  ] as const) {
    const { status, does } = plan(seen, data)
    assert.deepEqual([status?.phase, status?.reason], ['Failed', reason])
    assert.ok(!does.includes('create VolumeSnapshot'))
  }
})

test('F80: a Backup that is applied with its claim waits five minutes for labels and volume; that of a slot does not', () => {
  const unbound = claim('data', { spec: {}, status: { phase: 'Pending' } })
  for (const [seen, reason] of [
    [snapshots({ claims: [claim('logs')] }), 'TargetNotFound'],
    [snapshots({ claims: [unbound] }), 'PVCPending'],
  ] as const) {
    const waiting = plan(seen, data)
    assert.deepEqual([waiting.status?.phase, waiting.status?.reason, waiting.wakeAt], ['Pending', reason, at('12:05')])
    const { status } = waiting
    assert.deepEqual(plan(snapshots(), { ...data, ...(status ? { status } : {}) }).does, ['create VolumeSnapshot'])
    const given = plan(seen, data, at('12:05'))
    assert.deepEqual([given.status?.phase, given.status?.reason], ['Failed', reason])
    const ofSlot = plan(seen, scheduled(now, { target: 'data' }))
    assert.deepEqual([ofSlot.status?.phase, ofSlot.status?.reason], ['Failed', reason])
  }
})

test('the CRDs of snapshots may come a little later than a Backup', () => {
  const without = snapshots({ snapshotClasses: undefined, snapshotApiAwaySince: at('00:00') })
  const waiting = plan(without, data)
  assert.deepEqual([waiting.status?.phase, waiting.status?.reason], ['Pending', 'SnapshotCRDsMissing'])
  assert.deepEqual(waiting.wakeAt, at('12:01'))
  const { status } = waiting
  assert.deepEqual(plan(snapshots(), { ...data, ...(status ? { status } : {}) }).does, ['create VolumeSnapshot'])
  const given = plan(without, data, at('12:01'))
  assert.deepEqual([given.status?.phase, given.status?.reason], ['Failed', 'SnapshotCRDsMissing'])
})

test('F31: a class may come a little later than the CRDs, to which it belongs', () => {
  const back = { snapshotApiBackSince: at('11:59:58') }
  for (const [seen, reason] of [
    [snapshots({ ...back, snapshotClasses: [] }), 'NoSnapshotClass'],
    [
      world(snapshotPolicy({ strategy: { type: 'snapshot', snapshot: { volumeSnapshotClassName: 'slow' } } }), {
        ...back,
        claims: [claim('data')],
      }),
      'SnapshotClassNotFound',
    ],
  ] as const) {
    for (const each of [data, scheduled(now, { target: 'data' })]) {
      const waiting = plan(seen, each)
      assert.deepEqual([waiting.status?.phase, waiting.status?.reason], ['Pending', reason])
      assert.deepEqual(waiting.wakeAt, at('12:00:58'))
      assert.deepEqual(plan(seen, each, at('12:00:58')).status?.phase, 'Failed')
    }
  }
  const never = plan(snapshots({ ...back, claims: [claim('data', { status: { phase: 'Lost' } })] }), data)
  assert.equal(never.status?.phase, 'Failed', 'what no API brings back')
})

test('an error of the storage system is told and decides nothing; ready does', () => {
  const error = { readyToUse: false, error: { message: 'array busy' } }
  const trying = plan(snapshots({ snapshots: [snapshotOf(data, { status: error })] }), data)
  assert.deepEqual([trying.status?.phase, trying.status?.reason], ['Running', 'SnapshotError'])
  assert.match(trying.status?.message ?? '', /array busy/)
  assert.deepEqual(trying.wakeAt, at('12:10'))
  const deletionPolicies = new Map([['content', 'Retain' as const]])
  const good = plan(
    snapshots({ snapshots: [snapshotOf(data, { status: { ...error, ...ready } })], deletionPolicies }),
    data,
  )
  assert.deepEqual(
    [good.status?.phase, good.status?.size, good.status?.snapshot?.restoreSize, good.status?.snapshot?.deletionPolicy],
    ['Completed', undefined, '1Gi', 'Retain'],
  )
})

test('F67: a snapshot that is not cut in time failed, and goes after that is written, unless it is cut by now', () => {
  const { actions, status, does } = plan(snapshots({ snapshots: [snapshotOf(data)] }), data, at('12:10'))
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'SnapshotNotCut'])
  assert.match(status?.message ?? '', /did not cut VolumeSnapshot \S+ within 600 s/)
  assert.deepEqual(does, ['status Backup', 'event', 'delete VolumeSnapshot'])
  assert.equal(only(actions, 'status Backup')[0]?.unless?.kind, 'cut-snapshot')
  assert.deepEqual(only(actions, 'delete VolumeSnapshot')[0]?.provided, { that: 'nobody-needs-it' })
})

test('F67: how long a snapshot has not been cut is told by the clock that asked for it, where that is ahead of the API server’s, and not of itself', () => {
  const creationTimestamp = stamp(at('11:49'))
  const old = { ...data, metadata: { ...data.metadata, creationTimestamp } }
  const behind = snapshotOf(old, { metadata: { creationTimestamp } })
  const asked = (time: Date) => {
    const annotations = { ...behind.metadata.annotations, [annotation.askedAt]: stamp(time) }
    return { ...behind, metadata: { ...behind.metadata, annotations } }
  }
  const reasonAt = (snapshot: VolumeSnapshot, time: Date) =>
    plan(snapshots({ snapshots: [snapshot] }), old, time).status?.reason
  assert.equal(reasonAt(asked(at('12:00')), at('12:00:02')), 'SnapshotPending')
  assert.equal(reasonAt(asked(at('12:00')), at('12:10')), 'SnapshotNotCut')
  assert.equal(reasonAt(asked(at('+365d 12:00')), at('12:00:02')), 'SnapshotNotCut', 'the clock was put right since')
})

test('F67: a snapshot that is cut waits for a day, then an error fails it, and without one it is slow and stays', () => {
  const cut = { readyToUse: false, creationTime: stamp(at('12:00:02')) }
  const error = { message: 'the copy broke off' }
  for (const [what, snapshotStatus, time, expected] of [
    ['it waits', cut, at('+1d 11:59:59'), ['Running', 'SnapshotPending', ['status Backup']]],
    ['an error is tried again', { ...cut, error }, at('12:10'), ['Running', 'SnapshotError', ['status Backup']]],
    ['it is slow', cut, at('+1d 12:00'), ['Running', 'SnapshotSlow', ['status Backup', 'event']]],
    [
      'it failed',
      { ...cut, error },
      at('+1d 12:00'),
      ['Failed', 'SnapshotNotReady', ['status Backup', 'event', 'delete VolumeSnapshot']],
    ],
    [
      'it is ready at last',
      { ...cut, ...ready },
      at('+9d 12:00'),
      ['Completed', 'Completed', ['status Backup', 'event']],
    ],
  ] as const) {
    const { status, does } = plan(snapshots({ snapshots: [snapshotOf(data, { status: snapshotStatus })] }), data, time)
    assert.deepEqual([status?.phase, status?.reason, does], expected, what)
    assert.equal(status?.takenTime, cut.creationTime, what)
  }
})

test('F67: that a snapshot is slow is told once, and it is woken by what happens to the snapshot alone', () => {
  const seen = snapshots({ snapshots: [snapshotOf(data, { status: { creationTime: stamp(now) } })] })
  const first = plan(seen, data, at('+1d 12:00'))
  assert.ok(first.status)
  const then = plan(seen, { ...data, status: first.status }, at('+3d 12:00'))
  assert.deepEqual([then.does, then.wakeAt], [[], undefined])
})

test('F67: a slow snapshot that goes was not ready, whoever deletes it', () => {
  const metadata = { deletionTimestamp: stamp(at('13:00')) }
  const going = snapshotOf(data, { status: { creationTime: stamp(now) }, metadata })
  const of = (reason: string) =>
    plan(snapshots({ snapshots: [going] }), { ...data, status: { phase: 'Running', reason } }).status?.reason
  assert.deepEqual([of('SnapshotPending'), of('SnapshotSlow')], ['SnapshotDeleted', 'SnapshotNotReady'])
  const left = { phase: 'Running', reason: 'SnapshotSlow', run: 'now-x' } as const
  assert.equal(
    plan(snapshots(), { ...data, status: left }).status?.reason,
    'SnapshotNotReady',
    'it may be gone already',
  )
})

test('F67: the limits are those of the policy, and what is not cut is not ready either', () => {
  for (const [limits, cutUntil, readyUntil] of [
    [undefined, at('12:10'), at('+1d 12:00')],
    [{ cutTimeoutSeconds: 60 }, at('12:01'), at('+1d 12:00')],
    [{ cutTimeoutSeconds: 60, readyTimeoutSeconds: 600 }, at('12:01'), at('12:10')],
    [{ readyTimeoutSeconds: 300 }, at('12:05'), at('12:05')],
  ] as const) {
    const of = snapshotPolicy({ strategy: { type: 'snapshot', ...(limits ? { snapshot: limits } : {}) } })
    const wakes = (status: { readonly creationTime?: string }) =>
      plan(world(of, { claims: [claim('data')], snapshots: [snapshotOf(data, { status })] }), data).wakeAt
    assert.deepEqual([wakes({}), wakes({ creationTime: stamp(now) })], [cutUntil, readyUntil])
  }
})

test('F82: a Backup names the claim that its snapshot is of where that is still there once it is cut, and goes on to', () => {
  const made = snapshotOf(data)
  const annotations = { ...made.metadata.annotations, [annotation.claimUID]: 'uid-of-claim-data' }
  const told = (status: VolumeSnapshot['status'], uid: string, of = data) => {
    const snapshot = { ...made, metadata: { ...made.metadata, annotations }, status }
    const seen = snapshots({ claims: [claim('data', { metadata: { uid } })], snapshots: [snapshot] })
    return plan(seen, of, at('12:01')).status
  }
  const cut = { readyToUse: false, creationTime: stamp(now) }
  for (const [what, status, uid, expected] of [
    ['uncut', { readyToUse: false }, 'uid-of-claim-data', undefined],
    ['cut', cut, 'uid-of-claim-data', 'uid-of-claim-data'],
    ['cut, of a claim that was made anew', cut, 'another', 'unproven'],
    ['ready', ready, 'uid-of-claim-data', 'uid-of-claim-data'],
    ['ready, of a claim that was made anew', ready, 'another', 'unproven'],
  ] as const)
    assert.equal(told(status, uid)?.snapshot?.claimUID, expected, what)
  const cutNow = { ...made, metadata: { ...made.metadata, annotations }, status: cut }
  const write = (of: typeof data) => {
    const { actions } = plan(snapshots({ claims: [claim('data')], snapshots: [cutNow] }), of, at('12:01'))
    return only(actions, 'status Backup')[0]
  }
  const asked = { kind: 'other-claim', name: 'data', uid: 'uid-of-claim-data' }
  assert.deepEqual(write(data)?.unless, asked, 'the cache of claims may be behind')
  const again = { ...data, status: { ...told(cut, 'uid-of-claim-data'), message: 'of before' } }
  assert.deepEqual([write(again)?.status.message !== 'of before', write(again)?.unless], [true, undefined])
  const begun = { ...data, status: told(cut, 'uid-of-claim-data') ?? {} }
  const { phase, snapshot } = told(ready, 'another', begun) ?? {}
  assert.deepEqual([phase, snapshot?.claimUID], ['Completed', 'uid-of-claim-data'], 'it was proven before')
})

test('a snapshot that disappeared is a failure, after one more look', () => {
  const { actions, status } = plan(snapshots(), { ...data, status: { phase: 'Running', run: 'now-x' } })
  assert.equal(status?.reason, 'SnapshotDeleted')
  assert.deepEqual(only(actions, 'status Backup')[0]?.unless, { kind: 'snapshot', name: 'now-x' })
})

test('without the snapshot API nothing is said of a run that has begun, whatever its policy is by now, until the API is there again', () => {
  const { name } = snapshotOf(data).metadata
  const told = { ...data, status: { phase: 'Running', target: 'data', run: name, snapshot: { name } } } as const
  const ofSlot = scheduled(at('02:00'), { name: 'nightly-data-1', target: 'data' })
  const more = { claims: [claim('data')], snapshotClasses: undefined }
  for (const seen of [snapshots(more), world(policy(), more), world(undefined, more)])
    for (const each of [told, ofSlot]) assert.deepEqual(plan(seen, each).does, [], each.metadata.name)
  const back = snapshots({ snapshots: [snapshotOf(data, { status: ready })] })
  assert.equal(plan(back, told).status?.phase, 'Completed')
  assert.equal(plan(snapshots(), ofSlot).status?.reason, 'SlotPassed')
})

test("a stranger's snapshot under the Backup's name is not followed", () => {
  const stranger = snapshotOf(data, { status: ready, metadata: { annotations: {} } })
  assert.deepEqual(plan(snapshots({ snapshots: [stranger] }), data).does, ['create VolumeSnapshot'])
})

test('F27: a snapshot that was prepared under the name of a run is not followed, whoever made it, and nothing is done to it', () => {
  const of = scheduled(now, { name: 'nightly-data-1', target: 'data' })
  const { labels } = snapshotOf(of).metadata
  const made = (time: string, claim = 'data') =>
    snapshotOf(of, { status: ready, claim, metadata: { labels, creationTimestamp: stamp(at(time)) } })
  for (const [what, snapshot, follows] of [
    ['its own', made('12:00'), true],
    ['by a clock that is a little behind', made('11:56'), true],
    ['prepared beforehand', made('11:54'), false],
    ['of another claim', made('12:00', 'old'), false],
    ['without a claim', { ...made('12:00'), spec: { source: {} } }, false],
  ] as const) {
    const first = plan(snapshots({ snapshots: [snapshot] }), of)
    assert.deepEqual(first.does, follows ? ['status Backup', 'event'] : ['create VolumeSnapshot'], what)
    if (follows) continue
    // Refused as taken by then; the claim's good ones would push it out, and its own limit end it.
    const failed = { ...of, status: { phase: 'Failed', reason: 'NameTaken', message: '' } } as const
    const newer = scheduled(at('13:00'), {
      name: 'nightly-data-2',
      target: 'data',
      status: completed('nightly-data-2', at('13:00'), { target: 'data', snapshot: { name: 'nightly-data-2' } }),
    })
    // Also when that Backup is gone, as old failures go.
    for (const backups of [[failed, newer], [newer]])
      for (const status of [ready, {}]) {
        const seen = world(snapshotPolicy({ retention: 1, schedule: '0 0 29 2 *' }), {
          claims: [claim('data')],
          backups,
          snapshots: [{ ...snapshot, status }, snapshotOf(newer, { status: ready })],
        })
        const { actions } = planPolicy(seen, at('+1d 14:00'))
        assert.deepEqual(only(actions, 'delete VolumeSnapshot'), [], what)
      }
  }
})

test('F27: the snapshot that the status of a Backup names is its own, whatever a restore has made of its source and its age', () => {
  const of = scheduled(at('02:00'), {
    name: 'nightly-data-1',
    target: 'data',
    status: { phase: 'Running', target: 'data', run: 'nightly-data-1' },
  })
  const restored = { ...snapshotOf(of, { status: ready }), spec: { source: {} } }
  assert.equal(plan(snapshots({ snapshots: [restored] }), of).status?.phase, 'Completed')
})

/** An on-demand Backup of the claim data that waits, and one that has begun. */
const before = backup('before', { spec: { target: 'data' } })
const run = snapshotOf(before).metadata.name
const other = { ...before, status: { phase: 'Running', run } } as const
const cutAt = { readyToUse: false, creationTime: stamp(now) }

test('F81: a Backup waits while another snapshot of its claim is not cut, or too many are not ready, and starts after that', () => {
  const ofSlot = scheduled(at('11:00'), { name: 'nightly-data-1', target: 'data', status: { phase: 'Running' } })
  const slow = [1, 2, 3].map(n => {
    const of = backup(`slow-${n}`, { spec: { target: 'data' }, status: { phase: 'Running', reason: 'SnapshotSlow' } })
    return { of, snapshot: snapshotOf(of, { status: cutAt, metadata: { creationTimestamp: stamp(at('00:00')) } }) }
  })
  const failed = { ...other, status: { phase: 'Failed', run } } as const
  const fresh = { metadata: { creationTimestamp: stamp(at('11:59')) } }
  for (const [what, backups, some, waits] of [
    ['nothing is going on', [], [], undefined],
    ['one is not cut', [other], [snapshotOf(other, fresh)], /VolumeSnapshot before-\w+, is not cut yet/],
    ['one of a slot is not cut', [ofSlot], [snapshotOf(ofSlot, fresh)], /nightly-data-1, is not cut yet/],
    ['one without a Backup is not cut', [], [snapshotOf(other, fresh)], /is not cut yet/],
    ['one is cut', [other], [snapshotOf(other, { ...fresh, status: cutAt })], undefined],
    ['one is ready', [other], [snapshotOf(other, { ...fresh, status: ready })], undefined],
    ['one is past its limit', [other], [snapshotOf(other)], undefined],
    ['one failed', [failed], [snapshotOf(failed, fresh)], undefined],
    ['one of another claim', [], [snapshotOf(other, { ...fresh, claim: 'logs' })], undefined],
    ['another Backup waits, too', [{ ...other, status: { phase: 'Pending' } as const }], [], undefined],
    ['two are slow', slow.slice(1).map(({ of }) => of), slow.slice(1).map(each => each.snapshot), undefined],
    ['three are slow', slow.map(({ of }) => of), slow.map(each => each.snapshot), /3 snapshots .* not ready yet/],
  ] as const) {
    const { does, status, wakeAt } = plan(snapshots({ backups, snapshots: some }), data)
    if (waits === undefined) assert.deepEqual(does, ['create VolumeSnapshot'], what)
    else {
      assert.deepEqual([status?.phase, status?.reason, wakeAt], ['Pending', 'Overlapping', at('13:00')], what)
      assert.match(status?.message ?? '', waits, what)
    }
  }
})

test('F81: it is skipped after the starting deadline, or at once where the policy says so; a slot never waits for others', () => {
  const fresh = (time: Date) => snapshotOf(other, { metadata: { creationTimestamp: stamp(time) } })
  const late = plan(snapshots({ backups: [other], snapshots: [fresh(at('12:59'))] }), data, at('13:00'))
  assert.deepEqual([late.status?.phase, late.status?.reason], ['Skipped', 'Overlapping'])
  const more = { claims: [claim('data')], backups: [other], snapshots: [fresh(now)] }
  const skips = plan(world(snapshotPolicy({ whenBusy: 'Skip' }), more), data)
  assert.deepEqual([skips.status?.phase, skips.status?.reason], ['Skipped', 'Overlapping'])
  const ofSlot = scheduled(now, { target: 'data' })
  assert.deepEqual(plan(snapshots(more), ofSlot).does, ['create VolumeSnapshot'])
})

test('F81: of several that could start the oldest does, then the one with the smaller UID; one of a slot is not held up', () => {
  const asking = (name: string, time: string, uid: string) =>
    backup(name, { spec: { target: 'data' }, metadata: { uid, creationTimestamp: stamp(at(time)) } })
  const started = (...backups: readonly ReturnType<typeof backup>[]) =>
    only(planPolicy(snapshots({ backups }), now).actions, 'create VolumeSnapshot').map(
      ({ object }) => object.metadata.annotations?.[annotation.backup],
    )
  const some = [asking('a', '11:59', '3'), asking('b', '11:58', '2'), asking('c', '11:58', '1')]
  assert.deepEqual(started(...some), ['c'])
  const ofSlot = scheduled(now, { name: 'slot', target: 'data' })
  assert.deepEqual(started(...some, ofSlot), ['slot'])
  const ofLogs = backup('logs', { spec: { target: 'logs' }, metadata: { creationTimestamp: stamp(now) } })
  assert.deepEqual(started(...some, ofLogs), ['c', 'logs'])
})
