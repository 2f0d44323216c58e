// A Backup over several claims goes on, and some of its children have ended: it judges them by their objects.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { actionsOf, only, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  backup,
  claim,
  completed,
  ready,
  snapshotOf,
  snapshotPolicy,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { Backup, BackupStatus } from '../../api/kinds/backup.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { childBackup } from '../../resources/backup-objects.ts'
import { addSeconds } from '../../schedule/times.ts'
import { viewOf } from '../view/view.ts'
import { planCleanUp } from './clean-up.ts'

const claims = [claim('data'), claim('logs')]
const of = snapshotPolicy({ schedule: '0 2 * * *' }, { status: { accountedUntil: stamp(at('02:00')) } })

/** A parent that somebody makes each hour, with its children as the operator makes them; the one of `logs` has failed. */
function asked(hour: number) {
  const time = addSeconds(at('03:00'), hour * 3600)
  const creationTimestamp = stamp(time)
  const status = { phase: 'Running', reason: 'Children', targets: ['data', 'logs'] } as const
  const parent = backup(`hourly-${hour}`, {
    metadata: { creationTimestamp },
    status: { ...status, targets: [...status.targets] },
  })
  const child = (target: string, told: BackupStatus): Backup => {
    const made = childBackup(parent, target)
    const uid = `uid-${made.metadata.name}`
    return { ...made, metadata: { ...made.metadata, uid, resourceVersion: '1', creationTimestamp }, status: told }
  }
  const end = { completionTime: stamp(addSeconds(time, 600)), target: 'logs' }
  const logs = child('logs', { phase: 'Failed', reason: 'SnapshotNotCut', message: 'not cut', ...end })
  return { parent, logs, child, time }
}

function cleanUp(backups: readonly Backup[], now = at('12:00')) {
  return actionsOf(planCleanUp(viewOf(world(of, { claims, backups })), new Set(), now))
}

test('F83: a Backup over two claims of which one failed is not Completed, however long the other one takes', () => {
  const hours = [0, 1, 2, 3, 4, 5].map(asked)
  const [oldest] = hours
  assert.ok(oldest)
  const data = oldest.child('data', { phase: 'Running', reason: 'SnapshotPending', target: 'data' })
  const cut = { readyToUse: false, creationTime: stamp(oldest.time) } as const
  const snapshot = snapshotOf(data, { status: cut, metadata: { creationTimestamp: stamp(oldest.time) } })
  let backups: readonly Backup[] = [...hours.flatMap(({ parent, logs }) => [parent, logs]), data]
  const pass = (status: NonNullable<VolumeSnapshot['status']>, now: Date) => {
    const { actions } = planPolicy(world(of, { claims, backups, snapshots: [{ ...snapshot, status }] }), now)
    const gone = new Set(only(actions, 'delete Backup').map(({ name }) => name))
    const told = new Map(only(actions, 'status Backup').map(each => [each.backup.metadata.name, each.status]))
    backups = backups
      .filter(({ metadata }) => !gone.has(metadata.name))
      .map(each => ({ ...each, status: told.get(each.metadata.name) ?? each.status ?? {} }))
  }
  pass(cut, at('08:30'))
  for (const time of ['10:00', '10:01', '10:02']) pass({ ...ready, creationTime: stamp(oldest.time) }, at(time))
  const { phase, message } = backups.find(({ metadata }) => metadata.name === 'hourly-0')?.status ?? {}
  assert.deepEqual([phase, message], ['Failed', '1 of 2 targets failed: logs: SnapshotNotCut'])
})

test('F83: failed children of a parent that goes on stay, and count among none until it has ended, or goes itself', () => {
  const hours = [0, 1, 2, 3, 4, 5].map(asked)
  const gone = (ends: (parent: Backup, index: number) => Backup) => {
    const backups = hours.flatMap(({ parent, logs }, index) => [ends(parent, index), logs])
    return only(cleanUp(backups), 'delete Backup').map(({ name }) => name.slice(0, 'hourly-0'.length))
  }
  const ended = (parent: Backup): Backup => ({
    ...parent,
    status: { phase: 'Failed', reason: 'PartiallyFailed', completionTime: stamp(at('11:00')) },
  })
  const leaving = (parent: Backup) => ({
    ...parent,
    metadata: { ...parent.metadata, deletionTimestamp: stamp(at('11:00')) },
  })
  assert.deepEqual(
    gone(each => each),
    [],
  )
  assert.deepEqual(gone(ended), ['hourly-0'])
  assert.deepEqual(
    gone((each, index) => (index === 0 ? each : ended(each))),
    [],
  )
  assert.deepEqual(
    gone((each, index) => (index === 5 ? each : ended(each))),
    [],
  )
  assert.deepEqual(
    gone((each, index) => (index === 0 ? leaving(each) : ended(each))),
    ['hourly-0'],
  )
})

test('F83: a complete child without its data tells so while its parent goes on, which is not Completed then, and goes after it', () => {
  const { parent, child, time } = asked(0)
  const data = child('data', completed('gone', time, { target: 'data', snapshot: { name: 'gone' } }))
  const going = child('logs', { phase: 'Running', reason: 'SnapshotPending', target: 'logs' })
  const actions = cleanUp([parent, data, going])
  assert.deepEqual(only(actions, 'delete Backup'), [])
  const [told] = only(actions, 'status Backup')
  assert.equal(told?.status.phase, 'Deleting')
  assert.match(told?.status.message ?? '', /the Backup stays because Backup hourly-0, of which it is a part, goes on$/)
  const without = { ...data, status: told?.status ?? {} }
  assert.deepEqual(cleanUp([parent, without, going]), [], 'it is said once')
  const complete = child('logs', completed('logs', time, { target: 'logs' }))
  const seen = world(of, { claims, backups: [parent, without, complete] })
  const whole = only(planPolicy(seen, at('12:00')).actions, 'status Backup').find(
    each => each.backup.metadata.name === 'hourly-0',
  )
  assert.deepEqual(
    [whole?.status.phase, whole?.status.message],
    ['Failed', '1 of 2 targets failed: data: its data were deleted before all had ended'],
  )
  const after = cleanUp([{ ...parent, status: whole?.status ?? {} }, without])
  assert.deepEqual(
    only(after, 'delete Backup').map(({ name }) => name),
    [data.metadata.name],
  )
})
