// A policy that selects more claims than its status has room for: what is wrong with any of them is told, by the state and by the metrics.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { policyFamilies } from './policy-series.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import { backupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import { slotRunName } from '../../api/names.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  claim,
  completed,
  failed,
  ready,
  scheduled,
  snapshotOf,
  snapshotPolicy,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import { overdueSeconds } from '../../plan/policy/overdue.ts'
import { scheduleHash } from '../../plan/policy/schedule.ts'

const names = Array.from({ length: 300 }, (_, n) => `data-${String(n).padStart(3, '0')}`)
const [today, now] = [at('+20d 02:00'), at('+20d 12:00')]
const last = 'data-299'

function runOf(target: string, slot: Date, end = completed): Backup {
  const name = slotRunName('nightly', target, slot)
  return scheduled(slot, {
    name,
    target,
    status: end(name, slot, { target, startTime: stamp(slot), snapshot: { name } }),
  })
}

/** All have run today, but for the last one, and those that are unbound have no volume any more. */
function told(ofLast: readonly Backup[], unbound: readonly string[] = []) {
  const accountedUntil = stamp(today)
  const of = snapshotPolicy(
    {},
    { status: { scheduleHash: scheduleHash(snapshotPolicy()), scheduleSince: stamp(at('00:00')), accountedUntil } },
  )
  const backups = [...names.filter(name => name !== last).map(name => runOf(name, today)), ...ofLast]
  const snapshots = backups
    .filter(({ status }) => status?.phase === 'Completed')
    .map(each => snapshotOf(each, { status: { ...ready, creationTime: each.spec.slot ?? '' } }))
  const pending = { spec: {}, status: { phase: 'Pending' } } as const
  const claims = names.map(name => claim(name, unbound.includes(name) ? pending : {}))
  const seen = world(of, { claims, backups, snapshots })
  const status = only(planPolicy(seen, now).actions, 'status BackupPolicy')[0]?.status ?? assert.fail()
  assert.equal(backupPolicyStatus.safeParse(status).error, undefined)
  const policy = { ...of, status }
  const again = planPolicy({ ...seen, policy }, now)
  assert.deepEqual(only(again.actions, 'status BackupPolicy'), [], 'one write tells it')
  const value = (name: string) => policyFamilies.find(each => each.name === name)?.of({ policy, backups }, now)
  return { policy, status, value, shown: status.targets?.map(target => target.name) ?? [] }
}

test('a claim beyond what the status shows is overdue, and shown first', () => {
  const { policy, status, value, shown } = told([runOf(last, at('02:00'))])
  assert.ok((overdueSeconds(policy, now) ?? 0) > 19 * 24 * 3600)
  assert.deepEqual([status.state, shown[0], shown.length, status.selected], ['Overdue', last, 256, 300])
  assert.deepEqual([status.kept, value('backup_kept')], [300, 300])
})

test('a claim beyond what the status shows is unprotected, and shown before those that are well', () => {
  const { status, shown } = told([])
  assert.deepEqual([status.state, shown.indexOf(last)], ['Unprotected', 1])
})

test('a claim beyond what the status shows cannot be backed up, and is counted', () => {
  const { status, value } = told([runOf(last, today)], [last])
  assert.deepEqual([status.state, value('backup_targets_not_ready')], ['Unprotected', 1])
})

test('claims that cannot be backed up leave room for the one that is overdue, however many they are', () => {
  const { policy, shown } = told([runOf(last, at('02:00'))], names.slice(0, 280))
  assert.equal(shown[0], last)
  assert.ok((overdueSeconds(policy, now) ?? 0) > 19 * 24 * 3600)
})

test('a run that fails is told also of a claim beyond what the status shows', () => {
  const { status, value } = told([runOf(last, at('+19d 02:00')), runOf(last, today, failed)])
  assert.equal(status.state, 'Failed')
  assert.equal(value('backup_last_run_succeeded'), 0)
  const well = told([runOf(last, today)])
  assert.deepEqual([well.status.state, well.value('backup_last_run_succeeded')], ['Ready', 1])
  const hidden = told([runOf(last, today), runOf('data-298', at('+20d 03:00'), failed)])
  assert.deepEqual([hidden.status.state, hidden.value('backup_last_run_succeeded')], ['Failed', 0])
})

test('as many targets as the status has room for are told in their order', () => {
  const few = names.slice(0, 256)
  const of = snapshotPolicy()
  const { actions } = planPolicy(world(of, { claims: few.map(name => claim(name)) }), now)
  assert.deepEqual(
    only(actions, 'status BackupPolicy')[0]?.status.targets?.map(({ name }) => name),
    few,
  )
})
