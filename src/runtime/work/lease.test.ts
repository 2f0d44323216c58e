import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../fake-clock.ts'
import type { Client } from '../client/client.ts'
import type { CallOptions } from '../client/requests.ts'
import { ApiError, ConnectionError } from '../client/errors.ts'
import { Lease } from './lease.ts'
import type { LeaseObject } from './lease.ts'
import type { KubeObject, Resource } from '../client/resource.ts'

type Fault = 'unreachable' | 'silent' | 'answer lost' | 'answer late'

/** One lease with the API server's compare-and-swap, and the ways in which a network can fail one candidate. */
class LeaseServer {
  stored: LeaseObject | undefined
  writes = 0
  readonly faults = new Map<string, Fault>()
  /** How many requests there were of each candidate. */
  readonly asked = new Map<string, number>()
  /** Gives the answer that is late. */
  answer = () => {}

  get holder(): string | undefined {
    return this.stored?.spec?.holderIdentity
  }

  clientOf(identity: string): Pick<Client, 'get' | 'create' | 'replace'> {
    return {
      get: <T extends KubeObject>(_: Resource, _namespace: string | undefined, _name: string, options?: CallOptions) =>
        this.#answer(identity, options, () => this.stored as T | undefined),
      create: <T extends KubeObject>(_: Resource, object: T, options?: CallOptions) =>
        this.#answer(identity, options, () => {
          if (this.stored !== undefined) throw conflict('AlreadyExists')
          return this.#write(object)
        }),
      replace: <T extends KubeObject>(_: Resource, object: T, options?: CallOptions) =>
        this.#answer(identity, options, () => {
          if (this.stored === undefined) throw new ApiError({ request: 'PUT', status: 404, reason: 'NotFound' })
          if (object.metadata.resourceVersion !== this.stored.metadata.resourceVersion) throw conflict('Conflict')
          return this.#write(object)
        }),
    }
  }

  #write<T extends KubeObject>(object: T): T {
    const written = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.writes) } }
    this.stored = written
    return written
  }

  async #answer<T>(identity: string, { signal }: CallOptions = {}, act: () => T): Promise<T> {
    this.asked.set(identity, (this.asked.get(identity) ?? 0) + 1)
    signal?.throwIfAborted()
    switch (this.faults.get(identity)) {
      case 'unreachable':
        throw new ConnectionError('PUT', { cause: new Error('ECONNREFUSED'), unsent: true })
      case 'answer lost':
        act()
        this.faults.delete(identity)
        throw new ConnectionError('PUT', { cause: new Error('ECONNRESET'), unsent: false })
      case 'answer late': {
        const done = Promise.try(act)
        done.catch(() => {})
        this.faults.delete(identity)
        return new Promise((resolve, reject) => {
          this.answer = () => resolve(done)
          signal?.addEventListener('abort', () => reject(signal.reason as Error))
        })
      }
      case 'silent':
        return new Promise((_, reject) => {
          signal?.addEventListener('abort', () => reject(signal.reason as Error))
        })
      case undefined:
        return act()
      default:
        throw new Error('no such fault')
    }
  }
}

function conflict(reason: string): ApiError {
  return new ApiError({ request: 'PUT', status: 409, reason })
}

type Candidate = {
  readonly lease: Lease
  readonly state: () => 'waiting' | 'leading' | 'stopped' | 'lost'
  readonly stop: () => void
  readonly leading: () => AbortSignal | undefined
  readonly changes: readonly boolean[]
}

function candidate(server: LeaseServer, clock: FakeClock, identity: string): Candidate {
  const changes: boolean[] = []
  const client = server.clientOf(identity)
  const lease = new Lease({ client, namespace: 'a', name: 'leader', identity, clock, onChange: on => changes.push(on) })
  const stop = new AbortController()
  let state: ReturnType<Candidate['state']> = 'waiting'
  let leading: AbortSignal | undefined
  void lease
    .run(stop.signal, async signal => {
      state = 'leading'
      leading = signal
      await clock.wait(2 ** 40, signal).catch(() => {})
    })
    .then(outcome => (state = outcome))
  return { lease, state: () => state, stop: () => stop.abort(), leading: () => leading, changes }
}

/** Two candidates, of which the first leads. @param afterMs how much later the second one comes */
async function two(afterMs = 1, clock = new FakeClock()) {
  const server = new LeaseServer()
  const first = candidate(server, clock, 'first')
  await clock.advance(afterMs)
  return { server, clock, first, second: candidate(server, clock, 'second') }
}

/** The only candidate, which has led for a while. */
async function alone(ms = 20_000) {
  const server = new LeaseServer()
  const clock = new FakeClock()
  const only = candidate(server, clock, 'only')
  await clock.advance(ms)
  return { server, clock, only }
}

test('one of two candidates leads, and the other follows soon after it stopped', async () => {
  const { server, clock, first, second } = await two(1, new FakeClock('2026-11-22T10:00:00.123Z'))
  await clock.advance(120_000)
  assert.deepEqual([first.state(), second.state()], ['leading', 'waiting'])
  assert.deepEqual([first.lease.isHeld(), second.lease.isHeld()], [true, false])
  assert.equal(server.stored?.spec?.acquireTime, '2026-11-22T10:00:00.123000Z')
  first.stop()
  await clock.advance(0)
  assert.equal(first.state(), 'stopped')
  assert.equal(first.lease.isHeld(), false)
  assert.equal(server.stored.spec.holderIdentity, '')
  await clock.advance(3000)
  assert.equal(second.state(), 'leading')
  assert.equal(server.stored.spec.leaseTransitions, 1)
  assert.deepEqual(first.changes, [true, false])
  second.stop()
  await clock.advance(0)
})

test('a leader renews every two seconds with one call', async () => {
  const { server, clock, only } = await alone(0)
  const before = server.writes
  await clock.advance(60_000)
  assert.equal(server.writes - before, 30)
  only.stop()
  await clock.advance(0)
})

test('a dead leader is replaced after its lease ran out, and not before', async () => {
  const { server, clock, first, second } = await two()
  await clock.advance(60_000)
  server.faults.set('first', 'unreachable')
  await clock.advance(12_000)
  assert.deepEqual([first.state(), second.state()], ['lost', 'waiting'])
  await clock.advance(10_000)
  assert.equal(second.state(), 'leading')
  second.stop()
  await clock.advance(0)
})

test('whoever waits takes a lease in the moment in which it runs out', async () => {
  for (let round = 0; round < 30; round++) {
    const { server, clock, first, second } = await two(1 + round * 70)
    await clock.advance(60_000)
    server.faults.set('first', 'unreachable')
    // At most three seconds until the last renewal was seen.
    await clock.advance(18_000)
    assert.deepEqual([first.state(), second.state()], ['lost', 'leading'], `round ${round}`)
    second.stop()
    await clock.advance(0)
  }
})

test('whoever waits for an API server that does not answer asks every second or less often, also when the lease has run out', async () => {
  const { server, clock, first, second } = await two()
  await clock.advance(5000)
  server.faults.set('first', 'unreachable').set('second', 'unreachable')
  await clock.advance(20_000)
  const asked = server.asked.get('second') ?? 0
  await clock.advance(60_000)
  assert.deepEqual([first.state(), second.state()], ['lost', 'waiting'])
  assert.ok((server.asked.get('second') ?? 0) - asked <= 60)
  second.stop()
  await clock.advance(0)
})

for (const fault of ['unreachable', 'silent'] as const) {
  test(`a leader whose API server is ${fault} gives up 10 s after its last renewal, 5 s before anyone may follow`, async () => {
    const { server, clock, only } = await alone()
    server.faults.set('only', fault)
    const lastRenewal = clock.monotonic()
    await clock.advance(9999)
    assert.equal(only.lease.isHeld(), true)
    assert.equal(only.leading()?.aborted, false)
    await clock.advance(1)
    assert.equal(only.lease.isHeld(), false)
    // A call that is on its way when the deadline comes is waited for; the fence is down already.
    await clock.advance(4000)
    assert.equal(only.state(), 'lost')
    assert.equal(only.leading()?.aborted, true)
    assert.ok(clock.monotonic() - lastRenewal <= 15_000)
  })
}

test('a short outage costs nothing', async () => {
  const { server, clock, only } = await alone()
  server.faults.set('only', 'unreachable')
  await clock.advance(7000)
  server.faults.delete('only')
  await clock.advance(60_000)
  assert.equal(only.state(), 'leading')
  only.stop()
  await clock.advance(0)
})

test('a renewal whose answer was lost is recognised as our own', async () => {
  const { server, clock, only } = await alone()
  server.faults.set('only', 'answer lost')
  await clock.advance(60_000)
  assert.equal(only.state(), 'leading')
  assert.equal(server.stored?.spec?.leaseTransitions, 0)
  only.stop()
  await clock.advance(0)
})

test('a stop in the middle of a renewal hands the lease over all the same', async () => {
  const { server, clock, only } = await alone(1000)
  server.faults.set('only', 'answer late')
  await clock.advance(1000)
  only.stop()
  await clock.advance(0)
  assert.equal(only.state(), 'leading')
  server.answer()
  await clock.advance(0)
  assert.deepEqual([only.state(), server.holder], ['stopped', ''])
})

test('a stop in the moment of a loss leaves the lease to the one who took it', async () => {
  const { server, clock, only } = await alone(1000)
  const { stored } = server
  assert.ok(stored)
  const metadata = { ...stored.metadata, resourceVersion: 'taken' }
  server.stored = { ...stored, metadata, spec: { ...stored.spec, holderIdentity: 'thief' } }
  server.faults.set('only', 'answer late')
  await clock.advance(1000)
  only.stop()
  await clock.advance(0)
  server.answer()
  await clock.advance(0)
  assert.deepEqual([only.state(), server.holder], ['stopped', 'thief'])
})

test('a process that was stopped past its lease finds the fence down before any timer runs, and does not renew', async () => {
  const server = new LeaseServer()
  const clock = new FakeClock()
  const first = candidate(server, clock, 'first')
  await clock.advance(20_000)
  const writes = server.writes
  clock.freeze(10_000)
  assert.equal(first.lease.isHeld(), false)
  await clock.advance(0)
  assert.equal(first.state(), 'lost')
  assert.equal(server.writes, writes)
})

test('a process that was stopped for a moment goes on', async () => {
  const server = new LeaseServer()
  const clock = new FakeClock()
  const first = candidate(server, clock, 'first')
  await clock.advance(20_000)
  clock.freeze(7000)
  assert.equal(first.lease.isHeld(), true)
  await clock.advance(20_000)
  assert.equal(first.state(), 'leading')
  first.stop()
  await clock.advance(0)
})

test('jumps of the wall clock decide nothing', async () => {
  const { clock, first, second } = await two()
  for (const jump of [3_600_000, -7_200_000, 365 * 86_400_000]) {
    clock.jump(jump)
    await clock.advance(30_000)
    assert.deepEqual([first.state(), second.state()], ['leading', 'waiting'])
  }
  first.stop()
  second.stop()
  await clock.advance(0)
})

test('a leader whose lease another one took is lost at once', async () => {
  const server = new LeaseServer()
  const clock = new FakeClock()
  const first = candidate(server, clock, 'first')
  await clock.advance(20_000)
  const lease = server.stored
  assert.ok(lease)
  const metadata = { ...lease.metadata, resourceVersion: 'taken' }
  server.stored = { ...lease, metadata, spec: { ...lease.spec, holderIdentity: 'thief' } }
  await clock.advance(2000)
  assert.equal(first.state(), 'lost')
  assert.equal(first.lease.isHeld(), false)
})

test('a deleted lease is made again by its leader', async () => {
  const server = new LeaseServer()
  const clock = new FakeClock()
  const first = candidate(server, clock, 'first')
  await clock.advance(20_000)
  server.stored = undefined
  await clock.advance(20_000)
  assert.equal(first.state(), 'leading')
  assert.equal(server.holder, 'first')
  first.stop()
  await clock.advance(0)
})

test('an error of the work is passed on, after the lease was released', async () => {
  const server = new LeaseServer()
  const clock = new FakeClock()
  const client = server.clientOf('only')
  const lease = new Lease({ client, namespace: 'a', name: 'leader', identity: 'only', clock })
  await assert.rejects(
    lease.run(new AbortController().signal, () => Promise.reject(new Error('boom'))),
    /^Error: boom$/,
  )
  assert.equal(server.stored?.spec?.holderIdentity, '')
  assert.equal(clock.pending, 0)
})

test('a candidate that is stopped while it waits just ends', async () => {
  const { server, clock, first, second } = await two()
  await clock.advance(5000)
  second.stop()
  await clock.advance(0)
  assert.equal(second.state(), 'stopped')
  assert.equal(server.stored?.spec?.holderIdentity, 'first')
  first.stop()
  await clock.advance(0)
  assert.equal(clock.pending, 0)
})
