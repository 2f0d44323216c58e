import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import {
  inOnePass,
  planRetention,
  slowRuns,
  type RetentionReason,
  type RetentionRun,
  type RunData,
} from './retention.ts'
import { isAhead } from '../../schedule/times.ts'

const data: Readonly<Record<string, RunData>> = {
  c: 'confirmed',
  w: 'whole',
  a: 'archived',
  m: 'missing',
  n: 'unknown',
}

/**
 * Runs a day apart, oldest first, one letter each: g good, f failed, s suspect, h good and held, u unchecked, o on demand; and where
 * somebody looked at the data: c confirmed, w whole, a archived, m missing, n not known.
 */
function history(letters: string): RetentionRun[] {
  return letters.split('').map((letter, day) => ({
    id: `${letter}${day}`,
    slot: new Date(Date.UTC(2026, 0, day + 1)),
    good: letter !== 'f',
    suspect: letter === 's',
    held: letter === 'h',
    unchecked: letter === 'u',
    trigger: letter === 'o' ? 'on-demand' : 'scheduled',
    ...(data[letter] ? { data: data[letter] } : {}),
  }))
}

function reasons(runs: readonly RetentionRun[], keep: number): Record<string, RetentionReason> {
  return Object.fromEntries(planRetention(runs, { keep }).verdicts.map(v => [v.id, v.reason]))
}

function counting(runs: readonly RetentionRun[]): number {
  return runs.filter(run => run.good && !run.suspect && !run.unchecked).length
}

const someRuns = fc.uniqueArray(
  fc.record({
    id: fc.string({ minLength: 1, maxLength: 3 }),
    // Few instants, so that ties happen.
    slot: fc.integer({ min: 0, max: 12 }).map(hour => new Date(Date.UTC(2026, 0, 1, hour))),
    good: fc.boolean(),
    suspect: fc.boolean(),
    held: fc.boolean(),
    unchecked: fc.boolean(),
    trigger: fc.constantFrom('scheduled' as const, 'on-demand' as const),
  }),
  { selector: run => run.id, maxLength: 40 },
)
const someKeep = fc.integer({ min: 1, max: 12 })

const yearAfter = (slot: Date) => new Date(slot.getTime() + 365 * 86_400_000)

describe('planRetention', () => {
  test('F23: runs that a clock has dated in the future supersede nothing, and do not hide that the newest backup is suspect', () => {
    const ahead = history('ggg').map(run => ({ ...run, id: `ahead-${run.id}`, slot: yearAfter(run.slot), ahead: true }))
    const plan = planRetention([...ahead, ...history('ggs')], { keep: 1, held: ['s2'] })
    assert.deepEqual(plan.deleteNow, [], 'the last good one before a ruin stays')
    assert.deepEqual(planRetention([...ahead, ...history('ggg')], { keep: 2 }).deleteNow, ['g0'])
    assert.deepEqual(reasons([...ahead, ...history('g')], 1), {
      'ahead-g0': 'DatedAhead',
      'ahead-g1': 'DatedAhead',
      'ahead-g2': 'DatedAhead',
      g0: 'WithinRetention',
    })
    assert.equal(planRetention([...ahead, ...history('g')], { keep: 1 }).nextToGo, 'g0')
  })

  test('F38: the good run that was made last is never deleted, whatever slots the others are of', () => {
    const made = (letters: string, order: readonly number[]) =>
      history(letters).map((run, index) => ({ ...run, made: new Date(Date.UTC(2026, 1, order[index])) }))
    const verdicts = (runs: readonly RetentionRun[]) => Object.values(reasons(runs, 1)).toReversed()
    const [within, last, gone] = ['WithinRetention', 'MadeLast', 'BeyondRetention']
    assert.deepEqual(verdicts(made('ggg', [1, 2, 3])), [gone, gone, within])
    assert.deepEqual(verdicts(made('ggg', [3, 1, 2])), [last, gone, within])
    assert.deepEqual(verdicts(made('ggo', [2, 1, 3])), [gone, within, within], 'one on demand may be the last, too')
    assert.deepEqual(verdicts(made('fgg', [3, 2, 1])), ['NotCounted', last, within], 'one that is not good is none')
    assert.deepEqual(verdicts(made('gg', [1, 1])), [gone, within], 'of one second the slots tell')
    const untold = made('ggg', [3, 2, 1]).map((run, index) => ({ ...run, untold: index === 0 }))
    assert.deepEqual(verdicts(untold), [last, last, within], 'one that anybody may have made takes no place')
  })

  test('a few minutes are no future: clocks of a cluster differ', () => {
    const now = new Date('2026-01-05T12:00:00Z')
    assert.equal(isAhead(new Date('2026-01-05T12:05:00Z'), now), false)
    assert.equal(isAhead(new Date('2026-01-05T12:05:01Z'), now), true)
  })

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

  test('F65: stops after 20 that went, whatever number of others cannot go, and of these tries 100', () => {
    const { goes } = planRetention(history('g'.repeat(200)), { keep: 1 })
    assert.equal(goes.length, 199)
    const carriedOut = (undeletable: (n: number) => boolean, limits = {}) => {
      const stays = new Set<string>()
      const gone: string[] = []
      for (const { id } of inOnePass(goes, limits, stays)) {
        if (undeletable(Number(id.slice(1)))) stays.add(id)
        else gone.push(id)
      }
      return [gone.length, gone[0], stays.size]
    }
    assert.deepEqual(
      carriedOut(() => false),
      [20, 'g0', 0],
    )
    assert.deepEqual(
      carriedOut(n => n < 50),
      [20, 'g50', 50],
    )
    assert.deepEqual(
      carriedOut(() => true),
      [0, undefined, 100],
    )
    assert.deepEqual(
      carriedOut(n => n % 2 === 0, { maxDeletes: 3 }),
      [3, 'g1', 3],
    )
    assert.deepEqual(
      carriedOut(() => false, { maxDeletes: 0 }),
      [0, undefined, 0],
    )
  })

  test('F64: one that cannot be deleted takes no place of those that go slowly', () => {
    const previous = { keep: 6, before: new Date(Date.UTC(2100, 0)) }
    const { goes } = planRetention(history('g'.repeat(8)), { keep: 2, previous })
    assert.deepEqual(
      goes.map(({ slow }) => slow),
      [false, false, true, true, true, true],
    )
    const stays = new Set(['g0', 'g2'])
    assert.deepEqual(
      [...inOnePass(goes, { slowDeletes: 1 }, stays)].map(({ id }) => id),
      ['g0', 'g1', 'g2', 'g3'],
    )
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

  test('F57: an unchecked run does not count, and stops every deletion until it is compared', () => {
    assert.deepEqual(reasons(history('ggu'), 1), { u2: 'Unchecked', g1: 'WithinRetention', g0: 'PruningStopped' })
    assert.match(
      planRetention(history('ggu'), { keep: 1 }).verdicts.at(-1)?.message ?? '',
      /u2 was compared with no other/,
    )
    assert.deepEqual(planRetention(history('ggug'), { keep: 1 }).deleteNow, ['g0', 'g1', 'u2'])
    assert.deepEqual(planRetention(history('ggug'), { keep: 2 }).deleteNow, [])
  })

  test('F60: a run whose data are not there does not count, and nothing is deleted while it is among those to be kept', () => {
    for (const gone of ['m', 'n']) {
      assert.deepEqual(reasons(history(`wc${gone}`), 1), {
        [`${gone}2`]: 'DataMissing',
        c1: 'WithinRetention',
        w0: 'PruningStopped',
      })
      assert.deepEqual(planRetention(history(`w${gone}c`), { keep: 1 }).deleteNow, ['w0', `${gone}1`])
    }
  })

  test('F60: archived runs count and go, but the newest one that can be read at once stays, and all that is newer', () => {
    assert.deepEqual(reasons(history('wcaa'), 2), {
      a3: 'WithinRetention',
      a2: 'WithinRetention',
      c1: 'NewestReadable',
      w0: 'BeyondRetention',
    })
    assert.deepEqual(planRetention(history('acaa'), { keep: 1 }).deleteNow, ['a0'])
    assert.deepEqual(planRetention(history('aaac'), { keep: 1 }).deleteNow, ['a0', 'a1', 'a2'])
  })

  test('F60: where data were looked at and none was confirmed, nothing goes', () => {
    assert.deepEqual(planRetention(history('wwww'), { keep: 1 }).deleteNow, [])
    assert.deepEqual(planRetention(history('aaaa'), { keep: 1 }).deleteNow, [])
  })

  test('F66: many runs on demand push no scheduled one out, nor the other way round', () => {
    const plan = planRetention(history('ggg' + 'o'.repeat(7)), { keep: 3 })
    assert.deepEqual(plan.deleteNow, ['o3', 'o4', 'o5', 'o6'])
    assert.deepEqual(planRetention(history('oo' + 'g'.repeat(7)), { keep: 3 }).deleteNow, ['g2', 'g3', 'g4', 'g5'])
    assert.deepEqual(planRetention(history('ogogo'), { keep: 2, onDemand: { keep: 1 } }).deleteNow, ['o0', 'o2'])
    assert.throws(() => planRetention([], { keep: 1, onDemand: { keep: 0 } }), RangeError)
  })

  test('F66: a run on demand whose data are gone stops only those on demand', () => {
    const runs = history('gomg').map(run => (run.id === 'm2' ? { ...run, trigger: 'on-demand' as const } : run))
    const seen = runs.map(run => ({ ...run, data: run.data ?? ('confirmed' as const) }))
    assert.deepEqual(planRetention(seen, { keep: 1 }).deleteNow, ['g0'])
  })

  test('F64: of what only the number before had kept, few go in a pass; the rest as ever', () => {
    const previous = { keep: 4, before: new Date(Date.UTC(2026, 0, 7)) }
    const plan = planRetention(history('gggggggg'), { keep: 1, previous, slowDeletes: 1 })
    assert.deepEqual(plan.deleteNow, ['g0', 'g1', 'g2', 'g3', 'g4', 'g6'])
    assert.equal(plan.deleteLater, 1)
    assert.match(plan.verdicts.find(({ id }) => id === 'g5')?.message ?? '', /at most 1$/)
    assert.deepEqual(planRetention(history('gggg'), { keep: 1, previous, slowDeletes: 0 }).deleteNow, [])
  })

  test('F64: from a slot on the number before keeps what it had kept, and nothing that came after the lower one applied', () => {
    const slot = (day: number) => new Date(Date.UTC(2026, 0, day))
    const days = history('gggggggg').map((run, index) => ({ ...run, slot: slot(index + 1) }))
    const previous = { keep: 6, before: slot(7), from: slot(5) }
    const plan = planRetention(days, { keep: 1, previous })
    assert.deepEqual(plan.deleteNow, ['g0', 'g1', 'g2', 'g3', 'g6'])
    assert.match(plan.verdicts.find(({ id }) => id === 'g4')?.message ?? '', /number 4 of the newest 6 /)
    const slow = slowRuns(days, { keep: 1, previous: { keep: 6, before: slot(7) } }).map(({ id }) => id)
    assert.deepEqual(slow, ['g2', 'g3', 'g4', 'g5'])
  })

  test('of all volumes together no more go in a pass than one may delete, the oldest first, and no more go slowly', () => {
    const runs = history('g'.repeat(9)).map((run, day) => ({ ...run, volume: `uid-${day % 3}` }))
    const plan = planRetention(runs, { keep: 1, maxDeletes: 4 })
    assert.deepEqual([plan.deleteNow, plan.deleteLater], [['g0', 'g1', 'g2', 'g3'], 2])
    const later = plan.verdicts.filter(({ reason }) => reason === 'BeyondRetentionLater').map(({ id }) => id)
    assert.deepEqual(later, ['g5', 'g4'])
    const previous = { keep: 2, before: new Date(Date.UTC(2027, 0)) }
    const slowly = planRetention(runs, { keep: 1, previous, slowDeletes: 1 })
    assert.deepEqual([slowly.deleteNow, slowly.deleteLater], [['g0', 'g1', 'g2', 'g3'], 2])
  })

  test('property: where data were looked at, something newer that counts and was confirmed stays for all that goes', () => {
    const seen = fc.constantFrom<RunData>('confirmed', 'whole', 'archived', 'missing', 'replaced', 'unknown')
    const lookedAt = fc
      .tuple(someRuns, fc.array(seen, { minLength: 40, maxLength: 40 }))
      .map(([runs, found]) => runs.map((run, index) => ({ ...run, data: found[index] ?? ('whole' as const) })))
    fc.assert(
      fc.property(lookedAt, someKeep, (runs, keep) => {
        const { deleteNow, verdicts } = planRetention(runs, { keep, maxDeletes: 1000 })
        const order = verdicts.map(({ id }) => id)
        const guards = runs.filter(
          run => run.data === 'confirmed' && counting([run]) === 1 && !deleteNow.includes(run.id),
        )
        for (const id of deleteNow) assert.ok(guards.some(guard => order.indexOf(guard.id) < order.indexOf(id)))
      }),
    )
  })

  test('property: the newest good run and min(N, all) counting runs always stay, held and bad ones too', () => {
    fc.assert(
      fc.property(someRuns, someKeep, fc.array(fc.string({ maxLength: 2 })), (runs, keep, held) => {
        const gone = new Set(planRetention(runs, { keep, held, maxDeletes: 1000 }).deleteNow)
        const stays = runs.filter(run => !gone.has(run.id))
        const newest = Math.max(...runs.filter(run => run.good).map(run => run.slot.getTime()))
        for (const trigger of ['scheduled', 'on-demand'] as const) {
          const of = (some: readonly RetentionRun[]) => counting(some.filter(run => run.trigger === trigger))
          assert.ok(of(stays) >= Math.min(keep, of(runs)))
        }
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
        const unchecked = plan.verdicts.some(({ reason }) => reason === 'Unchecked' || reason === 'PruningStopped')
        fc.pre(!unchecked)
        const more = [...runs, { id: 'one more', slot: new Date(Date.UTC(2027, 0)), good: true }]
        assert.equal(planRetention(more, { keep, maxDeletes: 1000 }).deleteNow[0], plan.nextToGo)
      }),
    )
  })
})
