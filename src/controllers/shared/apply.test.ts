import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { KubernetesObject, Pod, VolumeSnapshot } from '../../api/kubernetes.ts'
import { label, policyLabels } from '../../api/labels.ts'
import { alone, deletion, versionOf, type Action, type Group, type Plan } from '../../plan/core/actions.ts'
import { planPolicy } from '../../plan/policy/policy.ts'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import { toyCaches } from '../../../test/histories/toy/caches.ts'
import { actionsOf, does, only } from '../../../test/plan/planned.ts'
import { childBackup, returnedBackup, scheduledBackup, volumeSnapshot } from '../../resources/backup-objects.ts'
import { catalogJob, onDemandJob, probeJob } from '../../resources/jobs.ts'
import { RefusalMemory } from './refusals.ts'
import type { PolicyWorld } from '../../plan/view/world.ts'
import { snapshotName } from '../../plan/view/owners.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { ApiError, WaitError } from '../../runtime/client/errors.ts'
import type { EventNote } from '../../runtime/events.ts'
import { silentLog } from '../../runtime/log.ts'
import type { Client } from '../../runtime/client/client.ts'
import type { Resource } from '../../runtime/client/resource.ts'
import {
  at,
  backup,
  claim,
  desiredCronJob,
  job,
  jobOfSlot,
  pod,
  policy,
  ready,
  scheduled,
  settings,
  snapshotOf,
  snapshotPolicy,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import { applyPlan } from './apply.ts'
import type { Caches } from './caches.ts'

const now = at('02:00:05')

/** An API server that refuses to create some kinds, and says what it was asked. */
function server(
  options: {
    readonly refuses?: readonly string[]
    /** What is answered 404. */
    readonly absent?: string
    readonly pods?: readonly Pod[]
    readonly there?: KubernetesObject
    /** What already has the name of an object that is to be created. */
    readonly taken?: (wanted: KubernetesObject) => KubernetesObject
  } = {},
) {
  const calls: string[] = []
  const written: KubernetesObject[] = []
  const notes: (EventNote & { readonly about: KubernetesObject })[] = []
  let { there } = options
  const client = {
    async create(resource: Resource, object: KubernetesObject) {
      calls.push(`create ${resource.kind} ${object.metadata.name}`)
      if (options.absent === `create ${resource.kind}`)
        throw new ApiError({ request: 'POST', status: 404, reason: 'NotFound', message: 'there is no such thing' })
      const detail = 'exceeded quota: few'
      if (options.refuses?.includes(resource.kind))
        throw new ApiError({ request: 'POST', status: 403, reason: 'Forbidden', message: detail })
      if (options.taken) {
        there = options.taken(object)
        throw new ApiError({ request: 'POST', status: 409, reason: 'AlreadyExists' })
      }
      return { ...object, metadata: { ...object.metadata, uid: object.metadata.name, resourceVersion: '1' } }
    },
    async replace(resource: Resource, object: KubernetesObject) {
      calls.push(`status ${resource.kind} ${object.metadata.name}`)
      if (options.absent === `status ${resource.kind}`)
        throw new ApiError({ request: 'PUT', status: 404, reason: 'NotFound', message: 'there is no such thing' })
      if (options.refuses?.includes(`status ${resource.kind}`))
        throw new ApiError({ request: 'PUT', status: 403, reason: 'Forbidden', message: 'not on my watch' })
      written.push(object)
      return object
    },
    async delete(resource: Resource, _namespace: string, name: string) {
      calls.push(`delete ${resource.kind} ${name}`)
      if (options.refuses?.includes(`delete ${resource.kind}`))
        throw new ApiError({ request: 'DELETE', status: 403, reason: 'Forbidden', message: 'not on my watch' })
      return true
    },
    async patch(resource: Resource, _namespace: string, name: string) {
      calls.push(`patch ${resource.kind} ${name}`)
    },
    async list({ kind }: Resource) {
      const items = kind === 'Pod' ? (options.pods ?? []) : there ? [there] : []
      return { items, resourceVersion: '1' }
    },
    async get() {
      return there
    },
  }
  const caches = toyCaches(client as unknown as Client)
  const record = (about: KubernetesObject, note: EventNote) => void notes.push({ ...note, about })
  const clock = new FakeClock(now)
  const context = applyContext(client as unknown as Client, clock, { caches, record })
  const memory = new RefusalMemory()
  const carryOut = (of: PolicyWorld, plan: Plan) =>
    applyPlan(context, of, plan, memory, silentLog, new AbortController().signal)
  /** As one group. */
  const apply = (of: PolicyWorld, actions: readonly Action[], run?: Backup) =>
    carryOut(of, { groups: [{ name: 'all', run, actions }], conclude: () => [], wakeAt: undefined })
  return { apply, carryOut, calls, written, notes, caches, clock }
}

const statusOf = (object: Backup | BackupPolicy): Action => ({ do: 'write-status', object })

test('F71: a create that is refused does not keep what else is planned from being done, and is told as an event', async () => {
  const of = snapshotPolicy({ retention: 1 })
  const old = [backup('a', { status: { phase: 'Completed' } }), backup('b', { status: { phase: 'Completed' } })]
  const snapshots = old.map((each, index) =>
    snapshotOf(each, { status: ready, claim: 'data', metadata: { creationTimestamp: stamp(at(`0${index}:30`)) } }),
  )
  const seen = world(of, { claims: [claim('data')], backups: old, snapshots })
  const { carryOut, calls, notes } = server({ refuses: ['Backup'] })
  const object = scheduledBackup('shop', 'nightly', 'nightly-data', 'data', at('02:00'))
  const groups = [
    alone('record/nightly-data', { do: 'create', object }),
    alone('prune/a', deletion(snapshotOf(old[0] ?? backup('a')), 'a test')),
  ]
  const { retryAt } = await carryOut(seen, { groups, conclude: () => [statusOf(of)], wakeAt: undefined })
  assert.deepEqual(
    calls.map(call => call.split(' ', 2).join(' ')),
    ['create Backup', 'delete VolumeSnapshot', 'status BackupPolicy'],
  )
  assert.match(notes[0]?.message ?? '', /the API server refuses Backup nightly-data: exceeded quota: few/)
  assert.deepEqual(retryAt, at('02:01:05'))
})

test('F71: a status that is refused waits like any other write: the next slot does not wait with it, nor is it tried at once', async () => {
  const of = snapshotPolicy()
  const seen = world(of)
  const { carryOut, calls, notes } = server({ refuses: ['status BackupPolicy'] })
  const times = async (wakeAt: Date) => {
    const next = await carryOut(seen, { groups: [], conclude: () => [statusOf(of)], wakeAt })
    return [next.wakeAt, next.retryAt]
  }
  const again = at('02:01:05')
  assert.deepEqual(await times(at('02:00:30')), [at('02:00:30'), again])
  assert.deepEqual(await times(now), [at('02:00:35'), again])
  assert.equal(calls.length, 1)
  assert.match(notes[0]?.message ?? '', /the API server refuses BackupPolicy nightly: not on my watch/)
})

test('F71: a status that is not there to be written is refused where its object is, and backs off; where that is gone the next plan is soon', async () => {
  const of = snapshotPolicy()
  const passes = async (there: KubernetesObject | undefined) => {
    const { carryOut, calls } = server({ ...(there ? { there } : {}), absent: 'status BackupPolicy' })
    const pass = () => carryOut(world(of), { groups: [], conclude: () => [statusOf(of)], wakeAt: undefined })
    const first = await pass().catch((error: unknown) => error)
    await pass().catch(() => {})
    return { first, calls }
  }
  const without = await passes(of)
  assert.deepEqual(without, {
    first: { retryAt: at('02:00:10'), wakeAt: at('02:00:10') },
    calls: ['status BackupPolicy nightly'],
  })
  for (const there of [undefined, { ...of, metadata: { ...of.metadata, uid: 'made anew' } }]) {
    const { first, calls } = await passes(there)
    assert.ok(first instanceof WaitError)
    assert.equal(calls.length, 2)
  }
})

test('F71: a deletion that is refused is told in the status of the policy, and what needs it waits', async () => {
  const of = snapshotPolicy()
  const { carryOut, calls, written } = server({ refuses: ['delete VolumeSnapshot'] })
  const snapshot = snapshotOf(backup('a'))
  const groups: readonly Group[] = [
    alone('prune/a', deletion(snapshot, 'a test')),
    { ...alone('after', deletion(backup('a'), 'a test')), needs: [{ group: 'prune/a', was: 'done' }] },
    { ...alone('instead', deletion(backup('b'), 'a test')), needs: [{ group: 'prune/a', was: 'refused' }] },
  ]
  const told: unknown[] = []
  const plan: Plan = {
    groups,
    conclude: refused => (told.push(...refused.values()), [statusOf(of)]),
    wakeAt: undefined,
  }
  await carryOut(world(of), plan)
  assert.deepEqual(
    calls.map(call => call.split(' ', 2).join(' ')),
    ['delete VolumeSnapshot', 'delete Backup', 'status BackupPolicy'],
  )
  assert.equal(written.length, 1)
  const { name } = snapshot.metadata
  const words = 'not on my watch'
  assert.deepEqual(told, [{ action: 'delete', kind: 'VolumeSnapshot', name, words, passing: false }])
  await carryOut(world(of), plan)
  assert.equal(calls.filter(call => call.startsWith('delete VolumeSnapshot')).length, 1, 'it backs off')
  assert.equal(told.length, 2, 'and is still told')
  const edited = { ...of, metadata: { ...of.metadata, generation: 2 } }
  await carryOut(world(edited), plan)
  assert.equal(calls.filter(call => call.startsWith('delete VolumeSnapshot')).length, 2, 'an edit is a reason to try')
  await carryOut(world({ ...edited, metadata: { ...edited.metadata, uid: 'made anew' } }), plan)
  const tries = calls.filter(call => call.startsWith('delete VolumeSnapshot')).length
  assert.equal(tries, 3, 'what was refused to a policy that is gone does not stand for the one of its name')
})

test('F71: a verdict that is put off stops its group and what needs it: all else is done and told, and the plan is made anew', async () => {
  const run = job('run', 'run')
  const object: Backup = { ...backup('now'), status: { phase: 'Failed' } }
  const unless = { kind: 'newer-pods', name: 'run', uid: run.metadata.uid } as const
  const groups: readonly Group[] = [
    alone('run/now', { do: 'write-status', object, unless }, deletion(backup('a'), 'a test')),
    { ...alone('after', deletion(backup('b'), 'a test')), needs: [{ group: 'run/now', was: 'done' }] },
    { ...alone('instead', deletion(backup('c'), 'a test')), needs: [{ group: 'run/now', was: 'refused' }] },
    alone('other', deletion(backup('d'), 'a test')),
  ]
  const told: unknown[] = []
  const plan: Plan = {
    groups,
    conclude: (refused, undone) => (told.push(refused.size, undone?.putOff), [statusOf(policy())]),
    wakeAt: undefined,
  }
  const { carryOut, calls } = server({ pods: [pod(run, 1)] })
  await assert.rejects(carryOut(world(policy()), plan), WaitError)
  assert.deepEqual(calls, ['delete Backup d', 'status BackupPolicy nightly'])
  assert.deepEqual(told, [0, new Set(['run/now'])])
})

test('F71: what is put off again and again waits longer each time, up to a minute, and never beyond what else is to be done', async () => {
  const asked = backup('now', { spec: { target: 'data' } })
  const there = snapshotOf(asked)
  const unless = { kind: 'snapshot', name: there.metadata.name } as const
  const object: Backup = { ...asked, status: { phase: 'Failed' } }
  const groups = [alone('run/now', { do: 'write-status', object, unless })]
  const { carryOut } = server({ there })
  const waits = async (planned: readonly Group[], wakeAt?: Date) => {
    const pass = carryOut(world(policy()), { groups: planned, conclude: () => [], wakeAt })
    return await pass.then(
      () => undefined,
      (error: unknown) => error instanceof WaitError && error.afterMs,
    )
  }
  const inTurn = async (times: number) => {
    const found: unknown[] = []
    for (let pass = 0; pass < times; pass++) found.push(await waits(groups))
    return found
  }
  assert.deepEqual(await inTurn(8), [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000])
  assert.equal(await waits(groups, at('02:00:25')), 20_000, 'the next slot does not wait with it')
  assert.equal(await waits(groups, at('02:00:00')), 1000)
  assert.equal(await waits([]), undefined)
  assert.deepEqual(await inTurn(2), [1000, 2000], 'it was not put off in between')
})

test('F65: of what shares a limit so many are carried out in a pass, and so many that fail are tried; the others are left to the next', async () => {
  const share = { of: 'prune/data', most: 2, mostFailures: 3 }
  const groups = ['a', 'b', 'c', 'd', 'e', 'f'].map(name => ({
    ...alone(`prune/${name}`, deletion(backup(name), 'a test')),
    share,
  }))
  const others = [{ ...alone('other', deletion(backup('z'), 'a test')), share: { ...share, of: 'prune/logs' } }]
  const passOf = async (refuses: readonly string[]) => {
    const { carryOut, calls } = server({ refuses })
    const plan = { groups: [...groups, ...others], conclude: () => [], wakeAt: undefined }
    const pass = async () => {
      calls.length = 0
      const { wakeAt } = await carryOut(world(snapshotPolicy()), plan)
      return [calls.map(call => call.split(' ').at(-1)).join(''), wakeAt]
    }
    return [await pass(), await pass()]
  }
  const left = at('02:00:35')
  assert.deepEqual(
    await passOf([]),
    [
      ['abz', left],
      ['abz', left],
    ],
    'the plan is still of what was there',
  )
  const [first, second] = await passOf(['delete Backup'])
  assert.deepEqual(first, ['abcz', left])
  assert.deepEqual(second, ['def', at('02:01:05')], 'what was refused waits, and takes no turn of the others')
})

test('a slot whose Backup could not be created stays open in the book', async () => {
  const of = snapshotPolicy({}, { status: { accountedUntil: stamp(at('01:00')), slots: { missed: 3, skipped: 0 } } })
  const seen = world(of, { claims: [claim('data')] })
  const plan = planPolicy(seen, now)
  assert.equal(only(actionsOf(plan.groups), 'create Backup').length, 1)
  const { carryOut, written } = server({ refuses: ['Backup'] })
  await carryOut(seen, plan)
  const { status } = written.find(({ kind }) => kind === 'BackupPolicy') as BackupPolicy
  assert.equal(status?.accountedUntil, stamp(at('01:00')))
  assert.deepEqual(status?.slots, { missed: 3, skipped: 0, unmade: { slot: stamp(at('02:00')), targets: ['data'] } })
  const refused = status?.conditions?.find(({ type }) => type === 'WritesRefused')
  assert.deepEqual([refused?.status, refused?.reason], ['True', 'CreationRefused'])
  assert.match(refused?.message ?? '', /create Backup .*: exceeded quota: few/)
})

test('a Job on a lost node that nobody has seen yet goes only when its Backup cannot be created', async () => {
  const lost = jobOfSlot(at('02:00'), { status: { startTime: stamp(at('02:00')), active: 1 } })
  const seen = world(policy(), { jobs: [lost] })
  const plan = planPolicy(seen, new Date('2026-01-07T00:00:00Z'))
  const done = async (refuses: readonly string[]) => {
    const { carryOut, calls } = server({ refuses })
    await carryOut(seen, plan)
    return calls.filter(call => call.endsWith(` ${lost.metadata.name}`))
  }
  const create = `create Backup ${lost.metadata.name}`
  assert.deepEqual(await done([]), [create])
  assert.deepEqual(await done(['Backup']), [create, `delete Job ${lost.metadata.name}`])
})

test('a run whose Job is refused waits and says why, and fails after five minutes of that, however long it had waited before', async () => {
  for (const created of ['02:00', '01:50']) {
    const asked = backup('now', { metadata: { creationTimestamp: stamp(at(created)) } })
    const { apply, calls, written, clock } = server({ refuses: ['Job'] })
    async function pass() {
      calls.length = 0
      const { retryAt } = await apply(world(policy(), { backups: [asked] }), [startOf(asked)], asked)
      const { status } = written.at(-1) as Backup
      return [status?.phase, status?.reason, calls.some(call => call.startsWith('create Job')), retryAt]
    }
    assert.deepEqual(await pass(), ['Pending', 'CreationRefused', true, at('02:01:05')])
    await clock.advance(200_000)
    assert.deepEqual(await pass(), ['Pending', 'CreationRefused', true, at('02:05:05')])
    await clock.advance(99_000)
    assert.deepEqual(await pass(), ['Pending', 'CreationRefused', false, at('02:05:05')])
    await clock.advance(1_000)
    assert.deepEqual((await pass()).slice(0, 3), ['Failed', 'CreationRefused', true], 'it is tried once more')
  }
})

test('F33: a run whose kind is not served for a moment waits, and none fails of it', async () => {
  const asked = backup('now', { metadata: { creationTimestamp: stamp(at('01:50')) } })
  const { apply, written, clock } = server({ absent: 'create Job' })
  for (let minutes = 0; minutes < 20; minutes += 5) {
    const { retryAt } = await apply(world(policy(), { backups: [asked] }), [startOf(asked)], asked)
    if (minutes === 0) assert.deepEqual(retryAt, at('02:00:10'))
    const { status } = written.at(-1) as Backup
    assert.deepEqual([status?.phase, status?.reason], ['Pending', 'CreationRefused'])
    await clock.advance(300_000)
  }
})

function startOf(of: Backup): Action {
  const { job: strategy } = policy().spec.strategy
  assert.ok(strategy)
  return { do: 'create', object: onDemandJob(policy(), strategy, of, { held: [], accepted: [] }, settings) }
}

test('a verdict waits, and nobody is told of it, when the pods of the Job have said more than the plan knew', async () => {
  const run = job('run', 'run')
  const newer = pod(run, 1)
  const asked = backup('now')
  const unless = { kind: 'newer-pods', name: 'run', uid: run.metadata.uid } as const
  const verdicts: readonly Extract<Action, { readonly do: 'write-status' }>[] = [
    { do: 'write-status', object: { ...asked, status: { phase: 'Failed' } }, unless },
    { do: 'write-status', object: { ...policy(), status: {} }, unless },
  ]
  for (const verdict of verdicts) {
    const behind = server({ pods: [newer] })
    const told: Action = { do: 'event', about: asked, type: 'Warning', reason: 'JobFailed', message: 'it failed' }
    const apply = () => behind.apply(world(policy(), { backups: [asked] }), [verdict, told])
    await assert.rejects(apply(), WaitError)
    assert.deepEqual([behind.written, behind.notes], [[], []])
    assert.equal(
      behind.caches.pods.get(newer.metadata.namespace, newer.metadata.name)?.metadata.name,
      newer.metadata.name,
    )
    await assert.rejects(apply(), WaitError, 'the cache has learnt of it since, and the plan is that of before')
    const seen = [versionOf(newer)]
    await behind.apply(world(policy(), { backups: [asked] }), [{ ...verdict, unless: { ...unless, seen } }, told])
    assert.deepEqual([behind.written.length, behind.notes.length], [1, 1])
  }
})

test('a verdict does not wait for an object that only has the name: no plan would ever see it', async () => {
  const asked = backup('now', { spec: { target: 'data' } })
  const stranger = { apiVersion: 'v1', kind: 'Any', metadata: { name: 'run', labels: { app: 'theirs' } } }
  const own = job('run', 'run')
  const snapshot = snapshotOf(asked)
  const copy = { ...snapshot, metadata: { ...snapshot.metadata, name: 'a-copy' } }
  const withError = { ...snapshot, status: { error: { message: 'the copy broke off' } } }
  const readySnapshot = snapshotOf(asked, { status: ready })
  for (const [kind, there, waits] of [
    ['job', stranger, false],
    [
      'job',
      { ...own, metadata: { ...own.metadata, labels: { ...own.metadata.labels, [label.role]: 'probe' } } },
      false,
    ],
    ['job', { ...own, metadata: { ...own.metadata, ownerReferences: [] } }, false],
    ['job', own, true],
    ['snapshot', stranger, false],
    ['snapshot', { ...snapshot, metadata: { ...snapshot.metadata, annotations: {} } }, false],
    ['snapshot', copy, false],
    ['snapshot', snapshot, true],
    ['ready-snapshot', withError, false],
    ['ready-snapshot', snapshot, true],
    ['cut-snapshot', snapshot, false],
    ['cut-snapshot', snapshotOf(asked, { status: { creationTime: stamp(now) } }), true],
    ['cut-snapshot', readySnapshot, true],
    ['ready-snapshot', { ...readySnapshot, metadata: { ...snapshot.metadata, annotations: {} } }, false],
    ['ready-snapshot', readySnapshot, true],
  ] as const) {
    const { apply, written, caches } = server({ there })
    caches.policies.replace([policy()])
    caches.cronJobs.replace([world(policy()).cronJob ?? assert.fail()])
    const unless = { kind, name: there.metadata.name }
    const verdict: Action = { do: 'write-status', object: { ...asked, status: { phase: 'Failed' } }, unless }
    const applied = apply(world(policy(), { backups: [asked] }), [verdict])
    await (waits ? assert.rejects(applied, WaitError) : applied)
    assert.equal(written.length, waits ? 0 : 1, `${kind} ${JSON.stringify(there.metadata)}`)
  }
})

test('a snapshot that a watch which is behind shows as not cut at its deadline is looked at once more, and stays', async () => {
  const of = snapshotPolicy()
  const asked = backup('now', { spec: { policy: of.metadata.name, target: 'data' } })
  const metadata = { creationTimestamp: stamp(at('01:00')), resourceVersion: '7' }
  const cached = snapshotOf(asked, { metadata })
  const seen = world(of, { claims: [claim('data')], backups: [asked], snapshots: [cached] })
  const verdict = planPolicy(seen, at('12:00')).groups.filter(({ actions }) =>
    actions.some(action => /VolumeSnapshot|status Backup$/.test(does(action))),
  )
  assert.deepEqual(actionsOf(verdict).map(does), ['status Backup', 'event', 'delete VolumeSnapshot'])
  const there = { ...cached, status: ready, metadata: { ...cached.metadata, resourceVersion: '8' } }
  const { carryOut, calls, caches } = server({ there })
  await assert.rejects(carryOut(seen, { groups: verdict, conclude: () => [], wakeAt: undefined }), WaitError)
  assert.deepEqual(calls, [])
  assert.deepEqual(
    caches.snapshots.list().map(({ status }) => status),
    [ready],
    'the next plan knows',
  )
})

const asked = backup('now')
const ofClaim = backup('now', { spec: { target: 'data' } })
const rest = statusOf(policy())

/** One of each, with the run that it is for, and what people are told when a stranger has the name. */
const creates: readonly (readonly [what: string, action: Action, run: Backup | undefined, message: RegExp])[] = [
  [
    'the CronJob',
    { do: 'create', object: desiredCronJob(policy())!, cost: 'no scheduled run starts' },
    undefined,
    /^a CronJob named backup-nightly exists and was not made for this; delete or rename it: without ours, no scheduled run starts$/,
  ],
  [
    'a probe',
    { do: 'create', object: probeJob(policy(), 'hash', 0, settings), cost: 'nobody finds out' },
    undefined,
    /^a Job named probe-nightly-\w+ exists .*; delete or rename it: without ours, nobody finds out$/,
  ],
  [
    'a page of the catalog',
    { do: 'create', object: catalogJob(policy(), 'run', undefined, settings), cost: 'nothing is compared' },
    undefined,
    /^a Job named catalog-nightly-\w+ exists .*; delete or rename it: without ours, nothing is compared$/,
  ],
  [
    'the Backup of a slot',
    {
      do: 'create',
      object: scheduledBackup('shop', 'nightly', 'nightly-data', 'data', at('02:00')),
      cost: 'this run has no Backup',
    },
    undefined,
    /^a Backup named nightly-data exists .*; delete or rename it: without ours, this run has no Backup$/,
  ],
  ['a run', startOf(asked), asked, /^a Job named backup-nightly-\w+ exists .*; delete or rename it$/],
  [
    'the Backup of a target',
    { do: 'create', object: childBackup(asked, 'data') },
    asked,
    /^a Backup named now-data-\w+ exists .*; delete or rename it$/,
  ],
  [
    'a snapshot',
    { do: 'create', object: volumeSnapshot(ofClaim, snapshotName(ofClaim), 'data', 'fast', '2026-01-05T02:00:03Z') },
    ofClaim,
    /^a VolumeSnapshot named now-\w+ exists .*; delete or rename it$/,
  ],
]

const strangers: Readonly<Record<string, (wanted: KubernetesObject) => KubernetesObject>> = {
  'a stranger': ({ apiVersion, kind, metadata: { name, namespace } }) => ({
    apiVersion,
    kind,
    metadata: { name, namespace, uid: 'theirs', resourceVersion: '1', labels: { app: 'theirs' } },
  }),
  'an object that we made for another policy': wanted => ({
    ...wanted,
    metadata: { ...wanted.metadata, uid: 'other', labels: { ...wanted.metadata.labels, ...policyLabels('other') } },
  }),
}

function ours({ cronJobs, jobs, snapshots, backups }: Caches): readonly KubernetesObject[] {
  return [...cronJobs.list(), ...jobs.list(), ...snapshots.list(), ...backups.list()]
}

for (const [who, taken] of Object.entries(strangers))
  for (const [what, action, run, message] of creates)
    test(`${what}: ${who} with the name is told as NameTaken and left alone, and the rest is done`, async () => {
      const { carryOut, calls, written, notes, caches } = server({ taken })
      const of = policy()
      const groups = [{ name: 'it', run, actions: [action] }]
      await carryOut(world(of, { backups: [asked] }), { groups, conclude: () => [rest], wakeAt: undefined })
      const [first = '', ...others] = calls
      assert.match(first, /^create /)
      assert.deepEqual(others, [...(run ? ['status Backup now'] : []), 'status BackupPolicy nightly'])
      assert.deepEqual(
        notes.map(({ about, type, reason }) => [about, type, reason]),
        [[run ?? of, 'Warning', 'NameTaken']],
      )
      assert.match(notes[0]?.message ?? '', message)
      const verdicts = written.filter(({ kind }) => kind === 'Backup') as Backup[]
      assert.deepEqual(
        verdicts.map(({ status }) => [status?.phase, status?.reason, status?.message]),
        run ? [['Failed', 'NameTaken', notes[0]?.message]] : [],
      )
      assert.deepEqual(ours(caches), verdicts, 'the stranger is not taken for ours')
    })

test('F27: an export of a Backup that was applied without its slot, or without the run that it tells of, is a stranger', async () => {
  const object = scheduledBackup('shop', 'nightly', 'nightly-data', 'data', at('02:00'))
  const { slot: _, ...withoutSlot } = object.spec
  const later = { ...object.spec, slot: at('03:00').toISOString() }
  const returned = returnedBackup('shop', 'nightly', 'backup-nightly-x', 'command')
  for (const [wanted, existing] of [
    [object, { ...object, spec: withoutSlot }],
    [object, { ...object, spec: later }],
    [returned, { ...returned, metadata: { ...returned.metadata, annotations: {} } }],
  ] as const) {
    const { carryOut, notes, caches } = server({ taken: () => existing })
    let told: readonly string[] = []
    const groups = [alone('record/it', { do: 'create', object: wanted }), alone('rest', rest)]
    const conclude: Plan['conclude'] = (_refused, undone) => ((told = [...(undone?.taken ?? [])]), [])
    await carryOut(world(policy()), { groups, conclude, wakeAt: undefined })
    assert.deepEqual([notes.map(({ reason }) => reason), told, ours(caches)], [['NameTaken'], ['record/it'], []])
  }
})

const madeAt = (time: Date, { metadata, ...rest }: KubernetesObject): KubernetesObject => ({
  ...rest,
  metadata: { ...metadata, creationTimestamp: stamp(time) },
})

test('F27: a VolumeSnapshot that has all our marks is a stranger where it is of another claim, or made before the run', async () => {
  const slotted = scheduled(at('02:00'), { name: 'nightly-data', target: 'data' })
  const broughtBack = { ...slotted, metadata: { ...slotted.metadata, creationTimestamp: stamp(at('11:00')) } }
  for (const [what, run, claim, made, adopted] of [
    ['of its slot', slotted, 'data', at('02:00'), true],
    ['by a clock that is a little behind', slotted, 'data', at('01:56'), true],
    ['made beforehand', slotted, 'data', at('01:54'), false],
    ['of another claim', slotted, 'old', at('02:00'), false],
    ['older than a Backup that came back', broughtBack, 'data', at('02:00'), true],
    ['on demand', ofClaim, 'data', at('00:00'), true],
  ] as const) {
    const { carryOut, notes, written } = server({
      taken: wanted => {
        const source = { persistentVolumeClaimName: claim }
        const snapshot: VolumeSnapshot = { ...wanted, spec: { source }, status: ready }
        return madeAt(made, snapshot)
      },
    })
    const object = volumeSnapshot(run, snapshotName(run), 'data', 'fast', '2026-01-05T02:00:03Z')
    const groups = [{ name: 'start/it', run, actions: [{ do: 'create', object } as const] }]
    await carryOut(world(snapshotPolicy(), { backups: [run] }), { groups, conclude: () => [], wakeAt: undefined })
    const verdicts = written.filter(({ kind }) => kind === 'Backup') as Backup[]
    const said = verdicts.map(({ status }) => `${status?.phase} ${status?.reason}`)
    const taken = [['NameTaken'], ['Failed NameTaken']]
    assert.deepEqual([notes.map(({ reason }) => reason), said], adopted ? [[], []] : taken, what)
  }
})

test('what has the name and was made for the same is adopted, and nobody is told', async () => {
  for (const [, action, run] of creates) {
    const { apply, calls, notes, caches } = server({ taken: wanted => madeAt(now, wanted) })
    await apply(world(policy(), { backups: [asked] }), [action], run)
    assert.deepEqual([calls.length, notes], [1, []], calls.join())
    assert.deepEqual(
      ours(caches).map(({ kind, metadata }) => `create ${kind} ${metadata.name}`),
      calls,
    )
  }
})

test('what a slot starts needs a Backup that was made by this very pass: one that was there may have ended', async () => {
  const of = snapshotPolicy({}, { status: { accountedUntil: stamp(at('01:00')) } })
  const seen = world(of, { claims: [claim('data')] })
  const done = async (options: Parameters<typeof server>[0]) => {
    const { carryOut, calls, written } = server(options)
    await carryOut(seen, planPolicy(seen, now))
    const [told] = written.filter(({ kind }) => kind === 'Backup') as Backup[]
    return { did: calls.map(call => call.split(' ', 2).join(' ')), told }
  }
  const conclusion = 'status BackupPolicy'
  assert.deepEqual((await done({})).did, ['create Backup', 'create VolumeSnapshot', conclusion])
  assert.deepEqual((await done({ taken: wanted => wanted })).did, ['create Backup', conclusion])
  assert.deepEqual((await done({ refuses: ['Backup'] })).did, ['create Backup', conclusion])
  const { did, told } = await done({ refuses: ['VolumeSnapshot'] })
  assert.deepEqual(did, ['create Backup', 'create VolumeSnapshot', 'status Backup', conclusion])
  assert.deepEqual([told?.metadata.resourceVersion, told?.status?.reason], ['1', 'CreationRefused'])
})
