import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asked, now, plan, snapshots } from '../../../test/plan/backup-plan.ts'
import { at, claim, ready, scheduled, snapshotOf } from '../../../test/plan/world.ts'
import { only } from '../../../test/plan/planned.ts'

const data = asked({ spec: { target: 'data' } })
test('a Backup of a claim makes a VolumeSnapshot with the class of its driver', () => {
  const [action] = only(plan(snapshots(), data).actions, 'create VolumeSnapshot')
  const { source, volumeSnapshotClassName } = action?.object.spec ?? {}
  assert.deepEqual([source?.persistentVolumeClaimName, volumeSnapshotClassName], ['data', 'fast'])
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
  const without = snapshots({ snapshotClasses: undefined })
  const waiting = plan(without, data)
  assert.deepEqual([waiting.status?.phase, waiting.status?.reason], ['Pending', 'SnapshotCRDsMissing'])
  assert.deepEqual(waiting.wakeAt, at('12:01'))
  const { status } = waiting
  assert.deepEqual(plan(snapshots(), { ...data, ...(status ? { status } : {}) }).does, ['create VolumeSnapshot'])
  const given = plan(without, data, at('12:01'))
  assert.deepEqual([given.status?.phase, given.status?.reason], ['Failed', 'SnapshotCRDsMissing'])
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

test('a snapshot that is not ready in time failed, and goes after that is written', () => {
  const { status, does } = plan(snapshots({ snapshots: [snapshotOf(data)] }), data, at('12:10'))
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'SnapshotNotReady'])
  assert.deepEqual(does, ['status Backup', 'event', 'delete VolumeSnapshot'])
})

test('a snapshot that disappeared is a failure, after one more look', () => {
  const { actions, status } = plan(snapshots(), { ...data, status: { phase: 'Running', run: 'now-x' } })
  assert.equal(status?.reason, 'SnapshotDeleted')
  assert.deepEqual(only(actions, 'status Backup')[0]?.unless, { kind: 'snapshot', name: 'now-x' })
})

test("a stranger's snapshot under the Backup's name is not followed", () => {
  const stranger = snapshotOf(data, { status: ready, metadata: { annotations: {} } })
  assert.deepEqual(plan(snapshots({ snapshots: [stranger] }), data).does, ['create VolumeSnapshot'])
})
