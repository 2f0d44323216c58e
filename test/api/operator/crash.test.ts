// The operator between its writes: killed with SIGKILL before and after every kind of write. The story must end as if nobody had been
// killed: nothing twice, nothing left over (docs/design.md "Names are locks", F28).
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

test(
  'killed with -9 before and after every kind of write, it does everything once and leaves nothing over',
  { timeout: 900_000 },
  async t => {
    const met = new Map<string, 'before' | 'after'>()
    const cuts = { before: new Set<string>(), after: new Set<string>() }
    let kills = 0
    const story = await tellStory(t, cluster, 'killed', {
      onWrite: (write, operator) => {
        const kind = kindOf(write)
        // Of a policy's status many versions are written, each of which tells of something else.
        const key = kind.startsWith('PUT backuppolicies/status') ? fingerprint(write) : kind
        const before = met.get(key)
        if (before === 'after') return 'pass'
        const cut = before ? 'after' : 'before'
        met.set(key, cut)
        cuts[cut].add(kind)
        kills++
        return { cut, after: operator.shoot }
      },
    })
    t.diagnostic(`${kills} kills at ${met.size} writes of ${cuts.before.size} kinds, in ${story.seconds.toFixed(0)} s`)
    for (const [when, kinds] of Object.entries(cuts))
      assert.deepEqual(
        writesOfTheStory.filter(kind => !kinds.has(kind)),
        [],
        `never killed ${when} these`,
      )
    // Several writes may be under way when one of them is its end.
    assert.ok(story.starts > met.size, `${story.starts} starts`)
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
