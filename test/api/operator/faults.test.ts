// The story of crash.test.ts with a cache that is behind, and on an API server that refuses or forgets to answer: it must end
// the same way (docs/design.md "Names are locks", F31, F33).
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Fate } from '../control-plane/api-proxy.ts'
import { startStoryCluster, tellStory, type StoryCluster } from './story.ts'
import { fingerprint } from './story-writes.ts'

let cluster: StoryCluster
before(async () => {
  cluster = await startStoryCluster()
})
after(() => cluster.stop())

test('with a cache that is a second and a half behind, it does everything once', async t => {
  const story = await tellStory(t, cluster, 'behind', { watchDelayMs: () => 1500 })
  t.diagnostic(`${story.seconds.toFixed(0)} s`)
})

test('an API server that refuses, or carries out and forgets to answer, makes no Backup fail and nothing twice', async t => {
  const faults: readonly Fate[] = [
    { answer: 500, when: 'before' },
    { answer: 500, when: 'after' },
    { cut: 'after' },
    { answer: 409, when: 'before' },
    { cut: 'before' },
    { answer: 429, when: 'before', retryAfter: 1 },
  ]
  const met = new Set<string>()
  const story = await tellStory(t, cluster, 'refused', {
    onWrite: write => {
      const key = fingerprint(write)
      if (met.has(key)) return 'pass'
      met.add(key)
      // Not every write: failure upon failure of one policy is what the growing pauses between its reconciles are for.
      return met.size % 3 === 0 ? (faults[(met.size / 3) % faults.length] ?? 'pass') : 'pass'
    },
  })
  t.diagnostic(`faults at a third of ${met.size} writes, in ${story.seconds.toFixed(0)} s`)
  assert.equal(story.starts, 1)
})
