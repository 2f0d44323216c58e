import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { Client } from './client.ts'
import type { RequestSample } from './requests.ts'
import { FakeClock } from '../fake-clock.ts'
import { realClock } from '../clock.ts'
import type { Clock } from '../clock.ts'
import { ApiError, ConnectionError, FencedError, isAlreadyExists, isConflict } from './errors.ts'
import { FakeApiServer, json, reset, status } from './fake-api-server.ts'
import type { KubeObject, Resource } from './resource.ts'

const pods: Resource = { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true }
const jobs: Resource = { group: 'batch', version: 'v1', plural: 'jobs', kind: 'Job', namespaced: true }

function pod(name: string, extra: object = {}): KubeObject {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'a', ...extra } }
}

function item(name: string): object {
  return { metadata: { name, namespace: 'a' } }
}

function busy(code: number): ReturnType<typeof status> {
  return status(code, 'TooManyRequests', 'slow down', { headers: { 'retry-after': '2' } })
}

/** Real time for everything but waiting, which is only written down. */
function impatientClock(): Clock & { readonly waits: number[] } {
  const waits: number[] = []
  return {
    ...realClock,
    waits,
    wait: ms => {
      waits.push(ms)
      return Promise.resolve()
    },
  }
}

async function setUp(
  t: { after: (fn: () => Promise<void>) => void },
  options: ConstructorParameters<typeof Client>[1] = {},
) {
  const server = await FakeApiServer.start()
  const client = new Client({ url: server.url, token: 'the-token' }, options)
  t.after(async () => {
    await server.stop()
    await client.close()
  })
  return { server, client }
}

test('get returns the raw object with fields that no type names, and undefined when there is none', async t => {
  const { server, client } = await setUp(t)
  server.next(json({ ...pod('x'), futureField: { deep: [1] } }), status(404, 'NotFound', 'pods "y" not found'))
  assert.deepEqual(await client.get(pods, 'a', 'x'), { ...pod('x'), futureField: { deep: [1] } })
  assert.equal(await client.get(pods, 'a', 'y'), undefined)
  assert.equal(server.requests[0]?.path, '/api/v1/namespaces/a/pods/x')
  assert.equal(server.requests[0]?.headers.authorization, 'Bearer the-token')
})

test('a dry run asks for everything to be checked and nothing to be written', async t => {
  const { server, client } = await setUp(t)
  server.otherwise = json(pod('x'))
  await client.create(pods, pod('x'), { dryRun: true })
  await client.replace(pods, pod('x'), { dryRun: true })
  await client.create(pods, pod('x'))
  assert.deepEqual(
    server.requests.map(({ method, query }) => `${method} ${query.get('dryRun')}`),
    ['POST All', 'PUT All', 'POST null'],
  )
})

test('200 calls in a row do not open a connection each', async t => {
  const { server, client } = await setUp(t)
  server.otherwise = json(pod('x'))
  for (let i = 0; i < 200; i++) await client.get(pods, 'a', 'x')
  assert.equal(server.requests.length, 200)
  // A second one appears when a call starts before the last answer's socket is back in the pool.
  assert.ok(server.connections <= 2, `${server.connections} connections`)
})

test('refused calls leave their connection usable', async t => {
  const { server, client } = await setUp(t)
  server.otherwise = status(422, 'Invalid', 'no')
  for (let i = 0; i < 20; i++) await assert.rejects(client.create(pods, pod('x')), ApiError)
  assert.ok(server.connections <= 2, `${server.connections} connections`)
})

test('a list reads all pages, names the kind of each item, and starts over when its continue token expires', async t => {
  const { server, client } = await setUp(t)
  server.next(
    json({ items: [item('old')], metadata: { resourceVersion: '1', continue: 'c1' } }),
    status(410, 'Expired', 'too old'),
    json({ items: [item('x')], metadata: { resourceVersion: '7', continue: 'c2' } }),
    json({ items: [item('y')], metadata: { resourceVersion: '7' } }),
  )
  const list = await client.list(pods, { labelSelector: 'app=db' })
  assert.deepEqual(
    list.items.map(({ kind, apiVersion, metadata }) => `${apiVersion} ${kind} ${metadata.name}`),
    ['v1 Pod x', 'v1 Pod y'],
  )
  assert.equal(list.resourceVersion, '7')
  assert.deepEqual(
    server.requests.map(request => request.query.toString()),
    ['', 'c1', '', 'c2'].map(cursor => `labelSelector=app%3Ddb&limit=500${cursor === '' ? '' : `&continue=${cursor}`}`),
  )
  assert.equal(server.requests[0]?.path, '/api/v1/pods')
})

test('a list keeps of each object what it is told to, page by page', async t => {
  const { server, client } = await setUp(t)
  const page = (name: string, cursor?: string) =>
    json({ items: [{ ...item(name), spec: 'heavy' }], metadata: { resourceVersion: '1', continue: cursor } })
  server.next(page('x', 'c1'), page('y'))
  const pick = ({ apiVersion, kind, metadata }: KubeObject) => ({ apiVersion, kind, metadata })
  const { items } = await client.list(pods, { pick })
  assert.deepEqual(items, [pod('x'), pod('y')])
})

test('compressed answers are decoded', async t => {
  const { server, client } = await setUp(t)
  server.next(response => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
    response.end(gzipSync(JSON.stringify({ items: [pod('x')], metadata: { resourceVersion: '1' } })))
  })
  assert.equal((await client.list(pods)).items.length, 1)
  assert.equal(server.requests[0]?.headers['accept-encoding'], 'gzip')
})

test('each kind of patch has its content type, and apply its manager', async t => {
  const { server, client } = await setUp(t)
  server.otherwise = json(pod('x'))
  await client.patch(jobs, 'a', 'x', { kind: 'merge', body: { spec: {} } })
  await client.patch(jobs, 'a', 'x', { kind: 'json', body: [{ op: 'test', path: '/a', value: 1 }] })
  await client.patch(
    jobs,
    'a',
    'x',
    { kind: 'apply', body: pod('x'), fieldManager: 'me', force: true },
    { subresource: 'status' },
  )
  assert.deepEqual(
    server.requests.map(({ path, query, headers }) => [path, query.toString(), headers['content-type']]),
    [
      ['/apis/batch/v1/namespaces/a/jobs/x', '', 'application/merge-patch+json'],
      ['/apis/batch/v1/namespaces/a/jobs/x', '', 'application/json-patch+json'],
      ['/apis/batch/v1/namespaces/a/jobs/x/status', 'fieldManager=me&force=true', 'application/apply-patch+yaml'],
    ],
  )
})

test('a delete carries its preconditions and policy, and tells whether there was anything', async t => {
  const { server, client } = await setUp(t)
  server.next(json({ kind: 'Status' }), status(404, 'NotFound'), status(409, 'Conflict', 'the UID differs'))
  const options = { uid: 'u1', resourceVersion: '5', propagationPolicy: 'Background' } as const
  assert.equal(await client.delete(pods, 'a', 'x', options), true)
  assert.deepEqual(server.requests[0]?.body, {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    propagationPolicy: 'Background',
    preconditions: { uid: 'u1', resourceVersion: '5' },
  })
  assert.equal(await client.delete(pods, 'a', 'x'), false)
  await assert.rejects(client.delete(pods, 'a', 'x', options), isConflict)
})

test('AlreadyExists and Conflict share a status and stay apart', async t => {
  const { server, client } = await setUp(t)
  server.next(status(409, 'AlreadyExists', 'pods "x" already exists'), status(409, 'Conflict', 'changed'))
  await assert.rejects(client.create(pods, pod('x')), error => isAlreadyExists(error) && !isConflict(error))
  await assert.rejects(client.replace(pods, pod('x')), error => isConflict(error) && !isAlreadyExists(error))
})

test('F71: what admission denies with 404 or 409 is neither gone, nor there, nor a conflict', async t => {
  const { server, client } = await setUp(t)
  const words = 'admission webhook "x.example.com" denied the request: not on Sundays'
  for (const [code, reason] of [
    [404, 'NotFound'],
    [409, 'Conflict'],
    [409, 'AlreadyExists'],
  ] as const) {
    server.next(status(code, reason, words))
    const isOther = (error: unknown) => error instanceof ApiError && !isConflict(error) && !isAlreadyExists(error)
    await assert.rejects(client.delete(pods, 'a', 'x'), isOther)
  }
})

test('an error names the request and what the server said, and a body that is no Status is cut', async t => {
  const { server, client } = await setUp(t)
  server.next(status(403, 'Forbidden', 'pods is forbidden'), response => {
    response.writeHead(502).end(`<html>${'x'.repeat(2000)}`)
  })
  await assert.rejects(client.list(pods), /^ApiError: GET \/api\/v1\/pods: 403 Forbidden: pods is forbidden$/)
  await assert.rejects(client.list(pods), (error: unknown) => error instanceof ApiError && error.detail.length === 500)
})

test('429 and 503 with Retry-After are tried again for every verb, after at least that time', async t => {
  const clock = impatientClock()
  const { server, client } = await setUp(t, { clock })
  server.next(busy(429), busy(503), json(pod('x'), 201))
  await client.create(pods, pod('x'))
  assert.equal(server.requests.length, 3)
  assert.ok(clock.waits.every(ms => ms >= 2000 && ms < 2500))
})

test('a refusal without Retry-After, and one that asks for much patience, are passed on at once', async t => {
  const { server, client } = await setUp(t, { clock: impatientClock() })
  server.next(status(503, 'ServiceUnavailable'), status(429, 'x', '', { headers: { 'retry-after': '60' } }))
  await assert.rejects(client.get(pods, 'a', 'x'), { status: 503 })
  await assert.rejects(client.get(pods, 'a', 'x'), { status: 429, retryAfterSeconds: 60 })
  assert.equal(server.requests.length, 2)
})

test('attempts are bounded', async t => {
  const { server, client } = await setUp(t, { clock: impatientClock() })
  server.otherwise = status(429, 'TooManyRequests', '', { headers: { 'retry-after': '1' } })
  await assert.rejects(client.get(pods, 'a', 'x'), { status: 429 })
  assert.equal(server.requests.length, 5)
})

test('a lost connection is retried for a read, and never for a create', async t => {
  const { server, client } = await setUp(t, { clock: impatientClock() })
  server.next(reset, reset, json(pod('x')), reset)
  assert.equal((await client.get(pods, 'a', 'x'))?.metadata.name, 'x')
  await assert.rejects(
    client.create(pods, pod('x')),
    (error: unknown) => error instanceof ConnectionError && !error.unsent,
  )
  assert.equal(server.requests.length, 4)
})

test('a create that never left is retried', async t => {
  const clock = impatientClock()
  const { server, client } = await setUp(t, { clock })
  await server.stop()
  await assert.rejects(
    client.create(pods, pod('x')),
    (error: unknown) => error instanceof ConnectionError && error.unsent && /ECONNREFUSED/.test(error.message),
  )
  assert.equal(clock.waits.length, 4)
})

test('an answer that is cut off half-way is a lost connection', async t => {
  const { server, client } = await setUp(t)
  server.next(response => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
    response.write('{"items":[', () => response.socket?.destroy())
  })
  await assert.rejects(client.list(pods, { attempts: 1 }), ConnectionError)
})

test('an abort ends a call with the reason that was given', async t => {
  const { server, client } = await setUp(t)
  const stop = new AbortController()
  server.next(() => stop.abort(new Error('enough')))
  await assert.rejects(client.get(pods, 'a', 'x', { signal: stop.signal }), /^Error: enough$/)
})

test('the clock of the API server is known by the last answer that told it, and goes on by monotonic time', async t => {
  const clock = new FakeClock()
  const { server, client } = await setUp(t, { clock })
  assert.equal(client.serverTime(), undefined)
  const told = (date: string) => (response: ServerResponse) => response.setHeader('date', date).end()
  server.next(told('Mon, 05 Jan 2026 12:00:00 GMT'), told('the day after'))
  for (let n = 0; n < 2; n++) {
    await client.request({ method: 'GET', path: '/version' })
    await clock.advance(1000)
  }
  assert.deepEqual(client.fenced(() => true).serverTime(), new Date('2026-01-05T12:00:02Z'))
})

test('a rotated token is used within seconds, and at once after a 401', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'runtime-client-'))
  t.after(() => rm(directory, { recursive: true }))
  const tokenFile = join(directory, 'token')
  await writeFile(tokenFile, 'first\n')
  const server = await FakeApiServer.start()
  const clock = new FakeClock()
  const client = new Client({ url: server.url, tokenFile }, { clock })
  t.after(async () => {
    await server.stop()
    await client.close()
  })
  server.otherwise = json(pod('x'))
  await client.get(pods, 'a', 'x')
  await writeFile(tokenFile, 'second')
  await client.get(pods, 'a', 'x')
  await clock.advance(10_000)
  await client.get(pods, 'a', 'x')
  await writeFile(tokenFile, 'third')
  server.next(status(401, 'Unauthorized'))
  await client.get(pods, 'a', 'x')
  await rm(tokenFile)
  await clock.advance(10_000)
  await client.get(pods, 'a', 'x')
  assert.deepEqual(
    server.requests.map(request => request.headers.authorization),
    ['first', 'first', 'second', 'second', 'third', 'third'].map(token => `Bearer ${token}`),
  )
})

test('a fenced client reads but never writes, also when the fence falls between two attempts', async t => {
  const { server, client } = await setUp(t, { clock: impatientClock() })
  let held = true
  const fenced = client.fenced(() => held)
  server.next(
    response => {
      held = false
      status(429, 'TooManyRequests', '', { headers: { 'retry-after': '1' } })(response)
    },
    json(pod('x')),
  )
  await assert.rejects(fenced.create(pods, pod('x')), FencedError)
  await fenced.get(pods, 'a', 'x')
  await assert.rejects(fenced.replace(pods, pod('x')), FencedError)
  await assert.rejects(fenced.patch(pods, 'a', 'x', { kind: 'merge', body: {} }), FencedError)
  await assert.rejects(fenced.delete(pods, 'a', 'x'), FencedError)
  assert.deepEqual(
    server.requests.map(request => request.method),
    ['POST', 'GET'],
  )
})

test('every attempt is reported with its verb, resource and code', async t => {
  const samples: RequestSample[] = []
  const { server, client } = await setUp(t, { clock: impatientClock(), onRequest: sample => samples.push(sample) })
  server.next(reset, json(pod('x')), status(409, 'Conflict'))
  await client.get(jobs, 'a', 'x')
  await assert.rejects(client.replace(jobs, pod('x')))
  assert.deepEqual(
    samples.map(({ verb, resource, code }) => `${verb} ${resource} ${code}`),
    ['get jobs.batch error', 'get jobs.batch 200', 'update jobs.batch 409'],
  )
})
