// Plays a policy of which some kinds of writes are refused, or never answered, for ever, as a seed has it, and says what became of all the others.
import { silentLog } from '../../../src/runtime/log.ts'
import assert from 'node:assert/strict'
import type { Action, Group, Need } from '../../../src/plan/core/actions.ts'
import { createObserver } from '../../../src/controllers/policy/observe.ts'
import { planPolicy } from '../../../src/plan/policy/policy.ts'
import { FakeClock } from '../../../src/runtime/fake-clock.ts'
import { Draw } from '../../campaign/draw.ts'
import { playAll, type Played, type Verdict } from '../../campaign/seeds.ts'
import { namespace, settings } from '../../plan/world.ts'
import { longestRunSeconds } from './accounts.ts'
import { toyClient, type ToyApiServer } from './api-server.ts'
import { fillCaches, toyCaches } from './caches.ts'
import { tellingWithReplicas, type WriteKind } from './replicas.ts'
import { neededByNoSlot, neededBySlots, slotStoryOf, type SlotStory } from './slot-story.ts'
import { name } from './telling.ts'

export type Outcome = Verdict & { readonly refused: number }

export async function play(seeds: readonly number[]): Promise<Played<Outcome>> {
  return playAll(seeds, 1, playOne)
}

async function playOne(seed: number): Promise<Outcome> {
  const draw = new Draw(`refused for ever ${seed}`)
  const story = slotStoryOf(draw)
  const kinds = [...neededByNoSlot, ...neededBySlots]
  const refused = new Set(Array.from({ length: draw.between(1, 4) }, () => draw.pick(kinds)))
  const { telling, operators } = tellingWithReplicas(story)
  for (const kind of refused) {
    const answer = draw.pick([403, 422, 500, 'silence'] as const)
    operators.refuse({ kind, answer, times: Number.POSITIVE_INFINITY })
  }
  const problems: string[] = []
  try {
    await telling.tell(stepsOf(story))
    await telling.end(story.spec.startingDeadlineSeconds + longestRunSeconds + 100)
    await checkRest(telling.server, refused)
  } catch (error) {
    problems.push(error instanceof assert.AssertionError ? error.message : String((error as Error).stack))
  }
  return { seed, about: `${[...refused].join(', ')}: ${JSON.stringify(story)}`, problems, refused: operators.refused }
}

/** The refusals are the only trouble. */
function stepsOf({ events }: SlotStory) {
  return events.flatMap(event => (event.do === 'tell' && event.step.do !== 'operator' ? [event.step] : []))
}

/** What is left to be done is refused, or needs what is; and where the status can be written it says so. */
async function checkRest(server: ToyApiServer, refused: ReadonlySet<WriteKind>): Promise<void> {
  const client = toyClient(server)
  const caches = toyCaches(client)
  fillCaches(caches, server, true)
  const clock = new FakeClock(server.now)
  const world = await createObserver(
    caches,
    client,
    settings,
    clock,
    silentLog,
  )(namespace, name, new AbortController().signal)
  const { groups } = planPolicy({ ...world, probesRunning: 0 }, server.now)
  const isRefused = (group: Group) => group.actions.some(action => refused.has(kindOf(action)))
  // What needs what is not tried is not tried either: that is no refusal.
  const [tried, blocked] = [new Set<string>(), new Set<string>()]
  for (const group of groups) {
    const isMet = ({ group: need, was }: Need) =>
      was === 'refused' ? tried.has(need) : blocked.has(need) === (was === 'undone')
    const met = (group.needs ?? []).every(isMet)
    if (met && isRefused(group)) tried.add(group.name)
    if (!met || isRefused(group)) blocked.add(group.name)
  }
  const free = groups.filter(group => !blocked.has(group.name))
  assert.deepEqual(
    free.map(group => `${group.name}: ${group.actions.map(kindOf).join(', ')}`),
    [],
    'nothing keeps these from being done',
  )
  const { conditions = [] } = server.get('backuppolicies', name)?.status ?? {}
  if (refused.has('update backuppolicies') || blocked.size === 0) return
  const words = conditions.map(({ message }) => message).join('\n')
  for (const group of groups.filter(isRefused)) {
    if (group.run && !refused.has('update backups')) continue
    assert.match(
      words,
      /the API server refuses|no \w+ \w+ today|no answer from the API server/,
      `${group.name} is refused, and nobody is told`,
    )
  }
}

const plurals = {
  Backup: 'backups',
  BackupPolicy: 'backuppolicies',
  CronJob: 'cronjobs',
  Job: 'jobs',
  VolumeSnapshot: 'volumesnapshots',
} as const

function kindOf(action: Action): WriteKind {
  if (action.do === 'event') return 'create backups'
  const kind = 'object' in action ? action.object.kind : action.kind
  const verb = action.do === 'create' || action.do === 'delete' ? action.do : 'update'
  return `${verb} ${plurals[kind as keyof typeof plurals]}`
}
