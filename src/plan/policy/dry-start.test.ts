import assert from 'node:assert/strict'
import { test } from 'node:test'
import { actionsOf, does, only, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  complete,
  completed,
  desiredCronJob,
  ended,
  failedCreate,
  job,
  jobFailed,
  jobOfSlot,
  jobStrategy,
  pod,
  policy,
  scheduled,
  settings,
  stamp,
  startable,
  usableStore,
  waiting,
  world,
} from '../../../test/plan/world.ts'
import type { StartStatus, StoreStatus } from '../../api/kinds/backup-policy-status.ts'
import type { Job, Pod } from '../../api/kubernetes.ts'
import { annotation, label } from '../../api/labels.ts'
import { startJobName } from '../../api/names.ts'
import { stateHash } from '../../resources/desired-state.ts'
import { startJob } from '../../resources/jobs.ts'
import { addSeconds } from '../../schedule/times.ts'
import { viewOf } from '../view/view.ts'
import type { PolicyWorld } from '../view/world.ts'
import { planDryStart } from './dry-start.ts'

const now = at('12:00')
const specHash = stateHash(policy().spec.strategy.job)
const usable = usableStore(at('11:00'))

function known(start: Partial<StartStatus> = {}, annotations = {}) {
  const status = { store: usable, start: startable(at('11:00'), start) }
  return policy({}, { status, metadata: { annotations } })
}
const broken = { result: 'NotStartable', reason: 'CommandNotFound', failures: 1 } as const

const nameOf = (attempt: number, hash = specHash) => startJobName('nightly', policy().metadata.uid ?? '', hash, attempt)

/** The dry start that a policy without a verdict has begun at 11:59:30. */
function begun(status: Job['status'] = { active: 1 }) {
  const begin = stamp(at('11:59:30'))
  const spec = { activeDeadlineSeconds: 1200, backoffLimit: 0 }
  return job(nameOf(0), 'start', {
    spec,
    status: { startTime: begin, ...status },
    metadata: { creationTimestamp: begin },
  })
}
const podOf = (...containerStatuses: NonNullable<NonNullable<Pod['status']>['containerStatuses']>) =>
  pod(begun(), 1, { status: { phase: 'Pending', containerStatuses } })

function plan(of: ReturnType<typeof policy>, more: Partial<PolicyWorld> = {}, time = now, store: StoreStatus = usable) {
  const { job: strategy = assert.fail() } = of.spec.strategy
  const { groups, ...rest } = planDryStart(viewOf(world(of, more)), of, strategy, store, time)
  return { ...rest, actions: actionsOf(groups) }
}
const started = (...args: Parameters<typeof plan>) =>
  plan(...args).actions.flatMap(action => (action.do === 'create' ? action.object.metadata.name : []))

test('F84: a new policy is started dry once its store can be used, in the very pod of a run', () => {
  const { start, actions } = plan(policy())
  assert.deepEqual([start.result, start.reason], ['Unknown', 'Probing'])
  assert.deepEqual(actions.map(does), ['create start Job'])
  assert.deepEqual(started(policy(), {}, now, { ...usable, result: 'Unknown' }), [])
  const { job: strategy } = policy().spec.strategy
  assert.ok(strategy)
  const made = startJob(policy(), strategy, specHash, 0, settings)
  const run = desiredCronJob(policy())?.spec.jobTemplate.spec.template.spec
  const trial = made.spec.template.spec
  assert.equal(made.metadata.labels?.[label.role], 'start')
  assert.ok((made.spec.activeDeadlineSeconds ?? 0) <= 1200)
  const same = (spec: typeof trial | undefined) => ({
    ...spec,
    activeDeadlineSeconds: 0,
    containers: spec?.containers.map(each => ({ ...each, command: [], env: each.name === 'mover' ? [] : each.env })),
  })
  assert.deepEqual(same(trial), same(run))
  const dump = trial.containers.find(({ name }) => name === 'dump')
  assert.deepEqual([dump?.command?.at(-1), dump?.args], ['look', jobStrategy.job.args])
})

test('F95: until the answer the policy is being found out, and what keeps its pod waiting is told', () => {
  const image = podOf(waiting('dump', 'ImagePullBackOff', 'no such image'))
  const { start, wakeAt } = plan(policy(), { jobs: [begun()], pods: [image] }, at('11:59:50'))
  assert.deepEqual([start.result, start.reason, start.lastTime], ['Unknown', 'ImagePullFailed', undefined])
  assert.deepEqual(wakeAt, addSeconds(at('11:59:30'), 60), 'the pull is given a minute')
})

type Row = readonly [
  what: string,
  seen: Partial<PolicyWorld>,
  result: StartStatus['result'],
  reason: string,
  message: RegExp,
]
const late = at('12:01')
const failed = jobFailed(at('11:59:30'), now)
const rows: readonly Row[] = [
  [
    'the program is there',
    { jobs: [begun()], pods: [podOf(ended('dump', 0))] },
    'Startable',
    'Ready',
    /can be started/,
  ],
  [
    'the Job is complete and its pod is gone',
    { jobs: [begun(complete(now, now))] },
    'Startable',
    'Ready',
    /can be started/,
  ],
  [
    'the program is not in the image',
    { jobs: [begun(failed)], pods: [podOf(ended('dump', 127))] },
    'NotStartable',
    'CommandNotFound',
    /the program pg_dump is not in image postgres:15/,
  ],
  [
    'the program cannot be executed',
    { jobs: [begun(failed)], pods: [podOf(ended('dump', 126))] },
    'NotStartable',
    'CommandNotFound',
    /the program pg_dump of image postgres:15 cannot be executed/,
  ],
  [
    'its container cannot be started',
    { jobs: [begun(failed)], pods: [podOf(ended('dump', 128, { reason: 'StartError', message: 'exec: no' }))] },
    'NotStartable',
    'ContainerConfigError',
    /container dump cannot start: exec: no/,
  ],
  [
    'the image cannot be pulled for a minute',
    { jobs: [begun()], pods: [podOf(waiting('dump', 'ErrImagePull', 'not found'))] },
    'NotStartable',
    'ImagePullFailed',
    /image of container dump/,
  ],
  [
    'a Secret of env does not exist',
    { jobs: [begun()], pods: [podOf(waiting('dump', 'CreateContainerConfigError', 'secret "x" not found'))] },
    'NotStartable',
    'ContainerConfigError',
    /secret "x" not found/,
  ],
  [
    'pod security refuses the pod',
    { jobs: [begun()], jobEvents: [failedCreate(begun(), 'pods "x" violates PodSecurity "restricted"', now)] },
    'NotStartable',
    'PodSecurityRejected',
    /violates PodSecurity/,
  ],
  [
    'a quota of cpu refuses the pod',
    { jobs: [begun()], jobEvents: [failedCreate(begun(), 'exceeded quota: q, requested: cpu=1', now)] },
    'NotStartable',
    'QuotaExceeded',
    /requested: cpu=1/,
  ],
]
for (const [what, seen, result, reason, message] of rows)
  test(`F84: where ${what} the dry start says ${result}, and its Job goes`, () => {
    const { start } = plan(policy(), seen, late)
    assert.deepEqual([start.result, start.reason, start.attempts, start.lastTime], [result, reason, 1, stamp(late)])
    assert.match(start.message, message)
    const next = plan(policy({}, { status: { store: usable, start } }), seen, late)
    assert.deepEqual(next.actions.map(does), ['delete Job'])
  })

const unschedulable = pod(begun(), 1, {
  status: {
    phase: 'Pending',
    conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: 'no cpu' }],
  },
})

test('F84: who finds no node keeps the last verdict, and a new policy is ready without one', () => {
  const seen = { jobs: [begun(failed)], pods: [unschedulable] }
  const waitingStill = plan(policy(), { ...seen, jobs: [begun()] }, late).start
  assert.deepEqual(
    [waitingStill.result, waitingStill.reason, waitingStill.lastTime],
    ['Unknown', 'PodUnschedulable', undefined],
  )
  const { start } = plan(policy(), seen, late)
  assert.deepEqual([start.result, start.reason, start.lastTime], ['Unknown', 'PodUnschedulable', stamp(late)])
  const again = { ...begun(failed), metadata: { ...begun().metadata, name: nameOf(1) } }
  for (const result of ['Startable', 'NotStartable'] as const) {
    const kept = plan(known({ result, reason: 'Kept' }), { jobs: [again], pods: [unschedulable] }, late).start
    assert.deepEqual([kept.result, kept.reason, kept.attempts], [result, 'Kept', 2])
  }
  const [written] = only(
    planPolicy(world(policy({}, { status: { store: usable, start } })), late).actions,
    'status BackupPolicy',
  )
  assert.equal(written?.status.conditions?.find(({ type }) => type === 'Ready')?.status, 'True')
})

test('F84: it is tried again at once after a change of the command, and when a person asks', () => {
  assert.deepEqual(started(known()), [])
  assert.deepEqual(started(known({ specHash: 'another' })), [nameOf(0)])
  assert.deepEqual(started(known({}, { [annotation.probe]: 'now' })), [nameOf(1)])
  assert.deepEqual(started(known({ asked: 'now' }, { [annotation.probe]: 'now' })), [])
})

test('F84: a good one is tried again within a day, and a bad one after 10, 20, 40 and 60 minutes, never close to a slot or during a run', () => {
  const daily = plan(known()).wakeAt
  assert.ok(daily && daily > at('+1d 08:59') && daily <= at('+1d 11:00'))
  const waits = [1, 2, 3, 4, 9].map(failures => {
    const again = plan(known({ ...broken, failures }), {}, at('11:01')).wakeAt
    return again && (again.getTime() - at('11:00').getTime()) / 60_000
  })
  assert.deepEqual(waits, [10, 20, 40, 60, 60])
  assert.deepEqual(started(known(broken)), [nameOf(1)])
  const near = known({ ...broken, lastTime: stamp(at('01:30')) })
  assert.deepEqual(plan(near, {}, at('01:50')).wakeAt, at('02:15'))
  assert.deepEqual(started(near, { jobs: [jobOfSlot(at('02:00'))] }, at('02:20')), [])
})

test('F84: no more than ten probes and dry starts run at once in the whole cluster', () => {
  const { actions, wakeAt } = plan(policy(), { probesRunning: 10 })
  assert.deepEqual(actions, [])
  assert.ok(wakeAt && wakeAt > now && wakeAt <= addSeconds(now, 25))
})

test('F84: a run that began since and succeeded is the better proof', () => {
  const of = known(broken)
  const good = scheduled(at('11:30'), { status: completed('a', at('11:40'), { startTime: stamp(at('11:30')) }) })
  assert.equal(plan(of, { backups: [good] }, at('11:45')).start.result, 'Startable')
  const old = scheduled(at('10:30'), { status: completed('a', at('10:40'), { startTime: stamp(at('10:30')) }) })
  assert.equal(plan(of, { backups: [old] }, at('11:05')).start.result, 'NotStartable')
})

test('F95: a command that is not there makes the policy and its target not ready, before the first night', () => {
  const of = known({ ...broken, message: 'the program pg_dmp is not in image postgres:15' })
  const [written] = only(planPolicy(world(of), at('11:05')).actions, 'status BackupPolicy')
  const ready = written?.status.conditions?.find(({ type }) => type === 'Ready')
  assert.deepEqual([ready?.status, ready?.reason], ['False', 'CommandNotFound'])
  assert.match(
    ready?.message ?? '',
    /cannot start its command: the program pg_dmp is not in image.*strategy\.job.*backup\.dev\/probe/,
  )
  assert.deepEqual(
    written?.status.targets?.map(target => [target.ready, target.reason]),
    [[false, 'CommandNotFound']],
  )
})
