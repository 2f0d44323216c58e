import assert from 'node:assert/strict'
import { test } from 'node:test'
import { at, policy, stamp } from '../../../test/plan/world.ts'
import type { StoreStatus } from '../../api/kinds/backup-policy-status.ts'
import { annotation } from '../../api/labels.ts'
import { addSeconds } from '../../schedule/times.ts'
import { dailyProbe, probeAsked } from './probe-times.ts'

const store: StoreStatus = {
  backendHash: 'hash',
  result: 'Usable',
  reason: 'Ready',
  message: '',
  attempts: 1,
  failures: 0,
  lastProbeTime: stamp(at('00:30')),
}

test('F92: a usable store is tried again within a day, each policy at a time of its own', () => {
  const due = ['a', 'b', 'c'].map(uid => dailyProbe(policy({}, { metadata: { uid } }), store, false, at('01:00')))
  assert.equal(new Set(due.map(time => time?.getTime())).size, 3)
  for (const time of due) assert.ok(time && time >= at('22:30') && time <= at('+1d 00:30'))
})

test('F92: not within a quarter of an hour of a slot, nor during a run', () => {
  const nightly = policy({ schedule: '0 2 * * *' })
  const late = (text: string) => dailyProbe(nightly, store, false, at(text))
  assert.deepEqual(late('+1d 01:44'), at('+1d 01:44'))
  assert.deepEqual(late('+1d 01:46'), at('+1d 02:15'))
  assert.deepEqual(late('+1d 02:14'), at('+1d 02:15'))
  assert.deepEqual(late('+1d 02:15'), at('+1d 02:15'))
  assert.equal(dailyProbe(nightly, store, true, at('+1d 01:00')), undefined)
  const minutely = policy({ schedule: '* * * * *' })
  const next = dailyProbe(minutely, store, false, at('+1d 01:00'))
  assert.ok(next && next > at('+1d 01:00'), 'its runs try the store')
  const suspended = policy({ schedule: '* * * * *', suspend: true })
  assert.deepEqual(dailyProbe(suspended, store, false, at('+1d 01:00')), at('+1d 01:00'))
})

test('F92: a person asks by a new value of the annotation, once for each', () => {
  const asking = (value: string) => policy({}, { metadata: { annotations: { [annotation.probe]: value } } })
  assert.equal(probeAsked(policy(), store), undefined)
  assert.equal(probeAsked(asking('now'), store), 'now')
  assert.equal(probeAsked(asking('now'), { ...store, asked: 'now' }), undefined)
  assert.equal(probeAsked(asking('again'), { ...store, asked: 'now' }), 'again')
})

test('the day is counted from the last probe', () => {
  const later = { ...store, lastProbeTime: stamp(addSeconds(at('00:30'), 3600)) }
  const [first, second] = [store, later].map(each => dailyProbe(policy(), each, false, at('01:00')))
  assert.deepEqual(second, addSeconds(first ?? at('00:00'), 3600))
})
