import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { FakeClock, realClock } from './clock.ts'

test('a wait that is longer than setTimeout can count does not end at once', async () => {
  const stop = new AbortController()
  let ended = false
  const waiting = realClock.wait(2 ** 40, stop.signal).then(
    () => (ended = true),
    () => {},
  )
  await realClock.wait(20)
  assert.equal(ended, false)
  stop.abort()
  await waiting
})

test('a long timer is armed again until its time has come, and can be cancelled in between', () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  let now = 0
  const performanceNow = mock.method(performance, 'now', () => now)
  try {
    let fired = 0
    const longMs = 2 ** 31 + 5000
    realClock.timer(longMs, () => fired++)
    const cancel = realClock.timer(longMs, () => fired++)
    for (const ms of [2 ** 31 - 1, 5000]) {
      now += ms
      mock.timers.tick(ms)
      assert.equal(fired, 0)
      if (ms === 5000) cancel()
    }
    now += 1
    mock.timers.tick(1)
    assert.equal(fired, 1)
  } finally {
    mock.timers.reset()
    performanceNow.mock.restore()
  }
})

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
