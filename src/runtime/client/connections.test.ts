import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:net'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { Connections } from './connections.ts'
import { FakeApiServer, json } from './fake-api-server.ts'

const shared = { tls: {}, most: 2, silentMs: 200 }

async function setUp(t: { after: (fn: () => Promise<void>) => void }) {
  const server = await FakeApiServer.start()
  const connections = new Connections({ ...shared, url: server.url })
  t.after(async () => {
    await server.stop()
    await connections.end()
  })
  return { server, connections }
}

const call = { method: 'GET', path: '/x', headers: {} }

test('requests beyond the limit of connections wait for one, and all are answered', async t => {
  const { server, connections } = await setUp(t)
  server.otherwise = json({ ok: true })
  const answers = await Promise.all(Array.from({ length: 20 }, async () => await text(await connections.request(call))))
  assert.deepEqual([...new Set(answers)], ['{"ok":true}'])
  assert.ok(server.connections <= 2, `${server.connections} connections`)
})

test('an answer that stops in its middle ends with an error', async t => {
  const { server, connections } = await setUp(t)
  server.next(response => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.write('{')
  })
  await assert.rejects(text(await connections.request(call)))
})

test('a body with umlauts has the length of its bytes, also in a DELETE', async t => {
  const { server, connections } = await setUp(t)
  server.otherwise = json({})
  await text(await connections.request({ ...call, method: 'DELETE', body: '{"a":"äöü"}' }))
  await text(await connections.request({ ...call, method: 'POST', body: '{"a":"äöü"}' }))
  assert.deepEqual(
    server.requests.map(({ body }) => body),
    [{ a: 'äöü' }, { a: 'äöü' }],
  )
  assert.deepEqual(
    server.requests.map(({ headers }) => headers['content-length']),
    ['14', '14'],
  )
})

test('an end waits for what is under way, and closes what is idle', async t => {
  const { server, connections } = await setUp(t)
  const asked = Promise.withResolvers<() => void>()
  server.next(json({}), response => asked.resolve(() => json({ late: true })(response)))
  await text(await connections.request(call))
  const late = connections.request(call)
  const answer = await asked.promise
  const end = connections.end()
  const first = await Promise.race([end, Promise.resolve('still waiting')])
  answer()
  assert.equal(first, 'still waiting')
  assert.equal(await text(await late), '{"late":true}')
  await end
})

test('a server that accepts and says nothing of TLS is given up as one that was never asked', async t => {
  const silent: Server = createServer(() => {})
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as { readonly port: number }
  const connections = new Connections({ ...shared, url: `https://127.0.0.1:${port}`, connectMs: 100 })
  t.after(async () => {
    silent.close()
    await connections.end()
  })
  await assert.rejects(connections.request(call), { code: 'CONNECT_TIMEOUT' })
})
