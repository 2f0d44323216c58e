import assert from 'node:assert/strict'
import { test } from 'node:test'
import { refusalOf } from './refusal.ts'

test('a refusal has the reason that a script may have, and its own word for any other', () => {
  const cases = [
    [
      'TargetNotEmpty\nThe database has tables.\nSet overwrite.\n',
      'TargetNotEmpty',
      'The database has tables. Set overwrite.',
    ],
    ['DataTampered\nI say so.', 'Refused', 'DataTampered: I say so.'],
    ['', 'Refused', 'the script does not say why'],
  ] as const
  for (const [text, reason, message] of cases) {
    const failure = refusalOf(text)
    assert.deepEqual([failure.reason, failure.message], [reason, message])
  }
})
