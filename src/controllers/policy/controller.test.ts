import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { CronJob, Job } from '../../api/kubernetes.ts'
import { label, managerName } from '../../api/labels.ts'
import { cronJobName, probeJobName, startJobName } from '../../api/names.ts'
import { stateHash } from '../../resources/desired-state.ts'
import { sameJson } from '../../plan/core/equal.ts'
import type { Client } from '../../runtime/client/client.ts'
import type { WriteOptions } from '../../runtime/client/requests.ts'
import type { Resource } from '../../runtime/client/resource.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import type { EventNote } from '../../runtime/events.ts'
import { silentLog } from '../../runtime/log.ts'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { toyCaches } from '../../../test/histories/toy/caches.ts'
import {
  at,
  backup,
  complete,
  desiredCronJob,
  job,
  jobStrategy,
  policy,
  settings,
  usableStore,
} from '../../../test/plan/world.ts'
import { createPolicyController } from './controller.ts'

const start = at('00:00:05')

/**
 * The controller at work on a toy API server that has one policy with strategy job; caches know only what the operator wrote, and this.
 * @param serve the client as this API server serves it
 * @param refused of which nothing is ever listed
 */
function operator(
  t: TestContext,
  serve = (client: Client, _: ToyApiServer) => client,
  refused?: 'snapshots' | 'snapshotClasses' | 'jobEvents' | 'volumes',
) {
  const server = new ToyApiServer(start)
  const clock = new FakeClock(start)
  const creates: string[] = []
  const notes: EventNote[] = []
  const plain = toyClient(server, ({ verb, name }, _before, _body, run) => {
    if (verb === 'create') creates.push(name)
    run()
  })
  const client = serve(plain, server)
  const caches = toyCaches(client)
  const unlisted = refused && caches[refused]
  const events = { record: (_: unknown, note: EventNote) => void notes.push(note) }
  const controller = createPolicyController({
    client,
    caches,
    settings,
    events: events as unknown as Parameters<typeof createPolicyController>[0]['events'],
    metrics: { observe() {}, observeRestore() {} },
    clock,
    log: silentLog,
    hooks: {},
    workers: 1,
  })
  const { resourceVersion: _, ...metadata } = policy().metadata
  const created = server.create('backuppolicies', { ...policy(), metadata })
  const tries = (name: string) => creates.filter(created => created === name).length
  const told = (text: string) => notes.filter(({ reason, message }) => reason === 'NameTaken' && message.includes(text))

  /** Begins with the caches as the API server is now. */
  async function run() {
    caches.policies.replace([created])
    caches.cronJobs.replace(server.all('cronjobs'))
    for (const empty of [
      caches.backups,
      caches.jobs,
      caches.pods,
      caches.jobEvents,
      caches.cronJobEvents,
      caches.claims,
      caches.volumes,
    ])
      if (empty !== unlisted) empty.replace([])
    for (const absent of [caches.snapshots, caches.snapshotClasses]) if (absent !== unlisted) absent.markAbsent(0)
    const stop = new AbortController()
    const running = controller.run(stop.signal)
    t.after(async () => {
      stop.abort(new Error('the test is over'))
      await running
    })
    await clock.advance(1000)
  }
  return { server, clock, caches, created, run, tries, told }
}

test('where a stranger has the name of a probe, it is told, tried again every five minutes, and made once the name is free', async t => {
  const { server, clock, created, run, tries, told } = operator(t)
  const name = probeJobName('nightly', created.metadata.uid ?? '', stateHash(created.spec.backend), 0)
  const { labels: _, ...metadata } = job(name, 'probe').metadata
  const stranger: Job = server.create('jobs', { ...job(name, 'probe'), metadata })
  await run()
  const first = tries(name)
  assert.ok(first > 0 && first < 5, `${first} tries at once`)
  assert.ok(told(`a Job named ${name}`).length > 0)
  await clock.advance(290_000)
  assert.equal(tries(name), first, 'no try in between')
  await clock.advance(10_000)
  assert.equal(tries(name), first + 1)
  assert.deepEqual(server.get('jobs', name), stranger)

  server.remove('jobs', name)
  await clock.advance(300_000)
  assert.equal(server.get('jobs', name)?.metadata.labels?.[label.managedBy], managerName)
})

test('where a stranger has the name of the CronJob, ours is made as soon as the watch tells that the stranger is gone', async t => {
  const { server, clock, caches, created, run, tries, told } = operator(t)
  const name = cronJobName('nightly')
  const wanted = desiredCronJob(created)
  assert.ok(wanted)
  const { labels: _, ...metadata } = wanted.metadata
  const stranger: CronJob = server.create('cronjobs', { ...wanted, metadata: { ...metadata, ownerReferences: [] } })
  await run()
  assert.equal(tries(name), 0, 'the plan knows the stranger')
  assert.ok(told(`a CronJob named ${name}`).length > 0)
  assert.deepEqual(server.get('cronjobs', name), stranger)

  server.remove('cronjobs', name)
  caches.cronJobs.remove(stranger)
  await clock.advance(0)
  assert.equal(server.get('cronjobs', name)?.metadata.labels?.[label.managedBy], managerName)
})

for (const kind of ['snapshots', 'snapshotClasses', 'jobEvents', 'volumes'] as const)
  test(`F31: while the list of ${kind} is refused from the start on a policy with strategy job gets its CronJob all the same`, async t => {
    const { server, clock, run } = operator(t, client => client, kind)
    await run()
    assert.equal(server.all('cronjobs').length, 0, 'all kinds are waited for, for a while')
    await clock.advance(60_000)
    assert.equal(server.all('cronjobs').length, 1)
  })

test('a run that has begun is judged as soon as the snapshot API is there again, also when its policy is gone', async t => {
  const { server, clock, caches, run } = operator(t)
  await run()
  const { metadata, ...rest } = backup('now', { spec: { policy: 'gone', target: 'data' } })
  server.create('backups', { ...rest, metadata: { ...metadata, resourceVersion: undefined } })
  const begun = { target: 'data', run: 'now-x', snapshot: { name: 'now-x' } }
  const status = { phase: 'Running', reason: 'SnapshotPending', ...begun } as const
  caches.backups.set(server.update('backups', 'now', each => ({ ...each, status })) ?? assert.fail())
  await clock.advance(0)
  assert.deepEqual(server.get('backups', 'now')?.status, status)
  caches.snapshots.replace([])
  caches.snapshotClasses.replace([])
  await clock.advance(0)
  assert.equal(server.get('backups', 'now')?.status?.reason, 'PolicyDeleted')
})

test('a Backup asked for right after an edit of its policy is made as the edit says, though the watch of policies is late', async t => {
  const { server, clock, caches, run } = operator(t)
  await run()
  const edited = policy({ strategy: { type: 'job', job: { ...jobStrategy.job, image: 'postgres:16' } } })
  server.update('backuppolicies', 'nightly', current => ({ ...current, spec: edited.spec }))
  const { resourceVersion: _, ...metadata } = backup('now').metadata
  caches.backups.set(server.create('backups', { ...backup('now'), metadata }))
  await clock.advance(0)
  const runs = server.all('jobs').filter(({ metadata }) => metadata.labels?.[label.role] === 'run')
  const images = runs.map(({ spec }) => spec.template.spec.containers.find(({ name }) => name === 'dump')?.image)
  assert.deepEqual(images, ['postgres:16'])
})

test('with a CRD of before, which drops status.start, an ended dry start is looked at once a second, not without a pause', async t => {
  let writes = 0
  const old = (client: Client, server: ToyApiServer): Client => {
    const replace = async (resource: Resource, object: BackupPolicy, ...rest: [WriteOptions]) => {
      const standing = server.get('backuppolicies', object.metadata.name)
      if (resource.kind !== 'BackupPolicy' || !standing) return client.replace(resource, object, ...rest)
      writes++
      // For the test to end where there is no pause.
      const start = writes > 1000 ? object.status?.start : undefined
      const status = { ...object.status, start }
      // Where nothing changes the API server makes no new version, and no watch tells of it.
      return sameJson(standing.status, status) ? standing : client.replace(resource, { ...object, status }, ...rest)
    }
    return Object.assign(Object.create(client) as Client, { replace })
  }
  const { server, clock, caches, created, run } = operator(t, old)
  const { uid = '' } = created.metadata
  const status = { store: usableStore(start) }
  await run()
  caches.policies.set(server.update('backuppolicies', 'nightly', each => ({ ...each, status })) ?? assert.fail())
  await clock.advance(0)
  const name = startJobName('nightly', uid, stateHash(created.spec.strategy.job), 0)
  const over = server.update('jobs', name, each => ({ ...each, status: complete(start, start) }))
  writes = 0
  caches.jobs.set(over ?? assert.fail())
  await clock.advance(10_000)
  assert.ok(writes >= 5 && writes <= 12, `${writes} writes in ten seconds`)
})
