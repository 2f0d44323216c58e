import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../fake-clock.ts'
import { Controller, watching } from './controller.ts'
import type { ControllerOptions, ReconcileResult } from './controller.ts'
import { ApiError, FencedError, WaitError } from '../client/errors.ts'
import type { Log } from '../log.ts'
import { keyOf } from '../client/resource.ts'
import type { KubeObject } from '../client/resource.ts'
import { Store } from '../cache/store.ts'

function pod(name: string, version: string, owner?: string): KubeObject {
  const labels: Record<string, string> = owner === undefined ? {} : { owner }
  const metadata = { name, namespace: 'a', uid: `uid-${name}`, resourceVersion: version, labels }
  return { apiVersion: 'v1', kind: 'Pod', metadata }
}

/** Writes down the level and message of each line. */
function notingLog(lines: string[]): Log {
  const log: Log = {
    debug: (_, message) => lines.push(`debug ${message}`),
    info: (_, message) => lines.push(`info ${message}`),
    warn: (_, message) => lines.push(`warn ${message}`),
    error: (_, message) => lines.push(`error ${message}`),
    child: () => log,
  }
  return log
}

type Running = {
  readonly clock: FakeClock
  readonly controller: Controller
  readonly results: ReconcileResult[]
  readonly lines: string[]
  readonly stop: () => Promise<void>
}

function run(options: Pick<ControllerOptions, 'reconcile'> & Partial<ControllerOptions>): Running {
  const clock = new FakeClock()
  const results: ReconcileResult[] = []
  const lines: string[] = []
  const controller = new Controller({
    name: 'test',
    watches: [],
    clock,
    log: notingLog(lines),
    hooks: { onReconciled: result => results.push(result) },
    ...options,
  })
  const stop = new AbortController()
  const running = controller.run(stop.signal)
  return {
    clock,
    controller,
    results,
    lines,
    stop: async () => {
      stop.abort(new Error('stopping'))
      await running
    },
  }
}

test('nothing is reconciled before every cache is settled, then everything that is there', async () => {
  const pods = new Store<KubeObject>()
  const others = new Store<KubeObject>()
  pods.replace([pod('x', '1'), pod('y', '1')])
  const keys: string[] = []
  const { clock, stop } = run({
    watches: [watching(pods, object => [keyOf(object)]), watching(others, () => [])],
    reconcile: async key => void keys.push(key),
  })
  await clock.advance(1000)
  assert.deepEqual(keys, [])
  others.markAbsent(0)
  await clock.advance(0)
  assert.deepEqual(keys, ['a/x', 'a/y'])
  await stop()
})

test('F31: a cache that is never filled is waited for a minute; what it has later is reconciled then', async () => {
  const pods = new Store<KubeObject>()
  const others = new Store<KubeObject>()
  const keys: string[] = []
  const { clock, lines, stop } = run({
    watches: [pods, others].map(store => watching(store, object => [keyOf(object)])),
    reconcile: async key => void keys.push(key),
  })
  pods.replace([pod('x', '1')])
  await clock.advance(59_999)
  assert.deepEqual(keys, [])
  await clock.advance(1)
  assert.deepEqual(keys, ['a/x'])
  assert.deepEqual(
    lines.filter(line => line.startsWith('warn')),
    ['warn some resources are not listed yet; what does not need them begins without'],
  )
  others.replace([pod('y', '1')])
  await clock.advance(0)
  assert.deepEqual(keys, ['a/x', 'a/y'])
  await stop()
})

test('a change enqueues the keys of the old and of the new state', async () => {
  const pods = new Store<KubeObject>()
  pods.replace([pod('x', '1', 'one')])
  const keys: string[] = []
  const { clock, stop } = run({
    watches: [watching(pods, ({ metadata }) => [metadata.labels?.['owner'] ?? ''])],
    reconcile: async key => void keys.push(key),
  })
  await clock.advance(0)
  pods.set(pod('x', '2', 'two'))
  await clock.advance(0)
  pods.remove(pod('x', '3', 'two'))
  await clock.advance(0)
  assert.deepEqual(keys, ['one', 'two', 'one', 'two'])
  await stop()
})

test('a key is looked at again after the time that its reconcile asks for', async () => {
  const times: number[] = []
  const { clock, controller, results, stop } = run({
    reconcile: async () => {
      times.push(clock.monotonic())
      return times.length < 3 ? { requeueAfterMs: 60_000 } : undefined
    },
  })
  controller.enqueue('x')
  await clock.advance(600_000)
  assert.deepEqual(times, [0, 60_000, 120_000])
  assert.deepEqual(results, ['requeued', 'requeued', 'done'])
  await stop()
})

test('workers are bounded and a slow key does not hold up the others', async () => {
  let active = 0
  let most = 0
  const gate = Promise.withResolvers<void>()
  const finished: string[] = []
  const { clock, controller, stop } = run({
    workers: 3,
    reconcile: async key => {
      most = Math.max(most, ++active)
      if (key === 'slow') await gate.promise
      active--
      finished.push(key)
    },
  })
  controller.enqueue('slow')
  for (let i = 0; i < 10; i++) controller.enqueue(`k${i}`)
  await clock.advance(0)
  assert.equal(finished.length, 10)
  assert.ok(most <= 3)
  gate.resolve()
  await stop()
})

const conflict = new ApiError({ request: 'PUT /x', status: 409, reason: 'Conflict' })
const exists = new ApiError({ request: 'POST /x', status: 409, reason: 'AlreadyExists' })
const busy = new ApiError({ request: 'GET /x', status: 429, retryAfterSeconds: 20 })
const maintained = new ApiError({ request: 'GET /x', status: 503, retryAfterSeconds: 86_400 })

for (const [name, error, result, level, [least, most]] of [
  ['an unknown error backs off and is logged', new Error('boom'), 'error', 'error', [125, 250]],
  ['a conflict is looked at again soon without noise', conflict, 'conflict', 'debug', [125, 250]],
  ['so is an object that exists already', exists, 'conflict', 'debug', [125, 250]],
  ['a wait is no error', new WaitError(30_000, 'not ready yet'), 'waiting', 'debug', [30_000, 30_000]],
  ['a server that asks for patience gets it', busy, 'waiting', 'warn', [20_500, 21_000]],
  ['one that asks for a day is asked again after a minute', maintained, 'waiting', 'warn', [60_500, 61_000]],
] as const) {
  test(name, async () => {
    const times: number[] = []
    const { clock, controller, results, lines, stop } = run({
      reconcile: async () => {
        times.push(clock.monotonic())
        if (times.length === 1) throw error
      },
    })
    controller.enqueue('x')
    await clock.advance(61_000)
    assert.deepEqual(results, [result, 'done'])
    assert.ok(times[1] >= least && times[1] <= most, `again after ${times[1]} ms`)
    assert.deepEqual(
      lines.filter(line => !line.startsWith('info')).map(line => line.split(' ')[0]),
      [level],
    )
    await stop()
  })
}

test('a reconcile that throws before its first await, or throws no Error, does not end the worker', async () => {
  let calls = 0
  const { clock, controller, results, stop } = run({
    workers: 1,
    reconcile: () => {
      calls++
      // oxlint-disable-next-line no-throw-literal -- what other people's code may do
      if (calls === 1) throw 'a string'
      if (calls === 2) throw new TypeError('x is undefined')
      return Promise.resolve()
    },
  })
  controller.enqueue('x')
  await clock.advance(10_000)
  assert.deepEqual(results, ['error', 'error', 'done'])
  await stop()
})

test('a reconcile that met a fence which was down for a moment is tried again: a renewal may only have been late', async () => {
  let calls = 0
  const { clock, controller, results, stop } = run({
    reconcile: async () => {
      if (calls++ === 0) throw new FencedError('POST /x')
    },
  })
  controller.enqueue('x')
  await clock.advance(5000)
  assert.deepEqual(results, ['fenced', 'done'])
  await stop()
})

test('a reconcile that takes too long is cut off and tried again', async () => {
  let calls = 0
  const { clock, controller, results, stop } = run({
    timeoutMs: 1000,
    reconcile: async (_, signal) => {
      if (calls++ === 0) await clock.wait(1_000_000, signal)
    },
  })
  controller.enqueue('x')
  await clock.advance(5000)
  assert.deepEqual(results, ['error', 'done'])
  await stop()
})

test('a stop lets what runs finish and starts nothing new', async () => {
  const gate = Promise.withResolvers<void>()
  const keys: string[] = []
  const { clock, controller, results, stop } = run({
    workers: 1,
    reconcile: async (key, signal) => {
      keys.push(key)
      await gate.promise
      signal.throwIfAborted()
    },
  })
  controller.enqueue('x')
  controller.enqueue('y')
  await clock.advance(0)
  const stopped = stop()
  await clock.advance(1000)
  gate.resolve()
  await stopped
  assert.deepEqual(keys, ['x'])
  assert.deepEqual(results, ['done'])
  assert.equal(clock.pending, 0)
})

test('what does not finish within the grace is cut off', async () => {
  const { clock, controller, results, stop } = run({
    graceMs: 5000,
    reconcile: (_, signal) => clock.wait(1_000_000, signal),
  })
  controller.enqueue('x')
  await clock.advance(0)
  const stopped = stop()
  await clock.advance(4999)
  assert.deepEqual(results, [])
  await clock.advance(1)
  await stopped
  assert.deepEqual(results, ['stopped'])
})

test('a stop before the caches are settled ends the run', async () => {
  const { clock, stop } = run({
    watches: [watching(new Store<KubeObject>(), () => [])],
    reconcile: () => Promise.resolve(),
  })
  await clock.advance(1000)
  await stop()
  assert.equal(clock.pending, 0)
})
