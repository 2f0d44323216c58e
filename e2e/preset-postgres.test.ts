// The preset postgres as a user knows it: a label and `preset: postgres`, and what was dropped comes back, with everything that is in it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../dev/eventually.ts'
import type { BackupPolicy } from '../src/api/kinds/backup-policy.ts'
import type { RestoreStatus } from '../src/api/kinds/restore.ts'
import * as resources from '../src/controllers/shared/resources.ts'
import { execInPod, patience, waitFor } from './cluster.ts'
import { installMinio, installOperator } from './install.ts'
import { api, put, type Manifest } from './objects.ts'
import { backupEnd, jobPolicy, onDemand, postgres, restoreEnd, secret, storeNamespace } from './stack.ts'
import { openStore } from './store.ts'

const namespace = 'e2e-preset-postgres'
const password = 'canary-c41e88'

/** The pod and Service of `postgres` as most people run them: a StatefulSet with its Service. */
function statefulPostgres(): readonly Manifest[] {
  const [pod = assert.fail(), ...others] = postgres(namespace) as readonly (Manifest & { readonly spec?: object })[]
  const labels = { app: 'postgres' }
  const template = { metadata: { labels }, spec: pod.spec }
  const spec = { serviceName: 'postgres', replicas: 1, selector: { matchLabels: labels }, template }
  return [{ apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { namespace, name: 'postgres' }, spec }, ...others]
}

function psql(database: string, text: string): readonly string[] {
  return ['psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-U', 'postgres', '-d', database, '-c', text]
}

async function sql(database: string, text: string): Promise<string> {
  return (await execInPod(namespace, 'postgres-0', psql(database, text))).trimEnd()
}

/** Roles, and a database with what a dump may miss: sequences, large objects, routines, triggers, grants. */
async function makeShop(): Promise<void> {
  await sql(
    'postgres',
    `create role shopkeeper login password 'x'; create role readers; grant readers to shopkeeper;
     alter role shopkeeper set work_mem to '5MB'; alter database shop owner to shopkeeper;
     grant connect on database shop to readers`,
  )
  await sql(
    'shop',
    `create table item (id int primary key, name text not null);
     insert into item select n, md5(n::text) from generate_series(1, 100000) n;
     alter table item owner to shopkeeper; grant select on item to readers;
     create table orders (id bigint generated always as identity primary key, item int references item);
     insert into orders (item) select n from generate_series(1, 500) n;
     create sequence tickets start 41; select nextval('tickets'), nextval('tickets');
     create function total() returns bigint language sql as 'select count(*) from item';
     create function note() returns trigger language plpgsql as $$ begin return new; end $$;
     create trigger noted before insert on item for each row execute function note();
     create view first_items as select * from item where id <= 10;
     select lo_from_bytea(4711, '\\x0001ff5c27'); grant select on large object 4711 to readers;
     create table written (id int primary key); create table counter (value int); insert into counter values (0)`,
  )
}

/** All that must be the same again, but for what is written meanwhile. */
function contents(database: string): Promise<string> {
  return sql(
    database,
    `select count(*), md5(string_agg(item::text, ',' order by id)) from item;
     select count(*), md5(string_agg(orders::text, ',' order by id)) from orders;
     select last_value, is_called from tickets;
     select last_value from orders_id_seq;
     select lo_get(4711), (select lomacl::text from pg_largeobject_metadata where oid = 4711);
     select pg_get_functiondef('total'::regproc), pg_get_functiondef('note'::regproc);
     select pg_get_viewdef('first_items'::regclass);
     select string_agg(pg_get_triggerdef(oid), ',' order by tgname) from pg_trigger where not tgisinternal;
     select string_agg(pg_get_constraintdef(oid), ',' order by conname) from pg_constraint where connamespace = 'public'::regnamespace;
     select string_agg(concat(relname, ' ', pg_get_userbyid(relowner), ' ', (select string_agg(a::text, ' ' order by a::text) from unnest(relacl) a)), ',' order by relname)
       from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'S', 'v');
     select rolname, rolcanlogin, rolconfig from pg_roles where rolname in ('shopkeeper', 'readers') order by rolname;
     select member::regrole, roleid::regrole from pg_auth_members where roleid = 'readers'::regrole;
     select pg_get_userbyid(datdba), (select string_agg(a::text, ' ' order by a::text) from unnest(datacl) a) from pg_database where datname = current_database()`,
  )
}

/** Writes until it is told to stop: each transaction a row and the count of all of them. */
async function whileWriting<T>(work: () => Promise<T>): Promise<T> {
  const write = `insert into written select value + 1 from counter; update counter set value = value + 1`
  const loop = `until [ -e /tmp/stop ]; do psql -XAtq1 -U postgres -d shop -c "${write}" || exit; done`
  const writing = execInPod(namespace, 'postgres-0', ['sh', '-c', loop])
  const failed = writing.then(() => undefined)
  try {
    return await Promise.race([work(), failed.then(() => assert.fail('the writer ended early'))])
  } finally {
    await execInPod(namespace, 'postgres-0', ['touch', '/tmp/stop'])
    await writing
  }
}

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
  await put(secret(namespace, 'postgres-credentials', { password }), ...statefulPostgres())
  await waitFor(namespace, 'statefulset/postgres', 'jsonpath={.status.readyReplicas}=1')
  await eventually('PostgreSQL to take connections', () => sql('shop', 'select 1'), { seconds: patience })
  await makeShop()
  const before = await contents('shop')
  // Image, Service and credentials are those of the workload.
  await put(jobPolicy(namespace, 'shop', { image: undefined, preset: 'postgres', databases: ['shop'] }))

  await t.test('finds the StatefulSet, and backs it up while it is written to', async () => {
    const status = await whileWriting(async () => {
      await eventually(
        'a good number of writes',
        async () => Number(await sql('shop', 'select value from counter')) > 20,
        { seconds: patience },
      )
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
    const [rows, last, counted] = (
      await sql(as, `select count(*), max(id), (select value from counter) from written`)
    ).split('|')
    assert.ok(Number(rows) > 0)
    assert.deepEqual([last, counted], [rows, rows], 'each row has its count, and no other has one')
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
    await sql('postgres', 'drop database shop with (force)')
    await sql('postgres', 'drop role readers')
    await sql('postgres', 'drop role shopkeeper')
    const { as } = await restored('dropped', {})
    assert.deepEqual([as, await contents('shop')], ['shop', before])
  })

  await t.test('reads the dump to its end without a server', async () => {
    const { message } = await restored('verified', undefined, { verify: true })
    assert.match(message, /the programs of the database have read its dumps to the end/)
  })
})
