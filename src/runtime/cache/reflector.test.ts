import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client } from '../client/client.ts'
import { ApiError, ResponseError } from '../client/errors.ts'
import { FakeApiServer, json, openWatch, reset, status, watchOf } from '../client/fake-api-server.ts'
import type { Line, Received } from '../client/fake-api-server.ts'
import { FakeClock } from '../fake-clock.ts'
import { Reflector } from './reflector.ts'
import type { ReflectorOptions, RestartReason } from './reflector.ts'
import type { WatchOptions } from '../client/requests.ts'
import type { KubeObject, Resource } from '../client/resource.ts'
import type { Change } from './store.ts'
import type { WatchEvent } from './watch.ts'

const pods: Resource = { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true }

function pod(name: string, version: number, extra: object = {}): KubeObject {
  const metadata = { name, namespace: 'a', uid: `uid-${name}`, resourceVersion: String(version), ...extra }
  return { apiVersion: 'v1', kind: 'Pod', metadata }
}

function added(name: string, version: number): Line {
  return { type: 'ADDED', object: pod(name, version) }
}

function bookmark(version: number, annotations: object = {}): Line {
  return { type: 'BOOKMARK', object: { kind: 'Pod', metadata: { resourceVersion: String(version), annotations } } }
}

/** Ends the initial events. */
function synced(version: number): Line {
  return bookmark(version, { 'k8s.io/initial-events-end': 'true' })
}

type Following = {
  readonly server: FakeApiServer
  readonly reflector: Reflector<KubeObject>
  readonly changes: string[]
  readonly restarts: RestartReason[]
  /** Starts to follow. */
  readonly start: () => void
  /** Resolves when `condition` holds, looked at after every change, request and restart. */
  readonly until: (condition: () => boolean) => Promise<void>
}

async function follow(
  t: { after: (fn: () => Promise<void>) => void },
  options: Partial<ReflectorOptions<KubeObject>> = {},
): Promise<Following> {
  const server = await FakeApiServer.start()
  server.otherwise = openWatch()
  const client = new Client({ url: server.url })
  const stop = new AbortController()
  const restarts: RestartReason[] = []
  const reflector = new Reflector<KubeObject>({
    client,
    resource: pods,
    onRestart: reason => restarts.push(reason),
    ...options,
    timings: { firstBackoffMs: 10, longestBackoffMs: 50, healthyMs: 5, absentMs: 20, ...options.timings },
  })
  const changes: string[] = []
  reflector.store.subscribe(({ type, key, object }: Change<KubeObject>) => {
    changes.push(`${type} ${key}@${object.metadata.resourceVersion}`)
  })
  let running: Promise<void> | undefined
  t.after(async () => {
    stop.abort()
    await running
    await server.stop()
    await client.close()
  })
  return {
    server,
    reflector,
    changes,
    restarts,
    start: () => {
      running = reflector.run(stop.signal)
    },
    until: async condition => {
      while (!condition()) await new Promise(resolve => setImmediate(resolve))
    },
  }
}

function queryOf(request: Received | undefined): Record<string, string> {
  return Object.fromEntries(request?.query ?? [])
}

test('the first sync is a WatchList and the same stream goes on as the watch', async t => {
  const { server, reflector, changes, start, until } = await follow(t, { labelSelector: 'app=db', namespace: 'a' })
  server.next(openWatch(added('x', 1), added('y', 2), synced(5), { type: 'MODIFIED', object: pod('x', 6) }))
  start()
  await until(() => changes.length === 3)
  assert.deepEqual(changes, ['added a/x@1', 'added a/y@2', 'modified a/x@6'])
  assert.equal(reflector.store.state, 'synced')
  const { timeoutSeconds, ...query } = queryOf(server.requests[0])
  assert.ok(Number(timeoutSeconds) >= 45 && Number(timeoutSeconds) <= 55)
  assert.deepEqual(query, {
    labelSelector: 'app=db',
    allowWatchBookmarks: 'true',
    sendInitialEvents: 'true',
    resourceVersionMatch: 'NotOlderThan',
    watch: 'true',
  })
  assert.equal(server.requests[0]?.path, '/api/v1/namespaces/a/pods')
  assert.equal(server.requests.length, 1)
})

test('nothing is seen before the initial events are complete', async t => {
  const arrived: KubeObject[] = []
  const pick = (object: KubeObject): KubeObject => {
    arrived.push(object)
    return object
  }
  const { server, reflector, start, until } = await follow(t, { pick })
  server.next(openWatch(bookmark(1), added('x', 1)))
  start()
  await until(() => arrived.length === 1)
  assert.equal(reflector.store.lastSeen, undefined)
  assert.equal(reflector.store.state, 'syncing')
  assert.equal(reflector.store.list().length, 0)
})

test('a server without WatchList is listed in pages and then watched', async t => {
  const { server, reflector, start, until } = await follow(t)
  server.next(
    status(422, 'Invalid', 'sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled'),
    json({ items: [pod('x', 1)], metadata: { resourceVersion: '4' } }),
  )
  start()
  await until(() => server.requests.length === 3)
  assert.deepEqual(reflector.store.list(), [pod('x', 1)])
  assert.equal(queryOf(server.requests[1])['limit'], '500')
  assert.equal(queryOf(server.requests[2])['resourceVersion'], '4')
})

test('a WatchList that ends before it is complete is replaced by a list', async t => {
  const { server, reflector, start, until } = await follow(t)
  server.next(watchOf(added('x', 1)), json({ items: [pod('y', 1)], metadata: { resourceVersion: '4' } }))
  start()
  await until(() => reflector.store.state === 'synced')
  assert.deepEqual(
    reflector.store.list().map(object => object.metadata.name),
    ['y'],
  )
})

test('a new watch takes up at the last event or bookmark', async t => {
  const { server, restarts, start, until } = await follow(t)
  server.next(watchOf(synced(5), added('x', 7)), watchOf(bookmark(9)))
  start()
  await until(() => server.requests.length === 3)
  assert.deepEqual(
    server.requests.map(request => queryOf(request)['resourceVersion']),
    [undefined, '7', '9'],
  )
  assert.deepEqual(restarts, ['ended', 'ended'])
})

for (const [how, expired] of [
  ['as a status', status(410, 'Expired', 'too old resource version')],
  ['inside the stream', watchOf({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } })],
] as const) {
  test(`410 ${how} leads to a new sync that finds what was deleted meanwhile`, async t => {
    const { server, reflector, changes, restarts, start, until } = await follow(t)
    server.next(watchOf(added('x', 1), added('y', 2), synced(5)), expired, openWatch(added('y', 8), synced(9)))
    start()
    await until(() => changes.length === 4)
    assert.deepEqual(changes.slice(2), ['deleted a/x@1', 'modified a/y@8'])
    assert.equal(queryOf(server.requests[2])['sendInitialEvents'], 'true')
    assert.deepEqual(restarts, ['ended', 'gone'])
    assert.equal(reflector.store.state, 'synced')
  })
}

test('a server that is behind our resourceVersion (its store was restored) is synced with from nothing', async t => {
  const { server, restarts, start, until } = await follow(t)
  const details = { causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }] }
  server.next(watchOf(synced(500)), status(504, 'Timeout', 'Too large resource version', { details }))
  start()
  await until(() => server.requests.length === 3)
  assert.equal(queryOf(server.requests[2])['resourceVersion'], undefined)
  assert.deepEqual(restarts, ['ended', 'gone'])
})

test('an object that was deleted and made again under its name is two objects', async t => {
  const { server, changes, start, until } = await follow(t)
  const again = { type: 'ADDED', object: pod('x', 8, { uid: 'other' }) }
  server.next(watchOf(added('x', 1), synced(5)), status(410, 'Expired'), openWatch(again, synced(9)))
  start()
  await until(() => changes.length === 3)
  assert.deepEqual(changes, ['added a/x@1', 'deleted a/x@1', 'added a/x@8'])
})

test('a watch that goes silent is cut off and taken up from where it was', async t => {
  const { server, restarts, start, until } = await follow(t, { timings: { deadMs: 60 } })
  server.next(openWatch(added('x', 1), synced(5)))
  start()
  await until(() => server.requests.length >= 2)
  assert.deepEqual([...new Set(restarts)], ['dead'])
  assert.equal(queryOf(server.requests[1])['resourceVersion'], '5')
})

for (const [then, told, askedAgain, lists] of [
  ['it is taken up from where it was', [added('x', 1), synced(5)], { resourceVersion: '5' }, 0],
  ['one that had not told all objects yet is followed by a list', [added('x', 1)], { resourceVersion: '7' }, 1],
] as const) {
  test(`by default a silent watch is dead within 60 s, but not before the server may end it; ${then}`, async t => {
    const clock = new FakeClock()
    const asked: WatchOptions['query'][] = []
    let listed = 0
    // No connections, so that nothing but the clock takes time.
    const client = {
      async list() {
        listed++
        return { items: [], resourceVersion: '7' }
      },
      async *watch(_: Resource, { query, signal }: WatchOptions) {
        asked.push(query)
        yield* told as readonly WatchEvent[]
        await clock.wait(Number.POSITIVE_INFINITY, signal)
      },
    } as unknown as Pick<Client, 'list' | 'watch'>
    const restarts: RestartReason[] = []
    const reflector = new Reflector({ client, resource: pods, clock, onRestart: reason => restarts.push(reason) })
    const stop = new AbortController()
    const running = reflector.run(stop.signal)
    t.after(() => {
      stop.abort()
      return running
    })
    await clock.advance(55_000)
    assert.deepEqual(restarts, [])
    await clock.advance(5_000)
    assert.deepEqual(restarts, ['dead'])
    // The pause after a sync that failed.
    await clock.advance(1_000)
    assert.equal(asked.length, 2)
    assert.equal(listed, lists)
    const { timeoutSeconds: _, allowWatchBookmarks: __, ...start } = asked[1] ?? {}
    assert.deepEqual(start, askedAgain)
  })
}

test('events that the network cuts into pieces, also inside a letter, arrive whole', async t => {
  const { server, reflector, changes, start, until } = await follow(t)
  const object = pod('x', 6, { annotations: { note: 'größer 🙂' } })
  const bytes = Buffer.from(`${JSON.stringify(synced(5))}\n${JSON.stringify({ type: 'ADDED', object })}\n`)
  server.next(response => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.socket?.setNoDelay(true)
    let at = 0
    const send = (): void => {
      response.write(bytes.subarray(at, (at += 7)))
      if (at < bytes.byteLength) setImmediate(send)
    }
    send()
  })
  start()
  await until(() => changes.length === 1)
  assert.deepEqual(reflector.store.get('a', 'x'), object)
})

test('errors of every kind are tried again with growing pauses, and the store keeps its state', async t => {
  const { server, reflector, restarts, start, until } = await follow(t, { timings: { healthyMs: 60_000 } })
  server.next(
    watchOf(added('x', 1), synced(5)),
    reset,
    status(500, 'InternalError', 'etcdserver: leader changed'),
    watchOf({ type: 'ERROR', object: { kind: 'Status', code: 500, reason: 'InternalError', message: 'oh' } }),
    response => response.writeHead(200).end('not json\n'),
  )
  start()
  await until(() => restarts.length === 5)
  assert.deepEqual(restarts, ['ended', 'error', 'error', 'error', 'error'])
  assert.equal(reflector.store.state, 'synced')
  assert.equal(reflector.store.list().length, 1)
  assert.match(String(reflector.store.lastError), /not JSON/)
  await until(() => server.requests.length === 6)
  // Five in a row: the resourceVersion itself is under suspicion.
  assert.equal(queryOf(server.requests[5])['resourceVersion'], undefined)
})

test('a success after errors clears the last error', async t => {
  const { server, reflector, start, until } = await follow(t)
  server.next(status(403, 'Forbidden', 'no'), openWatch(synced(5)))
  start()
  await until(() => reflector.store.lastError !== undefined)
  assert.equal(reflector.store.state, 'syncing')
  await until(() => reflector.store.state === 'synced')
  assert.equal(reflector.store.lastError, undefined)
})

type Watching = AsyncGenerator<WatchEvent>
type Watch = (options: WatchOptions, clock: FakeClock) => Watching
type Answers = { readonly first?: Watch; readonly later: Watch; readonly list?: (clock: FakeClock) => Promise<unknown> }

/** How old what the API server said last is at most within an hour, and how often all was read anew in it. Each watch but the first is answered by `later`. */
async function anHour({ first = quiet, later, list = notListed }: Answers): Promise<{ oldest: number; syncs: number }> {
  const clock = new FakeClock()
  let [watches, syncs] = [0, 0]
  const client = {
    list() {
      syncs++
      return list(clock)
    },
    watch(_: Resource, options: WatchOptions): Watching {
      if (isSync(options)) syncs++
      return (watches++ === 0 ? first : later)(options, clock)
    },
  } as Pick<Client, 'list' | 'watch'>
  const reflector = new Reflector<KubeObject>({ client, resource: pods, clock })
  const stop = new AbortController()
  const running = reflector.run(stop.signal)
  let oldest = 0
  for (let second = 0; second < 3600; second += 5) {
    await clock.advance(5000)
    oldest = Math.max(oldest, clock.monotonic() - (reflector.store.lastSeen ?? 0))
  }
  assert.equal(reflector.store.state, 'synced')
  stop.abort()
  // Of a list that does not look at the signal.
  await clock.advance(60_000)
  await running
  return { oldest: oldest / 1000, syncs: syncs - 1 }
}

function isSync({ query }: WatchOptions): boolean {
  return query?.['sendInitialEvents'] === 'true'
}

/** Of a server that sends no bookmarks of its own accord: nothing changes, and it ends as asked for. */
async function* quiet(options: WatchOptions, clock: FakeClock): Watching {
  options.onOpen?.()
  if (isSync(options)) yield synced(1) as WatchEvent
  await clock.wait(Number(options.query?.['timeoutSeconds']) * 1000, options.signal)
}

async function* nothing(until: Promise<void>): Watching {
  await until
  yield* [] as readonly WatchEvent[]
}

function silent({ onOpen, signal }: WatchOptions, clock: FakeClock): Watching {
  onOpen?.()
  return nothing(clock.wait(Number.POSITIVE_INFINITY, signal))
}

function empty({ onOpen }: WatchOptions): Watching {
  onOpen?.()
  return nothing(Promise.resolve())
}

/** @param before what is told all the same */
function refused(error: Error, isOpened: boolean, ...before: readonly Line[]): Watch {
  return async function* ({ onOpen }) {
    if (isOpened) onOpen?.()
    yield* before as readonly WatchEvent[]
    throw error
  }
}

function brokenOff(afterMs: number): Watch {
  return async function* ({ onOpen, signal }, clock) {
    onOpen?.()
    yield* nothing(clock.wait(afterMs, signal))
    throw new Error('aborted')
  }
}

function syncsThen(later: Watch): Watch {
  return async function* (options, clock) {
    if (isSync(options)) yield synced(1) as WatchEvent
    yield* later(options, clock)
  }
}

async function notListed(): Promise<never> {
  throw page
}

const forbidden = new ApiError({ request: 'WATCH', status: 403, reason: 'Forbidden', message: 'pods is forbidden' })
const unconverted = new ApiError({ request: 'WATCH', status: 500, reason: 'InternalError', message: 'no conversion' })
const page = new ResponseError('WATCH: a watch event is not JSON')

test('F31: what is quiet is seen each minute and never read anew, also where no bookmark comes', async () => {
  const { oldest, syncs } = await anHour({ later: quiet })
  assert.ok(oldest <= 60, `${oldest} s`)
  assert.equal(syncs, 0)
})

for (const [how, later] of [
  ['as a status', refused(forbidden, false)],
  ['inside each watch', refused(unconverted, true)],
  ['inside each sync, after some objects', refused(unconverted, true, added('x', 1))],
  ['by a page of a proxy', refused(page, true)],
  ['by a proxy that accepts and says nothing', silent],
  ['by a proxy whose answer is empty', empty],
] as const)
  test(`F31: what is refused ${how}, after it was seen once, is not seen again`, async () => {
    const { oldest } = await anHour({ later })
    assert.ok(oldest > 3400, `${oldest} s`)
  })

for (const [how, later] of [
  ['stay silent until they are dead', silent],
  ['break off after half a minute', brokenOff(30_000)],
  ['end at once', empty],
] as const) {
  test(`F31: where watches ${how} it is read anew now and then, and seen by that in time`, async () => {
    const { oldest, syncs } = await anHour({ later: syncsThen(later) })
    assert.ok(oldest <= 170, `${oldest} s`)
    assert.ok(syncs >= 20 && syncs <= 60, `${syncs} times`)
  })

  test(`F31: where watches ${how} and there is no WatchList it is listed now and then, and seen by that in time`, async () => {
    const invalid = new ApiError({ request: 'WATCH', status: 422, reason: 'Invalid', message: 'no WatchList' })
    const list = async () => ({ items: [], resourceVersion: '1' })
    const { oldest, syncs } = await anHour({ first: refused(invalid, false), later, list })
    assert.ok(oldest <= 170, `${oldest} s`)
    assert.ok(syncs >= 20 && syncs <= 60, `${syncs} times`)
  })
}

for (const [how, later, most] of [
  ['stay silent', silent, 185],
  ['break off after half a minute', brokenOff(30_000), 170],
] as const) {
  const list = async () => ({ items: [], resourceVersion: '1' })

  test(`F31: where all watches ${how} after a good start, also those that should sync, it is listed, and seen by that`, async () => {
    const { oldest, syncs } = await anHour({ later, list })
    assert.ok(oldest <= most, `${oldest} s`)
    assert.ok(syncs >= 20 && syncs <= 60, `${syncs} times`)
  })

  test(`F31: where all watches ${how} from the start it is listed, and seen by that`, async () => {
    const { oldest, syncs } = await anHour({ first: later, later, list })
    assert.ok(oldest <= 170, `${oldest} s`)
    assert.ok(syncs >= 20 && syncs <= 60, `${syncs} times`)
  })
}

const tooMany = new ApiError({
  request: 'WATCH',
  status: 500,
  reason: 'InternalError',
  message: 'etcdserver: too many watches',
})

/** A sync that takes longer than a watch must last to be called well. */
function syncsSlowlyThen(later: Watch): Watch {
  return async function* (options, clock) {
    if (isSync(options)) {
      options.onOpen?.()
      await clock.wait(12_000, options.signal)
      yield synced(1) as WatchEvent
    }
    yield* later(options, clock)
  }
}

test('F30: where a WatchList takes 12 s and each watch is refused at once, all is read anew less than once a minute', async () => {
  const { syncs } = await anHour({ first: syncsSlowlyThen(quiet), later: syncsSlowlyThen(refused(tooMany, true)) })
  assert.ok(syncs <= 60, `${syncs} times`)
})

for (const [how, isAnswered] of [
  ['and each watch is refused at once', true],
  ['to fail', false],
] as const)
  test(`F30: where a list takes 12 s ${how}, the server is not asked for lists without a pause`, async () => {
    const invalid = new ApiError({ request: 'WATCH', status: 422, reason: 'Invalid', message: 'no WatchList' })
    let lists = 0
    const list = async (clock: FakeClock) => {
      await clock.wait(lists++ === 0 ? 0 : 12_000)
      if (!isAnswered && lists > 1) throw tooMany
      return { items: [], resourceVersion: '1' }
    }
    const { syncs } = await anHour({ first: refused(invalid, false), later: refused(tooMany, true), list })
    assert.ok(syncs <= (isAnswered ? 60 : 120), `${syncs} times`)
  })

test('a server that ends every watch at once is not stormed', async t => {
  const { server, start, until, restarts } = await follow(t, { timings: { healthyMs: 1000, longestBackoffMs: 400 } })
  server.otherwise = watchOf()
  server.next(watchOf(synced(5)))
  const before = performance.now()
  start()
  await until(() => restarts.length === 6)
  // 10 + 20 + 40 + 80 + 160 ms, halved by the jitter at the most.
  assert.ok(performance.now() - before >= 155)
})

test('a server that calls every resourceVersion too old is not stormed with syncs', async t => {
  const { server, start, until, restarts } = await follow(t, { timings: { healthyMs: 1000, longestBackoffMs: 400 } })
  server.otherwise = status(410, 'Expired')
  const before = performance.now()
  start()
  await until(() => restarts.length === 6)
  assert.ok(performance.now() - before >= 155)
  assert.ok(restarts.every(reason => reason === 'gone'))
})

test('a missing resource is a state that ends when its CRD appears, and begins again when it goes', async t => {
  const { server, reflector, changes, restarts, start, until } = await follow(t)
  const missing = status(404, 'NotFound', 'the server could not find the requested resource')
  server.next(missing, missing, watchOf(added('x', 1), synced(5)))
  server.otherwise = missing
  start()
  await reflector.store.settled()
  assert.equal(reflector.store.state, 'absent')
  assert.equal(reflector.store.lastError, undefined)
  await until(() => changes.length === 1)
  assert.equal(reflector.store.state, 'synced')
  await until(() => changes.length === 2)
  assert.deepEqual(changes, ['added a/x@1', 'deleted a/x@1'])
  assert.equal(reflector.store.state, 'absent')
  assert.deepEqual(restarts.slice(0, 3), ['absent', 'absent', 'ended'])
})

test('managedFields are dropped on arrival, unknown fields stay, and pick keeps less', async t => {
  const { server, reflector, start, until } = await follow(t, {
    pick: ({ apiVersion, kind, metadata, ...rest }) => ({
      apiVersion,
      kind,
      metadata,
      ...('kept' in rest ? { kept: rest.kept } : {}),
    }),
  })
  const object = { ...pod('x', 1, { managedFields: [{}], newField: 1 }), kept: { a: 1 }, spec: {} }
  server.next(openWatch({ type: 'ADDED', object }, synced(5)))
  start()
  await until(() => reflector.store.state === 'synced')
  assert.deepEqual(reflector.store.get('a', 'x'), { ...pod('x', 1, { newField: 1 }), kept: { a: 1 } })
})
