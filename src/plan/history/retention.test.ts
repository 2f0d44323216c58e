import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { planRetention, type RetentionReason, type RetentionRun } from './retention.ts'

/** Runs a day apart, oldest first, one letter each: g good, f failed, s suspect, h good and held. */
function history(letters: string): RetentionRun[] {
  return letters.split('').map((letter, day) => ({
    id: `${letter}${day}`,
    slot: new Date(Date.UTC(2026, 0, day + 1)),
    good: letter !== 'f',
    suspect: letter === 's',
    held: letter === 'h',
  }))
}

function reasons(runs: readonly RetentionRun[], keep: number): Record<string, RetentionReason> {
  return Object.fromEntries(planRetention(runs, { keep }).verdicts.map(v => [v.id, v.reason]))
}

function counting(runs: readonly RetentionRun[]): number {
  return runs.filter(run => run.good && !run.suspect).length
}

const someRuns = fc.uniqueArray(
  fc.record({
    id: fc.string({ minLength: 1, maxLength: 3 }),
    // Few instants, so that ties happen.
    slot: fc.integer({ min: 0, max: 12 }).map(hour => new Date(Date.UTC(2026, 0, 1, hour))),
    good: fc.boolean(),
    suspect: fc.boolean(),
    held: fc.boolean(),
  }),
  { selector: run => run.id, maxLength: 40 },
)
const someKeep = fc.integer({ min: 1, max: 12 })

describe('planRetention', () => {
  test('keeps the newest N good runs and deletes the rest, oldest first', () => {
    const plan = planRetention(history('ggggg'), { keep: 3 })
    assert.deepEqual(plan.deleteNow, ['g0', 'g1'])
    assert.deepEqual(
      plan.verdicts.map(v => [v.id, v.keep]),
      [
        ['g4', true],
        ['g3', true],
        ['g2', true],
        ['g1', false],
        ['g0', false],
      ],
    )
    assert.equal(plan.oldestKept, 'g2')
    assert.equal(plan.nextToGo, 'g0')
  })

  test('failed runs neither count nor push a good one out, and are not deleted', () => {
    const plan = planRetention(history('ggfffff'), { keep: 2 })
    assert.deepEqual(plan.deleteNow, [])
    assert.equal(plan.verdicts[0]?.reason, 'NotCounted')
    assert.equal(plan.verdicts.at(-1)?.reason, 'WithinRetention')
  })

  test('a suspect newest run stops every deletion and says so', () => {
    const plan = planRetention(history('gggs'), { keep: 1 })
    assert.deepEqual(plan.deleteNow, [])
    assert.deepEqual(reasons(history('gggs'), 1), {
      s3: 'Suspect',
      g2: 'WithinRetention',
      g1: 'PruningStopped',
      g0: 'PruningStopped',
    })
    assert.match(plan.verdicts.at(-1)?.message ?? '', /s3.*suspect.*accepted/)
    assert.equal(plan.nextToGo, undefined)
  })

  test('a failed run after a suspect one does not restart pruning', () => {
    assert.deepEqual(planRetention(history('gggsf'), { keep: 1 }).deleteNow, [])
  })

  test('an accepted suspect counts, and a good run after a suspect restarts pruning', () => {
    const accepted = history('ggs').map(run => ({ ...run, suspect: false }))
    assert.deepEqual(planRetention(accepted, { keep: 1 }).deleteNow, ['g0', 'g1'])
    assert.deepEqual(reasons(history('ggsg'), 2), {
      g3: 'WithinRetention',
      s2: 'Suspect',
      g1: 'WithinRetention',
      g0: 'BeyondRetention',
    })
  })

  test('a superseded suspect goes like any other', () => {
    assert.deepEqual(planRetention(history('gsgg'), { keep: 2 }).deleteNow, ['g0', 's1'])
  })

  test('held runs stay, by their own word or by the list, and do not change what counts', () => {
    assert.deepEqual(planRetention(history('hgggg'), { keep: 2, held: ['g1'] }).deleteNow, ['g2'])
    assert.equal(reasons(history('hgg'), 2)['h0'], 'Held')
  })

  test('a pass deletes at most 20 runs unless told otherwise', () => {
    const plan = planRetention(history('g'.repeat(50)), { keep: 1 })
    assert.equal(plan.deleteNow.length, 20)
    assert.equal(plan.deleteLater, 29)
    assert.equal(plan.deleteNow[0], 'g0')
    assert.equal(plan.verdicts.filter(v => v.reason === 'BeyondRetentionLater').length, 29)
    assert.deepEqual(planRetention(history('ggg'), { keep: 1, maxDeletes: 1 }).deleteNow, ['g0'])
  })

  test('the next to go is known before it goes', () => {
    assert.equal(planRetention(history('gg'), { keep: 3 }).nextToGo, undefined)
    assert.equal(planRetention(history('ggg'), { keep: 3 }).nextToGo, 'g0')
    assert.equal(planRetention(history('hgg'), { keep: 3 }).nextToGo, undefined)
    assert.equal(planRetention([], { keep: 3 }).oldestKept, undefined)
  })

  test('runs of the same instant are ordered by id', () => {
    const slot = new Date(0)
    const twins = ['b', 'a', 'c'].map(id => ({ id, slot, good: true }))
    assert.deepEqual(planRetention(twins, { keep: 1 }).deleteNow, ['a', 'b'])
  })

  test('refuses input that could delete too much', () => {
    for (const keep of [0, -1, 1.5, Number.NaN]) assert.throws(() => planRetention([], { keep }), RangeError)
    assert.throws(() => planRetention([], { keep: 1, maxDeletes: -1 }), RangeError)
    const [run] = history('g') as [RetentionRun]
    assert.throws(() => planRetention([run, run], { keep: 1 }), /g0 occurs twice/)
    assert.throws(() => planRetention([{ ...run, slot: new Date(Number.NaN) }], { keep: 1 }), /no valid time/)
  })

  test('property: the newest good run and min(N, all) counting runs always stay, held and bad ones too', () => {
    fc.assert(
      fc.property(someRuns, someKeep, fc.array(fc.string({ maxLength: 2 })), (runs, keep, held) => {
        const gone = new Set(planRetention(runs, { keep, held, maxDeletes: 1000 }).deleteNow)
        const stays = runs.filter(run => !gone.has(run.id))
        const newest = Math.max(...runs.filter(run => run.good).map(run => run.slot.getTime()))
        assert.ok(counting(stays) >= Math.min(keep, counting(runs)))
        if (runs.some(run => run.good)) assert.ok(stays.some(run => run.good && run.slot.getTime() === newest))
        for (const run of runs) {
          if (!run.good || run.held || held.includes(run.id)) assert.ok(!gone.has(run.id))
        }
      }),
    )
  })

  test('property: a larger N never deletes more', () => {
    fc.assert(
      fc.property(someRuns, someKeep, (runs, keep) => {
        const few = new Set(planRetention(runs, { keep, maxDeletes: 1000 }).deleteNow)
        for (const id of planRetention(runs, { keep: keep + 1, maxDeletes: 1000 }).deleteNow) assert.ok(few.has(id))
      }),
    )
  })

  test('property: the order of the input does not matter', () => {
    fc.assert(
      fc.property(
        someRuns.chain(runs => fc.tuple(fc.constant(runs), fc.shuffledSubarray(runs, { minLength: runs.length }))),
        someKeep,
        ([runs, shuffled], keep) => assert.deepEqual(planRetention(shuffled, { keep }), planRetention(runs, { keep })),
      ),
    )
  })

  test('property: capped passes end at the same runs as one uncapped pass', () => {
    fc.assert(
      fc.property(someRuns, someKeep, fc.integer({ min: 1, max: 5 }), (runs, keep, maxDeletes) => {
        const all = planRetention(runs, { keep, maxDeletes: 1000 })
        let left = runs
        const deleted: string[] = []
        for (let pass = 0; pass <= runs.length; pass++) {
          const { deleteNow } = planRetention(left, { keep, maxDeletes })
          assert.ok(deleteNow.length <= maxDeletes)
          deleted.push(...deleteNow)
          left = left.filter(run => !deleteNow.includes(run.id))
        }
        assert.deepEqual(deleted, all.deleteNow)
      }),
    )
  })

  test('property: runs that are not good never change the verdict on a good one', () => {
    fc.assert(
      fc.property(someRuns, someKeep, (runs, keep) => {
        const good = runs.filter(run => run.good)
        const among = planRetention(runs, { keep, maxDeletes: 1000 }).verdicts.filter(v => v.reason !== 'NotCounted')
        assert.deepEqual(among, planRetention(good, { keep, maxDeletes: 1000 }).verdicts)
      }),
    )
  })

  test('property: what goes next is what goes when one more good run arrives', () => {
    fc.assert(
      fc.property(someRuns, someKeep, (runs, keep) => {
        const plan = planRetention(runs, { keep, maxDeletes: 1000 })
        fc.pre(plan.verdicts.find(v => v.reason !== 'NotCounted')?.reason !== 'Suspect')
        const more = [...runs, { id: 'one more', slot: new Date(Date.UTC(2027, 0)), good: true }]
        assert.equal(planRetention(more, { keep, maxDeletes: 1000 }).deleteNow[0], plan.nextToGo)
      }),
    )
  })
})
