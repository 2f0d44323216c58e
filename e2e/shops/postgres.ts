// PostgreSQL as most people run it: a StatefulSet with its Service.
import assert from 'node:assert/strict'
import { eventually } from '../../dev/eventually.ts'
import { execInPod, patience, waitFor } from '../cluster.ts'
import type { Manifest } from '../objects.ts'
import { postgres, secret } from '../stack.ts'
import type { Shop } from './shop.ts'
import { writingInPod } from './writing.ts'

export interface PostgresShop extends Shop {
  /** Rows as `psql -At` prints them. */
  readonly sql: (database: string, text: string) => Promise<string>
}

const pod = 'postgres-0'

export function postgresShop(namespace: string, password: string): PostgresShop {
  async function sql(database: string, text: string): Promise<string> {
    const psql = ['psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-U', 'postgres', '-d', database, '-c', text]
    return (await execInPod(namespace, pod, psql)).trimEnd()
  }

  return {
    preset: 'postgres',
    name: 'postgres',
    manifests: [secret(namespace, 'postgres-credentials', { password }), ...statefulPostgres(namespace)],
    sql,
    async ready() {
      await waitFor(namespace, 'statefulset/postgres', 'jsonpath={.status.readyReplicas}=1')
      await eventually('PostgreSQL to take connections', () => sql('shop', 'select 1'), { seconds: patience })
    },
    async fill() {
      await sql('postgres', accounts)
      await sql('shop', objects)
    },
    contents: database => sql(database, contents),
    whileWriting(work) {
      const write = 'insert into written select value + 1 from counter; update counter set value = value + 1'
      return writingInPod(
        { namespace, pod, once: `psql -XAtq1 -U postgres -d shop -c "${write}"` },
        async () => Number(await sql('shop', 'select value from counter')),
        work,
      )
    },
    async written(database) {
      const text = await sql(database, 'select count(*), max(id), (select value from counter) from written')
      const [rows, greatest, counted] = text.split('|').map(Number)
      return [rows ?? NaN, greatest ?? NaN, counted ?? NaN]
    },
    async drop() {
      await sql('postgres', 'drop database shop with (force)')
      await sql('postgres', 'drop role readers')
      await sql('postgres', 'drop role shopkeeper')
    },
  }
}

function statefulPostgres(namespace: string): readonly Manifest[] {
  const [pod = assert.fail(), ...others] = postgres(namespace) as readonly (Manifest & { readonly spec?: object })[]
  const labels = { app: 'postgres' }
  const template = { metadata: { labels }, spec: pod.spec }
  const spec = { serviceName: 'postgres', replicas: 1, selector: { matchLabels: labels }, template }
  return [{ apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { namespace, name: 'postgres' }, spec }, ...others]
}

const accounts = `
  create role shopkeeper login password 'x'; create role readers; grant readers to shopkeeper;
  alter role shopkeeper set work_mem to '5MB'; alter database shop owner to shopkeeper;
  grant connect on database shop to readers`

/** What a dump may miss: sequences, large objects, routines, triggers, grants. */
const objects = `
  create table item (id int primary key, name text not null);
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
  create table written (id int primary key); create table counter (value int); insert into counter values (0)`

const contents = `
  select count(*), md5(string_agg(item::text, ',' order by id)) from item;
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
  select rolname, rolcanlogin, rolconfig, (select rolpassword from pg_authid a where a.oid = r.oid) from pg_roles r
    where rolname in ('shopkeeper', 'readers') order by rolname;
  select member::regrole, roleid::regrole from pg_auth_members where roleid = 'readers'::regrole;
  select pg_get_userbyid(datdba), (select string_agg(a::text, ' ' order by a::text) from unnest(datacl) a) from pg_database where datname = current_database()`
