// Slots of a policy under two processes of the operator: the lease goes from one to the other at random moments, they die and sleep in the
// middle of their writes, and the API server refuses some, or some kind for ever.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apart } from '../campaign/apart.ts'
import { seedsOf, told, type Played } from '../campaign/seeds.ts'
import type { Outcome } from './toy/slots.ts'

const seeds = seedsOf({ usual: 60, long: 1000 })

test(
  'every slot has one outcome, whichever of two operators leads, dies, sleeps or is refused (F28, F31, F32)',
  { timeout: 3_600_000 },
  async t => {
    const { played, failed } = await apart<Played<Outcome>>(import.meta.resolve('./toy/slots.ts'), 'play', seeds)
    const sum = (of: 'slots' | 'takeovers' | 'refused') => played.reduce((total, outcome) => total + outcome[of], 0)
    t.diagnostic(
      `${played.length} seeds, ${sum('slots')} slots, ${sum('takeovers')} takeovers, ${sum('refused')} writes refused`,
    )
    assert.equal(failed.length, 0, told(failed, 'test/histories/slots.test.ts'))
  },
)
