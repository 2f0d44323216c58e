// Kinds of writes are refused for ever, or never answered, whichever: whatever needs none of them happens all the same, and people are told (F71).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apart } from '../campaign/apart.ts'
import { seedsOf, told, type Played } from '../campaign/seeds.ts'
import type { Outcome } from './toy/refused-for-ever.ts'

const seeds = seedsOf({ usual: 20, long: 1000 })

// The long list takes minutes.
const limits = { timeout: 3_600_000 }

test(
  'F71: whatever writes are refused for ever, or never answered, all that needs none of them happens, and a condition tells of each',
  limits,
  async t => {
    const { played, failed } = await apart<Played<Outcome>>(
      import.meta.resolve('./toy/refused-for-ever.ts'),
      'play',
      seeds,
    )
    const refused = played.reduce((total, outcome) => total + outcome.refused, 0)
    t.diagnostic(`${played.length} seeds, ${refused} writes refused`)
    assert.equal(failed.length, 0, told(failed, 'test/histories/refused-for-ever.test.ts'))
  },
)
