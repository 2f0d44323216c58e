import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { startServer } from './server.ts'
import type { ServerOptions } from './server.ts'

async function setUp(t: { after: (fn: () => Promise<void>) => void }, options: Partial<ServerOptions> = {}) {
  const server = await startServer({
    host: '127.0.0.1',
    port: 0,
    healthy: () => ({ ok: true, detail: {} }),
    ready: () => ({ ok: false, detail: { pods: 'syncing' } }),
    metrics: () => ({ contentType: 'text/plain; version=0.0.4', parts: Readable.from(['up 1\n', 'down 0\n']) }),
    ...options,
  })
  t.after(() => server.close())
  return (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${server.port}${path}`, init)
}

async function* failing(): AsyncGenerator<string> {
  await Promise.reject(new Error('password=hunter2'))
  yield ''
}

test('probes answer 200 or 503 with what they looked at', async t => {
  const ask = await setUp(t)
  const healthy = await ask('/healthz')
  assert.deepEqual([healthy.status, await healthy.json()], [200, { ok: true }])
  const ready = await ask('/readyz?verbose')
  assert.deepEqual([ready.status, await ready.json()], [503, { ok: false, pods: 'syncing' }])
})

test('metrics come with their content type, and HEAD without a body', async t => {
  const ask = await setUp(t)
  const metrics = await ask('/metrics')
  assert.equal(metrics.headers.get('content-type'), 'text/plain; version=0.0.4')
  assert.equal(await metrics.text(), 'up 1\ndown 0\n')
  const head = await ask('/metrics', { method: 'HEAD' })
  assert.deepEqual([head.status, await head.text()], [200, ''])
})

test('other paths, other methods and failing callbacks get their own answers', async t => {
  const ask = await setUp(t, { metrics: () => ({ contentType: 'text/plain', parts: failing() }) })
  assert.equal((await ask('/secrets')).status, 404)
  assert.equal((await ask('/metrics', { method: 'POST', body: 'x' })).status, 405)
  const failed = await ask('/metrics')
  assert.equal(failed.status, 500)
  assert.doesNotMatch(await failed.text(), /hunter2/)
})

test('closing does not wait for a connection that says nothing', async () => {
  const server = await startServer({
    host: '127.0.0.1',
    port: 0,
    healthy: () => ({ ok: true, detail: {} }),
    ready: () => ({ ok: true, detail: {} }),
    metrics: () => ({ contentType: 'text/plain', parts: Readable.from(['']) }),
  })
  const socket = connect(server.port, '127.0.0.1')
  const closed = new Promise(resolve => socket.on('close', resolve))
  socket.on('error', () => {})
  await new Promise(resolve => socket.on('connect', resolve))
  socket.write('GET /healthz HTTP/1.1\r\n')
  await server.close()
  await closed
})

test('a port that is taken is an error', async t => {
  const server = await startServer({
    host: '127.0.0.1',
    port: 0,
    healthy: () => ({ ok: true, detail: {} }),
    ready: () => ({ ok: true, detail: {} }),
    metrics: () => ({ contentType: 'text/plain', parts: Readable.from(['']) }),
  })
  t.after(() => server.close())
  await assert.rejects(setUp(t, { port: server.port }), /EADDRINUSE/)
})
