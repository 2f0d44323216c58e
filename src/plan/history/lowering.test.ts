import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { retentionInForce, slowDeletesNow, slowDeletesPerHour } from './lowering.ts'
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
})
