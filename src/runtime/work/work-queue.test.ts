import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { FakeClock } from '../fake-clock.ts'
import { WorkQueue } from './work-queue.ts'

function plain(clock = new FakeClock()): { readonly clock: FakeClock; readonly queue: WorkQueue } {
  return { clock, queue: new WorkQueue({ clock, random: () => 1, firstBackoffMs: 100, longestBackoffMs: 1000 }) }
}

test('a key that is added often is taken once', async () => {
  const { queue } = plain()
  for (let i = 0; i < 5; i++) queue.add('x')
  queue.add('y')
  assert.equal(queue.depth, 2)
  assert.equal(await queue.take(), 'x')
  assert.equal(await queue.take(), 'y')
  assert.equal(queue.depth, 0)
})

test('S19: a namespace with ten thousand keys makes another one wait for one of them at a time, and each keeps its own order', async () => {
  const { queue } = plain()
  for (let i = 0; i < 10_000; i++) queue.add(`crowd/${i}`)
  for (const key of ['shop/a', 'shop/b', 'of-the-cluster', 'bank/a']) queue.add(key)
  const taken = await Promise.all(Array.from({ length: 8 }, () => queue.take()))
  assert.deepEqual(taken, ['crowd/0', 'shop/a', 'of-the-cluster', 'bank/a', 'crowd/1', 'shop/b', 'crowd/2', 'crowd/3'])
  assert.equal(queue.depth, 9996)
  queue.add('shop/b')
  queue.done('shop/b')
  assert.deepEqual([await queue.take(), await queue.take()], ['shop/b', 'crowd/4'], 'the crowd has four workers')
})

test('S19: a namespace whose keys take long has no more than its share of the workers while others wait, and all of them when nobody does', async () => {
  const { queue } = plain()
  for (let i = 0; i < 100; i++) for (const key of [`slow/${i}`, `shop/${i}`, `bank/${i}`, `farm/${i}`]) queue.add(key)
  const take = async () => (await queue.take()) ?? assert.fail()
  const slow = [await take()]
  assert.deepEqual(slow, ['slow/0'])
  const quick: string[] = []
  const held = [await take(), await take(), await take()]
  while (quick.length < 297) {
    const key = held.shift() ?? assert.fail()
    quick.push(key)
    queue.done(key)
    held.push(await take())
    assert.ok(!held.at(-1)?.startsWith('slow/'), `${held.at(-1)} after ${quick.length} others`)
  }
  for (const key of held) queue.done(key)
  slow.push(await take(), await take(), await take())
  assert.deepEqual(slow, ['slow/0', 'slow/1', 'slow/2', 'slow/3'])
})

test('a key that is added while it is worked on comes back afterwards, once', async () => {
  const { queue } = plain()
  queue.add('x')
  await queue.take()
  queue.add('x')
  queue.add('x')
  const second = queue.take()
  let taken = false
  void second.then(() => (taken = true))
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(taken, false)
  queue.done('x')
  assert.equal(await second, 'x')
  queue.done('x')
  assert.equal(queue.depth, 0)
})

test('of several delays for one key the earliest counts, and an add replaces them', async () => {
  const { clock, queue } = plain()
  queue.addAfter('x', 500)
  queue.addAfter('x', 200)
  queue.addAfter('x', 900)
  queue.addAfter('y', 300)
  await clock.advance(199)
  assert.equal(queue.depth, 0)
  await clock.advance(1)
  assert.equal(await queue.take(), 'x')
  queue.done('x')
  queue.add('y')
  assert.equal(await queue.take(), 'y')
  queue.done('y')
  await clock.advance(10_000)
  assert.equal(queue.depth, 0)
})

test('the backoff of a key doubles up to its limit, and forgetting starts it anew', () => {
  const { queue } = plain()
  const delays = Array.from({ length: 6 }, () => queue.addBackoff('x'))
  assert.deepEqual(delays, [100, 200, 400, 800, 1000, 1000])
  assert.equal(queue.addBackoff('y'), 100)
  queue.forget('x')
  assert.equal(queue.addBackoff('x'), 100)
})

test('closing ends all who wait and drops what waits', async () => {
  const { clock, queue } = plain()
  queue.addAfter('later', 10)
  const waiting = [queue.take(), queue.take()]
  queue.close()
  assert.deepEqual(await Promise.all(waiting), [undefined, undefined])
  queue.add('x')
  await clock.advance(100)
  assert.equal(await queue.take(), undefined)
  assert.equal(clock.pending, 0)
})

test('depth, additions, retries and waiting times are reported', async () => {
  const clock = new FakeClock()
  const seen: string[] = []
  const queue = new WorkQueue({
    clock,
    random: () => 1,
    onDepth: depth => seen.push(`depth ${depth}`),
    onAdd: () => seen.push('add'),
    onRetry: () => seen.push('retry'),
    onTaken: seconds => seen.push(`waited ${seconds}`),
  })
  queue.add('x')
  await clock.advance(1500)
  await queue.take()
  queue.addBackoff('x')
  assert.deepEqual(seen, ['add', 'depth 1', 'waited 1.5', 'depth 0', 'retry'])
})

test('finishing what nobody took is a mistake that shows', () => {
  const { queue } = plain()
  assert.throws(() => queue.done('x'), /not being worked on/)
})

/** What the queue promises, in the plainest way: sets of keys, and due times. */
class Model {
  readonly waiting: string[] = []
  readonly working: string[] = []
  readonly again = new Set<string>()
  readonly due = new Map<string, number>()
  now = 0

  add(key: string): void {
    this.due.delete(key)
    if (this.working.includes(key)) this.again.add(key)
    else if (!this.waiting.includes(key)) this.waiting.push(key)
  }
}

type Both = { readonly model: Model; readonly clock: FakeClock; readonly queue: WorkQueue }
type Step = (both: Both) => Promise<void>

const key = fc.constantFrom('a', 'b', 'c', 'd')
const step: fc.Arbitrary<[string, Step]> = fc.oneof(
  key.map((k): [string, Step] => [
    `add ${k}`,
    async ({ model, queue }) => {
      model.add(k)
      queue.add(k)
    },
  ]),
  fc.tuple(key, fc.integer({ min: 1, max: 50 })).map(([k, ms]): [string, Step] => [
    `addAfter ${k} ${ms}`,
    async ({ model, queue }) => {
      model.due.set(k, Math.min(model.due.get(k) ?? Number.POSITIVE_INFINITY, model.now + ms))
      queue.addAfter(k, ms)
    },
  ]),
  fc.constant<[string, Step]>([
    'take',
    async ({ model, queue }) => {
      if (model.waiting.length === 0) return
      const expected = model.waiting.shift()
      if (expected !== undefined) model.working.push(expected)
      assert.equal(await queue.take(), expected)
    },
  ]),
  fc.nat().map((n): [string, Step] => [
    `done ${n}`,
    async ({ model, queue }) => {
      if (model.working.length === 0) return
      const [k] = model.working.splice(n % model.working.length, 1)
      if (k === undefined) return
      if (model.again.delete(k)) model.waiting.push(k)
      queue.done(k)
    },
  ]),
  fc.integer({ min: 1, max: 60 }).map((ms): [string, Step] => [
    `advance ${ms}`,
    async ({ model, clock }) => {
      model.now += ms
      // The queue's one timer rings in the order of due times, and for equal ones in the order of addition.
      const ringing = [...model.due].filter(([, due]) => due <= model.now).sort(([, a], [, b]) => a - b)
      for (const [k] of ringing) model.add(k)
      await clock.advance(ms)
    },
  ]),
)

test('in any history no key is lost, doubled or held by two workers', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async steps => {
      const both = { model: new Model(), ...plain() }
      for (const [, run] of steps) {
        await run(both)
        const { model, queue } = both
        assert.equal(queue.depth, model.waiting.length + model.again.size)
        assert.equal(queue.delayed, model.due.size)
      }
    }),
    { numRuns: 300 },
  )
})
