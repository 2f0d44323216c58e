import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { resultOf, shortResult } from './told.ts'

test('a result is an object of JSON, and nothing else is one', () => {
  assert.deepEqual(resultOf('{"a":[1]}\n'), { a: [1] })
  for (const text of ['', '[]', 'null', '1', '{"a":']) assert.equal(resultOf(text), undefined)
})

test('a result of any length becomes one that fits, and says that it was cut', () => {
  const long = { databases: Array.from({ length: 99 }, (_, index) => ({ database: `db-${index}` })), seconds: 7 }
  const short = shortResult(long)
  assert.deepEqual([short.seconds, short.cut, (short.databases as unknown[])[0]], [7, true, { database: 'db-0' }])
  assert.deepEqual(shortResult({ text: 'x'.repeat(700), seconds: 7 }), { seconds: 7, cut: true })
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), result => {
      assert.ok(Buffer.byteLength(JSON.stringify(shortResult(result))) <= 600)
    }),
  )
})
