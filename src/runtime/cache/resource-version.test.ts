import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isLaterVersion } from './resource-version.ts'

test('versions are numbers of any length', () => {
  for (const [older, later] of [
    ['1', '2'],
    ['9', '10'],
    ['999', '1000'],
    ['18446744073709551615', '18446744073709551616'],
    ['123456789012345678901234567890', '123456789012345678901234567891'],
  ] as const) {
    assert.ok(isLaterVersion(later, older), `${later} after ${older}`)
    assert.ok(!isLaterVersion(older, later), `${older} before ${later}`)
    assert.ok(!isLaterVersion(later, later), `${later} is not after itself`)
  }
})

test('of what is no such number nobody says that it is later', () => {
  for (const strange of [undefined, '', '0', '01', '-1', '1.5', 'a', '１'])
    for (const [a, b] of [
      [strange, '1'],
      ['1', strange],
    ] as const)
      assert.ok(!isLaterVersion(a, b), `${a} after ${b}`)
})
