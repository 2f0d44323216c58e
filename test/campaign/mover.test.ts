// Runs of the real mover against real stores, drawn by chance: commands of all shapes, faults of the store, blows at any moment, clocks that
// are wrong. Whatever happens, what is called a backup is what the command alone would have written, and nothing is left behind.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { s3ServerKinds, startS3Server, type S3Server, type S3ServerKind } from '../storage/s3-servers.ts'
import { play } from './play.ts'
import { inWords, scenarioOf } from './scenario.ts'
import { playAll, seedsOf, told, usualAtOnce } from './seeds.ts'

const seeds = seedsOf({ usual: 60, long: 1000 })
const servers = new Map<S3ServerKind, S3Server>()
before(async () => {
  for (const kind of s3ServerKinds) servers.set(kind, await startS3Server(kind))
})
after(async () => {
  for (const server of servers.values()) await server.stop()
})

test(
  'no run of the mover is called a backup that is not what its command alone writes, and the next day leaves nothing behind (F07, F12, F14)',
  { timeout: 4 * 3_600_000 },
  async t => {
    const { played, failed } = await playAll(seeds, usualAtOnce, async seed => {
      const scenario = scenarioOf(seed)
      const outcome = await play(scenario, servers.get(scenario.server) ?? assert.fail('no such server'))
      return { seed, about: `${inWords(scenario)}: ${outcome.end}`, ...outcome }
    })
    const movers = played.reduce((sum, outcome) => sum + outcome.movers, 0)
    const committed = played.filter(outcome => outcome.committed).length
    t.diagnostic(`${played.length} seeds, ${movers} movers, ${committed} of the first attempts committed`)
    assert.equal(failed.length, 0, told(failed, 'test/campaign/mover.test.ts'))
    // What is drawn must go well often enough to be worth looking at.
    if (seeds.length > 1) assert.ok(committed > seeds.length / 5, `only ${committed} of ${seeds.length} committed`)
  },
)
