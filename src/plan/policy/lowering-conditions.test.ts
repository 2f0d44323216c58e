import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kept } from '../../../test/plan/kept.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import { at, claim, completed, policy, scheduled, snapshotPolicy, stamp, world } from '../../../test/plan/world.ts'
import type { PolicyWorld } from '../view/world.ts'
import { storeLocation } from '../../resources/desired-state.ts'

const status = (value: number, previous?: number) => {
  const number = { value, since: stamp(at('10:30')), ...(previous ? { previous } : {}) }
  return { status: { retention: number, onDemandRetention: { value, since: number.since } } }
}

function told(seen: PolicyWorld, now: Date) {
  const { actions, wakeAt } = planPolicy(seen, now)
  const [written] = only(actions, 'status BackupPolicy')
  return {
    pending: written?.status.conditions?.find(({ type }) => type === 'RetentionPending'),
    remembered: written?.status.retention,
    events: only(actions, 'event').filter(({ reason }) => reason === 'RetentionLowered'),
    deleted: only(actions, 'delete VolumeSnapshot').map(({ name }) => name),
    wakeAt,
  }
}

const snapshots = (of: PolicyWorld['policy']) => {
  const some = [1, 2, 3, 4, 5].map(hour => kept(hour))
  return world(of, {
    claims: [claim('data')],
    backups: some.map(({ backup }) => backup),
    snapshots: some.map(({ snapshot }) => snapshot),
  })
}

test('F64: a lowered retention deletes nothing, says until when and how many, and wakes the operator then', () => {
  const seen = snapshots(snapshotPolicy({ retention: 1 }, status(5)))
  const { pending, remembered, events, deleted, wakeAt } = told(seen, at('11:00'))
  assert.deepEqual(deleted, [])
  assert.deepEqual(remembered, { value: 1, previous: 5, since: stamp(at('11:00')) })
  assert.deepEqual([pending?.status, pending?.reason], ['True', 'RetentionLowered'])
  assert.equal(
    pending?.message,
    '1 scheduled backup of each target is to be kept, and 5 were: until 2026-01-05T12:00:00Z none is deleted for it, after that 4 go (nightly-data-1, nightly-data-2, nightly-data-3, nightly-data-4), at most 20 an hour of each target. Set spec.retention back to 5, or annotate the Backups that must stay with backup.dev/hold=true',
  )
  assert.equal(events.length, 1)
  assert.ok(wakeAt && wakeAt <= at('12:00'))
})

test('F64: an hour later the share of that hour is written down first, and goes in the next pass', () => {
  const first = told(snapshots(snapshotPolicy({ retention: 1 }, status(1, 5))), at('11:30'))
  assert.deepEqual([first.deleted, first.remembered], [[], { value: 1, since: stamp(at('10:30')) }])
  assert.equal(first.pending, undefined)
  const second = told(snapshots(snapshotPolicy({ retention: 1 }, status(1))), at('11:30'))
  assert.equal(second.deleted.length, 4)
})

test('F64: snapshots that are found while nobody remembers a number stay, and without the snapshot API nothing is remembered', () => {
  const seen = snapshots(snapshotPolicy({ retention: 1 }))
  const { deleted, remembered, pending } = told(seen, at('11:00'))
  assert.deepEqual([deleted, remembered], [[], { value: 1, previous: 5, since: stamp(at('11:00')) }])
  assert.equal(pending?.reason, 'RetentionLowered')
  assert.equal(told({ ...seen, snapshotClasses: undefined, snapshots: [] }, at('11:00')).remembered, undefined)
})

test('F64: of backups in a bucket the condition says that the runs after that delete them, until all have gone', () => {
  const store = storeLocation(policy().spec.backend ?? assert.fail())
  const backups = [1, 2, 3].map(hour => {
    const slot = at(`0${hour}:00`)
    return scheduled(slot, { name: `run-${hour}`, status: completed(`run-${hour}`, slot, { store, bytes: 10 }) })
  })
  const message = (now: Date, some = backups) =>
    told(world(policy({ retention: 1 }, status(1, 3)), { backups: some }), now).pending?.message ?? ''
  assert.match(
    message(at('11:00')),
    /until 2026-01-05T11:30:00Z none .* with the runs after that 2 go \(run-1, run-2\)/,
  )
  assert.match(message(at('12:00')), /with the next runs 2 go \(run-1, run-2\), at most 20 an hour of each target/)
  assert.match(message(at('12:00'), backups.slice(1)), /with the next runs 1 goes \(run-2\)/)
  assert.equal(message(at('12:00'), backups.slice(2)), '')
})
