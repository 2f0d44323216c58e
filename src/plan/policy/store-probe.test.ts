import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  at,
  complete,
  failed,
  job,
  jobFailed,
  pod,
  policy,
  saying,
  scheduled,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { StoreStatus } from '../../api/kinds/backup-policy-status.ts'
import type { MoverMessage } from '../../api/mover/message.ts'
import type { MoverReason } from '../../api/mover/reasons.ts'
import { probeJobName } from '../../api/names.ts'
import { annotation } from '../../api/labels.ts'
import { stateHash } from '../../resources/desired-state.ts'
import { isRunningProbe, planProbe } from './store-probe.ts'
import { viewOf } from '../view/view.ts'
import { actionsOf, does, only, planPolicy } from '../../../test/plan/planned.ts'

const made = policy()
const hash = stateHash(made.spec.backend)
const now = at('12:00')

function known(store: Partial<StoreStatus> & { readonly result: StoreStatus['result'] }) {
  const status: StoreStatus = {
    backendHash: hash,
    reason: 'EndpointUnreachable',
    message: 'no answer',
    attempts: 1,
    failures: 0,
    lastProbeTime: stamp(at('11:00')),
    ...store,
  }
  return policy({}, { status: { store: status } })
}

function probe(attempt: number, more: Parameters<typeof job>[2] = {}) {
  return job(probeJobName('nightly', made.metadata.uid ?? '', hash, attempt), 'probe', {
    spec: { activeDeadlineSeconds: 240, backoffLimit: 0 },
    status: { startTime: stamp(at('11:59:50')), active: 1 },
    metadata: {
      creationTimestamp: stamp(at('11:59:50')),
      labels: { ...job('x', 'probe').metadata.labels },
    },
    ...more,
  })
}

function plan(of: ReturnType<typeof policy>, more: Parameters<typeof world>[1] = {}, time = now) {
  const { groups, ...rest } = planProbe(viewOf(world(of, more)), of, hash, time)
  return { ...rest, actions: actionsOf(groups) }
}

/** Which attempts are started; nothing else is done. */
function started(actions: ReturnType<typeof plan>['actions']): readonly string[] {
  return actions.map(action => (action.do === 'create' ? action.object.metadata.name : does(action)))
}
const attempt = (number: number) => probeJobName('nightly', made.metadata.uid ?? '', hash, number)

/** A probe that has ended with these words. */
function ending(message: MoverMessage, exitCode = 21) {
  const good = message.phase === 'done'
  const status = good ? complete(at('11:59:50'), now) : jobFailed(at('11:59:50'), now)
  const of = probe(0, { status })
  const phase = good ? 'Succeeded' : 'Failed'
  return { jobs: [of], pods: [pod(of, 1, { status: { phase, containerStatuses: [saying(message, exitCode)] } })] }
}

test('a new policy is probed at once, and unknown until the answer', () => {
  const { actions, store } = plan(made)
  assert.deepEqual(started(actions), [attempt(0)])
  assert.deepEqual([store.result, store.reason], ['Unknown', 'Probing'])
})

test('a probe that runs is waited for', () => {
  const of = probe(0)
  const { actions, store } = plan(made, { jobs: [of], pods: [pod(of, 1)] })
  assert.deepEqual([actions, store.result], [[], 'Unknown'])
})

test('what keeps a probe from starting is told, cut to what a status may hold', () => {
  const of = probe(0)
  const containerStatuses = [
    { name: 'mover', state: { waiting: { reason: 'ErrImagePull', message: 'x'.repeat(5000) } } },
  ]
  const { store } = plan(made, { jobs: [of], pods: [pod(of, 1, { status: { phase: 'Pending', containerStatuses } })] })
  assert.deepEqual([store.result, store.reason, store.message.length], ['Unknown', 'ImagePullFailed', 1024])
})

test('a probe that says done makes the store usable, with its warnings', () => {
  const facts = { conditionalPut: false, canList: true, canDelete: true }
  const warnings = [{ reason: 'UnconditionalCommit', message: 'no If-None-Match' }] as const
  const { store, wakeAt } = plan(made, ending({ phase: 'done', probe: facts, warnings }, 0))
  assert.deepEqual([store.result, store.reason, store.attempts, store.failures], ['Usable', 'Ready', 1, 0])
  assert.equal(store.unconditionalCommit, true)
  assert.match(store.message, /no If-None-Match/)
  assert.deepEqual(wakeAt, now)
})

for (const reason of [
  'SecretNotFound',
  'BucketNotFound',
  'AccessDenied',
  'EndpointUnreachable',
] as const satisfies MoverReason[])
  test(`a probe that fails with ${reason} makes the store unusable for that reason`, () => {
    const { store } = plan(made, ending({ phase: 'failed', reason, message: 'as told' }))
    assert.deepEqual([store.result, store.reason, store.attempts, store.failures], ['Unusable', reason, 1, 1])
    assert.match(store.message, /as told/)
  })

test('a probe that ended without a word failed, unless its pod has said more by now', () => {
  const of = probe(0, { status: complete(at('11:59'), now) })
  const { store, unless } = plan(made, { jobs: [of] })
  assert.deepEqual([store.result, store.reason], ['Unusable', 'ProbeFailed'])
  assert.deepEqual(unless, { kind: 'newer-pods', name: of.metadata.name, uid: of.metadata.uid, seen: [] })
  const seen = world(made, { jobs: [of] })
  const [written] = only(planPolicy(seen, now).actions, 'status BackupPolicy')
  assert.deepEqual(written?.unless, unless)
  assert.equal(written?.status.slots?.missed, 0, 'one doubt at a time: slots are counted in the next pass')
})

test('a probe that ended with words is judged by them', () => {
  assert.equal(plan(made, ending({ phase: 'failed', reason: 'AccessDenied', message: 'no' })).unless, undefined)
})

test('the waits between failures are 1, 2, 4, 8, 10 and 10 minutes', () => {
  const waits = [1, 2, 3, 4, 5, 60].map(failures => {
    const { actions, wakeAt } = plan(known({ result: 'Unusable', failures, lastProbeTime: stamp(now) }))
    assert.deepEqual(actions, [])
    return ((wakeAt?.getTime() ?? 0) - now.getTime()) / 60_000
  })
  assert.deepEqual(waits, [1, 2, 4, 8, 10, 10])
})

test('the next attempt has the next name, and the one that was read goes', () => {
  const of = known({ result: 'Unusable', failures: 1, attempts: 1 })
  const old = probe(0, { status: jobFailed(at('10:59'), at('11:00')) })
  const { actions } = plan(of, { jobs: [old] })
  assert.deepEqual(actions.map(does), ['delete Job', 'create probe Job'])
  assert.deepEqual(started(actions.slice(1)), [attempt(1)])
  assert.notEqual(probe(0).metadata.name, probe(1).metadata.name)
})

test('a usable store is not asked again', () => {
  assert.deepEqual(plan(known({ result: 'Usable' })).actions, [])
})

test('a change of the backend is probed at once, whatever the old one was', () => {
  for (const result of ['Usable', 'Unusable'] as const) {
    const { actions, store } = plan(known({ result, failures: 5, backendHash: 'other', lastProbeTime: stamp(now) }))
    assert.deepEqual(started(actions), [attempt(0)])
    assert.equal(store.result, 'Unknown')
  }
})

for (const [reason, again] of [
  ['EndpointUnreachable', true],
  ['AccessDenied', true],
  ['StoreFull', true],
  ['SourceExit', false],
  ['ImagePullFailed', false],
] as const)
  test(`a run that failed with ${reason} ${again ? 'makes the store be probed again' : 'says nothing of the store'}`, () => {
    const slot = at('11:30')
    const backups = [scheduled(slot, { status: failed('run', at('11:31'), { reason }) })]
    const { actions } = plan(known({ result: 'Usable' }), { backups })
    assert.deepEqual(started(actions), again ? [attempt(1)] : [])
  })

test('a failure that is older than the last probe is not asked about again', () => {
  const backups = [scheduled(at('10:00'), { status: failed('run', at('10:10'), { reason: 'AccessDenied' }) })]
  assert.deepEqual(plan(known({ result: 'Usable' }), { backups }).actions, [])
})

test('no more than ten probes run at once in the whole cluster; the others look again soon', () => {
  const { actions, wakeAt } = plan(made, { probesRunning: 10 })
  assert.deepEqual(actions, [])
  assert.ok(wakeAt && wakeAt >= at('12:00:05') && wakeAt < at('12:00:25'), String(wakeAt))
  assert.equal(plan(made, { probesRunning: 9 }).actions.length, 1)
})

test('only probes that have not ended take a place', () => {
  assert.ok(isRunningProbe(probe(0)))
  assert.ok(!isRunningProbe(probe(0, { status: complete(now, now) })))
  assert.ok(!isRunningProbe(probe(0, { status: jobFailed(now, now) })))
  assert.ok(!isRunningProbe(job('x', 'run')))
})

test('a probe on a lost node is given up and tried again', () => {
  const of = probe(0, { status: { startTime: stamp(at('11:00')), active: 1 } })
  const { store } = plan(made, { jobs: [of], pods: [pod(of, 1)] })
  assert.deepEqual([store.result, store.failures], ['Unusable', 1])
})

test('F92: an annotation with a new value starts a probe at once, in spite of the back-off, and is answered once', () => {
  const asking = (asked?: string) => {
    const of = known({ result: 'Unusable', failures: 5, lastProbeTime: stamp(now), asked })
    return { ...of, metadata: { ...of.metadata, annotations: { [annotation.probe]: 'please' } } }
  }
  assert.deepEqual(started(plan(asking()).actions), [attempt(1)])
  assert.deepEqual(plan(asking('please')).actions, [])
  const { jobs, pods } = ending({ phase: 'done', probe: { conditionalPut: true, canList: true, canDelete: true } }, 0)
  const of = { ...made, metadata: { ...made.metadata, annotations: { [annotation.probe]: 'please' } } }
  assert.equal(plan(of, { jobs, pods }).store.asked, 'please')
})
