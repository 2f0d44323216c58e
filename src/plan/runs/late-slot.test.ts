// R34: a past slot is never run.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { refusedStatus } from '../../plan/runs/status.ts'
import { addSeconds } from '../../schedule/times.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import { at, claim, scheduled, snapshotPolicy, stamp, world } from '../../../test/plan/world.ts'

test('R34: a slot whose start was refused until its deadline is not run later, and keeps no later slot from running', () => {
  const slot = at('02:00')
  const made = scheduled(slot, { name: 'nightly-data-1', target: 'data' })
  const dead = {
    action: 'create',
    kind: 'VolumeSnapshot',
    name: 'x',
    words: 'failed calling webhook',
    passing: true,
  } as const
  const waiting = { ...made, status: refusedStatus(made, dead, addSeconds(slot, 10)) }
  const of = snapshotPolicy({}, { status: { accountedUntil: stamp(slot), scheduleSince: stamp(at('00:00')) } })
  const seen = { backups: [waiting], claims: [claim('data')] }
  const night = planPolicy(world(of, seen), at('+1d 02:00'))
  const skipped = only(night.actions, 'status BackupPolicy')[0]?.status.slots?.skipped
  const { actions } = planPolicy(world(of, seen), at('+2d 01:00'))
  const late = only(actions, 'create VolumeSnapshot').map(({ object }) => object.metadata.name)
  assert.deepEqual(
    late,
    [],
    `the slot of ${stamp(slot)} runs at ${stamp(at('+2d 01:00'))}; skipped meanwhile: ${skipped}`,
  )
})
