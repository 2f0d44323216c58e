// What holds for every history of a policy, told by random stories on a toy cluster: real caches, observer, plans and writes, with
// toys around them. `HISTORIES` says how many; a failure prints its seed and the shortest story that fails.
import { test } from 'node:test'
import { apart } from '../campaign/apart.ts'
import type * as properties from './toy/properties.ts'

/** Of all three properties together. */
const histories = Number(process.env['HISTORIES'] ?? (process.env['TEST_LONG'] ? 30_000 : 1200))
/** `make test` tells the same stories every time, so that it fails for what was changed; `make test-long` and `SEED=<number>` tell others. */
const seed = process.env['SEED'] ?? (process.env['TEST_LONG'] ? undefined : '20261122')
const stories = { numRuns: Math.ceil(histories / 3), ...(seed === undefined ? {} : { seed: Number(seed) }) }
/** The long list takes half an hour. */
const limits = { timeout: 2 * 3_600_000 }

test(
  'a plan settles after any history, keeps final phases, ends every run, and never deletes a good backup that retention still needs',
  limits,
  () => hold('settles'),
)

test('a crash between any two writes changes nothing: the same objects, no duplicate, no orphan', limits, () =>
  hold('survivesCrashes'),
)

test('every slot has run, was missed or was skipped, exactly once, and what runs comes to an end', limits, () =>
  hold('accountsForSlots'),
)

function hold(property: keyof typeof properties): Promise<void> {
  return apart(import.meta.resolve('./toy/properties.ts'), property, stories)
}
