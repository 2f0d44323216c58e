// F23: the clock of the operator is behind, and all others are right; or what ran is dated ahead by both clocks, of which one was wrong.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Backup } from '../../api/kinds/backup.ts'
import { storeLocation } from '../../resources/desired-state.ts'
import { addSeconds } from '../../schedule/times.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  backup,
  completed,
  failed,
  policy,
  scheduled,
  stamp,
  startable,
  usableStore,
  world,
} from '../../../test/plan/world.ts'
import { lastRunSucceeded } from './measures.ts'
import { scheduleHash } from './schedule.ts'
import { latestPresent } from './two-clocks.ts'

const location = storeLocation(policy().spec.backend ?? assert.fail())

/** What the policy's status tells of its last run, by the operator's clock. */
function told(backups: readonly Backup[], now: Date, serverTime?: Date) {
  const status = {
    store: usableStore(at('00:00')),
    start: startable(at('00:00')),
    accountedUntil: stamp(at('+1d 02:00')),
    scheduleSince: stamp(at('00:00')),
    scheduleHash: scheduleHash(policy()),
  }
  const of = policy({}, { status })
  const { actions } = planPolicy(world(of, { backups, serverTime }), now)
  const after = only(actions, 'status BackupPolicy')[0]?.status ?? assert.fail()
  const last = after.conditions?.find(({ type }) => type === 'LastBackupSucceeded')
  return {
    last: last?.status,
    state: after.state,
    gauge: lastRunSucceeded({ ...of, status: after }, backups, latestPresent({ serverTime }, now)),
  }
}

/** @param made by the clock of the API server */
function night(slot: Date, isGood: boolean, made = slot): Backup {
  const run = { startTime: stamp(made), store: location }
  const end = addSeconds(made, 60)
  return scheduled(slot, {
    metadata: { creationTimestamp: stamp(made) },
    status: isGood ? completed('r', end, run) : failed('r', end, run),
  })
}

function onDemand(made: Date, isGood: boolean): Backup {
  const end = addSeconds(made, 60)
  const run = { startTime: stamp(made), store: location }
  const status = isGood ? completed('now', end, run) : failed('now', end, run)
  return backup('now', { metadata: { creationTimestamp: stamp(made) }, status })
}

for (const behind of [600, 2 * 3600, 23 * 3600])
  test(`F23: a night that failed after a good one is told where the clock of the operator is ${behind} s behind`, () => {
    const backups = [night(at('02:00'), true), night(at('+1d 02:00'), false)]
    const now = addSeconds(at('+1d 02:02'), -behind)
    assert.deepEqual(told(backups, now), { last: 'False', state: 'Failed', gauge: 0 })
  })

test('F23: a Backup on demand that failed after the clock of the operator jumped back two hours is told', () => {
  const made = stamp(at('+1d 03:00'))
  const status = failed('r', at('+1d 01:01'), { startTime: made, store: location })
  const asked = backup('now', { metadata: { creationTimestamp: made }, status })
  const backups = [night(at('+1d 00:30'), true), asked]
  assert.deepEqual(told(backups, at('+1d 01:02')), { last: 'False', state: 'Failed', gauge: 0 })
})

test('F23: a success that the API server has dated a year ahead does not hide that a later night failed', () => {
  const backups = [night(at('+365d 02:00'), true), night(at('+1d 02:00'), false)]
  assert.deepEqual(told(backups, at('+1d 02:02')), { last: 'False', state: 'Failed', gauge: 0 })
})

test('F23: nor does a Backup on demand hide it that a clock 20 hours ahead has dated at noon, and that was put right', () => {
  const bad = night(at('+1d 02:00'), false)
  const backups = [onDemand(at('+1d 08:00'), true), bad]
  for (const serverTime of [undefined, at('+1d 02:02')])
    assert.deepEqual(told(backups, at('+1d 02:02'), serverTime), { last: 'False', state: 'Failed', gauge: 0 })
})

test('F23: a Backup on demand that failed while a clock was 20 hours ahead is told after that was put right', () => {
  const backups = [night(at('02:00'), true), onDemand(at('+1d 08:00'), false)]
  assert.deepEqual(told(backups, at('12:02'), at('12:02')), { last: 'False', state: 'Failed', gauge: 0 })
})

test('F23: a night that is good after one that failed is told where the clock of the operator alone is behind', () => {
  const backups = [night(at('02:00'), false), night(at('+1d 02:00'), true)]
  const { last, gauge } = told(backups, at('+1d 00:02'), at('+1d 02:02'))
  assert.deepEqual({ last, gauge }, { last: 'True', gauge: 1 })
})
