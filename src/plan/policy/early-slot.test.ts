// F23: a clock was ahead for one night, and was put right. What of the night that has the same slot?
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { slotRunName } from '../../api/names.ts'
import { storeLocation } from '../../resources/desired-state.ts'
import { addSeconds } from '../../schedule/times.ts'
import { does, only, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  claim,
  completed,
  jobFailed,
  jobOfSlot,
  policy,
  ready,
  scheduled,
  snapshotOf,
  snapshotPolicy,
  stamp,
  startable,
  usableStore,
  world,
} from '../../../test/plan/world.ts'
import { overdueSeconds } from './overdue.ts'
import { scheduleHash } from './schedule.ts'

const made = at('02:00')
const midnight = stamp(at('00:00'))

/** The run of that slot, made and cut at another time, by the clocks of the API server and of the storage system. */
function runOf(slot: Date, by: Date) {
  const name = slotRunName('nightly', 'data', slot)
  const told = { target: 'data', startTime: stamp(by), takenTime: stamp(by), snapshot: { name } }
  const metadata = { creationTimestamp: stamp(by) }
  const of = scheduled(slot, { name, target: 'data', metadata, status: completed(name, addSeconds(by, 60), told) })
  return { of, snapshot: snapshotOf(of, { status: { ...ready, creationTime: stamp(by) }, metadata }) }
}

/** Passes over a nightly policy with strategy snapshot and these runs, so many seconds after the slot. */
function told(slot: Date, by: Date, seconds: readonly number[]) {
  const yesterday = addSeconds(slot, -24 * 3600)
  const runs = [runOf(yesterday, yesterday), runOf(slot, by)]
  const hash = scheduleHash(snapshotPolicy())
  const status = { accountedUntil: stamp(yesterday), scheduleSince: midnight, scheduleHash: hash }
  let of = snapshotPolicy({}, { status })
  const done: string[] = []
  for (const later of seconds) {
    const backups = runs.map(each => each.of)
    const snapshots = runs.map(({ snapshot }) => snapshot)
    const { actions } = planPolicy(world(of, { claims: [claim('data')], backups, snapshots }), addSeconds(slot, later))
    const [write] = only(actions, 'status BackupPolicy')
    if (write) of = { ...of, status: write.status }
    done.push(...actions.map(does), ...only(actions, 'event').map(({ reason }) => reason))
  }
  return { of, done, missed: of.status?.slots?.missed, newest: of.status?.targets?.[0]?.newest }
}

for (const [ahead, hours] of [
  ['20 hours', 20],
  ['two days', 48],
  ['a year', 365 * 24],
] as const) {
  const slot = hours < 24 ? at('+1d 02:00') : addSeconds(made, hours * 3600)
  const by = addSeconds(slot, -hours * 3600)

  test(`F23: a night whose Backup was made ${ahead} before it is missed, once, and its data are as old as they are`, () => {
    const { of, done, missed, newest } = told(slot, by, [5, 600, 3700])
    assert.ok(!done.includes('create Backup'), 'names are locks')
    assert.deepEqual([missed, done.filter(each => each === 'Missed').length], [1, 1])
    assert.equal(newest, stamp(addSeconds(slot, -Math.min(hours, 24) * 3600)), 'the data are not of tonight')
    assert.ok((overdueSeconds(of, addSeconds(slot, 40 * 3600)) ?? 0) > 0)
    const later = told(slot, by, [3700])
    assert.deepEqual([later.missed, later.done.filter(each => each === 'Missed').length], [1, 1], 'after its deadline')
  })
}

test('F23: an operator whose clock is always ten minutes ahead makes the Backup of its slot, and misses none', () => {
  const slot = at('+1d 02:00')
  const { missed, newest } = told(slot, addSeconds(slot, -600), [1, 6, 3700])
  assert.deepEqual([missed, newest], [0, stamp(slot)])
})

test('F23: the Job of a night whose Backup was made two days before it is no run that anybody was told of: that slot is missed', () => {
  const store = storeLocation(policy().spec.backend ?? assert.fail())
  const [slot, yesterday] = [at('+2d 02:00'), at('+1d 02:00')]
  const jobUID = 'the-one-of-then'
  const status = completed('r', addSeconds(made, 60), { jobUID, run: jobOfSlot(slot).metadata.name, store })
  const before = scheduled(slot, { metadata: { creationTimestamp: stamp(made) }, status })
  const last = scheduled(yesterday, { status: completed('y', addSeconds(yesterday, 60), { store }) })
  const tonight = jobOfSlot(slot, { metadata: { uid: 'tonight' }, status: jobFailed(slot, addSeconds(slot, 60)) })
  const known = { store: usableStore(slot), start: startable(slot), scheduleHash: scheduleHash(policy()) }
  let of = policy({}, { status: { ...known, accountedUntil: stamp(yesterday), scheduleSince: midnight } })
  const events: string[] = []
  for (const seconds of [90, 600, 4000]) {
    const { actions } = planPolicy(world(of, { backups: [before, last], jobs: [tonight] }), addSeconds(slot, seconds))
    const [write] = only(actions, 'status BackupPolicy')
    if (write) of = { ...of, status: write.status }
    events.push(...only(actions, 'event').map(({ reason }) => reason))
  }
  assert.deepEqual([of.status?.slots?.missed, events.filter(each => each === 'Missed').length], [1, 1])
})
