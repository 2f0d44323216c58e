import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import {
  nextShare,
  remembered,
  retentionInForce,
  shareEnd,
  slowDeletesNow,
  slowDeletesPerHour,
  snapshotsInForce,
} from './lowering.ts'
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
        [
          'a share that is not yet',
          { value: 1, previous: 70, since: then, share: { before: then, since: '2027-01-01T00:00:00Z' } },
          1,
          70,
          { value: 1, previous: 70, since: now },
        ],
        [
          'lowered once more after a share: all that is left waits for the hour',
          { value: 7, previous: 70, since: then, share: { before: then, since: then } },
          1,
          70,
          { value: 1, previous: 70, since: now },
        ],
        ['no time', { value: 1, previous: 70, since: 'soon' }, 1, 70, { value: 1, previous: 70, since: now }],
      ]
    for (const [what, before, value, found, expected] of cases)
      assert.deepEqual(remembered(before, value, found, new Date(now)), expected, what)
  })

  test('F64: of snapshots a larger number keeps all but the shares that are written down, and what came later by nothing', () => {
    const lowered = { value: 2, previous: 50, since: '2026-11-22T10:20:00Z' }
    const share = { before: '2026-11-20T00:00:00Z', since: '2026-11-22T11:20:00Z' }
    assert.equal(snapshotsInForce(lowered, later(59)).keep, 50)
    const previous = { keep: 50, before: later(60) }
    assert.deepEqual(snapshotsInForce(lowered, later(300)), { keep: 2, previous: { ...previous, from: new Date(0) } })
    const from = new Date(share.before)
    assert.deepEqual(snapshotsInForce({ ...lowered, share }, later(300)), { keep: 2, previous: { ...previous, from } })
    assert.deepEqual(snapshotsInForce({ value: 2, since: lowered.since }, later(300)), { keep: 2 })
    assert.deepEqual(
      [nextShare(lowered), nextShare({ ...lowered, share }), nextShare({ value: 2, since: lowered.since, share })],
      [later(60), later(120), undefined],
    )
  })

  test('F64: a share ends where a target would lose the twenty-first, and always takes something', () => {
    const slots = (count: number, seconds: number) =>
      Array.from({ length: count }, (_, index) => ({ slot: new Date(since.getTime() + index * seconds * 1000) }))
    assert.equal(shareEnd(slots(20, 60)), undefined)
    assert.deepEqual(shareEnd(slots(21, 60)), later(20))
    assert.deepEqual(shareEnd(slots(21, 0)), new Date(since.getTime() + 1000))
  })
})
