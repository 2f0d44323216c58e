import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { fillCaches, toyCaches } from '../../../test/histories/toy/caches.ts'
import { kept } from '../../../test/plan/kept.ts'
import {
  at,
  claim,
  controlledBy,
  job,
  namespace,
  policy,
  settings,
  snapshotPolicy,
  stamp,
} from '../../../test/plan/world.ts'
import type { OwnerReference } from '../../api/kubernetes.ts'
import { WaitError } from '../../runtime/client/errors.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { silentLog } from '../../runtime/log.ts'
import { createObserver, probesRunning } from './observe.ts'

const now = at('12:00')

/** How many places are taken where Jobs that look like probes have just begun, with these owners. */
function taken(owners: readonly (readonly OwnerReference[])[]): number {
  const caches = toyCaches(toyClient(new ToyApiServer(now)))
  caches.policies.replace([policy(), policy({}, { metadata: { name: 'other', uid: 'other' } })])
  const status = { startTime: stamp(now), active: 1 }
  const metadata = { creationTimestamp: stamp(now) }
  caches.jobs.replace(
    owners.map((ownerReferences, n) =>
      job(`probe-${n}`, 'probe', { status, metadata: { ...metadata, ownerReferences } }),
    ),
  )
  return probesRunning(caches, now)
}

/** What verdicts on snapshots rest on. */
const needed = ['policies', 'backups', 'cronJobs', 'jobs', 'pods', 'claims', 'volumes'] as const

test('what only looks like a probe takes none of the places of all tenants, and a policy takes one at most (F74)', () => {
  const own = controlledBy(policy())
  assert.equal(taken([[], [{ ...own, uid: 'gone' }], [{ ...own, controller: false }], [{ ...own, kind: 'Backup' }]]), 0)
  assert.equal(taken([[own], [own], [own]]), 1)
  assert.equal(taken([[own], [{ ...own, name: 'other', uid: 'other' }]]), 2)
})

test('since when the snapshot API is away is told by the kind that went first, and a clock that jumps does not change it', async () => {
  const client = toyClient(new ToyApiServer(now))
  const caches = toyCaches(client)
  const clock = new FakeClock(now)
  const observe = createObserver(caches, client, settings, clock, silentLog)
  for (const kind of needed) caches[kind].replace([])
  const away = async () => {
    const { snapshotClasses, snapshotApiAwaySince } = await observe(namespace, 'nightly', new AbortController().signal)
    assert.equal(snapshotClasses, undefined)
    return snapshotApiAwaySince
  }
  for (const kind of ['snapshots', 'snapshotClasses'] as const) caches[kind].replace([])
  const since = clock.monotonic()
  caches.snapshots.markAbsent(since)
  await clock.advance(5000)
  caches.snapshotClasses.markAbsent(clock.monotonic())
  assert.deepEqual(await away(), now)
  clock.jump(86_400_000)
  assert.deepEqual(await away(), new Date(now.getTime() + 86_400_000))
  caches.snapshots.replace([])
  assert.deepEqual(await away(), new Date(now.getTime() + 86_405_000), 'classes went later')
})

test('since when the snapshot API is back is told by the kind that came last', async () => {
  const client = toyClient(new ToyApiServer(now))
  const caches = toyCaches(client)
  const clock = new FakeClock(now)
  const observe = createObserver(caches, client, settings, clock, silentLog)
  for (const kind of needed) caches[kind].replace([])
  const back = async () => (await observe(namespace, 'nightly', new AbortController().signal)).snapshotApiBackSince
  for (const kind of ['snapshots', 'snapshotClasses'] as const) caches[kind].markAbsent(clock.monotonic())
  await clock.advance(5000)
  caches.snapshots.replace([], clock.monotonic())
  assert.equal(await back(), undefined, 'half of it is away')
  await clock.advance(5000)
  caches.snapshotClasses.replace([], clock.monotonic())
  await clock.advance(5000)
  assert.deepEqual(await back(), at('12:00:10'))
})

for (const kind of needed)
  test(`F31: ${kind} that the API server does not serve for a moment are not gone: nothing is planned until they are seen again`, async () => {
    const server = new ToyApiServer(now)
    const client = toyClient(server)
    const caches = toyCaches(client)
    fillCaches(caches, server, false)
    caches.policies.replace([snapshotPolicy()])
    const observe = createObserver(caches, client, settings, new FakeClock(now), silentLog)
    const look = () => observe(namespace, 'nightly', new AbortController().signal)
    await look()
    caches[kind].markAbsent(0)
    await assert.rejects(look(), WaitError)
    caches[kind].replace([])
    await look()
  })

test('F31: claims and volumes that are not served hold up no policy with strategy job', async () => {
  const server = new ToyApiServer(now)
  const client = toyClient(server)
  const caches = toyCaches(client)
  fillCaches(caches, server, false)
  caches.policies.replace([policy()])
  for (const kind of ['claims', 'volumes'] as const) caches[kind].markAbsent(0)
  const observe = createObserver(caches, client, settings, new FakeClock(now), silentLog)
  assert.equal((await observe(namespace, 'nightly', new AbortController().signal)).policy?.metadata.name, 'nightly')
})

test('F82: a policy that has strategy job by now waits for claims while a snapshot of an earlier run has not ended, and sees the claim that it does not select', async () => {
  const server = new ToyApiServer(now)
  const { backup, snapshot } = kept(1)
  const running = { ...backup, status: { phase: 'Running', run: snapshot.metadata.name } } as const
  const client = toyClient(server)
  const caches = toyCaches(client)
  fillCaches(caches, server, false)
  caches.policies.replace([policy()])
  caches.backups.replace([running])
  caches.snapshots.replace([snapshot])
  caches.claims.markAbsent(0)
  const observe = createObserver(caches, client, settings, new FakeClock(now), silentLog)
  const look = () => observe(namespace, 'nightly', new AbortController().signal)
  await assert.rejects(look(), WaitError)
  caches.claims.replace([claim('data', { metadata: { labels: {} } }), claim('other')])
  const { claims, claimUIDs } = await look()
  assert.deepEqual([claims, [...claimUIDs]], [[], [['data', 'uid-of-claim-data']]])
  caches.claims.markAbsent(0)
  caches.backups.replace([{ ...backup, metadata: { ...backup.metadata, resourceVersion: '2' } }])
  await look()
})

for (const kind of ['snapshots', 'snapshotClasses', 'claims', 'volumes', 'jobEvents', 'cronJobEvents'] as const)
  test(`F31: ${kind} that the API server has refused to list since the start are unknown, and hold up what rests on them alone`, async () => {
    const isForWords = kind.endsWith('Events')
    for (const some of [[policy()], [snapshotPolicy()], []]) {
      const server = new ToyApiServer(now)
      const client = toyClient(server)
      const filled = toyCaches(client)
      fillCaches(filled, server, true)
      filled.policies.replace(some)
      const caches = { ...filled, [kind]: toyCaches(client)[kind] }
      const observe = createObserver(caches, client, settings, new FakeClock(now), silentLog)
      const look = observe(namespace, 'nightly', new AbortController().signal)
      const [of] = some.map(({ spec }) => spec.strategy.type)
      const rests = of === 'snapshot' || (of === undefined && kind.startsWith('snapshot'))
      if (rests && !isForWords) await assert.rejects(look, /^WaitError: the API server has not listed/)
      else assert.equal((await look).policy, some[0])
    }
  })

test('F31: a kind that stays unserved is warned of by its name, and not in every pass', async () => {
  const server = new ToyApiServer(now)
  const client = toyClient(server)
  const caches = toyCaches(client)
  const clock = new FakeClock(now)
  fillCaches(caches, server, false)
  const warned: unknown[] = []
  const log = { ...silentLog, warn: (fields: object) => void warned.push(fields) }
  const observe = createObserver(caches, client, settings, clock, log)
  caches.pods.markAbsent(0)
  for (let n = 0; n < 61; n++) {
    await assert.rejects(observe(namespace, 'nightly', new AbortController().signal), WaitError)
    await clock.advance(10_000)
  }
  assert.deepEqual(warned, [{ kind: 'pods' }, { kind: 'pods' }])
})
