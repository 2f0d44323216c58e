import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { isFarSmaller, judgeNewSize, judgeSizes, sizeHint, type SizedRun } from './sizes.ts'

const MiB = 1 << 20

for (const [bytes, last, suspect] of [
  [100 * MiB, 100 * MiB, false],
  [50 * MiB, 100 * MiB, false],
  [50 * MiB - 1, 100 * MiB, true],
  [500 * MiB, 100 * MiB, false],
  [MiB / 2 - 1, MiB, true],
  [100_000, MiB - 1, true],
  [300_000, MiB - 1, false],
  [20, 10_000, true],
  [1, 5, false],
] as const) {
  test(`${bytes} bytes after ${last} ${suspect ? 'are' : 'are not'} far smaller`, () => {
    assert.equal(isFarSmaller(bytes, last), suspect)
  })
}

/** Runs a day apart, oldest first, by their MiB; `?` after it: unchecked, `!`: accepted, `s`: recorded as suspect; `x`: unreadable. */
function history(...runs: readonly string[]): readonly SizedRun[] {
  return runs.map((run, day) => ({
    id: `${day}`,
    slot: new Date(Date.UTC(2026, 0, day + 1)),
    bytes: run.startsWith('x') ? undefined : Number.parseInt(run, 10) * MiB,
    accepted: run.endsWith('!'),
    suspect: run.endsWith('s'),
    unchecked: run.endsWith('?'),
  }))
}

const verdicts = (...runs: readonly string[]) => [...judgeSizes(history(...runs)).values()]
const own = (day: number, bytes: number) => ({ id: 'own', slot: new Date(Date.UTC(2026, 0, day)), bytes })

describe('the sizes of all runs', () => {
  test('F57: a ruin that nothing was compared with is found by the next look, and is no reference', () => {
    assert.deepEqual(verdicts('100', '2?', '2'), ['fine', 'suspect', 'suspect'])
    assert.equal(judgeNewSize(own(3, 2 * MiB), history('100', '2?'), undefined).verdict, 'suspect')
  })

  test('are compared with the largest good one, not with the last', () => {
    assert.deepEqual(verdicts('100', '60', '40'), ['fine', 'fine', 'suspect'])
  })

  test('are compared with the accepted one from then on', () => {
    assert.deepEqual(verdicts('100', '2!', '2', '1'), ['fine', 'fine', 'fine', 'fine'])
    assert.deepEqual(verdicts('100', '40!', '10'), ['fine', 'fine', 'suspect'])
  })

  test('F57: a list in which nothing is older checks the first run, also one that was made without a list', () => {
    assert.deepEqual(verdicts('2?', '2'), ['fine', 'fine'])
    assert.equal(judgeNewSize(own(1, 5), [], undefined).verdict, 'fine')
    assert.equal(judgeNewSize(own(1, 5), undefined, undefined).verdict, 'unchecked')
  })

  test('F57: with older ones that cannot be read nothing is compared, and only what was compared before is fine', () => {
    assert.deepEqual(verdicts('x', '2?'), ['unchecked', 'unchecked'])
    assert.deepEqual(verdicts('x', '2', '1?'), ['unchecked', 'fine', 'fine'])
    assert.equal(judgeNewSize(own(2, 5), history('x'), undefined).verdict, 'unchecked')
  })

  test('a suspect one stays so when what it was compared with is gone', () => {
    assert.deepEqual(verdicts('2s', '2'), ['suspect', 'fine'])
  })

  test("F57: the operator's hint finds a ruin where the store lists nothing, or not all", () => {
    const hint = sizeHint(100 * MiB)
    assert.equal(hint, 64 * MiB)
    assert.equal(judgeNewSize(own(9, 2 * MiB), undefined, hint).verdict, 'suspect')
    assert.equal(judgeNewSize(own(9, 2 * MiB), [], hint).verdict, 'suspect')
    assert.equal(judgeNewSize(own(9, 90 * MiB), undefined, hint).verdict, 'fine')
  })

  test('of artifacts are compared by their names, too, and one that shrank makes its run suspect', () => {
    const day = (index: number, sizes: Readonly<Record<string, number>>, flags = ''): SizedRun => {
      const artifacts = new Map(Object.entries(sizes).map(([name, size]) => [name, size * MiB]))
      const bytes = [...artifacts.values()].reduce((sum, size) => sum + size, 0)
      return {
        ...(history(`1${flags}`)[0] ?? assert.fail()),
        id: `${index}`,
        slot: new Date(index * 86_400_000),
        bytes,
        artifacts,
      }
    }
    const first = day(0, { large: 100, small: 4, gone: 3 })
    const shrank = day(1, { large: 100, small: 1, added: 2 })
    assert.deepEqual([...judgeSizes([first, shrank]).values()], ['fine', 'suspect'])
    assert.deepEqual(judgeNewSize({ ...shrank, bytes: 103 * MiB }, [first], undefined), {
      verdict: 'suspect',
      shrunk: ['small'],
    })
    // One that is gone or new is none that shrank, and what was accepted is what later ones are compared with.
    assert.deepEqual([...judgeSizes([first, day(1, { large: 100, added: 2 })]).values()], ['fine', 'fine'])
    const accepted = [first, day(1, { large: 100, small: 1 }, '!'), day(2, { large: 100, small: 1 })]
    assert.deepEqual([...judgeSizes(accepted).values()], ['fine', 'fine', 'fine'])
  })

  test('property: a hint is never more than the size, nor half of it or less', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), bytes => {
        const hint = sizeHint(bytes)
        assert.ok(hint <= bytes && hint > bytes / 2 && Number.isSafeInteger(hint))
      }),
    )
    assert.equal(sizeHint(0), 0)
  })

  const someRuns = fc.uniqueArray(
    fc.record({
      id: fc.string({ minLength: 1, maxLength: 3 }),
      slot: fc.integer({ min: 0, max: 12 }).map(hour => new Date(Date.UTC(2026, 0, 1, hour))),
      bytes: fc.option(
        fc.integer({ min: 0, max: 8 }).map(power => 4 ** power * 1000),
        { nil: undefined },
      ),
      accepted: fc.boolean(),
      suspect: fc.boolean(),
      unchecked: fc.boolean(),
    }),
    { selector: run => run.id, maxLength: 20 },
  )

  test('property: nothing that was not accepted is fine beside an older fine one that it is far smaller than, unless one was accepted since', () => {
    fc.assert(
      fc.property(someRuns, runs => {
        const judged = judgeSizes(runs)
        const order = [...judged.keys()]
        const age = (run: SizedRun) => order.indexOf(run.id)
        for (const run of runs.filter(each => !each.accepted && judged.get(each.id) === 'fine')) {
          const accepted = Math.max(...runs.filter(each => each.accepted && age(each) < age(run)).map(age))
          const older = runs.filter(
            each => judged.get(each.id) === 'fine' && age(each) < age(run) && age(each) >= accepted,
          )
          for (const { bytes = 0 } of older) assert.ok(!isFarSmaller(run.bytes ?? 0, bytes))
        }
      }),
    )
  })

  test('property: what a manifest calls unchecked is never judged better than if it said compared', () => {
    const badness = { fine: 0, unchecked: 1, suspect: 2 }
    fc.assert(
      fc.property(someRuns, fc.nat(), (runs, index) => {
        const run = runs[index % Math.max(runs.length, 1)]
        if (!run) return
        const as = (unchecked: boolean) =>
          judgeSizes(runs.map(each => (each === run ? { ...run, unchecked } : each))).get(run.id) ?? 'fine'
        assert.ok(badness[as(true)] >= badness[as(false)])
      }),
    )
  })
})
