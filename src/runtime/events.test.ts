import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client } from './client/client.ts'
import { FakeClock } from './fake-clock.ts'
import { realClock } from './clock.ts'
import { EventRecorder, cut } from './events.ts'
import { FakeApiServer, json, status } from './client/fake-api-server.ts'
import type { WriteOptions } from './client/requests.ts'
import type { KubeObject } from './client/resource.ts'

const widget: KubeObject = {
  apiVersion: 'example.dev/v1',
  kind: 'Widget',
  metadata: { name: 'w', namespace: 'a', uid: 'u1', resourceVersion: '7' },
}
const note = { type: 'Warning', reason: 'Bent', message: 'it is bent' } as const

async function setUp(t: { after: (fn: () => Promise<void>) => void }) {
  const server = await FakeApiServer.start()
  const client = new Client({ url: server.url })
  const clock = new FakeClock('2026-11-22T10:00:00.500Z')
  const make = () => new EventRecorder({ client, component: 'widgets', instance: 'widgets-0', clock })
  server.otherwise = json({}, 201)
  t.after(async () => {
    await server.stop()
    await client.close()
  })
  return { server, clock, make, recorder: make() }
}

test('an event says what happened to which object, seen from where', async t => {
  const { server, recorder } = await setUp(t)
  recorder.record(widget, note)
  await recorder.flush()
  const { method, path, body } = server.requests[0] ?? {}
  assert.equal(`${method} ${path}`, 'POST /api/v1/namespaces/a/events')
  const { metadata, ...rest } = body as { metadata: { name: string } }
  assert.match(metadata.name, /^w\.[0-9a-f]{16}$/)
  assert.deepEqual(rest, {
    apiVersion: 'v1',
    kind: 'Event',
    involvedObject: {
      apiVersion: 'example.dev/v1',
      kind: 'Widget',
      namespace: 'a',
      name: 'w',
      uid: 'u1',
      resourceVersion: '7',
    },
    ...note,
    count: 1,
    firstTimestamp: '2026-11-22T10:00:00Z',
    lastTimestamp: '2026-11-22T10:00:00Z',
    source: { component: 'widgets' },
    reportingComponent: 'widgets',
    reportingInstance: 'widgets-0',
  })
})

test('the same event again raises its count', async t => {
  const { server, clock, recorder } = await setUp(t)
  for (let i = 0; i < 3; i++) recorder.record(widget, note)
  await recorder.flush()
  await clock.advance(60_000)
  recorder.record(widget, note)
  recorder.record(widget, { ...note, message: 'another' })
  await recorder.flush()
  assert.deepEqual(
    server.requests.map(({ method, body }) => [method, (body as { count: number }).count]),
    [
      ['POST', 3],
      ['PATCH', 4],
      ['POST', 1],
    ],
  )
  assert.deepEqual(server.requests[1]?.body, { count: 4, lastTimestamp: '2026-11-22T10:01:00Z' })
})

test('a restarted process goes on counting without reading events', async t => {
  const { server, make } = await setUp(t)
  const recorder = make()
  server.next(status(409, 'AlreadyExists'), json({ count: 9 }), json({ count: 10 }))
  recorder.record(widget, note)
  await recorder.flush()
  assert.deepEqual(
    server.requests.map(({ method, body }) => [method, (body as { count: number }).count]),
    [
      ['POST', 1],
      ['PATCH', undefined],
      ['PATCH', 10],
    ],
  )
})

test('an event that the API server dropped meanwhile is made again', async t => {
  const { server, recorder } = await setUp(t)
  recorder.record(widget, note)
  await recorder.flush()
  server.next(status(404, 'NotFound'))
  recorder.record(widget, note)
  await recorder.flush()
  assert.deepEqual(
    server.requests.map(({ method }) => method),
    ['POST', 'PATCH', 'POST'],
  )
})

test('one object cannot flood, and does not use up the share of another', async t => {
  const { server, clock, recorder } = await setUp(t)
  for (let i = 0; i < 100; i++) recorder.record(widget, { ...note, message: `bend ${i}` })
  recorder.record({ ...widget, metadata: { ...widget.metadata, uid: 'u2' } }, note)
  await recorder.flush()
  assert.equal(server.requests.length, 26)
  await clock.advance(300_000)
  recorder.record(widget, { ...note, message: 'later' })
  recorder.record(widget, { ...note, message: 'too much' })
  await recorder.flush()
  assert.equal(server.requests.length, 27)
})

test('a failure to write is nobody else’s problem', async t => {
  const { server, recorder } = await setUp(t)
  server.next(status(403, 'Forbidden', 'namespace is being terminated'))
  recorder.record(widget, note)
  recorder.record(widget, { ...note, reason: 'Other' })
  await recorder.flush()
  assert.equal(server.requests.length, 2)
})

test('events of objects without a namespace go to default, under a name that is a DNS name', async t => {
  const { server, recorder } = await setUp(t)
  recorder.record({ ...widget, metadata: { name: `My:Role_${'x'.repeat(300)}`, uid: 'u3' } }, note)
  await recorder.flush()
  const { path, body } = server.requests[0] ?? {}
  assert.equal(path, '/api/v1/namespaces/default/events')
  const { name } = (body as KubeObject).metadata
  assert.match(name, /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/)
  assert.ok(name.length <= 253)
})

test('a message is cut between letters to what the API server takes', () => {
  assert.equal(cut('short', 1024), 'short')
  const long = cut('ü🙂'.repeat(1000), 1024)
  assert.ok(Buffer.byteLength(long) <= 1024 && Buffer.byteLength(long) > 1015)
  assert.match(long, /^(ü🙂)+ü?…$/)
})

test('an event that is recorded in the moment when the last one has been written is written, too', async () => {
  for (let turns = 0; turns < 10; turns++) {
    const created: string[] = []
    const first = Promise.withResolvers<void>()
    const client = {
      async create(_: unknown, { message }: { readonly message: string }) {
        created.push(message)
        first.resolve()
      },
    } as unknown as Client
    const recorder = new EventRecorder({ client, component: 'widgets', instance: 'widgets-0', clock: new FakeClock() })
    recorder.record(widget, note)
    await first.promise
    for (let turn = 0; turn < turns; turn++) await Promise.resolve()
    recorder.record(widget, { ...note, message: 'and again' })
    await recorder.flush()
    assert.deepEqual(created, [note.message, 'and again'], `${turns} turns later`)
  }
})

type Slowly = {
  readonly recorder: EventRecorder
  readonly clock: FakeClock
  readonly told: string[]
  readonly most: () => number
}

/** An API server that answers a write in a namespace named `silent-…` late, or never; `told` has the others, `most` is how many writes were under way at once. */
function besideSilence(answerMs = Number.POSITIVE_INFINITY): Slowly {
  const clock = new FakeClock()
  const told: string[] = []
  let [underWay, most] = [0, 0]
  const create = async (_: unknown, event: KubeObject & { message?: string }, { signal }: WriteOptions = {}) => {
    most = Math.max(most, ++underWay)
    try {
      await clock.wait(event.metadata.namespace?.startsWith('silent') ? answerMs : 10, signal)
      told.push(`${event.metadata.namespace} ${event.message}`)
    } finally {
      underWay--
    }
    return event
  }
  const client = { create, patch: () => assert.fail('each event is told once') } as unknown as Client
  const recorder = new EventRecorder({ client, component: 'c', instance: 'i', clock })
  return { recorder, clock, told, most: () => most }
}

/** As many things are told of as many widgets of the namespace as one recorder holds. */
function flood(recorder: EventRecorder, namespace: string): void {
  for (let i = 0; i < 1000; i++) recordIn(recorder, namespace, `${i}`, `w${i % 40}`)
}

function recordIn(recorder: EventRecorder, namespace: string, message: string, name = 'w'): void {
  const metadata = { ...widget.metadata, namespace, name, uid: `${namespace}-${name}` }
  recorder.record({ ...widget, metadata }, { ...note, message })
}

test('S19: where no event of one namespace is answered, those of another are told at once, in their order', async () => {
  const { recorder, clock, told } = besideSilence()
  flood(recorder, 'silent')
  recordIn(recorder, 'b', 'when all is full')
  recordIn(recorder, 'b', 'after it')
  await clock.advance(100)
  assert.deepEqual(told, ['b when all is full', 'b after it'])
  recordIn(recorder, 'b', 'later')
  await clock.advance(100)
  assert.deepEqual(told.slice(2), ['b later'])
})

test('S19: where many namespaces are silent, another waits for the turn of each at most', async () => {
  const { recorder, clock, told, most } = besideSilence()
  for (let i = 0; i < 6; i++) flood(recorder, `silent-${i}`)
  recordIn(recorder, 'b', 'told')
  await clock.advance(16_000)
  assert.deepEqual(told, ['b told'])
  assert.equal(most(), 2)
})

for (const [how, answerMs] of [
  ['never answered', Number.POSITIVE_INFINITY],
  ['answered after four seconds', 4_000],
] as const)
  for (const slow of [2, 20])
    test(`S19: where events of ${slow} namespaces are ${how}, fifty of another one are told within a minute, and the next fifty at once`, async () => {
      const { recorder, clock, told, most } = besideSilence(answerMs)
      for (let i = 0; i < slow; i++) for (let n = 0; n < 40; n++) recordIn(recorder, `silent-${i}`, `${n}`, `w${n}`)
      const ofOthers = () => told.filter(each => !each.startsWith('silent')).length
      for (let n = 0; n < 50; n++) recordIn(recorder, 'b', `${n}`, `w${n}`)
      await clock.advance(60_000)
      assert.equal(ofOthers(), 50)
      for (let n = 0; n < 50; n++) recordIn(recorder, 'c', `${n}`, `w${n}`)
      await clock.advance(1_000)
      assert.equal(ofOthers(), 100)
      assert.equal(most(), 2)
    })

test('S19: a namespace that answers in time again is told its events at once', async () => {
  const slow = { is: true }
  const clock = new FakeClock()
  const told: string[] = []
  const client = {
    async create(_: unknown, { message }: { message: string }, { signal }: WriteOptions = {}) {
      if (slow.is) await clock.wait(Number.POSITIVE_INFINITY, signal)
      told.push(message)
    },
  } as unknown as Client
  const recorder = new EventRecorder({ client, component: 'c', instance: 'i', clock })
  for (const namespace of ['a', 'b']) for (let n = 0; n < 20; n++) recordIn(recorder, namespace, `${n}`, `w${n}`)
  await clock.advance(9_000)
  slow.is = false
  await clock.advance(2_000)
  assert.equal(told.length, 37, 'all but the three that were given up')
})

test('S19: an event that is not answered within five seconds is given up, and the next one of its namespace is written', async () => {
  const tried: string[] = []
  const clock = new FakeClock()
  const client = {
    async create(_: unknown, { message }: { message: string }, { signal }: WriteOptions = {}) {
      tried.push(message)
      if (message === 'first') await clock.wait(Number.POSITIVE_INFINITY, signal)
    },
  } as unknown as Client
  const recorder = new EventRecorder({ client, component: 'c', instance: 'i', clock })
  recordIn(recorder, 'a', 'first')
  recordIn(recorder, 'a', 'second')
  await clock.advance(4_900)
  assert.deepEqual(tried, ['first'])
  await clock.advance(200)
  assert.deepEqual(tried, ['first', 'second'])
  assert.equal(clock.pending, 0)
})

test('S19: the last events hold up the end of a process for three seconds at most', async () => {
  const { recorder, clock, told } = besideSilence()
  flood(recorder, 'silent')
  recordIn(recorder, 'b', 'told')
  let hasEnded = false
  const flushed = recorder.flush().then(() => (hasEnded = true))
  await clock.advance(2_900)
  assert.deepEqual([hasEnded, told], [false, ['b told']])
  await clock.advance(200)
  assert.equal(hasEnded, true)
  await flushed
  assert.equal(clock.pending, 0)
})

test('recording does not wait for the API server', () => {
  const never = new Promise<never>(() => {})
  const recorder = new EventRecorder({
    client: { create: () => never, patch: () => never },
    component: 'c',
    instance: 'i',
    clock: realClock,
  })
  recorder.record(widget, note)
})
