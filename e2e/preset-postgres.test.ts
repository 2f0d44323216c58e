// The preset postgres as a user knows it: a label and `preset: postgres`, and what was dropped comes back, with everything that is in it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BackupPolicy } from '../src/api/kinds/backup-policy.ts'
import type { RestoreStatus } from '../src/api/kinds/restore.ts'
import * as resources from '../src/controllers/shared/resources.ts'
import { installMinio, installOperator } from './install.ts'
import { api, put } from './objects.ts'
import { postgresShop } from './shops/postgres.ts'
import { backupEnd, jobPolicy, onDemand, restoreEnd, storeNamespace } from './stack.ts'
import { openStore } from './store.ts'

const namespace = 'e2e-preset-postgres'
const password = 'canary-c41e88'

const shop = postgresShop(namespace, password)
const { sql, contents } = shop

function restore(name: string, into: object | undefined, more: object = {}): Promise<RestoreStatus> {
  return restoreEnd(namespace, name, { source: { backup: 'first' }, ...(into ? { into } : {}), ...more })
}

async function restored(name: string, into: object | undefined, more: object = {}) {
  const status = await restore(name, into, more)
  assert.equal(status.phase, 'Completed', JSON.stringify(status))
  const [database = assert.fail(JSON.stringify(status))] = status.result?.databases ?? []
  return { ...database, message: status.message ?? '' }
}

test('preset postgres', async t => {
  await Promise.all([installOperator(), installMinio()])
  const store = await openStore()
  t.after(() => store.close())
  const restricted = { 'pod-security.kubernetes.io/enforce': 'restricted' }
  await Promise.all([store.removeAll(namespace), storeNamespace(t, namespace, restricted)])
  await put(...shop.manifests)
  await shop.ready()
  await shop.fill()
  const before = await contents('shop')
  // Image, Service and credentials are those of the workload.
  await put(jobPolicy(namespace, 'shop', { image: undefined, preset: 'postgres', databases: ['shop'] }))

  await t.test('finds the StatefulSet, and backs it up while it is written to', async () => {
    const status = await shop.whileWriting(async () => {
      await put(onDemand(namespace, 'first', 'shop', 'postgres'))
      return backupEnd(namespace, 'first')
    })
    assert.equal(status.phase, 'Completed', JSON.stringify(status))
    assert.equal(status.target, 'postgres')
    const policy = await api.get<BackupPolicy>(resources.backupPolicies, namespace, 'shop')
    assert.deepEqual(
      policy?.status?.targets?.map(({ name }) => name),
      ['postgres'],
    )
    assert.ok(!JSON.stringify(policy).includes(password))
  })

  await t.test('restores a database beside the one that there is, as it was at one instant', async () => {
    const { as = '' } = await restored('beside', { only: { database: 'shop' } })
    assert.match(as, /^shop_\d{8}t\d{4}$/)
    assert.equal(await contents(as), before)
    const [rows, ...others] = await shop.written(as)
    assert.ok(rows > 0)
    assert.deepEqual(others, [rows, rows], 'each row has its count, and no other has one')
    await sql('postgres', `drop database "${as}"`)
  })

  await t.test('refuses to touch a database that is not empty', async () => {
    const status = await restore('refused', {})
    assert.deepEqual([status.phase, status.reason], ['Failed', 'TargetNotEmpty'], JSON.stringify(status))
    assert.equal(await contents('shop'), before)
  })

  await t.test('brings one table back under a name of its own', async () => {
    const { table = '' } = await restored('table', { only: { database: 'shop', table: 'public.item' } })
    assert.match(table, /item_/)
    const name = table.includes('.') ? table : `public.${table}`
    const [schema = '', relation = ''] = name.split('.')
    const rows = (of: string) => sql('shop', `select count(*), md5(string_agg(t::text, ',' order by id)) from ${of} t`)
    assert.equal(await rows(`"${schema}"."${relation}"`), await rows('public.item'))
    await sql('shop', `drop table "${schema}"."${relation}"`)
  })

  await t.test('puts a database in the place of a broken one, and keeps that', async () => {
    await sql('shop', `drop table orders; drop table item cascade; select lo_unlink(4711)`)
    const { as, previous } = await restored('over', { overwrite: true })
    assert.deepEqual([as, await contents('shop')], ['shop', before])
    assert.ok(previous, 'the broken one is kept')
    assert.equal(await sql(previous, `select to_regclass('item') is null`), 't')
    await sql('postgres', `drop database "${previous}"`)
  })

  await t.test('brings back a database that was dropped, with its roles', async () => {
    await shop.drop()
    const { as } = await restored('dropped', {})
    assert.deepEqual([as, await contents('shop')], ['shop', before])
  })

  await t.test('reads the dump to its end without a server', async () => {
    const { message } = await restored('verified', undefined, { verify: true })
    assert.match(message, /the programs of the database have read its dumps to the end/)
  })
})
