import assert from 'node:assert/strict'
import { test } from 'node:test'
import { at, policy } from '../../../test/plan/world.ts'
import { annotation } from '../../api/labels.ts'
import { addSeconds } from '../../schedule/times.ts'
import { dailyProbe, probeAsked } from './probe-times.ts'

const last = at('00:30')

test('F92: a usable store is tried again within a day, each policy at a time of its own', () => {
  const due = ['a', 'b', 'c'].map(uid => dailyProbe(policy({}, { metadata: { uid } }), last, false, at('01:00')))
  assert.equal(new Set(due.map(time => time?.getTime())).size, 3)
  for (const time of due) assert.ok(time && time >= at('22:30') && time <= at('+1d 00:30'))
})

test('F92: not within a quarter of an hour of a slot, nor during a run', () => {
  const nightly = policy({ schedule: '0 2 * * *' })
  const late = (text: string) => dailyProbe(nightly, last, false, at(text))
  assert.deepEqual(late('+1d 01:44'), at('+1d 01:44'))
  assert.deepEqual(late('+1d 01:46'), at('+1d 02:15'))
  assert.deepEqual(late('+1d 02:14'), at('+1d 02:15'))
  assert.deepEqual(late('+1d 02:15'), at('+1d 02:15'))
  assert.equal(dailyProbe(nightly, last, true, at('+1d 01:00')), undefined)
  const minutely = policy({ schedule: '* * * * *' })
  const next = dailyProbe(minutely, last, false, at('+1d 01:00'))
  assert.ok(next && next > at('+1d 01:00'), 'its runs try the store')
  const suspended = policy({ schedule: '* * * * *', suspend: true })
  assert.deepEqual(dailyProbe(suspended, last, false, at('+1d 01:00')), at('+1d 01:00'))
})

test('F92: a person asks by a new value of the annotation, once for each', () => {
  const asking = (value: string) => policy({}, { metadata: { annotations: { [annotation.probe]: value } } })
  assert.equal(probeAsked(policy(), undefined), undefined)
  assert.equal(probeAsked(asking('now'), undefined), 'now')
  assert.equal(probeAsked(asking('now'), 'now'), undefined)
  assert.equal(probeAsked(asking('again'), 'now'), 'again')
})

test('the day is counted from the last probe', () => {
  const [first, second] = [last, addSeconds(last, 3600)].map(each => dailyProbe(policy(), each, false, at('01:00')))
  assert.deepEqual(second, addSeconds(first ?? at('00:00'), 3600))
})
