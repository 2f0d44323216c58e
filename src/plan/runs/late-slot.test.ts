// R34: a slot whose start is refused in passing waits until its starting deadline, and is never run later.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { addSeconds } from '../../schedule/times.ts'
import { actionsOf, does, only, planPolicy } from '../../../test/plan/planned.ts'
import { at, backup, claim, policy, scheduled, snapshotPolicy, stamp, world } from '../../../test/plan/world.ts'
import { planRefused } from './status.ts'

const slot = at('02:00')
const deadline = at('03:00')
const made = scheduled(slot, { name: 'nightly-data-1', target: 'data' })
const dead = {
  action: 'create',
  kind: 'VolumeSnapshot',
  name: 'x',
  words: 'failed calling webhook',
  passing: true,
} as const
const refused = planRefused(made, undefined, dead, undefined, addSeconds(slot, 10))
const waiting = { ...made, status: only(actionsOf(refused.groups), 'status Backup')[0]?.status ?? assert.fail() }

/** What starts that Backup. */
function startOf(run: Backup, of: BackupPolicy) {
  const { groups } = planPolicy(world(of, { backups: [run], claims: [claim('data')] }), at('02:00:01'))
  const creations = groups.find(({ name }) => name === `start/${run.metadata.name}`)?.actions ?? []
  return creations.findLast(action => action.do === 'create')?.object ?? assert.fail()
}

function planned(now: Date, of: Backup = waiting) {
  const status = { accountedUntil: stamp(slot), scheduleSince: stamp(at('00:00')) }
  return planPolicy(world(snapshotPolicy({}, { status }), { backups: [of], claims: [claim('data')] }), now)
}

test('R34: a slot whose start is refused is tried again until its starting deadline, and the plan asks to be woken then', () => {
  const { actions, wakeAt } = planned(at('02:59:59'))
  assert.deepEqual(
    only(actions, 'create VolumeSnapshot').map(({ object }) => object.metadata.name),
    ['nightly-data-1'],
  )
  assert.deepEqual(wakeAt, deadline)
})

test('R34: at its deadline it is Failed with the refusal, told and counted, unless the snapshot is there after all', () => {
  const { actions } = planned(deadline)
  assert.deepEqual(only(actions, 'create VolumeSnapshot'), [])
  const [written] = only(actions, 'status Backup')
  assert.deepEqual([written?.status.phase, written?.status.reason], ['Failed', 'CreationRefused'])
  assert.match(written?.status.message ?? '', /could not start within 3600 s of its slot.*failed calling webhook/)
  assert.equal(written?.outcome?.outcome, 'failure')
  assert.deepEqual(written?.unless, { kind: 'snapshot', name: 'nightly-data-1' })
  assert.ok(actions.some(action => action.do === 'event' && action.reason === 'CreationRefused'))
})

test('R34: days later it is not cut under its name, and no slot in between was skipped for it', () => {
  const late = planned(at('+2d 01:00'))
  assert.ok(!late.actions.map(does).includes('create VolumeSnapshot'), `the slot of ${stamp(slot)} runs two days later`)
  const night = planned(at('+1d 02:00'))
  assert.equal(only(night.actions, 'status BackupPolicy')[0]?.status.slots?.skipped, 0)
  assert.equal(only(night.actions, 'create Backup').length, 1)
})

test('R34: one whose turn never came is Failed at its deadline as well, told and counted, and nothing else that nothing was written of', () => {
  const written = (of: Backup) => {
    const [action] = only(planned(deadline, of).actions, 'status Backup')
    return [action?.status.phase, action?.status.reason, action?.outcome?.outcome, action?.unless] as const
  }
  assert.deepEqual(only(planned(at('02:59:59'), made).actions, 'status Backup'), [], 'it is tried until then')
  const unless = { kind: 'snapshot', name: 'nightly-data-1' }
  assert.deepEqual(written(made), ['Failed', 'SlotPassed', 'failure', unless])
  const labels = { 'velero.io/restore-name': 'monday' }
  const restored = { ...made, metadata: { ...made.metadata, labels: { ...made.metadata.labels, ...labels } } }
  assert.deepEqual(written(restored), ['Skipped', 'RestoredObject', undefined, undefined])
  const { metadata } = made
  const back = { ...made, metadata: { ...metadata, creationTimestamp: stamp(addSeconds(deadline, 601)) } }
  const [action] = only(planned(at('03:10:02'), back).actions, 'status Backup')
  assert.deepEqual([action?.status.phase, action?.status.reason, action?.outcome], ['Skipped', 'SlotPassed', undefined])
})

test('F23: so is one that was made in time by our clock and not by that of the API server, or by a pass that began in time', () => {
  const { metadata } = made
  for (const [seconds, created, later] of [
    [60, '02:02:05', '02:06'],
    [240, '02:04:45', '02:09'],
    [3600, '03:00:02', '03:00:05'],
  ] as const) {
    const late = { ...made, metadata: { ...metadata, creationTimestamp: stamp(at(created)) } }
    const status = { accountedUntil: stamp(slot), scheduleSince: stamp(at('00:00')) }
    const of = snapshotPolicy({ startingDeadlineSeconds: seconds }, { status })
    const { actions } = planPolicy(world(of, { backups: [late], claims: [claim('data')] }), at(later))
    const [written] = only(actions, 'status Backup')
    assert.deepEqual([written?.status.phase, written?.outcome?.outcome], ['Failed', 'failure'], `made at ${created}`)
  }
})

test('F71: a run whose start is refused for good failed for what it was to be of, told and counted like any other', () => {
  const onDemand = backup('now')
  const ofClaim = backup('of-claim', { spec: { target: 'data' } })
  for (const [of, start, target, strategy] of [
    [onDemand, startOf(onDemand, policy()), 'command', 'job'],
    [ofClaim, startOf(ofClaim, snapshotPolicy()), 'data', 'snapshot'],
    [onDemand, undefined, undefined, undefined],
  ] as const) {
    const { groups } = planRefused(of, start, { ...dead, passing: false }, slot, at('02:05'))
    const [written] = only(actionsOf(groups), 'status Backup')
    assert.deepEqual([written?.status.phase, written?.status.target], ['Failed', target])
    assert.deepEqual([written?.outcome?.strategy, actionsOf(groups).length], [strategy, strategy ? 2 : 1])
  }
})
