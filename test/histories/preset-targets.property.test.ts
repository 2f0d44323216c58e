// The same three properties as those of `histories.property.test.ts`, for policies whose targets are workloads that a preset finds: each has a
// CronJob, a book and a list in the bucket of its own, and they come and go.
import { test } from 'node:test'
import { apart } from '../campaign/apart.ts'
import type * as properties from './toy/properties.ts'

const histories = Number(process.env['HISTORIES'] ?? (process.env['TEST_LONG'] ? 6000 : 240))
const seed = process.env['SEED'] ?? (process.env['TEST_LONG'] ? undefined : '20261130')
const stories = { numRuns: Math.ceil(histories / 3), ...(seed === undefined ? {} : { seed: Number(seed) }) }
const limits = { timeout: 2 * 3_600_000 }

test('with several workloads a plan settles after any history, and every run ends', limits, () => hold('presetSettles'))

test('with several workloads a crash between any two writes changes nothing', limits, () =>
  hold('presetSurvivesCrashes'),
)

test('every slot of every workload has run, was missed or was skipped, exactly once', limits, () =>
  hold('presetAccountsForSlots'),
)

function hold(property: keyof typeof properties): Promise<void> {
  return apart(import.meta.resolve('./toy/properties.ts'), property, stories)
}
