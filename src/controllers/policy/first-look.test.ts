import { silentLog } from '../../runtime/log.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Backup, BackupStatus } from '../../api/kinds/backup.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { WaitError } from '../../runtime/client/errors.ts'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { fillCaches, toyCaches } from '../../../test/histories/toy/caches.ts'
import { at, backup, namespace, policy, settings } from '../../../test/plan/world.ts'
import { lookFirst } from './first-look.ts'
import { createObserver } from './observe.ts'

const now = at('00:00:05')
const signal = new AbortController().signal

/** Caches that know the policies of the API server, as they are now, and nothing else. `onList` is called when a list was answered. */
function behind(onList: () => void = () => {}) {
  const server = new ToyApiServer(now)
  const { resourceVersion: _, ...metadata } = policy().metadata
  const nightly = server.create('backuppolicies', { ...policy(), metadata })
  const writer = toyClient(server, () => {})
  let lists = 0
  const client: typeof writer = Object.assign(Object.create(writer), {
    async list(...args: Parameters<typeof writer.list>) {
      const found = await writer.list(...args)
      lists++
      onList()
      return found
    },
  })
  const caches = toyCaches(client)
  const restore = () => caches.policies.replace([nightly])
  restore()
  const ask = (name: string, status?: BackupStatus, more: Partial<Backup['spec']> = {}) =>
    caches.backups.set(backup(name, { spec: more, ...(status ? { status } : {}) }))
  const keep = (retention: number) =>
    server.update('backuppolicies', 'nightly', current => ({ ...current, spec: { ...current.spec, retention } }))
  const kept = () => caches.policies.get(namespace, 'nightly')?.spec.retention
  const look = () => lookFirst({ client, caches }, { namespace, name: 'nightly' }, signal)
  return { client, caches, ask, keep, kept, look, restore, lists: () => lists }
}

test('only for a Backup that is yet to be judged the API server is asked', async () => {
  const { ask, keep, kept, look, lists } = behind()
  keep(1)
  const done = { phase: 'Completed', reason: 'Completed', message: '' } as const
  const running = { phase: 'Running', reason: 'Running', message: '' } as const
  ask('done', done)
  ask('running', running)
  ask('scheduled', undefined, { slot: now.toISOString() })
  await look()
  assert.deepEqual([lists(), kept()], [0, 7])
  ask('new')
  await look()
  assert.deepEqual([lists(), kept()], [1, 1])
})

test('it is asked also for a Backup that waits for its policy, which may have come and changed since', async () => {
  const { ask, keep, kept, look } = behind()
  ask('early', { phase: 'Pending', reason: 'PolicyNotFound', message: '' })
  keep(1)
  await look()
  assert.equal(kept(), 1)
})

test('a Backup that comes during the look is not judged by answers that are older than itself', async () => {
  let edit: (() => void) | undefined
  const world = behind(() => edit?.())
  edit = () => {
    edit = undefined
    world.keep(1)
    world.ask('second')
  }
  world.ask('first')
  await world.look()
  assert.deepEqual([world.lists(), world.kept()], [2, 1])
})

test('a kind that disappears during the look is no policy that was deleted', async () => {
  const world = behind(() => world.caches.policies.markAbsent(0))
  const { client, caches, ask } = world
  ask('first')
  const observe = createObserver(caches, client, settings, new FakeClock(now), silentLog)
  await assert.rejects(observe(namespace, 'nightly', signal), WaitError)
})

test('S19: Backups that come faster than the API server answers do not keep their policy from being planned, and are seen by the next plan', async () => {
  let asked = 0
  const world = behind(() => {
    if (asked < 50) world.ask(`more-${asked++}`)
  })
  const { client, caches, ask, lists } = world
  fillCaches(caches, new ToyApiServer(now), false)
  world.restore()
  ask('first')
  const observe = createObserver(caches, client, settings, new FakeClock(now), silentLog)
  const { backups } = await observe(namespace, 'nightly', signal)
  // The last one counts the pods.
  assert.equal(lists(), 4)
  assert.deepEqual(
    backups.map(({ metadata }) => metadata.name),
    ['first', 'more-0', 'more-1'],
  )
  asked = 50
  assert.equal((await observe(namespace, 'nightly', signal)).backups.length, 5)
})

test(
  'F31: while the API server does not say what a Backup is of, it waits, and its policy does not; once it answers, the Backup is seen',
  { timeout: 20_000 },
  async () => {
    const { client, caches, ask, keep, kept, restore } = behind()
    fillCaches(caches, new ToyApiServer(now), false)
    restore()
    keep(1)
    ask('first')
    const clock = new FakeClock(now)
    let asked = 0
    let isSilent = true
    const silent: typeof client = Object.assign(Object.create(client), {
      async list(...args: Parameters<typeof client.list>) {
        const [resource, options] = args
        if (resource.plural === 'backuppolicies') asked++
        if (isSilent) await clock.wait(3_600_000, options?.signal)
        return await client.list(...args)
      },
    })
    const observe = createObserver(caches, silent, settings, clock, silentLog)
    const look = async () => {
      const looked = observe(namespace, 'nightly', signal)
      await clock.advance(30_000)
      const { backups, lookAgainAt } = await looked
      return { seen: backups.length, asked, againAt: lookAgainAt?.toISOString().slice(11, 19) }
    }
    assert.deepEqual(await look(), { seen: 0, asked: 1, againAt: '00:03:45' })
    assert.deepEqual(
      await look(),
      { seen: 0, asked: 1, againAt: '00:03:45' },
      'each look that is not answered costs time',
    )
    await clock.advance(180_000)
    assert.equal((await look()).asked, 2)
    isSilent = false
    await clock.advance(200_000)
    assert.deepEqual(await look(), { seen: 1, asked: 3, againAt: undefined })
    assert.equal(kept(), 1)
  },
)
