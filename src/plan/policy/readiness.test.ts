import assert from 'node:assert/strict'
import { test } from 'node:test'
import { does, only, planPolicy } from '../../../test/plan/planned.ts'
import { at, backup, claim, policy, snapshotOf, snapshotPolicy, stamp, world } from '../../../test/plan/world.ts'
import type { Refusal } from '../core/actions.ts'
import type { PolicyWorld } from '../view/world.ts'
import { cronJobGroup } from './cron-job.ts'
import { dryStartGroup } from './dry-start.ts'
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
  assert.deepEqual(readyOf(world(probed, { cronJob: undefined }))[1], 'Ready', 'the pass that makes it tells so')
  const taken = planPolicy(world(probed, { cronJob: undefined }), at('12:00'), new Map(), {
    taken: new Set([cronJobGroup]),
  })
  const [written] = only(taken.actions, 'status BackupPolicy')
  const ready = written?.status.conditions?.find(({ type }) => type === 'Ready')
  assert.deepEqual([ready?.status, ready?.reason], ['Unknown', 'CronJobPending'], 'a stranger has its name')
  const { cronJob } = world(probed)
  assert.ok(cronJob)
  const going = { ...cronJob, metadata: { ...cronJob.metadata, deletionTimestamp: time } }
  assert.deepEqual(readyOf(world(probed, { cronJob: going })).slice(0, 2), ['Unknown', 'CronJobPending'])
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

/** Snapshots of a claim that are cut and not ready since one in the morning. */
function unready(count: number, target: string, limitSeconds: number) {
  const backups = Array.from({ length: count }, (_, n) =>
    backup(`${target}-${n}`, {
      spec: { target },
      status: { phase: 'Running', reason: 'SnapshotSlow' },
      metadata: { creationTimestamp: stamp(at('01:00')) },
    }),
  )
  const status = { readyToUse: false, creationTime: stamp(at('01:00')) }
  return { backups, snapshots: backups.map(each => snapshotOf(each, { status })), limitSeconds }
}

for (const [what, some, expected] of [
  ['three that are slow', [unready(3, 'data', 3600)], ['SnapshotsStuck', 'True', 'Ready']],
  [
    'three that are slow, of each claim',
    [unready(3, 'data', 3600), unready(3, 'logs', 3600)],
    ['SnapshotsStuck', 'False', 'SnapshotsStuck'],
  ],
  ['two that are slow', [unready(2, 'data', 3600)], ['Ready', 'True', 'Ready']],
  ['three that have time', [unready(3, 'data', 86_400)], ['Ready', 'True', 'Ready']],
] as const)
  test(`R31: what keeps the schedule of a claim from going on for ever is told: ${what}`, () => {
    const readyTimeoutSeconds = some[0]?.limitSeconds
    const of = snapshotPolicy({ strategy: { type: 'snapshot', snapshot: { readyTimeoutSeconds } } })
    const seen = world(of, {
      claims: [claim('data'), claim('logs')],
      backups: some.flatMap(({ backups }) => backups),
      snapshots: some.flatMap(({ snapshots }) => snapshots),
    })
    const [written] = only(planPolicy(seen, at('12:00')).actions, 'status BackupPolicy')
    const targetsReady = written?.status.conditions?.find(({ type }) => type === 'TargetsReady')
    assert.deepEqual([targetsReady?.reason, ...readyOf(seen).slice(0, 2)], expected)
    if (targetsReady?.reason === 'Ready') return
    assert.equal(targetsReady?.status, 'False')
    for (const words of [/PersistentVolumeClaim data\b/, /3600 s/, /delete/])
      assert.match(targetsReady?.message ?? '', words)
    for (const { metadata } of some[0]?.snapshots ?? [])
      assert.ok(targetsReady?.message.includes(metadata.name), targetsReady?.message)
    assert.ok(written?.status.targets?.every(({ message }) => message.length <= 1024))
  })

/** The status of a policy of which this is seen, and its Ready when the dry run has no answer. */
function thenUnsaid(seen: PolicyWorld, unsaid: object = {}, refused: ReadonlyMap<string, Refusal> = new Map()) {
  const told = only(planPolicy(seen, at('12:00'), refused).actions, 'status BackupPolicy')[0]?.status
  assert.ok(told)
  const dryRun = { is: 'unsaid', againAt: at('12:01'), ...unsaid } as const
  const before = told.conditions?.find(({ type }) => type === 'Ready')
  const { actions } = planPolicy(world(policy({}, { status: told }), { dryRun }), at('12:00'))
  // What is not written is as it was.
  const status = only(actions, 'status BackupPolicy')[0]?.status ?? told
  return { before, after: status.conditions?.find(({ type }) => type === 'Ready') }
}

test('F73: what a dry run refused of the CronJob stands as well while it is not asked again, until the CronJob is accepted', () => {
  const refusal = { kind: 'CronJob', name: 'backup-nightly', words } as const
  const refused = world(policy(), { dryRun: { is: 'refused', refusal, againAt: at('12:01') } })
  const { before, after } = thenUnsaid(refused)
  assert.equal(before?.reason, 'CronJobRefused')
  assert.deepEqual(after, before)
  assert.notEqual(thenUnsaid(refused, { cronJobAccepted: true }).after?.reason, 'CronJobRefused')
})

test('F73: a refusal of what an edit did not change stands while the dry run of the edited policy has no answer', () => {
  const stands = { kind: 'Job', name: 'backup-nightly-x', words } as const
  const edited = policy({}, { metadata: { generation: 2 } })
  const [status, reason, message] = readyOf(world(edited, { dryRun: { is: 'unsaid', againAt: at('12:01'), stands } }))
  assert.deepEqual([status, reason], ['False', 'RunRefused'])
  assert.match(message ?? '', /would refuse the Job of a run: denied by a policy of the company/)
})

test('F73: what was refused in earnest, a dry start or the CronJob, is not taken for the word of a dry run', () => {
  const known = only(planPolicy(world(policy()), at('12:00')).actions, 'status BackupPolicy')[0]?.status
  assert.ok(known?.store)
  const store = { ...known.store, result: 'Usable', lastProbeTime: '2026-01-05T11:00:00Z' } as const
  const seen = world(policy({}, { status: { store } }))
  for (const [group, kind, reason] of [
    [dryStartGroup, 'Job', 'RunRefused'],
    [cronJobGroup, 'CronJob', 'CronJobRefused'],
  ] as const) {
    const { before, after } = thenUnsaid(seen, {}, new Map([[group, refusal(kind, 'x')]]))
    assert.equal(before?.reason, reason)
    assert.notEqual(after?.reason, reason, `${group} is accepted by now`)
  }
})

test('the checks have names, and each its own', () => {
  assert.equal(new Set(readinessChecks.map(({ name }) => name)).size, readinessChecks.length)
})
