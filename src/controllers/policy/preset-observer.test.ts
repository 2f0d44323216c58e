import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { fillCaches, toyCaches } from '../../../test/histories/toy/caches.ts'
import { does, planPolicy } from '../../../test/plan/planned.ts'
import { all, cronJobOf, found, jobOfTarget, presetPolicy, unresolved } from '../../../test/plan/preset-world.ts'
import { at, controlledBy, failedCreate, namespace, settings } from '../../../test/plan/world.ts'
import type { CronJob, KubernetesObject } from '../../api/kubernetes.ts'
import { cronJobName } from '../../api/names.ts'
import type { Target } from '../../presets/preset.ts'
import type { Client } from '../../runtime/client/client.ts'
import { ApiError } from '../../runtime/client/errors.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { silentLog } from '../../runtime/log.ts'
import { RefusalMemory } from '../shared/refusals.ts'
import { isThere } from './look-before-verdict.ts'
import { createObserver } from './observe.ts'

const now = at('12:00')
const signal = new AbortController().signal
const [db, cache] = [found('db'), found('cache')]

/** A policy with a preset on an API server that serves like this; the preset finds what is said. */
function observed(targets: readonly Target[], serve = (client: Client): Partial<Client> => client) {
  const server = new ToyApiServer(now)
  const { resourceVersion: _, ...metadata } = presetPolicy().metadata
  const made = server.create('backuppolicies', { ...presetPolicy(), metadata })
  const plain = toyClient(server)
  const client = Object.assign(Object.create(plain), serve(plain)) as Client
  const caches = toyCaches(client)
  const observe = createObserver(caches, client, settings, new FakeClock(now), silentLog, () => all(targets))
  const look = async () => {
    fillCaches(caches, server, true)
    return { ...(await observe(namespace, 'nightly', signal)), probesRunning: 0 }
  }
  const stand = (...some: readonly CronJob[]) => some.map(each => server.create('cronjobs', each))
  return { server, made, client, caches, look, stand }
}

const named = (objects: readonly KubernetesObject[]) => objects.map(({ metadata }) => metadata.name)

test('the CronJobs of all targets are seen, and those of targets that are gone, and strangers that have a name of one', async () => {
  const { made, look, stand } = observed([db, cache])
  const stranger = { ...cronJobOf(made, cache), metadata: { name: cronJobName('nightly', 'cache') } }
  const elsewhere = { ...cronJobOf(made, cache), metadata: { name: 'elsewhere' } }
  stand(cronJobOf(made, db), cronJobOf(made, found('users')), stranger, elsewhere)
  const world = await look()
  assert.deepEqual(
    named(world.targetCronJobs),
    [cronJobName('nightly', 'db'), cronJobName('nightly', 'users'), stranger.metadata.name].toSorted(),
  )
  assert.deepEqual(world.presetTargets?.targets, [db, cache])
  assert.equal(world.cronJob, undefined)
})

test('what is said of a CronJob of a target is heard', async () => {
  const { made, caches, look, stand } = observed([db])
  const [cronJob] = stand(cronJobOf(made, db))
  await look()
  const warning = failedCreate(jobOfTarget('db', now), 'no', now)
  const { name, uid } = cronJob?.metadata ?? assert.fail()
  const about = { ...warning, involvedObject: { kind: 'CronJob', namespace, name, uid } }
  const replace = caches.cronJobEvents.replace.bind(caches.cronJobEvents)
  caches.cronJobEvents.replace = () => replace([about])
  const world = await look()
  assert.equal(world.cronJobEvents.length, 1)
  const { actions } = planPolicy(world, now)
  const [write] = actions.flatMap(action => (action.do === 'write-status' ? [JSON.stringify(action.object)] : []))
  assert.match(write ?? '', /the CronJob controller says of CronJob backup-nightly-db-\w+: FailedCreate: no/)
})

test('where pods may not be listed nothing is said of targets, and nothing fails', async () => {
  const refusal = new ApiError({ request: 'list', status: 403, reason: 'Forbidden', message: 'no' })
  const { look, stand, made } = observed([db], client => ({
    list: async (resource, options) => {
      if (resource.plural === 'pods') throw refusal
      return client.list(resource, options)
    },
  }))
  stand(cronJobOf(made, db))
  const world = await look()
  assert.equal(world.presetTargets, undefined)
  assert.deepEqual(
    planPolicy(world, now)
      .actions.map(does)
      .filter(each => /CronJob/.test(each)),
    [],
  )
})

test('a run of each target that can be backed up is asked about, and one that is refused is told', async () => {
  const asked: string[] = []
  const refusal = new ApiError({ request: 'POST', status: 403, reason: 'Forbidden', message: 'no such image here' })
  const { look } = observed([db, cache, unresolved('users')], () => ({
    create: async (_, object) => {
      const text = JSON.stringify(object)
      if (object.kind === 'CronJob') asked.push(object.metadata.name)
      if (object.kind === 'Job' && text.includes(cache.image)) throw refusal
      return object
    },
  }))
  // Each has its turn: of all policies there are five questions a second at most.
  assert.equal((await look()).dryRun?.is, 'refused')
  assert.ok(asked.includes(cronJobName('nightly', 'cache')), asked.join())
  assert.ok(!asked.includes(cronJobName('nightly', 'users')), asked.join())
})

test('a Job of a target counts before a verdict only by our chain, also where its CronJob is newer than the caches', async () => {
  const { server, made, client, caches, stand } = observed([db])
  const [cronJob = assert.fail()] = stand({
    ...cronJobOf(made, db),
    metadata: { ...cronJobOf(made, db).metadata, ownerReferences: [controlledBy(made)] },
  })
  caches.policies.replace([made])
  const run = jobOfTarget('db', now)
  const unless = { kind: 'job', name: run.metadata.name } as const
  const owner = { namespace, name: 'nightly' }
  server.create('jobs', { ...run, metadata: { ...run.metadata, ownerReferences: [controlledBy(cronJob)] } })
  assert.equal(await isThere({ client, caches }, owner, unless, made, signal), true)
  const posing = jobOfTarget('cache', now)
  const theirs = { ...controlledBy(cronJob), uid: 'theirs' }
  server.create('jobs', { ...posing, metadata: { ...posing.metadata, ownerReferences: [theirs] } })
  const other = { ...unless, name: posing.metadata.name }
  assert.equal(await isThere({ client, caches }, owner, other, made, signal), false)
})

test('who changes the CronJob of one target again and again makes no other wait', () => {
  const { putBacks } = new RefusalMemory()
  const of = presetPolicy()
  for (let n = 0; n < 2; n++) putBacks.of('cron-job/db').wrote(cronJobOf(of, db), now)
  assert.ok(putBacks.of('cron-job/db').waitsUntil(cronJobOf(of, db), now))
  assert.equal(putBacks.of('cron-job/cache').waitsUntil(cronJobOf(of, db), now), undefined)
  putBacks.of('cron-job-clock/cache').putClockBack(now)
  assert.ok(putBacks.of('cron-job/cache').clockWaitsUntil(now), 'the same CronJob')
  assert.equal(putBacks.of('cron-job').clockWaitsUntil(now), undefined)
})
