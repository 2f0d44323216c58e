import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { catalogMessageLimit, encodeMoverMessage, isCommitted } from './message.ts'
import { parseMoverMessage } from './message-parse.ts'

describe('a mover message', () => {
  test('is read without the rest of a longer one that it overwrote', () => {
    const line = encodeMoverMessage({ phase: 'failed', reason: 'Terminated' })
    assert.deepEqual(parseMoverMessage(`${line}"message":"old"}\n`), { phase: 'failed', reason: 'Terminated' })
  })

  test('in a text inside of another message is not taken for one', () => {
    const inside = '{"phase":"committed"}'
    const whole = encodeMoverMessage({ phase: 'failed', reason: 'SourceExit', message: inside })
    for (let length = 0; length < whole.length; length++) {
      assert.equal(isCommitted(parseMoverMessage(whole.slice(0, length))), false)
      assert.equal(isCommitted(parseMoverMessage(whole.slice(length))), false)
    }
  })

  test('of anything else is undefined, and never throws', () => {
    for (const garbage of [undefined, '', 'x', '{', '{}', '[]', 'null', '{"phase":"odd"}', '{"phase":1}', '\0'])
      assert.equal(parseMoverMessage(garbage), undefined)
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.jsonValue().map(value => JSON.stringify({ phase: 'done', kept: value })),
        ),
        garbage => {
          parseMoverMessage(garbage)
        },
      ),
    )
  })

  test('drops what it does not know and what has another type', () => {
    const odd = '{"phase":"done","reason":"Odd","bytes":"5","warnings":[{"reason":"Odd"},7],"deleted":["a",1],"more":1}'
    assert.deepEqual(parseMoverMessage(odd), { phase: 'done', warnings: [], deleted: ['a'] })
  })

  test('with a page of the catalog that has an unreadable entry has no page: a run must not look deleted', () => {
    const entry = { run: 'a', slot: 1, startedAt: 1, finishedAt: 1, bytes: 1, storedBytes: 1 }
    const page = (entries: unknown[]) => JSON.stringify({ phase: 'done', catalog: { entries } })
    assert.deepEqual(parseMoverMessage(page([entry]))?.catalog, { entries: [entry] })
    assert.equal(parseMoverMessage(page([entry, { ...entry, slot: 'x' }]))?.catalog, undefined)
    assert.ok(catalogMessageLimit < 4096)
  })
})
