// The operator between its writes: killed with SIGKILL before or after every kind of write, in the long list before and after. The story
// must end as if nobody had been killed: nothing twice, nothing left over (docs/design.md "Names are locks", F28).
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { events, grants, leases } from '../../../src/controllers/shared/resources.ts'
import { startStoryCluster, tellStory, type StoryCluster } from './story.ts'
import { fingerprint, kindOf, writesOfTheStory } from './story-writes.ts'

let cluster: StoryCluster
before(async () => {
  cluster = await startStoryCluster()
})
after(() => cluster.stop())

type Side = 'before' | 'after'

/** The long list kills on both sides of a write. Else they take turns: what comes after one write comes before another. */
const sidesOf = (nth: number): readonly Side[] =>
  process.env['TEST_LONG'] ? ['before', 'after'] : [nth % 2 === 0 ? 'before' : 'after']

test(
  'killed with -9 before or after every kind of write, it does everything once and leaves nothing over',
  { timeout: 900_000 },
  async t => {
    const left = new Map<string, Side[]>()
    const told = { before: new Set<string>(), after: new Set<string>() }
    let kills = 0
    const story = await tellStory(t, cluster, 'killed', {
      onWrite: (write, operator) => {
        const kind = kindOf(write)
        // Of a policy's status many versions are written, each of which tells of something else.
        const key = kind.startsWith('PUT backuppolicies/status') ? fingerprint(write) : kind
        const sides = left.get(key) ?? [...sidesOf(left.size)]
        left.set(key, sides)
        const cut = sides.shift()
        if (!cut) return 'pass'
        told[cut].add(kind)
        kills++
        return { cut, after: operator.shoot }
      },
    })
    t.diagnostic(`${kills} kills at ${left.size} writes, in ${story.seconds.toFixed(0)} s`)
    for (const kind of writesOfTheStory) {
      const sides = (['before', 'after'] as const).filter(side => told[side].has(kind))
      assert.ok(sides.length >= sidesOf(0).length, `killed at ${kind} only [${sides.join(', ')}]`)
    }
    // Several writes may be under way when one of them is its end.
    assert.ok(story.starts > kills / 2, `${story.starts} starts`)
  },
)

test('the story has every kind of write that the operator has the right to do', () => {
  const methods = new Map([
    ['create', 'POST'],
    ['update', 'PUT'],
    ['patch', 'PATCH'],
    ['delete', 'DELETE'],
  ])
  const granted = grants
    .filter(({ resource }) => resource !== events && resource !== leases)
    .flatMap(({ resource, subresource, verbs }) =>
      verbs.flatMap(verb => {
        const method = methods.get(verb)
        return method ? [`${method} ${resource.plural}${subresource ? `/${subresource}` : ''}`] : []
      }),
    )
  const told = writesOfTheStory.map(kind => kind.split(' ').slice(0, 2).join(' '))
  assert.deepEqual([...new Set(told)].sort(), granted.sort())
})
