// What holds for every history of a policy, told by random stories on a toy cluster: real caches, observer, plans and writes, with
// toys around them. `HISTORIES` says how many; a failure prints its seed and the shortest story that fails.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { checkEnds, checkSlots, longestRunSeconds } from './toy/accounts.ts'
import { calmStory, death, story } from './toy/stories.ts'
import { Telling } from './toy/telling.ts'

/** Of all three properties together. */
const histories = Number(process.env['HISTORIES'] ?? (process.env['TEST_LONG'] ? 100_000 : 2100))
/** `make test` tells the same stories every time, so that it fails for what was changed; `make test-long` and `SEED=<number>` tell others. */
const seed = process.env['SEED'] ?? (process.env['TEST_LONG'] ? undefined : '20261122')
const options = { numRuns: Math.ceil(histories / 3), ...(seed === undefined ? {} : { seed: Number(seed) }) }
/** The long list takes hours. */
const limits = { timeout: 6 * 3_600_000 }

test(
  'a plan settles after any history, keeps final phases, ends every run, and never deletes a good backup that retention still needs',
  limits,
  () =>
    fc.assert(
      fc.asyncProperty(story, async told => {
        const telling = new Telling(told)
        await telling.tell(told.steps)
        await telling.end(longestRunSeconds)
        checkEnds(telling)
      }),
      options,
    ),
)

test('a crash between any two writes changes nothing: the same objects, no duplicate, no orphan', limits, () =>
  fc.assert(
    fc.asyncProperty(story, death, async (told, dies) => {
      const [lucky, unlucky] = [new Telling(told), new Telling(told, dies)]
      await lucky.tell(told.steps)
      await unlucky.tell(told.steps)
      assert.deepEqual(unlucky.server.dump(), lucky.server.dump())
      assert.deepEqual([...unlucky.kube.bucket.runs.keys()], [...lucky.kube.bucket.runs.keys()])
      assert.deepEqual(unlucky.recorded, lucky.recorded)
    }),
    options,
  ),
)

test('every slot has run, was missed or was skipped, exactly once, and what runs comes to an end', limits, () =>
  fc.assert(
    fc.asyncProperty(calmStory, async told => {
      const telling = new Telling(told)
      const start = telling.server.now
      await telling.tell(told.steps)
      const until = telling.server.now
      await telling.end(told.spec.startingDeadlineSeconds + longestRunSeconds + 100)
      checkSlots(telling, start, until)
      checkEnds(telling)
    }),
    options,
  ),
)
