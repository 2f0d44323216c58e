// MariaDB as most people run it: a StatefulSet with its Service.
import { eventually } from '../../dev/eventually.ts'
import { execInPod, mariadbImage, patience, waitFor } from '../cluster.ts'
import type { Manifest } from '../objects.ts'
import { secret } from '../stack.ts'
import type { Shop } from './shop.ts'
import { writingInPod } from './writing.ts'

const pod = 'mariadb-0'
/** Its password is that of the container, which no command line has. */
const client =
  'MYSQL_PWD="$MARIADB_ROOT_PASSWORD" mariadb --no-defaults -h 127.0.0.1 -u root --default-character-set=utf8mb4'
const dumper = client.replace('mariadb --no-defaults', 'mariadb-dump --no-defaults')

export function mariadbShop(namespace: string, password: string): Shop {
  const inPod = (script: string, ...args: readonly string[]) =>
    execInPod(namespace, pod, ['sh', '-c', script, 'sh', ...args])
  const sql = async (database: string, text: string) =>
    (await inPod(`${client} --batch --raw --skip-column-names --comments -e "$2" "$1"`, database, text)).trimEnd()

  return {
    preset: 'mariadb',
    name: 'mariadb',
    manifests: [secret(namespace, 'mariadb-credentials', { password }), ...statefulMariaDb(namespace)],
    async ready() {
      await waitFor(namespace, 'statefulset/mariadb', 'jsonpath={.status.readyReplicas}=1')
      await eventually('MariaDB to take connections', () => sql('shop', 'select 1'), { seconds: patience })
    },
    async fill() {
      await sql('shop', objects)
    },
    async contents(database) {
      const dump = `${dumper} --compact --skip-dump-date --routines --events --triggers --hex-blob --order-by-primary --ignore-table="$1".written --ignore-table="$1".counter "$1" | sha256sum`
      const account = `show create user shopkeeper@'%'; show grants for shopkeeper@'%'; show grants for readers`
      const schema = `select default_character_set_name, default_collation_name from information_schema.schemata where schema_name = '${database}'`
      return [
        await inPod(dump, database),
        await sql(database, `${account}; ${schema}; select count(*) from item; select total()`),
      ].join('\n')
    },
    whileWriting(work) {
      const write =
        'begin; insert into written select value + 1 from counter; update counter set value = value + 1; commit'
      return writingInPod(
        { namespace, pod, once: `${client} -e "${write}" shop` },
        async () => Number(await sql('shop', 'select value from counter')),
        work,
      )
    },
    async written(database) {
      const text = await sql(database, 'select count(*), max(id), (select value from counter) from written')
      const [rows, greatest, counted] = text.split('\t').map(Number)
      return [rows ?? NaN, greatest ?? NaN, counted ?? NaN]
    },
    async drop() {
      await sql('mysql', `drop database shop; drop user shopkeeper@'%'; drop role readers`)
    },
  }
}

function statefulMariaDb(namespace: string): readonly Manifest[] {
  const labels = { app: 'mariadb' }
  const container = {
    name: 'mariadb',
    image: mariadbImage,
    imagePullPolicy: 'IfNotPresent',
    env: [
      {
        name: 'MARIADB_ROOT_PASSWORD',
        valueFrom: { secretKeyRef: { name: 'mariadb-credentials', key: 'password' } },
      },
      { name: 'MARIADB_DATABASE', value: 'shop' },
    ],
    readinessProbe: { tcpSocket: { port: 3306 }, periodSeconds: 1 },
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    volumeMounts: [{ name: 'data', mountPath: '/var/lib/mysql' }],
  }
  const spec = {
    terminationGracePeriodSeconds: 0,
    securityContext: { runAsNonRoot: true, runAsUser: 999, fsGroup: 999, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [container],
    volumes: [{ name: 'data', emptyDir: {} }],
  }
  const template = { metadata: { labels }, spec }
  const name = 'mariadb'
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { namespace, name },
      spec: { serviceName: name, replicas: 1, selector: { matchLabels: labels }, template },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace, name },
      spec: { selector: labels, ports: [{ port: 3306 }] },
    },
  ] as readonly Manifest[]
}

/** What a dump may miss: sequences, routines, triggers, events, the history of rows, grants. */
const objects = `
  create role readers; create user shopkeeper@'%' identified by 'x' with max_user_connections 7; grant readers to shopkeeper@'%';
  create table item (id int primary key, name text character set utf8mb4 not null, raw blob);
  insert into item select seq, concat(md5(seq), 'ö😀'), unhex(md5(seq)) from seq_1_to_50000;
  create table orders (id bigint auto_increment primary key, item int, foreign key (item) references item (id) on delete cascade);
  insert into orders (item) select seq from seq_1_to_500;
  create sequence tickets start 41; select nextval(tickets), nextval(tickets);
  create table history (id int primary key, v int) with system versioning; insert into history values (1, 1); update history set v = 2;
  create function total() returns int reads sql data return (select count(*) from item);
  create procedure nothing() begin end;
  create trigger noted before insert on orders for each row set new.item = new.item;
  create event never on schedule at '2037-01-01 00:00:00' on completion preserve disable do delete from orders;
  create view first_items as select id, name from item where id <= 10;
  grant select (id), update (name) on item to readers; grant execute on procedure nothing to shopkeeper@'%';
  create table written (id int primary key); create table counter (value int); insert into counter values (0)`
