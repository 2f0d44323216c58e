import assert from 'node:assert/strict'
import { test } from 'node:test'
import { does, only, planPolicy } from '../../../test/plan/planned.ts'
import { at, policy, snapshotPolicy, world } from '../../../test/plan/world.ts'
import type { Refusal } from '../core/actions.ts'
import type { PolicyWorld } from '../view/world.ts'
import { cronJobGroup } from './cron-job.ts'
import { readinessChecks } from './readiness.ts'
import { probeGroup } from './store-probe.ts'

const words = 'denied by a policy of the company'
const refusal = (kind: Refusal['kind'], name: string): Refusal => ({
  action: 'create',
  kind,
  name,
  words,
  passing: false,
})

function readyOf(seen: PolicyWorld, refused: ReadonlyMap<string, Refusal> = new Map()) {
  const [written] = only(planPolicy(seen, at('12:00'), refused).actions, 'status BackupPolicy')
  const ready = written?.status.conditions?.find(({ type }) => type === 'Ready')
  return [ready?.status, ready?.reason, ready?.message] as const
}

test('F77: a refused probe is Ready=False with the words, and a refused CronJob before it', () => {
  const probe = [probeGroup, refusal('Job', 'probe-nightly')] as const
  const cronJob = [cronJobGroup, refusal('CronJob', 'backup-nightly')] as const
  const [status, reason, message] = readyOf(world(policy()), new Map([probe]))
  assert.deepEqual([status, reason], ['False', 'ProbeRefused'])
  assert.match(message ?? '', /Job probe-nightly.*denied by a policy of the company/)
  const both = readyOf(world(policy(), { cronJob: undefined }), new Map([probe, cronJob]))
  assert.deepEqual(both.slice(0, 2), ['False', 'CronJobRefused'])
})

test('F72: without its CronJob a job policy is not Ready, and a snapshot policy needs none', () => {
  const known = only(planPolicy(world(policy()), at('12:00')).actions, 'status BackupPolicy')[0]?.status
  assert.ok(known?.store && known.start)
  const time = '2026-01-05T11:00:00Z'
  const store = { ...known.store, result: 'Usable', lastProbeTime: time } as const
  const start = { ...known.start, result: 'Startable', lastTime: time } as const
  const probed = policy({}, { status: { store, start } })
  assert.deepEqual(readyOf(world(probed)).slice(0, 2), ['True', 'Ready'])
  assert.deepEqual(readyOf(world(probed, { cronJob: undefined })).slice(0, 2), ['Unknown', 'CronJobPending'])
  assert.notEqual(readyOf(world(snapshotPolicy(), { cronJob: undefined }))[1], 'CronJobPending')
})

test('F73: what the API server would refuse is Ready=False with its words, and stands while it is not asked again', () => {
  const refusal = { kind: 'Job', name: 'backup-nightly-x', words } as const
  const refused = world(policy(), { dryRun: { is: 'refused', refusal, againAt: at('12:01') } })
  const [status, reason, message] = readyOf(refused)
  assert.deepEqual([status, reason], ['False', 'RunRefused'])
  assert.match(message ?? '', /would refuse the Job of a run: denied by a policy of the company; change/)
  assert.deepEqual(planPolicy(refused, at('12:00')).wakeAt, at('12:01'))
  const told = only(planPolicy(refused, at('12:00')).actions, 'status BackupPolicy')[0]?.status
  assert.ok(told)
  const unsaid = { is: 'unsaid', againAt: at('12:01') } as const
  const restarted = planPolicy(world(policy({}, { status: told }), { dryRun: unsaid }), at('12:00'))
  assert.deepEqual(restarted.actions.map(does), ['create probe Job'], 'the status is as it was')
  const edited = policy({}, { status: told, metadata: { generation: 2 } })
  assert.notEqual(readyOf(world(edited, { dryRun: unsaid }))[1], 'RunRefused')
})

test('the checks have names, and each its own', () => {
  assert.equal(new Set(readinessChecks.map(({ name }) => name)).size, readinessChecks.length)
})
