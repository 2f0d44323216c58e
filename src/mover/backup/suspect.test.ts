import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSuspect } from './suspect.ts'

const MiB = 1 << 20

for (const [bytes, last, suspect] of [
  [5, undefined, false],
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
  test(`${bytes} bytes after ${last} ${suspect ? 'are' : 'are not'} suspect`, () => {
    assert.equal(isSuspect(bytes, last), suspect)
  })
}
