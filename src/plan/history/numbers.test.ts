import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { at, policy, snapshotPolicy, stamp } from '../../../test/plan/world.ts'
import { keepingOf, keepingOfTask, lowerings, numbersOf, withNextShare, type Numbers } from './numbers.ts'
import { planRetention, type RetentionRun } from './retention.ts'

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
  const some = new Map([['data', runs(50)]])
  const numbers = numbersOf(of, some, now)
  const next = withNextShare(of, numbers, some, now)
  const share = { before: stamp(new Date(at('00:00').getTime() - 29 * 3_600_000)), since: stamp(now) }
  assert.deepEqual(next.scheduled, { ...before, share }, 'the thirtieth and what is younger stays')
  const goes = (keeping: ReturnType<typeof keepingOf>) => planRetention(runs(50), keeping).deleteNow.length
  assert.equal(goes(keepingOf(of, numbers, now)), 0)
  const then = snapshotPolicy({ retention: 2 }, known(next.scheduled))
  assert.equal(goes(keepingOf(then, numbersOf(then, some, now), now)), 20)
})

test('F64: where no run of any target is seen the larger number is not forgotten', () => {
  const of = snapshotPolicy({ retention: 2 }, known({ value: 2, previous: 50, since: stamp(at('10:30')) }))
  for (const none of [new Map(), new Map([['data', []]])]) {
    const numbers = numbersOf(of, none, now)
    assert.deepEqual(withNextShare(of, numbers, none, now), numbers)
  }
})

test('F64: of two numbers that were lowered one after the other no share goes before the hour of both is over', () => {
  const number = (since: string) => ({ value: 2, previous: 50, since: stamp(at(since)) })
  const numbers = { scheduled: number('09:00'), 'on-demand': number('11:30') }
  const some = new Map([['data', [...runs(30), ...runs(30, 'on-demand')]]])
  assert.deepEqual(withNextShare(snapshotPolicy(), numbers, some, now), numbers)
  const { scheduled, 'on-demand': onDemand } = withNextShare(snapshotPolicy(), numbers, some, at('12:30'))
  const share = { before: stamp(new Date(at('00:00').getTime() - 19 * 3_600_000)), since: stamp(at('12:30')) }
  assert.deepEqual([scheduled.share, onDemand.share], [share, share], 'ten of each, of twenty that go')
  assert.deepEqual(withNextShare(policy(), numbers, some, at('12:30')), numbers, 'of a bucket movers see to it')
})

test('F64, property: of any targets, whatever volumes and triggers they have, at most 20 go in an hour, and in the end all that are too many', () => {
  const hourMs = 3_600_000
  const trigger = fc.constantFrom('scheduled', 'on-demand')
  const made = fc.record({ volume: fc.constantFrom('a', 'b', 'c'), trigger, age: fc.integer({ min: 1, max: 90 }) })
  const target = fc.array(made, { minLength: 30, maxLength: 160 })
  const edit = fc.record({
    pass: fc.integer({ min: 0, max: 40 }),
    field: fc.constantFrom('retention', 'onDemandRetention'),
    value: fc.integer({ min: 1, max: 40 }),
  })
  const history = fc.record({
    targets: fc.array(target, { minLength: 1, maxLength: 3 }),
    edits: fc.array(edit, { maxLength: 4 }),
  })
  fc.assert(
    fc.property(history, ({ targets, edits }) => {
      const begin = at('00:00').getTime()
      const kept = new Map(
        targets.map((some, index): [string, readonly RetentionRun[]] => [
          `target ${index}`,
          some.map(({ age, ...run }, id) => ({
            ...run,
            id: `${id}`,
            slot: new Date(begin - age * hourMs),
            good: true,
          })),
        ]),
      )
      let numbers = {
        retention: { value: 160, since: stamp(at('00:00')) },
        onDemandRetention: { value: 160, since: stamp(at('00:00')) },
      }
      const spec = { retention: 2, onDemandRetention: 160 }
      const gone: { readonly target: string; readonly time: number }[] = []
      for (let pass = 0; pass < 400; pass++) {
        for (const each of edits) if (each.pass === pass) spec[each.field] = each.value
        const time = new Date(begin + pass * 420_000)
        const of = snapshotPolicy(spec, { status: numbers })
        const before = numbersOf(of, kept, time)
        const keeping = keepingOf(of, before, time)
        for (const [name, some] of kept) {
          const { deleteNow } = planRetention(some, keeping)
          gone.push(...deleteNow.map(() => ({ target: name, time: time.getTime() })))
          kept.set(
            name,
            some.filter(({ id }) => !deleteNow.includes(id)),
          )
        }
        const next = withNextShare(of, before, kept, time)
        numbers = { retention: next.scheduled, onDemandRetention: next['on-demand'] }
      }
      for (const { target: name, time } of gone) {
        const hour = gone.filter(each => each.target === name && each.time >= time && each.time < time + hourMs)
        assert.ok(hour.length <= 20, `${hour.length} in an hour`)
      }
      for (const some of kept.values())
        for (const each of Map.groupBy(some, run => `${run.volume} ${run.trigger}`).values())
          assert.ok(each.length <= (each[0]?.trigger === 'on-demand' ? spec.onDemandRetention : spec.retention))
    }),
    { numRuns: 20, seed: 20261129 },
  )
})

test('F64: what a Backup over several claims keeps while it goes on goes as slowly as the rest once that has ended', () => {
  const hourMs = 3_600_000
  const [lowered, ends] = [at('00:00').getTime(), at('07:10').getTime()]
  // The oldest, as many as say so, are its parts.
  for (const parts of [60, 30, 0]) {
    let kept = runs(60, 'on-demand', { data: 'confirmed' })
    const partOf = (index: number) => (index >= 60 - parts ? { part: 'all' } : {})
    const whole = new Map(kept.map((run, index) => [run.id, partOf(index)]))
    const number = (value: number) => ({ value, previous: 60, since: stamp(new Date(lowered)) })
    let numbers: Numbers = { scheduled: { value: 1, since: stamp(new Date(lowered)) }, 'on-demand': number(1) }
    const gone: string[] = []
    for (let time = lowered; time < ends + 5 * hourMs; time += 300_000) {
      const seen = kept.map(run => ({ ...run, ...(time < ends ? whole.get(run.id) : {}) }))
      const of = snapshotPolicy({ retention: 1, onDemandRetention: 1 })
      const { deleteNow } = planRetention(seen, keepingOf(of, numbers, new Date(time)))
      gone.push(...deleteNow.map(() => numbers['on-demand'].share?.since ?? 'no share'))
      kept = kept.filter(({ id }) => !deleteNow.includes(id))
      numbers = withNextShare(of, numbers, new Map([['data', seen]]), new Date(time))
    }
    const ofShares = [...Map.groupBy(gone, since => since).values()].map(({ length }) => length)
    assert.deepEqual([parts, ofShares, kept.length], [parts, [20, 20, 19], 1])
  }
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
  const both = planRetention([...runs(50), ...runs(50, 'on-demand')], keepingOfTask(task, [at('11:10')], now, now))
  assert.equal(both.deleteNow.length, 20, 'of both triggers together')
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
      going.length,
    ])
  assert.deepEqual(of(runs(12)), [['scheduled', stamp(at('12:30')), 8]], 'what goes anyway does not count')
  assert.deepEqual(of([...runs(5), ...runs(9, 'on-demand')]), [['scheduled', stamp(at('12:30')), 3]])
  assert.deepEqual(of(runs(2)), [])
  assert.deepEqual(of(runs(5, 'scheduled', { held: true })), [])
  const late = runs(5).map(run => ({ ...run, slot: new Date(run.slot.getTime() + 48 * 3_600_000) }))
  assert.deepEqual(of(late, at('+2d 06:00')), [], 'what came after the lower number applied goes like any other')
})
