// What is asked right before a verdict, of an API server that knows more than the caches did when the plan was made.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kept } from '../../../test/plan/kept.ts'
import { ToyApiServer, toyClient } from '../../../test/histories/toy/api-server.ts'
import { toyCaches } from '../../../test/histories/toy/caches.ts'
import {
  at,
  backup,
  claim,
  controlledBy,
  desiredCronJob,
  jobOfSlot,
  pod,
  policy,
  snapshotOf,
  snapshotPolicy,
  world,
} from '../../../test/plan/world.ts'
import { versionOf, type Unless } from '../../plan/core/actions.ts'
import { ApiError } from '../../runtime/client/errors.ts'
import type { Resource } from '../../runtime/client/resource.ts'
import { isThere } from './look-before-verdict.ts'

const now = at('12:00')
const signal = new AbortController().signal

/** A policy and its CronJob on an API server; the caches know of the policy alone. */
function beforeVerdict() {
  const server = new ToyApiServer(now)
  const made = server.create('backuppolicies', policy())
  const cronJob = server.create('cronjobs', desiredCronJob(made) ?? assert.fail())
  const client = toyClient(server)
  const caches = toyCaches(client)
  caches.policies.replace([made])
  const owner = { namespace: 'shop', name: 'nightly' }
  const ask = async (unless: Unless) => await isThere({ client, caches }, owner, unless, made, signal)
  return { server, cronJob, caches, ask }
}

test('F31: whether another claim has the name is asked of the API server, and the cache knows it then', async () => {
  const server = new ToyApiServer(now)
  const client = toyClient(server)
  const reach = { client, caches: toyCaches(client) }
  const owner = { namespace: 'shop', name: 'nightly' }
  const isAnother = (uid: string | undefined) =>
    isThere(reach, owner, { kind: 'other-claim', name: 'data', uid }, kept(1).backup, signal)
  assert.deepEqual([await isAnother(undefined), await isAnother('old')], [false, true])
  server.create('persistentvolumeclaims', claim('data'))
  const uid = server.get('persistentvolumeclaims', 'data')?.metadata.uid
  assert.deepEqual([await isAnother(undefined), await isAnother('old'), await isAnother(uid)], [true, true, false])
  assert.equal(reach.caches.claims.get('shop', 'data')?.metadata.uid, uid)
})

test('F31: a slot is not missed while the API server has a Backup of it that the plan did not know, and the cache knows it then', async () => {
  const server = new ToyApiServer(now)
  const client = toyClient(server)
  const reach = { client, caches: toyCaches(client) }
  const owner = { namespace: 'shop', name: 'nightly' }
  const look = (...uids: readonly string[]) =>
    isThere(reach, owner, { kind: 'newer-backups', name: 'nightly', seen: new Set(uids) }, snapshotPolicy(), signal)
  assert.equal(await look(), false)
  const { metadata } = server.create('backups', kept(1).backup)
  assert.equal(await look(), true)
  assert.ok(reach.caches.backups.get('shop', metadata.name))
  assert.equal(await look(), true, 'the cache has learnt of it since the plan was made')
  assert.equal(await look(metadata.uid ?? ''), false)
})

test('F31: a slot is not missed while the API server has a Job of it that the plan did not know, and the cache knows it then', async () => {
  const server = new ToyApiServer(now)
  const client = toyClient(server)
  const reach = { client, caches: toyCaches(client) }
  const { cronJob = assert.fail() } = world(policy())
  reach.caches.policies.replace([policy()])
  reach.caches.cronJobs.replace([cronJob])
  const owner = { namespace: 'shop', name: 'nightly' }
  const look = (...uids: readonly string[]) =>
    isThere(reach, owner, { kind: 'newer-jobs', name: 'nightly', seen: new Set(uids) }, policy(), signal)
  assert.equal(await look(), false)
  const job = jobOfSlot(at('02:00'))
  server.create('jobs', { ...job, metadata: { ...job.metadata, name: 'strange', ownerReferences: [] } })
  assert.equal(await look(), false, 'no plan would see it')
  const { metadata } = server.create('jobs', job)
  assert.deepEqual([await look(), await look()], [true, true])
  assert.ok(reach.caches.jobs.get('shop', job.metadata.name))
  assert.equal(await look(metadata.uid ?? ''), false)
})

test('a kind that is not served for a moment is no object that is gone: no verdict is written', async () => {
  const asked = backup('now', { spec: { target: 'data' } })
  const { name } = snapshotOf(asked).metadata
  for (const [of, unless, kind] of [
    [snapshotPolicy(), { kind: 'snapshot', name }, 'VolumeSnapshot'],
    [snapshotPolicy(), { kind: 'cut-snapshot', name }, 'VolumeSnapshot'],
    [policy(), { kind: 'job', name: 'run' }, 'Job'],
  ] as const) {
    const client = {
      get: async () => undefined,
      list: async (resource: Resource) => {
        assert.equal(resource.kind, kind)
        throw new ApiError({ request: 'LIST', status: 404 })
      },
    } as unknown as ReturnType<typeof toyClient>
    const look = isThere(
      { client, caches: toyCaches(client) },
      { namespace: 'shop', name: of.metadata.name },
      unless,
      asked,
      signal,
    )
    await assert.rejects(look, ApiError)
  }
})

test('a Job counts before a verdict only by our chain, also where its CronJob is newer than the caches (F74)', async () => {
  const slot = at('02:00')
  const unless = { kind: 'job', name: jobOfSlot(slot).metadata.name } as const
  const genuine = beforeVerdict()
  genuine.server.create('jobs', jobOfSlot(slot, { metadata: { ownerReferences: [controlledBy(genuine.cronJob)] } }))
  assert.deepEqual([await genuine.ask(unless), genuine.caches.jobs.size], [true, 1])
  for (const change of [{ uid: 'other' }, { controller: false }, { kind: 'Job' }]) {
    const { server, cronJob, caches, ask } = beforeVerdict()
    const ownerReferences = [{ ...controlledBy(cronJob), ...change }]
    server.create('jobs', jobOfSlot(slot, { metadata: { ownerReferences } }))
    assert.deepEqual([await ask(unless), caches.jobs.size], [false, 0], JSON.stringify(change))
  }
})

test('pods hold a verdict up only where the Job of the run controls them (F74)', async () => {
  const run = jobOfSlot(at('02:00'))
  const { name, uid = '' } = run.metadata
  for (const kind of ['job', 'newer-pods'] as const) {
    const { server, ask } = beforeVerdict()
    server.create('pods', pod(run, 1, { metadata: { ownerReferences: [] } }))
    assert.equal(await ask({ kind, name, uid }), false)
    const there = server.create('pods', pod(run, 2))
    assert.equal(await ask({ kind, name }), false, 'nobody knows which Job was its own')
    assert.equal(await ask({ kind, name, uid }), true)
    assert.equal(await ask({ kind, name, uid }), true, 'the cache knows by now, and the plan does not')
    assert.equal(await ask({ kind, name, uid, seen: [versionOf(there)] }), false)
  }
})
