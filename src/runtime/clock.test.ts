import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { realClock } from './clock.ts'

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
