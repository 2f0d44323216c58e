import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { comeDown, lowerAt, remembered, retentionInForce, slowDeletesNow, slowDeletesPerHour } from './lowering.ts'
import { planRetention } from './retention.ts'

const since = new Date('2026-11-22T10:20:00Z')
const later = (minutes: number) => new Date(since.getTime() + minutes * 60_000)

describe('a retention that was lowered', () => {
  test('F64: waits an hour, in which the larger number applies', () => {
    const setting = { value: 1, changed: { previous: 70, since } }
    assert.deepEqual(retentionInForce(setting, later(59)), { keep: 70, pending: { value: 1, at: later(60) } })
    assert.deepEqual(retentionInForce(setting, later(60)), { keep: 1, previous: { keep: 70, before: later(60) } })
    assert.deepEqual(retentionInForce({ value: 70, changed: { previous: 1, since } }, later(0)), { keep: 70 })
    assert.deepEqual(retentionInForce({ value: 7 }, since), { keep: 7 })
  })

  test('F64: costs at most 20 backups an hour, one pass an hour, until only the lower number is left', () => {
    let runs = Array.from({ length: 70 }, (_, index) => ({ id: `${index}`, slot: later(index - 100), good: true }))
    const gone: { readonly at: Date; readonly ids: readonly string[] }[] = []
    for (let minute = 0; minute < 400; minute += 5) {
      const now = later(minute)
      const ends = runs.map(({ slot }) => slot)
      runs = [...runs, { id: `new ${minute}`, slot: now, good: true }]
      const { deleteNow } = planRetention(runs, {
        ...retentionInForce({ value: 1, changed: { previous: 70, since } }, now),
        slowDeletes: slowDeletesNow(ends, now),
      })
      runs = runs.filter(({ id }) => !deleteNow.includes(id))
      gone.push({ at: now, ids: deleteNow })
      if (minute < 60) assert.ok(runs.length >= 70, 'in the first hour nothing goes that the number before had kept')
    }
    assert.deepEqual(
      runs.map(({ id }) => id),
      ['new 395'],
    )
    const byHour = Map.groupBy(gone, ({ at }) => at.getUTCHours())
    for (const [hour, passes] of byHour) {
      if (hour === since.getUTCHours()) continue
      const old = passes.flatMap(({ ids }) => ids.filter(id => !id.startsWith('new') || Number(id.slice(4)) < 60))
      assert.ok(old.length <= slowDeletesPerHour, `${old.length} at ${hour} o'clock`)
    }
  })

  test('property: a pass in which an earlier run ended in the same hour deletes nothing of it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 59 }), fc.integer({ min: 0, max: 59 }), (ended, now) => {
        const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 5, minute))
        assert.equal(slowDeletesNow([at(ended)], at(now)), 0)
        assert.equal(slowDeletesNow([at(ended - 60)], at(now)), slowDeletesPerHour)
      }),
    )
  })

  test('F64: what the status remembers of a number, by what it remembered and what the spec says now', () => {
    const [then, now] = ['2026-11-22T10:20:00Z', '2026-11-22T10:50:00Z']
    const cases: readonly [string, Parameters<typeof remembered>[0], value: number, found: number, expected: object][] =
      [
        ['nothing is known, and nothing is there', undefined, 7, 0, { value: 7, since: now }],
        ['nothing is known: all that is there was kept', undefined, 7, 70, { value: 7, previous: 70, since: now }],
        ['no change', { value: 7, since: then }, 7, 70, { value: 7, since: then }],
        ['lowered', { value: 70, since: then }, 1, 70, { value: 1, previous: 70, since: now }],
        [
          'lowered once more: the hour begins anew, with the largest',
          { value: 7, previous: 70, since: then },
          1,
          70,
          { value: 1, previous: 70, since: now },
        ],
        ['raised', { value: 7, since: then }, 30, 7, { value: 30, since: now }],
        ['set back', { value: 1, previous: 70, since: then }, 70, 70, { value: 70, since: now }],
        [
          'set back in part: the hour goes on',
          { value: 1, previous: 70, since: then },
          30,
          70,
          { value: 30, previous: 70, since: then },
        ],
        [
          'a time that is not yet: a clock ran wild',
          { value: 1, previous: 70, since: '2027-01-01T00:00:00Z' },
          1,
          70,
          { value: 1, previous: 70, since: now },
        ],
        ['no time', { value: 1, previous: 70, since: 'soon' }, 1, 70, { value: 1, previous: 70, since: now }],
      ]
    for (const [what, before, value, found, expected] of cases)
      assert.deepEqual(remembered(before, value, found, new Date(now)), expected, what)
  })

  test('F64: the number of snapshots comes down by 20 an hour, and never twice for hours in which nobody looked', () => {
    const start = { value: 2, previous: 50, since: '2026-11-22T10:20:00Z' }
    assert.deepEqual(comeDown(start, later(59)), start)
    const first = comeDown(start, later(300))
    assert.deepEqual(first, { value: 2, previous: 30, since: '2026-11-22T15:20:00Z' })
    assert.deepEqual(comeDown(first, later(359)), first)
    assert.deepEqual(lowerAt(first), later(360))
    const second = comeDown(first, later(360))
    assert.equal(second.previous, 10)
    assert.deepEqual(comeDown(second, later(420)), { value: 2, since: second.since })
    assert.equal(lowerAt({ value: 2, since: second.since }), undefined)
  })
})
