// Databases that the preset of PostgreSQL brings back: new, over existing ones, and what it refuses, against a real server.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { contentOf, hostileName, hostileRole, identifier, makeHostileShop, propertiesOf } from './hostile-shop.ts'
import { startPostgres, type PostgresServer } from './postgres-server.ts'
import { makePresetStage, type Environment, type PresetRun, type PresetStage, type Stored } from './preset-stage.ts'

describe('the restore of PostgreSQL', { timeout: 300_000 }, () => {
  let server: PostgresServer
  let stage: PresetStage
  let backup: PresetRun
  let content: string
  let restores = 0
  before(async () => {
    stage = await makePresetStage('postgres')
    server = await startPostgres()
    await makeHostileShop(server)
    content = await contentOf(server, hostileName)
    backup = await stage.run('dump', server.environment)
    assert.equal(backup.status, 0, backup.stderr)
  })
  after(async () => {
    await server?.stop()
    await stage?.remove()
  })

  /** Each a Restore of its own, of the hostile database unless the environment says otherwise. */
  const restore = (environment: Environment, from: Stored = backup) =>
    stage.run(
      'restore',
      {
        ...server.environment,
        BACKUP_RESTORE_ID: `r${++restores}`,
        BACKUP_RESTORE_UID: `uid-${restores}`,
        BACKUP_DATABASE: hostileName,
        ...environment,
      },
      from,
    )
  const databases = () => server.sql('postgres', `SELECT datname FROM pg_database ORDER BY datname COLLATE "C"`)
  const literal = (name: string) => `'${name.replaceAll("'", "''")}'`
  const drop = (name: string) => server.sql('postgres', `DROP DATABASE ${identifier(name)} WITH (FORCE)`)
  /** The backup, with facts of the hostile database changed. */
  const withFacts = (facts: Record<string, unknown>) => {
    const name = `.facts/${hostileName}.dump`
    const have = JSON.parse(String(backup.artifacts.get(name))) as Record<string, unknown>
    return stage.changed(backup, { [name]: JSON.stringify({ ...have, ...facts }) })
  }
  const refusedFor = async (run: Promise<PresetRun>) => {
    const before = await databases()
    const { status, refusal, stderr } = await run
    assert.equal(status, 65, stderr)
    assert.equal(await databases(), before, 'no database was made, renamed or dropped')
    return refusal
  }

  test('makes a new database beside the old one, with all of its content and properties', async () => {
    const run = await restore({ BACKUP_INTO: `ne=w 'one"` })
    assert.equal(run.status, 0, run.stderr)
    assert.partialDeepStrictEqual(run.result, {
      databases: [{ database: hostileName, as: `ne=w 'one"`, previous: null }],
      leftOut: [],
    })
    assert.equal(await contentOf(server, `ne=w 'one"`), content)
    assert.equal(await propertiesOf(server, `ne=w 'one"`), await propertiesOf(server, hostileName))
    assert.equal(await contentOf(server, hostileName), content)
    await drop(`ne=w 'one"`)
  })

  test('gives the restored database the encoding and locale of the dumped one', async () => {
    await server.sql(
      'postgres',
      `CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';
       CREATE DATABASE icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-AT' ENCODING UTF8`,
    )
    await server.sql('latin', `SET client_encoding TO 'UTF8'; CREATE TABLE "ä" AS SELECT 'ö' AS word`)
    const dump = await stage.run('dump', { ...server.environment, BACKUP_DATABASES: 'latin\nicu' })
    assert.equal(dump.status, 0, dump.stderr)
    await drop('latin')
    await drop('icu')
    const run = await restore({ BACKUP_DATABASE: '' }, dump)
    assert.equal(run.status, 0, run.stderr)
    assert.equal(await server.sql('latin', `SET client_encoding TO 'UTF8'; SELECT * FROM "ä"`), 'ö')
    assert.equal(
      await server.sql(
        'postgres',
        `SELECT pg_encoding_to_char(encoding), datcollate, datlocprovider, daticulocale FROM pg_database WHERE datname IN ('latin', 'icu') ORDER BY datname`,
      ),
      'UTF8|C.UTF-8|i|de-AT\nLATIN1|C|c|',
    )
    await drop('latin')
    await drop('icu')
  })

  test('replaces an existing database, and keeps the old one under a name that says by what', async () => {
    const properties = await propertiesOf(server, hostileName)
    await server.sql(hostileName, `SET default_transaction_read_only TO off; CREATE TABLE newer AS SELECT 7 AS n`)
    const changed = await contentOf(server, hostileName)
    const session = server.sql(hostileName, 'SELECT pg_sleep(600)').catch((error: unknown) => String(error))
    const run = await restore({ BACKUP_OVERWRITE: 'true', BACKUP_PREVIOUS: 'Keep' })
    assert.equal(run.status, 0, run.stderr)
    const previous = `${hostileName}_before_r${restores}`
    assert.partialDeepStrictEqual(run.result, {
      databases: [{ database: hostileName, as: hostileName, previous }],
    })
    assert.match(await session, /terminating connection due to administrator command/)
    assert.equal(await contentOf(server, hostileName), content)
    assert.equal(await propertiesOf(server, hostileName), properties)
    assert.equal(await contentOf(server, previous), changed)
    assert.equal(await propertiesOf(server, previous), properties, 'connections to it are on again')
    await drop(previous)
  })

  test('drops the old one when it is told to', async () => {
    const before = await databases()
    const run = await restore({ BACKUP_OVERWRITE: 'true', BACKUP_PREVIOUS: 'Delete' })
    assert.equal(run.status, 0, run.stderr)
    assert.equal(await databases(), before)
    assert.equal(await contentOf(server, hostileName), content)
  })

  test('fits long names of half-made and old databases into 63 bytes, apart from each other', async () => {
    const long = 'ö'.repeat(31)
    for (const name of [`${long}a`, `${long}b`]) await makeTable(name)
    const dump = await stage.run('dump', { ...server.environment, BACKUP_DATABASES: `${long}a\n${long}b` })
    assert.equal(dump.status, 0, dump.stderr)
    const run = await restore({ BACKUP_DATABASE: '', BACKUP_OVERWRITE: 'true' }, dump)
    assert.equal(run.status, 0, run.stderr)
    const { databases: made } = run.result as { databases: { as: string; previous: string }[] }
    assert.deepEqual(
      made.map(({ as }) => as),
      [`${long}a`, `${long}b`],
    )
    for (const { as, previous } of made) {
      assert.match(previous, new RegExp(`^ö{20,}_[0-9a-f]{6}_before_r${restores}$`))
      assert.ok(Buffer.byteLength(previous) <= 63)
      await drop(as)
      await drop(previous)
    }
  })

  async function makeTable(name: string) {
    await server.sql('postgres', `CREATE DATABASE ${identifier(name)}`)
    await server.sql(name, 'CREATE TABLE t AS SELECT 1 AS n')
  }

  test('takes an existing database that is empty for a place to restore into', async () => {
    await server.sql('postgres', `CREATE DATABASE vacant`)
    // What an extension has brought does not count.
    await server.sql('vacant', `CREATE EXTENSION pg_trgm; CREATE EXTENSION lo`)
    const run = await restore({ BACKUP_INTO: 'vacant' })
    assert.equal(run.status, 0, run.stderr)
    assert.equal(await contentOf(server, 'vacant'), content)
    await drop('vacant')
    await drop(`vacant_before_r${restores}`)
  })

  for (const [what, sql] of [
    ['a table', 'CREATE TABLE t ()'],
    ['a view', 'CREATE VIEW v AS SELECT 1'],
    ['a sequence', 'CREATE SEQUENCE s'],
    ['a routine', `CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'`],
    ['a large object', 'SELECT lo_create(0)'],
  ] as const)
    test(`does not touch a database with ${what} without overwrite`, async () => {
      await server.sql('postgres', `CREATE DATABASE taken`)
      await server.sql('taken', sql)
      const refusal = await refusedFor(restore({ BACKUP_INTO: 'taken' }))
      assert.equal(refusal?.reason, 'TargetNotEmpty')
      assert.match(refusal?.sentence ?? '', /overwrite: true/)
      await drop('taken')
    })

  test('refuses a database that the backup does not have, and lists those that it has', async () => {
    const refusal = await refusedFor(restore({ BACKUP_DATABASE: 'shop' }))
    assert.equal(refusal?.reason, 'NotInBackup')
    assert.match(refusal?.sentence ?? '', /It has: postgres we ird/)
  })

  test('refuses one new name for several databases', async () => {
    const refusal = await refusedFor(restore({ BACKUP_DATABASE: '', BACKUP_INTO: 'one' }))
    assert.equal(refusal?.reason, 'DatabaseAmbiguous')
  })

  for (const [name, reason] of [
    ['ö'.repeat(32), 'NameTooLong'],
    ['line\nend', 'DatabaseNameUnsupported'],
    ['.hidden', 'DatabaseNameUnsupported'],
  ] as const)
    test(`refuses the new name ${JSON.stringify(name)}`, async () => {
      assert.equal((await refusedFor(restore({ BACKUP_INTO: name })))?.reason, reason)
    })

  test('refuses what an older client cannot read, and an older server cannot run', async () => {
    const engine = (versions: Record<string, string>) =>
      stage.changed(backup, {
        '.engine': JSON.stringify({ preset: 'postgres', serverVersion: '15.2', clientVersion: '15.2', ...versions }),
      })
    const client = await refusedFor(restore({ BACKUP_INTO: 'x' }, await engine({ clientVersion: '17.1' })))
    assert.equal(client?.reason, 'ClientOlder')
    const older = await refusedFor(restore({ BACKUP_INTO: 'x' }, await engine({ serverVersion: '16beta1' })))
    assert.equal(older?.reason, 'ServerOlder')
    assert.match(older?.sentence ?? '', /version 16beta1.*into PostgreSQL 16 or newer/)
  })

  test('refuses a database with an extension that the server does not have', async () => {
    const facts = await withFacts({
      extensions: [
        { name: `no'where`, version: '1' },
        { name: 'pg_trgm', version: '1.6' },
      ],
    })
    const refusal = await refusedFor(restore({ BACKUP_INTO: 'x' }, facts))
    assert.equal(refusal?.reason, 'ExtensionMissing')
    assert.match(refusal?.sentence ?? '', /does not have: no'where\./)
  })

  test('refuses a database whose roles the server does not have', async () => {
    const refusal = await refusedFor(restore({ BACKUP_INTO: 'x' }, await withFacts({ roles: ['readers', 'gone'] })))
    assert.equal(refusal?.reason, 'RolesMissing')
    assert.match(refusal?.sentence ?? '', /does not have: gone\. .*globals: true/)
  })

  test('refuses a login that may not make databases or give objects to their owners', async () => {
    await server.sql('postgres', `CREATE ROLE humble LOGIN PASSWORD 'h'`)
    const refusal = await refusedFor(restore({ BACKUP_INTO: 'x', PGUSER: 'humble', PGPASSWORD: 'h' }))
    assert.equal(refusal?.reason, 'RightsMissing')
    assert.match(refusal?.sentence ?? '', /ALTER ROLE humble CREATEDB.*GRANT "r o'l""e=ö" TO humble/)
    await server.sql('postgres', 'DROP ROLE humble')
  })

  test('is done by a login without superuser that is a member of the owners', async () => {
    await makeTable('modest')
    await server.sql(
      'postgres',
      `CREATE ROLE owner_of_it; CREATE ROLE humble LOGIN CREATEDB PASSWORD 'h'; GRANT owner_of_it TO humble;
       ALTER DATABASE modest OWNER TO owner_of_it; ALTER DATABASE modest SET work_mem TO '6MB'; ALTER DATABASE modest SET log_min_duration_statement TO 5`,
    )
    await server.sql('modest', `ALTER TABLE t OWNER TO owner_of_it; CREATE EXTENSION pg_trgm`)
    const dump = await stage.run('dump', { ...server.environment, BACKUP_DATABASES: 'modest' })
    const run = await restore(
      { BACKUP_DATABASE: '', BACKUP_OVERWRITE: 'true', PGUSER: 'humble', PGPASSWORD: 'h' },
      dump,
    )
    assert.equal(run.status, 0, run.stderr)
    assert.partialDeepStrictEqual(run.result, { leftOut: ['modest: the setting log_min_duration_statement'] })
    assert.equal(
      await server.sql(
        'modest',
        `SELECT pg_get_userbyid(relowner), current_setting('work_mem') FROM pg_class WHERE relname = 't'`,
      ),
      'owner_of_it|6MB',
    )
    await drop('modest')
    await drop(`modest_before_r${restores}`)
    await server.sql('postgres', 'DROP ROLE humble, owner_of_it')
  })

  describe('whose old database is in use by what a rename would mislead', () => {
    before(() => makeTable('bound'))
    after(() => drop('bound'))
    const bound = { BACKUP_INTO: 'bound', BACKUP_OVERWRITE: 'true' }
    const blocks: readonly (readonly [what: string, make: string, end: string, said: RegExp])[] = [
      [
        'a logical replication slot',
        `SELECT pg_create_logical_replication_slot('held', 'pgoutput')`,
        `SELECT pg_drop_replication_slot('held')`,
        /the logical replication slot held/,
      ],
      [
        'a subscription',
        `CREATE SUBSCRIPTION fed CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)`,
        'DROP SUBSCRIPTION fed',
        /the subscription fed/,
      ],
      [
        'a prepared transaction',
        `BEGIN; CREATE TABLE undecided (); PREPARE TRANSACTION 'pending'`,
        `ROLLBACK PREPARED 'pending'`,
        /the prepared transaction pending/,
      ],
    ]
    for (const [what, make, end, said] of blocks)
      test(`is refused because of ${what}`, async () => {
        await server.sql('bound', make)
        const refusal = await refusedFor(restore(bound))
        assert.equal(refusal?.reason, 'SwapBlocked')
        assert.match(refusal?.sentence ?? '', said)
        await server.sql('bound', end)
      })

    test('is refused when it takes no connections, which nobody but its owner may change', async () => {
      await server.sql('postgres', 'ALTER DATABASE bound ALLOW_CONNECTIONS false')
      const refusal = await refusedFor(restore(bound))
      assert.equal(refusal?.reason, 'SwapBlocked')
      assert.match(refusal?.sentence ?? '', /ALTER DATABASE "bound" ALLOW_CONNECTIONS true/)
      await server.sql('postgres', 'ALTER DATABASE bound ALLOW_CONNECTIONS true')
    })
  })

  test('brings back everything of the server, over all that is there', async () => {
    await server.sql('postgres', 'CREATE TABLE also (n int)')
    const dump = await stage.run('dump', server.environment)
    const run = await restore({ BACKUP_DATABASE: '', BACKUP_OVERWRITE: 'true', BACKUP_PREVIOUS: 'Delete' }, dump)
    assert.equal(run.status, 0, run.stderr)
    assert.partialDeepStrictEqual(run.result, {
      databases: [
        { database: 'postgres', as: 'postgres', previous: null },
        { database: hostileName, as: hostileName, previous: null },
      ],
    })
    assert.equal(await contentOf(server, hostileName), content)
    await server.sql('postgres', 'DROP TABLE also')
  })

  test('does not restore subscriptions, and says so', async () => {
    await makeTable('subscriber')
    await server.sql(
      'subscriber',
      `CREATE SUBSCRIPTION fed CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)`,
    )
    const dump = await stage.run('dump', { ...server.environment, BACKUP_DATABASES: 'subscriber' })
    const run = await restore({ BACKUP_DATABASE: '', BACKUP_INTO: 'copy' }, dump)
    assert.equal(run.status, 0, run.stderr)
    assert.partialDeepStrictEqual(run.result, {
      leftOut: ['subscriber: 1 subscriptions, which a copy must not take up by itself'],
    })
    assert.equal(
      await server.sql('postgres', `SELECT datname FROM pg_subscription JOIN pg_database d ON d.oid = subdbid`),
      'subscriber',
    )
    await server.sql('subscriber', 'DROP SUBSCRIPTION fed')
    await drop('subscriber')
    await drop('copy')
  })

  test('replaces nothing when the archive ends early, or has other rows than were counted', async () => {
    const whole = backup.artifacts.get(`${hostileName}.dump`) ?? Buffer.alloc(0)
    const before = await databases()
    const cut = await stage.changed(backup, { [`${hostileName}.dump`]: whole.subarray(0, whole.length - 9000) })
    const early = await restore({ BACKUP_OVERWRITE: 'true' }, cut)
    assert.notEqual(early.status, 0)
    assert.equal(early.result, undefined)
    const facts = await withFacts({ tables: [{ schema: 'odd "one', name: 'orders', rows: 301, exact: true }] })
    const other = await restore({ BACKUP_OVERWRITE: 'true' }, facts)
    assert.equal(other.refusal?.reason, 'ContentDiffers')
    assert.match(other.refusal?.sentence ?? '', /"odd ""one"\.orders.*Nothing was replaced/)
    assert.equal(await databases(), before, 'what was half made is gone')
    assert.equal(await contentOf(server, hostileName), content)
  })

  test('rests on this: both renames of a swap are done in one transaction, or none', async () => {
    await server.sql('postgres', 'CREATE DATABASE first')
    await server.sql('postgres', 'CREATE DATABASE second')
    const oids = () =>
      server.sql(
        'postgres',
        `SELECT datname, oid FROM pg_database WHERE datname IN ('first', 'second', 'aside') ORDER BY 1`,
      )
    const before = await oids()
    const renames = `ALTER DATABASE first RENAME TO aside; ALTER DATABASE second RENAME TO first; COMMENT ON DATABASE first IS 'it';`
    await server.sql('postgres', `BEGIN; ${renames} ROLLBACK`)
    assert.equal(await oids(), before)
    // Who asks from elsewhere sees neither before the end.
    const during = await server.sql(
      'postgres',
      `BEGIN; ${renames}\n\\! psql -XAtqw -d postgres -c "SELECT count(*) FROM pg_database WHERE datname = 'aside'"\nCOMMIT;`,
    )
    assert.equal(during, '0')
    assert.equal((await oids()).replaceAll(/\d+/g, ''), 'aside|\nfirst|')
    await drop('aside')
    await drop('first')
  })

  test("takes a database of this Restore's half-made name for its own only while it is empty", async () => {
    const name = `mine_restoring_r${restores + 1}`
    await makeTable(name)
    const refusal = await refusedFor(restore({ BACKUP_INTO: 'mine' }))
    assert.equal(refusal?.reason, 'SwapBlocked')
    await server.sql(name, 'DROP TABLE t')
    const run = await restore({
      BACKUP_INTO: 'mine',
      BACKUP_RESTORE_ID: `r${restores}`,
      BACKUP_RESTORE_UID: `uid-${restores}`,
    })
    assert.equal(run.status, 0, run.stderr)
    assert.equal(await server.sql('postgres', `SELECT count(*) FROM pg_database WHERE datname = ${literal(name)}`), '0')
    assert.equal(await contentOf(server, 'mine'), content)
    await drop('mine')
  })

  test('finds the roles in the globals, on a server that has none of them', async () => {
    const empty = await startPostgres()
    try {
      const without = await restore({ ...empty.environment, BACKUP_DATABASE: '' })
      assert.equal(without.refusal?.reason, 'RolesMissing')
      const run = await restore({ ...empty.environment, BACKUP_DATABASE: '', BACKUP_GLOBALS: 'true' })
      assert.equal(run.status, 0, run.stderr)
      assert.equal(await contentOf(empty, hostileName), content)
      assert.equal(await propertiesOf(empty, hostileName), await propertiesOf(server, hostileName))
      const roles = `SELECT rolname, rolcanlogin, rolpassword, shobj_description(oid, 'pg_authid'), (SELECT setconfig FROM pg_db_role_setting WHERE setrole = a.oid AND setdatabase = 0)
        FROM pg_authid a WHERE rolname IN (${literal(hostileRole)}, 'readers') ORDER BY 1`
      assert.equal(await empty.sql('postgres', roles), await server.sql('postgres', roles))
    } finally {
      await empty.stop()
    }
  })
})
