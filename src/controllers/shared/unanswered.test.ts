// F71: writes that are never answered (a webhook that hangs, a proxy that swallows them), or refused only after long, stop their group, and nothing
// else.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KubernetesObject } from '../../api/kubernetes.ts'
import { alone, deletion, type Action, type Group, type Plan, type Refusals } from '../../plan/core/actions.ts'
import { Client } from '../../runtime/client/client.ts'
import { ApiError, WaitError } from '../../runtime/client/errors.ts'
import { FakeApiServer, json, type Received, type Responder } from '../../runtime/client/fake-api-server.ts'
import type { CallOptions } from '../../runtime/client/requests.ts'
import type { Resource } from '../../runtime/client/resource.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { silentLog } from '../../runtime/log.ts'
import { applyContext } from '../../../test/histories/toy/apply-context.ts'
import { at, backup, desiredCronJob, policy, snapshotOf, world } from '../../../test/plan/world.ts'
import { applyPlan } from './apply.ts'
import { RefusalMemory } from './refusals.ts'

const never = new AbortController().signal
const statusOf = (object: ReturnType<typeof backup> | ReturnType<typeof policy>): Action => ({
  do: 'write-status',
  object,
})

test(
  'F71: a PUT that is never answered is given up in time, all else is done, and the status that is written tells of it',
  { timeout: 20_000 },
  async t => {
    const server = await FakeApiServer.start()
    const clock = new FakeClock(at('02:00'))
    const client = new Client({ url: server.url }, { clock })
    t.after(async () => {
      await server.stop()
      await client.close()
    })
    const asked = Promise.withResolvers<void>()
    const responder: Responder = (response, { method, path, body }: Received) => {
      if (method === 'PUT' && path.includes('/cronjobs/')) asked.resolve()
      else json(body)(response)
    }
    server.otherwise = responder
    const of = policy()
    const stands = desiredCronJob(of) ?? assert.fail()
    const plan: Plan = {
      groups: [alone('cron-job', { do: 'replace', object: stands }), alone('other', deletion(backup('a'), 'a test'))],
      conclude: refused => (told.push(refused), [statusOf(of)]),
      wakeAt: undefined,
    }
    const told: Refusals[] = []
    const applied = applyPlan(applyContext(client, clock), world(of), plan, new RefusalMemory(), silentLog, never)
    await asked.promise
    await clock.advance(40_000)
    const { retryAt } = await applied
    assert.deepEqual(
      server.requests.map(({ method, path }) => `${method} ${path.split('/').slice(-2).join('/')}`),
      ['PUT cronjobs/backup-nightly', 'DELETE backups/a', 'PUT nightly/status'],
    )
    const [refusal] = [...(told[0]?.values() ?? [])]
    assert.deepEqual([refusal?.action, refusal?.kind, refusal?.passing], ['replace', 'CronJob', true])
    assert.match(refusal?.words ?? '', /no answer from the API server: none within 40 s/)
    assert.deepEqual(retryAt, at('02:00:45'))
  },
)

/**
 * An API server that never answers some writes, told as `verb kind name`, and says what it was asked.
 * @param refusesAfterMs it answers them all the same, as for a webhook that does not
 */
function silentServer(isSilent: (call: string) => boolean, refusesAfterMs?: number) {
  const clock = new FakeClock(at('02:00'))
  const calls: string[] = []
  async function answer<T>(call: string, { signal }: CallOptions, answered: T): Promise<T> {
    calls.push(call)
    if (!isSilent(call)) return answered
    if (refusesAfterMs !== undefined) {
      await clock.wait(refusesAfterMs, signal)
      throw new ApiError({ request: call, status: 500, reason: 'InternalError', message: 'failed calling webhook "w"' })
    }
    return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error)))
  }
  const client = {
    replace: ({ kind }: Resource, object: KubernetesObject, options: CallOptions) =>
      answer(`put ${kind} ${object.metadata.name}`, options, object),
    delete: ({ kind }: Resource, _: string, name: string, options: CallOptions) =>
      answer(`delete ${kind} ${name}`, options, true),
  } as unknown as Client
  const memory = new RefusalMemory()
  const of = policy()
  /** One pass, with all the time that it takes; what it asked, and what came of it. */
  async function pass(groups: readonly Group[]) {
    calls.length = 0
    let concluded: readonly string[] = []
    const conclude: Plan['conclude'] = (refused, undone) => {
      concluded = [...refused.keys(), ...[...(undone?.putOff ?? [])].map(name => `${name} is left`)]
      return [statusOf(of)]
    }
    const start = clock.monotonic()
    const plan = { groups, conclude, wakeAt: undefined }
    const applied = applyPlan(applyContext(client, clock), world(of), plan, memory, silentLog, never)
    const ended = applied.then(
      ({ wakeAt }) => ({ wakeAt, seconds: (clock.monotonic() - start) / 1000 }),
      (error: unknown) => ({ error, wakeAt: undefined, seconds: (clock.monotonic() - start) / 1000 }),
    )
    await clock.advance(400_000)
    return { ...(await ended), calls: [...calls], concluded }
  }
  return { clock, pass }
}

const tell = (name: string) => alone(`tell/${name}`, statusOf(backup(name)))
const conclusion = 'put BackupPolicy nightly'

test('F71: where writes of a kind are not answered, one is tried in a pass, after all that makes no such write', async () => {
  const { pass } = silentServer(call => call.startsWith('put Backup '))
  const groups = [
    tell('a'),
    tell('b'),
    { ...alone('after', deletion(backup('a'), 'a test')), needs: [{ group: 'tell/b', was: 'done' } as const] },
    alone('other', deletion(backup('c'), 'a test')),
  ]
  const first = await pass(groups)
  assert.deepEqual(first.calls, ['put Backup a', 'delete Backup c', conclusion])
  assert.deepEqual(first.concluded, ['tell/a', 'tell/b is left'])
  assert.equal(first.seconds, 40)
  assert.deepEqual(first.wakeAt, at('02:00:45'))
  const second = await pass(groups)
  assert.deepEqual(second.calls, ['delete Backup c', 'put Backup b', conclusion], 'each has its turn')
  assert.deepEqual(second.concluded, ['tell/b', 'tell/a'])
})

test('F71: where writes of a kind are refused slowly, one is tried in a pass, after all that makes no such write, and each has its turn', async () => {
  const { pass } = silentServer(call => call.startsWith('put Backup '), 10_000)
  const groups = [tell('a'), tell('b'), tell('c'), alone('other', deletion(backup('d'), 'a test'))]
  const first = await pass(groups)
  assert.deepEqual(first.calls, ['put Backup a', 'delete Backup d', conclusion])
  assert.deepEqual(first.concluded, ['tell/a', 'tell/b is left', 'tell/c is left'])
  assert.equal(first.seconds, 10)
  for (const [name, refused] of [
    ['b', ['tell/b', 'tell/c is left']],
    ['c', ['tell/c']],
    ['a', ['tell/a']],
  ] as const) {
    const { calls, concluded } = await pass(groups)
    assert.deepEqual(calls, ['delete Backup d', `put Backup ${name}`, conclusion])
    for (const each of refused) assert.ok(concluded.includes(each), `${each}: ${concluded.join(', ')}`)
  }
})

test('F71: where they are refused at once all are tried, in their order', async () => {
  const { pass } = silentServer(call => call.startsWith('put Backup '), 100)
  const groups = [tell('a'), tell('b'), alone('other', deletion(backup('d'), 'a test'))]
  for (let passes = 0; passes < 2; passes++)
    assert.deepEqual((await pass(groups)).calls, ['put Backup a', 'put Backup b', 'delete Backup d', conclusion])
})

test('F71: where one object alone gets no answer, the others of its kind are written in the next pass', async () => {
  const { pass } = silentServer(call => call === 'put Backup a')
  const groups = [tell('a'), tell('b'), tell('c')]
  await pass(groups)
  assert.deepEqual((await pass(groups)).calls, ['put Backup b', 'put Backup c', 'put Backup a', conclusion])
})

test('F71: a pass in which much gets no answer begins nothing more after a minute, writes its status, and goes on at once', async () => {
  const { pass } = silentServer(call => call !== conclusion && call !== 'delete Backup b')
  const cronJob = desiredCronJob(policy()) ?? assert.fail()
  const doomed = snapshotOf(backup('a'))
  const groups = [
    tell('a'),
    alone('cron-job', { do: 'replace', object: cronJob }),
    alone('prune', deletion(doomed, 'a test')),
    alone('clean', deletion(backup('b'), 'a test')),
  ]
  const first = await pass(groups)
  assert.deepEqual(first.calls, ['put Backup a', 'put CronJob backup-nightly', conclusion])
  assert.ok('error' in first && first.error instanceof WaitError)
  assert.equal(first.seconds, 80)
  const { calls } = await pass(groups)
  assert.deepEqual(calls.slice(0, 2), [`delete VolumeSnapshot ${doomed.metadata.name}`, 'delete Backup b'])
})
