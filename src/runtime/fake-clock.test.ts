import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from './fake-clock.ts'

test('an aborted wait rejects with the reason and leaves no timer', async () => {
  const clock = new FakeClock()
  const stop = new AbortController()
  const waiting = assert.rejects(clock.wait(1000, stop.signal), /^Error: enough$/)
  stop.abort(new Error('enough'))
  await waiting
  await assert.rejects(clock.wait(1000, stop.signal), /^Error: enough$/)
  assert.equal(clock.pending, 0)
})

test('the fake clock fires in order, and its wall time can jump alone', async () => {
  const clock = new FakeClock('2026-03-01T00:00:00Z')
  const fired: string[] = []
  clock.timer(20, () => fired.push('b'))
  clock.timer(10, () => {
    fired.push('a')
    clock.timer(5, () => fired.push('a2'))
  })
  await clock.advance(30)
  assert.deepEqual(fired, ['a', 'a2', 'b'])
  clock.jump(-3_600_000)
  assert.equal(clock.now().toISOString(), '2026-02-28T23:00:00.030Z')
  assert.equal(clock.monotonic(), 30)
})
