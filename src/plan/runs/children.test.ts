import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asked, now, plan, snapshots } from '../../../test/plan/backup-plan.ts'
import { claim, completed, failed } from '../../../test/plan/world.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import { childBackupName } from '../../api/names.ts'
import { childBackup } from '../../resources/backup-objects.ts'
import { only } from '../../../test/plan/planned.ts'

const child = (parent: Backup, target: string, status?: Backup['status']): Backup => {
  const made = childBackup(parent, target)
  return { ...made, metadata: { ...made.metadata, uid: `uid-of-${target}` }, ...(status ? { status } : {}) }
}

test('without a target every claim gets a child, and the parent is written after the last of them', () => {
  const { actions, does, status } = plan(snapshots(), asked())
  assert.deepEqual(does, ['create child Backup', 'create child Backup', 'status Backup'])
  assert.deepEqual(
    only(actions, 'create child Backup').map(({ target }) => target),
    ['data', 'logs'],
  )
  assert.deepEqual([status?.phase, status?.reason], ['Pending', 'Children'])
})

test('after a crash behind the first child only the others are made', () => {
  const parent = asked()
  const { actions } = plan(snapshots({ backups: [parent, child(parent, 'data')] }), parent)
  assert.deepEqual(
    only(actions, 'create child Backup').map(({ target }) => target),
    ['logs'],
  )
})

test('a single claim needs no child', () => {
  const parent = asked()
  const { status, does } = plan(snapshots({ claims: [claim('data')] }), parent)
  assert.deepEqual([does, status?.target], [['status Backup'], 'data'])
  assert.deepEqual(plan(snapshots({ claims: [claim('data')] }), { ...parent, status }).does, ['create VolumeSnapshot'])
})

test('a claim that went after its sibling was made does not turn the parent into the run of the rest', () => {
  const parent = asked()
  const { status } = plan(snapshots({ claims: [claim('logs')], backups: [parent, child(parent, 'data')] }), parent)
  assert.deepEqual([status?.reason, status?.target], ['Children', undefined])
})

test('the parent shows the worst of its children, once all have ended', () => {
  const parent = asked({ status: { phase: 'Pending', reason: 'Children' } })
  const good = child(parent, 'data', completed('a', now, { target: 'data' }))
  const bad = child(parent, 'logs', failed('b', now, { target: 'logs', reason: 'SnapshotNotReady' }))
  const going = child(parent, 'logs', { phase: 'Running' })
  const shows = (...children: readonly Backup[]) => plan(snapshots({ backups: [parent, ...children] }), parent).status
  assert.deepEqual([shows(good, going)?.phase, shows(good, going)?.message], ['Running', '1 of 2 targets are done'])
  assert.deepEqual([shows(good, bad)?.phase, shows(good, bad)?.reason], ['Failed', 'PartiallyFailed'])
  assert.match(shows(good, bad)?.message ?? '', /1 of 2 targets failed: logs: SnapshotNotReady/)
  assert.equal(shows(good)?.phase, 'Completed')
  assert.deepEqual(
    [shows()?.phase, shows()?.message],
    ['Failed', 'the Backups of its targets were deleted before they had ended'],
  )
})

test('what the parent is over is written down before any child may go, and stays in its status', () => {
  const parent = asked()
  const chosen = plan(snapshots({ claims: [claim('logs')], backups: [parent, child(parent, 'data')] }), parent).status
  assert.deepEqual(chosen?.targets?.toSorted(), ['data', 'logs'])
  const begun = { ...parent, status: chosen }
  const [data, logs] = [child(parent, 'data', completed('a', now)), child(parent, 'logs', { phase: 'Running' })]
  const shows = (...children: readonly Backup[]) => plan(snapshots({ backups: [begun, ...children] }), begun).status
  assert.deepEqual(shows(data, logs)?.targets, chosen?.targets)
  assert.deepEqual(shows(data, child(parent, 'logs', completed('b', now)))?.targets, chosen?.targets)
})

test('a parent of which somebody has deleted a child is Failed once the others have ended, and names the claim', () => {
  const parent = asked({ status: { phase: 'Pending', reason: 'Children', targets: ['data', 'logs', 'more'] } })
  const good = child(parent, 'data', completed('a', now, { target: 'data' }))
  const going = child(parent, 'more', { phase: 'Running' })
  const bad = child(parent, 'more', failed('b', now, { target: 'more', reason: 'SnapshotNotReady' }))
  const shows = (...children: readonly Backup[]) => {
    const { phase, reason, message } = plan(snapshots({ backups: [parent, ...children] }), parent).status ?? {}
    return [phase, reason, message]
  }
  const gone = 'its Backup was deleted before all had ended'
  assert.deepEqual(shows(good, going), ['Running', 'Children', '2 of 3 targets are done'])
  assert.deepEqual(shows(good, child(parent, 'more', completed('c', now))), [
    'Failed',
    'PartiallyFailed',
    `1 of 3 targets failed: logs: ${gone}`,
  ])
  assert.deepEqual(shows(good, bad), [
    'Failed',
    'PartiallyFailed',
    `2 of 3 targets failed: more: SnapshotNotReady; logs: ${gone}`,
  ])
  assert.deepEqual(shows(bad).slice(0, 2), ['Failed', 'PartiallyFailed'], 'the reason of one is not that of all')
  assert.deepEqual(shows(), [
    'Failed',
    'PartiallyFailed',
    `3 of 3 targets failed: data: ${gone}; logs: ${gone}; more: ${gone}`,
  ])
})

test('F83: a child that somebody has deleted is gone for its parent, though a finalizer keeps the object', () => {
  const parent = asked({ status: { phase: 'Running', reason: 'Children', targets: ['data', 'logs'] } })
  const good = child(parent, 'data', completed('a', now, { target: 'data' }))
  for (const status of [{ phase: 'Pending' } as const, completed('b', now, { target: 'logs' })]) {
    const logs = child(parent, 'logs', status)
    const deleted = { ...logs, metadata: { ...logs.metadata, deletionTimestamp: now.toISOString() } }
    const { phase, message } = plan(snapshots({ backups: [parent, good, deleted] }), parent).status ?? {}
    assert.deepEqual(
      [phase, message],
      ['Failed', '1 of 2 targets failed: logs: its Backup was deleted before all had ended'],
    )
  }
})

test('nothing selected is a failure, not silence', () => {
  const { status } = plan(snapshots({ claims: [] }), asked())
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'SelectorMatchedNothing'])
})

test('children have names of their own, however long the parent is called', () => {
  const long = 'x'.repeat(253)
  const names = ['data', 'logs'].map(target => childBackupName(long, 'uid', target))
  assert.ok(names.every(name => name.length <= 63) && names[0] !== names[1])
})
