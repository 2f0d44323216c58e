import assert from 'node:assert/strict'
import { test } from 'node:test'
import { at, policy, snapshotPolicy, stamp } from '../../../test/plan/world.ts'
import { keepingOf, keepingOfTask, lowerings, numbersOf } from './numbers.ts'
import type { RetentionRun } from './retention.ts'

const now = at('12:00')
const runs = (count: number, trigger: RetentionRun['trigger'] = 'scheduled', more: Partial<RetentionRun> = {}) =>
  Array.from({ length: count }, (_, hour): RetentionRun => {
    const id = `${trigger}-${hour}`
    return { id, slot: new Date(at('00:00').getTime() - hour * 3_600_000), good: true, trigger, ...more }
  })
const known = (number: object) => ({ status: { retention: number, onDemandRetention: number } as never })

test('F64: where the status remembers nothing, as many as the fullest target has were kept, of the schedule and on demand', () => {
  const some = new Map([
    ['data', [...runs(9), ...runs(3, 'on-demand')]],
    ['logs', [...runs(12, 'scheduled', { good: false }), ...runs(5, 'on-demand')]],
  ])
  assert.deepEqual(numbersOf(snapshotPolicy({ retention: 4 }), some, now), {
    scheduled: { value: 4, previous: 9, since: stamp(now) },
    'on-demand': { value: 4, previous: 5, since: stamp(now) },
  })
  const { scheduled, 'on-demand': onDemand } = numbersOf(policy({ retention: 9, onDemandRetention: 2 }), some, now)
  assert.deepEqual([scheduled.previous, onDemand.previous], [undefined, 5])
})

test('F64: onDemandRetention that is taken out of the spec is a change like any other', () => {
  const status = { retention: { value: 7, since: stamp(now) }, onDemandRetention: { value: 50, since: stamp(now) } }
  const { scheduled, 'on-demand': onDemand } = numbersOf(policy({ retention: 7 }, { status }), new Map(), now)
  assert.deepEqual([scheduled.previous, onDemand], [undefined, { value: 7, previous: 50, since: stamp(now) }])
})

test('F64: a share of snapshots is written down before it is taken', () => {
  const before = { value: 2, previous: 50, since: stamp(at('10:30')) }
  const of = snapshotPolicy({ retention: 2 }, known(before))
  const numbers = numbersOf(of, new Map(), now)
  assert.deepEqual(numbers.scheduled, { value: 2, previous: 30, since: stamp(now) })
  assert.deepEqual(keepingOf(of, numbers, now), { keep: 50, onDemand: { keep: 50 } })
  const next = snapshotPolicy({ retention: 2 }, known(numbers.scheduled))
  assert.equal(keepingOf(next, numbersOf(next, new Map(), now), now).keep, 30)
})

test('F64: of backups in a bucket operator and mover keep the same', () => {
  const before = { value: 2, previous: 50, since: stamp(at('10:30')) }
  const of = policy({ retention: 2 }, known(before))
  const numbers = numbersOf(of, new Map(), now)
  assert.deepEqual(numbers.scheduled, before)
  const keeping = keepingOf(of, numbers, now)
  assert.deepEqual(keeping, {
    keep: 2,
    previous: { keep: 50, before: at('11:30') },
    onDemand: { keep: 2, previous: { keep: 50, before: at('11:30') } },
  })
  const changed = { previous: 50, since: at('10:30').getTime() }
  const task = { retention: 2, retentionChanged: changed, held: [], maxDeletes: 20 }
  const { slowDeletes, held, maxDeletes, ...told } = keepingOfTask(task, [at('11:10')], now, now)
  assert.deepEqual([told, slowDeletes, held, maxDeletes], [keeping, 20, [], 20])
  assert.equal(keepingOfTask(task, [at('12:00')], now, now).slowDeletes, 0)
  // Somebody may have taken it back since: the run began within the hour.
  assert.equal(keepingOfTask(task, [], at('11:20'), now).keep, 50)
})

test('F64: a lowering is told with what goes for it, and no longer than something is to go', () => {
  const number = { value: 2, previous: 10, since: stamp(at('11:30')) }
  const numbers = { scheduled: number, 'on-demand': { value: 2, since: stamp(now) } }
  const of = (some: readonly RetentionRun[], time = now) =>
    lowerings(numbers, new Map([['data', some]]), time).map(({ trigger, at: from, going }) => [
      trigger,
      stamp(from),
      going,
    ])
  assert.deepEqual(of(runs(12)), [['scheduled', stamp(at('12:30')), 8]], 'what goes anyway does not count')
  assert.deepEqual(of([...runs(5), ...runs(9, 'on-demand')]), [['scheduled', stamp(at('12:30')), 3]])
  assert.deepEqual(of(runs(2)), [])
  assert.deepEqual(of(runs(5, 'scheduled', { held: true })), [])
  const late = runs(5).map(run => ({ ...run, slot: new Date(run.slot.getTime() + 48 * 3_600_000) }))
  assert.deepEqual(of(late, at('+2d 06:00')), [], 'what came after the lower number applied goes like any other')
})
