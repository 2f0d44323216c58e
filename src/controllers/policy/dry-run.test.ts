import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { KubernetesObject } from '../../api/kubernetes.ts'
import type { Client } from '../../runtime/client/client.ts'
import { ApiError, ConnectionError, FencedError } from '../../runtime/client/errors.ts'
import type { WriteOptions } from '../../runtime/client/requests.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { toyCaches } from '../../../test/histories/toy/caches.ts'
import { desiredCronJob, policy, settings } from '../../../test/plan/world.ts'
import { DryRuns } from './dry-run.ts'

const signal = new AbortController().signal
const answer = (status: number, message = 'no') => new ApiError({ request: 'POST', status, message })

/** An API server that answers each question for a kind with what `answers` has for it, and counts. */
function asked() {
  const answers = new Map<string, Error>()
  const asks: string[] = []
  let hangs = false
  const put = (verb: string) => async (_: unknown, object: KubernetesObject, options: WriteOptions) => {
    assert.equal(options.dryRun, true, 'nothing is written')
    assert.equal(options.attempts, 1, 'it is asked again in its turn')
    asks.push(`${verb} ${object.kind}`)
    if (hangs)
      await new Promise((_, reject) => {
        options.signal?.addEventListener('abort', () => reject(options.signal?.reason as Error))
      })
    const error = answers.get(object.kind)
    if (error) throw error
    return object
  }
  const client = { create: put('create'), replace: put('replace') } as unknown as Client
  const clock = new FakeClock()
  const runs = new DryRuns({ client, caches: toyCaches(client) }, settings, clock)
  const standing = (of: BackupPolicy) => {
    const desired = desiredCronJob(of)
    return desired && { ...desired, metadata: { ...desired.metadata, resourceVersion: '7' } }
  }
  const hang = () => {
    hangs = true
    return { end: () => void (hangs = false) }
  }
  const ask = (of = policy(), refusedAt?: Date) => runs.ask(of, standing(of), refusedAt, signal)
  return { answers, asks, clock, ask, runs, hang }
}

const edited = (generation: number) => policy({}, { metadata: { generation } })

test('F73: each change of the spec is asked about once, over the CronJob that stands', async () => {
  const { asks, clock, ask, runs } = asked()
  assert.equal((await ask())?.is, 'accepted')
  await clock.advance(24 * 3600_000)
  assert.equal((await ask())?.is, 'accepted')
  assert.deepEqual(asks, ['replace CronJob', 'create Job'])
  await ask(edited(2))
  assert.equal(asks.length, 4)
  await clock.advance(1000)
  await runs.ask(edited(3), undefined, undefined, signal)
  assert.deepEqual(asks.slice(4), ['create CronJob', 'create Job'])
})

test('F73: a refusal has the words of the server, and is asked about again after 1, 2, 4, 8, 10 and 10 minutes', async () => {
  const { answers, asks, clock, ask } = asked()
  answers.set('Job', answer(403, 'denied by a policy of the company'))
  const waits: number[] = []
  for (let time = 0; time < 6; time++) {
    const said = await ask()
    assert.ok(said?.is === 'refused')
    assert.deepEqual([said.refusal.kind, said.refusal.words], ['Job', 'denied by a policy of the company'])
    const wait = said.againAt.getTime() - clock.now().getTime()
    waits.push(wait / 60_000)
    await clock.advance(wait - 1)
    const { length } = asks
    await ask()
    assert.equal(asks.length, length, 'not before its time')
    await clock.advance(1)
  }
  assert.deepEqual(waits, [1, 2, 4, 8, 10, 10])
  answers.clear()
  assert.equal((await ask())?.is, 'accepted')
})

test('F75: a Job that the CronJob controller was refused since is a reason to ask again, once a minute at most', async () => {
  const { asks, clock, ask } = asked()
  assert.deepEqual(await ask(), { is: 'accepted', at: clock.now() })
  await clock.advance(3600_000)
  assert.equal((await ask(policy(), clock.now()))?.is, 'accepted')
  assert.equal(asks.length, 4)
  await clock.advance(10_000)
  const again = await ask(policy(), clock.now())
  assert.ok(again?.is === 'accepted' && again.againAt && again.at < clock.now())
  assert.equal(again.againAt.getTime() - clock.now().getTime(), 50_000)
  await clock.advance(50_000)
  const third = await ask(policy(), new Date(clock.now().getTime() - 50_000))
  assert.deepEqual(third, { is: 'accepted', at: clock.now() })
  assert.equal(asks.length, 6)
})

test('F73: a CronJob that is refused spares the question about its Job', async () => {
  const { answers, asks, ask } = asked()
  answers.set('CronJob', answer(422, 'limits are below requests'))
  const said = await ask()
  assert.ok(said?.is === 'refused' && said.refusal.kind === 'CronJob')
  assert.deepEqual(asks, ['replace CronJob'])
})

test('F73: a thousand policies put their questions in turns, five requests a second in all', async () => {
  const { asks, clock, ask } = asked()
  const many = Array.from({ length: 1000 }, (_, index) =>
    policy({}, { metadata: { name: `p${index}`, uid: `u${index}` } }),
  )
  const due = new Map<number, BackupPolicy[]>()
  for (const each of many) {
    const said = await ask(each)
    if (said?.is === 'unsaid') due.set(said.againAt.getTime(), [...(due.get(said.againAt.getTime()) ?? []), each])
  }
  assert.equal(asks.length, 2)
  for (const [time, waiting] of due) {
    assert.equal(waiting.length, 1, 'nobody waits for the same moment')
    await clock.advance(time - clock.now().getTime())
    for (const each of waiting) assert.equal((await ask(each))?.is, 'accepted')
  }
  assert.equal(asks.length, 2000)
  assert.ok(clock.monotonic() >= (2000 / 5 - 1) * 1000)
})

test('F73: a policy that is edited all the time keeps its turn, and takes none from the others', async () => {
  const { asks, clock, ask } = asked()
  const named = (name: string, generation = 1) => policy({}, { metadata: { name, uid: name, generation } })
  for (let n = 0; n < 5; n++) await ask(named(`p${n}`))
  const { length } = asks
  const first = await ask(named('edited'))
  assert.ok(first?.is === 'unsaid')
  for (let generation = 2; clock.now() < first.againAt; generation++) {
    const said = await ask(named('edited', generation))
    assert.deepEqual([said, asks.length], [first, length], 'its turn comes no later')
    await clock.advance(100)
  }
  assert.equal((await ask(named('edited', 1000)))?.is, 'accepted')
  const next = await ask(named('another'))
  assert.ok(next?.is === 'unsaid')
  assert.ok(next.againAt.getTime() - clock.now().getTime() <= 400, 'no turn was lost')
})

const silent: readonly (readonly [string, Error])[] = [
  ['a cache that is behind', answer(409)],
  ['a server that has too much to do', answer(429)],
  ['a server that is not there', new ConnectionError('POST', { cause: 'reset', unsent: true })],
]
for (const [what, error] of silent)
  test(`F73: ${what} says nothing of the policy, which is asked about again in seconds`, async () => {
    const { answers, clock, ask } = asked()
    answers.set('Job', error)
    const said = await ask()
    assert.ok(said?.is === 'unsaid')
    assert.equal(said.againAt.getTime() - clock.now().getTime(), 5000)
  })

test('F73: a webhook that takes part in no dry run is not taken for a refusal, and one that is dead is', async () => {
  const { answers, clock, ask } = asked()
  answers.set('Job', answer(400, 'admission webhook "x.example.com" does not support dry run'))
  assert.equal((await ask())?.is, 'accepted')
  await clock.advance(1000)
  answers.set('Job', answer(500, 'Internal error occurred: failed calling webhook "x.example.com"'))
  assert.equal((await ask(edited(2)))?.is, 'refused')
})

test('F73: what admission denies is a refusal, whatever status it chose', async () => {
  const words = 'admission webhook "x.example.com" denied the request: not on Sundays'
  for (const status of [401, 404, 409, 503]) {
    const { answers, ask } = asked()
    answers.set('Job', answer(status, words))
    const said = await ask()
    assert.ok(said?.is === 'refused', `${status}`)
    assert.equal(said.refusal.words, words)
  }
})

test('F73: what was refused stands where the next question has no answer, also after an edit, and not once it was changed or accepted', async () => {
  const none = new ConnectionError('POST', { cause: 'reset', unsent: true })
  const words = 'denied by a policy of the company'
  const edit = (spec: object) => policy(spec, { metadata: { generation: 2 } })
  for (const [what, kind, then, after, stands, cronJobAccepted] of [
    ['asked again', 'Job', policy(), 'Job', true, true],
    ['asked again about all', 'CronJob', policy(), 'CronJob', true, undefined],
    ['an edit of something else', 'Job', edit({ schedule: '0 3 * * *' }), 'CronJob', true, undefined],
    ['an edit of the schedule', 'CronJob', edit({ schedule: '0 3 * * *' }), 'CronJob', false, undefined],
    ['an edit of the run', 'Job', edit({ backoffLimit: 5 }), 'CronJob', false, undefined],
    ['a CronJob that is accepted', 'CronJob', edit({ selector: { matchLabels: { app: 'b' } } }), 'Job', false, true],
  ] as const) {
    const { answers, clock, ask } = asked()
    answers.set(kind, answer(403, words))
    assert.equal((await ask())?.is, 'refused')
    answers.clear()
    answers.set(after, none)
    await clock.advance(60_000)
    const said = await ask(then)
    assert.ok(said?.is === 'unsaid', what)
    assert.deepEqual([said.stands?.words, said.cronJobAccepted], [stands ? words : undefined, cronJobAccepted], what)
  }
})

test('F73: while an answer is waited for nobody else waits for one, and after 15 s it has said nothing', async () => {
  const { asks, clock, runs, hang } = asked()
  hang()
  const [first, second] = ['first', 'second'].map(name => policy({}, { metadata: { name, uid: name } }))
  assert.ok(first && second)
  const waits = runs.ask(first, undefined, undefined, signal)
  await clock.advance(1000)
  const said = await runs.ask(second, undefined, undefined, signal)
  assert.ok(said?.is === 'unsaid')
  assert.ok(said.againAt > clock.now())
  assert.deepEqual(asks, ['create CronJob'])
  await clock.advance(14_000)
  assert.equal((await waits)?.is, 'unsaid')
  assert.deepEqual(asks, ['create CronJob'], 'nothing is asked after that')
  await clock.advance(said.againAt.getTime() - clock.now().getTime())
  void runs.ask(second, undefined, undefined, signal)
  await clock.advance(0)
  assert.equal(asks.length, 2, 'it has its turn')
})

/** Edits of one policy beside those of these namespaces, which are answered so late. */
async function editBeside(hanging: readonly string[], policiesEach: number, answerMs: number): Promise<void> {
  const clock = new FakeClock()
  let [underWay, most] = [0, 0]
  const put = async (_: unknown, object: KubernetesObject, options: WriteOptions) => {
    if (!hanging.includes(object.metadata.namespace ?? '')) return object
    most = Math.max(most, ++underWay)
    await clock.wait(answerMs, options.signal).finally(() => underWay--)
    throw answer(500, 'failed calling webhook "x.example.com"')
  }
  const client = { create: put, replace: put } as unknown as Client
  const runs = new DryRuns({ client, caches: toyCaches(client) }, settings, clock)
  const ofPolicy = (namespace: string, name: string, generation = 1) =>
    policy({}, { metadata: { namespace, name, uid: `${namespace}/${name}`, generation } })
  const look = async (of: BackupPolicy) => {
    const said = await runs.ask(of, undefined, undefined, signal)
    assert.ok(said)
    if (said.is === 'accepted') return undefined
    return said.againAt.getTime() - clock.now().getTime()
  }
  /** As the work queue has it: a policy comes when it wanted to. */
  const follow = async (of: BackupPolicy): Promise<void> => {
    for (let waitMs = await look(of); waitMs !== undefined; waitMs = await look(of)) await clock.wait(waitMs)
  }
  for (const namespace of hanging) for (let n = 0; n < policiesEach; n++) void follow(ofPolicy(namespace, `p${n}`))
  let told = 0
  for (const generation of [1, 2]) {
    await clock.advance(600_000)
    void follow(ofPolicy('other', 'edited', generation)).finally(() => told++)
    await clock.advance(30_000)
    assert.equal(told, generation, 'it is asked about in time')
  }
  assert.ok(most <= 2, 'of the slow ones one has a worker, or two for a moment')
}

for (const [how, answerMs] of [
  ['hangs', Number.POSITIVE_INFINITY],
  ['fails by its timeout of ten seconds', 10_000],
] as const)
  for (const [namespaces, policiesEach] of [
    [1, 1],
    [1, 100],
    [10, 10],
  ] as const)
    test(`S19: an edit is asked about within half a minute beside ${policiesEach} policies in each of ${namespaces} namespaces whose webhook ${how}`, async () => {
      const hanging = Array.from({ length: namespaces }, (_, n) => `slow-${n}`)
      await editBeside(hanging, policiesEach, answerMs)
    })

test('S19: a namespace that is slow no more is asked about as before', async () => {
  const { asks, clock, runs, hang } = asked()
  const [first, second, third] = ['first', 'second', 'third'].map(name => policy({}, { metadata: { name, uid: name } }))
  assert.ok(first && second && third)
  const isHung = hang()
  const waits = runs.ask(first, undefined, undefined, signal)
  await clock.advance(15_000)
  assert.equal((await waits)?.is, 'unsaid')
  isHung.end()
  for (const each of [second, third, first]) {
    assert.equal((await runs.ask(each, undefined, undefined, signal))?.is, 'accepted')
    await clock.advance(5_000)
  }
  assert.equal(asks.length, 7)
})

test('what is cut off by the pass itself is no answer', async () => {
  const { runs, hang } = asked()
  hang()
  const pass = new AbortController()
  const waits = runs.ask(policy(), undefined, undefined, pass.signal)
  pass.abort(new Error('the operator stops'))
  await assert.rejects(waits, /the operator stops/)
})

test('a lost lease, or an account that is not known, ends the pass', async () => {
  for (const error of [new FencedError('POST'), answer(401)]) {
    const { answers, ask } = asked()
    answers.set('CronJob', error)
    await assert.rejects(ask(), error)
  }
})
