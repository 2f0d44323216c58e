// What holds for every history of a policy. A failure names its seed and the shortest story that fails.
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { checkEnds, checkSlots, checkSlotsOfTargets, longestRunSeconds } from './accounts.ts'
import type { ToyApiServer } from './api-server.ts'
import { calmPresetStory, calmStory, death, presetStory, story, workloads, type Story } from './stories.ts'
import { Telling } from './telling.ts'

/** How many stories, and which. */
export type Stories = { readonly numRuns: number; readonly seed?: number }

export const settles = (stories: Stories) => settlesAfter(story, stories)
export const presetSettles = (stories: Stories) => settlesAfter(presetStory, stories)

function settlesAfter(some: fc.Arbitrary<Story>, stories: Stories): Promise<void> {
  return fc.assert(
    fc.asyncProperty(some, async told => {
      const telling = new Telling(told)
      await telling.tell(told.steps)
      await telling.end(longestRunSeconds)
      checkEnds(telling)
    }),
    stories,
  )
}

export const survivesCrashes = (stories: Stories) => survivesCrashesIn(story, stories)
/** A process that begins looks at once for what another has looked for a moment ago: it notices sooner what comes and goes. */
const steadyPresetStory = presetStory.map(told => ({
  ...told,
  steps: told.steps.filter(step => step.do !== 'workloads'),
}))
export const presetSurvivesCrashes = (stories: Stories) => survivesCrashesIn(steadyPresetStory, stories)

function survivesCrashesIn(some: fc.Arbitrary<Story>, stories: Stories): Promise<void> {
  return fc.assert(
    fc.asyncProperty(some, death, async (told, dies) => {
      const [lucky, unlucky] = [new Telling(told), new Telling(told, dies)]
      await lucky.tell(told.steps)
      await unlucky.tell(told.steps)
      assert.deepEqual(withoutHints(unlucky.server.dump()), withoutHints(lucky.server.dump()))
      assert.deepEqual([...unlucky.kube.bucket.runs.keys()], [...lucky.kube.bucket.runs.keys()])
      assert.deepEqual(unlucky.recorded, lucky.recorded)
    }),
    stories,
  )
}

/** What a run is told of sizes may be one backup older where it starts in the pass that records the one before. */
function withoutHints(dump: ReturnType<ToyApiServer['dump']>): unknown {
  return JSON.parse(JSON.stringify(dump).replaceAll(/\\"sizeHint\\":\d+,/g, ''))
}

export function accountsForSlots(stories: Stories): Promise<void> {
  return fc.assert(
    fc.asyncProperty(calmStory, async told => {
      const telling = new Telling(told)
      const start = telling.server.now
      await telling.tell(told.steps)
      const until = telling.server.now
      await telling.end(told.spec.startingDeadlineSeconds + longestRunSeconds + 100)
      checkSlots(telling, start, until)
      checkEnds(telling)
    }),
    stories,
  )
}

export function presetAccountsForSlots(stories: Stories): Promise<void> {
  return fc.assert(
    fc.asyncProperty(calmPresetStory, async told => {
      const telling = new Telling(told)
      const start = telling.server.now
      await telling.tell(told.steps)
      const until = telling.server.now
      await telling.end(told.spec.startingDeadlineSeconds + longestRunSeconds + 100)
      checkSlotsOfTargets(telling, start, until, workloads)
      checkEnds(telling)
    }),
    stories,
  )
}
