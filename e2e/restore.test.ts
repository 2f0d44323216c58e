// Restore as a user knows it: what pg_dump has stored comes back beside the database, from a policy, a Backup or the bucket alone.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../dev/eventually.ts'
import * as resources from '../src/controllers/shared/resources.ts'
import { execInPod, patience, postgresImage, waitFor } from './cluster.ts'
import { installMinio, installOperator } from './install.ts'
import { api, put } from './objects.ts'
import { backend, jobPolicy, postgres, remove, restoreEnd, run, runJobs, secret, storeNamespace } from './stack.ts'
import { openStore } from './store.ts'

const namespace = 'e2e-restore'
const password = 'canary-9f31c7'

const connection = [
  { name: 'PGHOST', value: 'postgres' },
  { name: 'PGUSER', value: 'postgres' },
  { name: 'PGPASSWORD', valueFrom: { secretKeyRef: { name: 'postgres-credentials', key: 'password' } } },
]

function into(database: string) {
  return { args: ['pg_restore', '--exit-on-error', '--single-transaction', '-d', database], env: connection }
}

const restore = (name: string, spec: object) => restoreEnd(namespace, name, spec)

const sql = (database: string, text: string) =>
  execInPod(namespace, 'postgres', [
    'psql',
    '-XAtq',
    '-v',
    'ON_ERROR_STOP=1',
    '-U',
    'postgres',
    '-d',
    database,
    '-c',
    text,
  ])

const contents = (database: string) =>
  sql(database, `select count(*), md5(string_agg(item::text, ',' order by id)) from item`)

test('a Restore', { concurrency: 8 }, async t => {
  await Promise.all([installOperator(), installMinio()])
  const store = await openStore()
  t.after(() => store.close())
  const restricted = { 'pod-security.kubernetes.io/enforce': 'restricted' }
  await Promise.all([store.removeAll(namespace), storeNamespace(t, namespace, restricted)])
  await put(secret(namespace, 'postgres-credentials', { password }), ...postgres(namespace))
  const dump = { args: ['pg_dump', '-Fc', '-Z0', 'shop'], env: connection }
  await put(jobPolicy(namespace, 'orders', dump), jobPolicy(namespace, 'lost', dump))
  await waitFor(namespace, 'pod/postgres', 'condition=Ready')
  await eventually('PostgreSQL to take connections', () => sql('shop', 'select 1'), { seconds: patience })
  await sql('shop', `create table item as select n as id, md5(n::text) as name from generate_series(1, 200000) n`)
  const before = await contents('shop')
  const [first] = await Promise.all([run(namespace, 'first', 'orders'), run(namespace, 'of-lost', 'lost')])
  assert.equal(first.phase, 'Completed', JSON.stringify(first))
  // What happens after the first backup is in the second alone.
  await sql('shop', `update item set name = md5(name || 'wrong')`)
  const second = await run(namespace, 'second', 'orders')
  assert.equal(second.phase, 'Completed', JSON.stringify(second))
  const pins = () => store.keys(`${namespace}/orders/pins/`)

  await Promise.all([
    t.test('brings a Backup back, as it was, and lets go of its pin', async () => {
      await sql('postgres', 'create database from_backup')
      const status = await restore('from-backup', { source: { backup: 'first' }, into: into('from_backup') })
      assert.equal(status.phase, 'Completed', JSON.stringify(status))
      assert.equal(status.backup?.run, first.run)
      assert.equal(await contents('from_backup'), before)
    }),

    t.test('brings the newest of a policy back, or the newest before a time', async () => {
      await sql('postgres', 'create database newest')
      await sql('postgres', 'create database earlier')
      const [newest, earlier] = await Promise.all([
        restore('newest', { source: { policy: { name: 'orders' } }, into: into('newest') }),
        restore('earlier', {
          source: { policy: { name: 'orders', before: first.completionTime } },
          into: into('earlier'),
        }),
      ])
      assert.deepEqual([newest.phase, newest.backup?.run], ['Completed', second.run], JSON.stringify(newest))
      assert.deepEqual([earlier.phase, earlier.backup?.run], ['Completed', first.run], JSON.stringify(earlier))
      assert.equal(await contents('earlier'), before)
      assert.notEqual(await contents('newest'), before)
    }),

    t.test('reads every byte back and writes the proof of it, with no database', async () => {
      const status = await restore('verified', { source: { backup: 'second' }, verify: true })
      assert.equal(status.phase, 'Completed', JSON.stringify(status))
      const proofs = await store.keys(`${namespace}/orders/proofs/${second.run}/`)
      assert.equal(proofs.length, 1)
    }),

    t.test(
      'of a bucket alone: says what is there when no run is named, and restores the newest when asked',
      async () => {
        const place = { backend, namespace, policy: 'lost' }
        await remove(namespace, 'backuppolicy/lost', 'backup/of-lost')
        await eventually(
          'the policy to be gone',
          async () => {
            assert.equal(await api.get(resources.backupPolicies, namespace, 'lost'), undefined)
            assert.deepEqual(await runJobs(namespace, 'lost'), [])
            return true
          },
          { seconds: patience },
        )
        const unnamed = await restore('unnamed', { source: { bucket: place }, verify: true })
        assert.deepEqual([unnamed.phase, unnamed.reason], ['Failed', 'RunNotNamed'], JSON.stringify(unnamed))
        assert.equal(unnamed.available?.length, 1)
        await sql('postgres', 'create database found')
        const found = await restore('found', {
          source: { bucket: { ...place, newest: true } },
          into: { ...into('found'), image: postgresImage },
        })
        assert.equal(found.phase, 'Completed', JSON.stringify(found))
        assert.equal(await contents('found'), before)
      },
    ),

    t.test('whose data were changed in the bucket commits nothing, and says what is wrong', async () => {
      await put(jobPolicy(namespace, 'damaged', dump))
      const backup = await run(namespace, 'damaged')
      const [key = ''] = await store.keys(`${namespace}/damaged/data/`)
      const body = await store.get(key)
      body[body.length >> 1] = (body[body.length >> 1] ?? 0) ^ 1
      await store.put(key, body)
      await sql('postgres', 'create database damaged')
      const status = await restore('damaged', { source: { backup: 'damaged' }, into: into('damaged') })
      assert.equal(backup.phase, 'Completed')
      assert.deepEqual([status.phase, status.reason], ['Failed', 'DataTampered'], JSON.stringify(status))
      assert.equal(await sql('damaged', `select count(*) from pg_tables where schemaname = 'public'`), '0\n')
    }),
  ])
  assert.deepEqual(await pins(), [])
})
