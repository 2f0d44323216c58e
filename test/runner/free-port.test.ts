import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { freePort } from './free-port.ts'

/** A program that asks for a port, of these in turn, and prints what it got. */
const asking = (candidates: readonly number[], then = '') => [
  '--input-type=module',
  '--eval',
  `import { freePort } from ${JSON.stringify(join(import.meta.dirname, 'free-port.ts'))}
   const candidates = ${JSON.stringify(candidates)}
   console.log(await freePort(() => candidates.shift()))
   ${then}`,
]

async function givenTo(candidates: readonly number[]): Promise<number> {
  return Number((await promisify(execFile)(process.execPath, asking(candidates))).stdout)
}

/** Ports that no other test is given, and no outgoing connection. */
async function twoPorts(): Promise<readonly [number, number]> {
  return [(await freePort()) - 12_000, (await freePort()) - 12_000]
}

test('a port that one process was given is given to no other, although nobody listens on it yet', async t => {
  const [held, other] = await twoPorts()
  const holder = spawn(process.execPath, asking([held], 'setInterval(() => {}, 1000)'))
  t.after(() => holder.kill('SIGKILL'))
  await once(holder.stdout, 'data')
  assert.equal(await givenTo([held, other]), other)
  assert.equal(await freePort(inTurn(held, other)), other)
  const ended = once(holder, 'exit')
  holder.kill('SIGKILL')
  await ended
  assert.equal(await givenTo([held]), held, 'it is free again once its process was killed')
})

test('a port on which somebody listens is not given, and is free when that ends', async () => {
  const [taken, other] = await twoPorts()
  const server = createServer().listen(taken, '127.0.0.1')
  await once(server, 'listening')
  assert.equal(await freePort(inTurn(taken, other)), other)
  server.close()
  await once(server, 'close')
  assert.equal(await givenTo([taken]), taken)
})

function inTurn(...candidates: readonly number[]): () => number {
  const left = [...candidates]
  return () => {
    const next = left.shift()
    assert.ok(next !== undefined, 'none of them was given')
    return next
  }
}
