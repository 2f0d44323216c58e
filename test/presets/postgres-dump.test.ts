// What the preset of PostgreSQL dumps and what it refuses to dump, against a real server.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { hostileName, hostileRole, makeHostileShop } from './hostile-shop.ts'
import { startPostgres, type PostgresServer } from './postgres-server.ts'
import { makePresetStage, type PresetRun, type PresetStage } from './preset-stage.ts'

describe('the dump of PostgreSQL', { timeout: 300_000 }, () => {
  let server: PostgresServer
  let stage: PresetStage
  before(async () => {
    stage = await makePresetStage('postgres')
    server = await startPostgres()
    await makeHostileShop(server)
  })
  after(async () => {
    await server?.stop()
    await stage?.remove()
  })

  const dump = (environment: Readonly<Record<string, string>> = {}) =>
    stage.run('dump', { ...server.environment, ...environment })
  const factsOf = (run: PresetRun, name: string) =>
    JSON.parse(String(run.artifacts.get(`.facts/${name}.dump`))) as Record<string, unknown>
  const refusedFor = ({ status, refusal, artifacts }: PresetRun) => {
    assert.deepEqual([...artifacts.keys()], ['.refused'], 'nothing was dumped')
    assert.equal(status, 65)
    return refusal?.reason
  }

  test('is the globals, and an archive of each database with its facts before it', async () => {
    const run = await dump()
    assert.equal(run.status, 0, run.stderr)
    assert.equal(run.stderr, '')
    assert.deepEqual(
      [...run.artifacts.keys()],
      [
        '.engine',
        '.facts/globals.sql',
        'globals.sql',
        '.facts/postgres.dump',
        'postgres.dump',
        `.facts/${hostileName}.dump`,
        `${hostileName}.dump`,
      ],
    )
    const engine = JSON.parse(String(run.artifacts.get('.engine'))) as Record<string, string>
    assert.equal(engine.preset, 'postgres')
    assert.match(engine.serverVersion ?? '', /^15\.\d+$/)
    assert.match(engine.clientVersion ?? '', /^15\.\d+$/)
    assert.deepEqual(JSON.parse(String(run.artifacts.get('.facts/globals.sql'))), { rolePasswords: true })
    assert.match(String(run.artifacts.get('globals.sql')), /PASSWORD 'SCRAM/)
    const { size, tables, ...facts } = factsOf(run, hostileName)
    assert.ok(Number(size) > 7_000_000)
    const schema = 'odd "one'
    assert.deepEqual(
      (tables as Record<string, unknown>[]).map(({ oid, ...table }) => {
        assert.ok(Number(oid) >= 16384)
        return table
      }),
      [
        { schema, name: 'measures_2026', rows: 100, exact: true },
        { schema, name: 'orders', rows: 300, exact: true },
        { schema, name: "ta.b'le", rows: 500, exact: true },
      ],
    )
    assert.partialDeepStrictEqual(facts, {
      database: hostileName,
      owner: hostileRole,
      encoding: 'UTF8',
      collate: 'C.UTF-8',
      ctype: 'C.UTF-8',
      comment: "the shop's",
      connectionLimit: 17,
      empty: false,
      sequences: 3,
      largeObjects: 1,
      subscriptions: 0,
      roles: [hostileRole, 'readers'],
    })
    assert.equal(factsOf(run, 'postgres').empty, true)
  })

  test('takes the databases that are named, and leaves out those that are excluded', async () => {
    const named = await dump({ BACKUP_DATABASES: `${hostileName}\npostgres\n`, BACKUP_EXCLUDE: 'postgres' })
    assert.deepEqual(
      [...named.artifacts.keys()].filter(name => !name.startsWith('.')),
      ['globals.sql', `${hostileName}.dump`],
    )
    assert.equal(refusedFor(await dump({ BACKUP_DATABASES: 'shop' })), 'DatabaseMissing')
    assert.equal(
      refusedFor(await dump({ BACKUP_DATABASES: 'postgres', BACKUP_EXCLUDE: 'postgres' })),
      'DatabaseMissing',
    )
  })

  test('counts in the very snapshot that it dumps', async () => {
    await server.sql('postgres', 'CREATE DATABASE busy')
    await server.sql('busy', 'CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 10)')
    const programs = await stage.programs({
      pg_dump: `[ "$1" = --version ] || psql -XAtqw -c 'INSERT INTO t VALUES (0)' </dev/null
exec ${server.programs}/pg_dump "$@"`,
    })
    const run = await dump({ PATH: `${programs}:${server.environment.PATH}`, BACKUP_DATABASES: 'busy' })
    assert.equal(run.status, 0, run.stderr)
    assert.equal(await server.sql('busy', 'SELECT count(*) FROM t'), '11')
    const [table] = factsOf(run, 'busy').tables as { rows: number }[]
    assert.equal(table?.rows, 10)
    // A restore counts again, and refuses what differs.
    const restored = await stage.run(
      'restore',
      { ...server.environment, BACKUP_RESTORE_ID: 'busy', BACKUP_RESTORE_UID: 'u', BACKUP_INTO: 'calm' },
      run,
    )
    assert.equal(restored.status, 0, restored.stderr)
    assert.equal(await server.sql('calm', 'SELECT count(*) FROM t'), '10')
    await server.sql('postgres', 'DROP DATABASE busy')
    await server.sql('postgres', 'DROP DATABASE calm')
  })

  test('marks the rows of large tables as an estimate, and says how many tables it left out', async () => {
    await server.sql('postgres', 'CREATE DATABASE large')
    await server.sql(
      'large',
      `CREATE SCHEMA a; CREATE TABLE a.big AS SELECT repeat(md5(n::text), 50) AS filler FROM generate_series(1, 70000) n;
       ANALYZE a.big;
       SELECT format('CREATE TABLE %I ()', lpad(n::text, 60, E'\\x01')) FROM generate_series(1, 2400) n \\gexec
      `,
    )
    const run = await dump({ BACKUP_DATABASES: 'large' })
    assert.equal(run.status, 0, run.stderr)
    const { tables, tablesLeftOut } = factsOf(run, 'large') as { tables: unknown[]; tablesLeftOut: number }
    assert.partialDeepStrictEqual(tables[0], { name: 'big', rows: 70000, exact: false })
    assert.ok(tablesLeftOut > 0)
    assert.equal(tables.length + tablesLeftOut, 2401)
    const { length } = run.artifacts.get('.facts/large.dump') ?? []
    assert.ok(length && length < 1024 * 1024 && length > 800_000, 'a message has at most 1 MiB')
    await server.sql('postgres', 'DROP DATABASE large')
  })

  test('comes from a hot standby as well', async () => {
    await server.sql(
      hostileName,
      `SET default_transaction_read_only TO off; CREATE UNLOGGED TABLE volatile AS SELECT 1`,
    )
    const standby = await server.startStandby()
    try {
      const run = await stage.run('dump', { ...standby.environment, BACKUP_DATABASES: hostileName })
      assert.equal(run.status, 0, run.stderr)
      const target = { BACKUP_RESTORE_ID: 's', BACKUP_RESTORE_UID: 's', BACKUP_INTO: 'copy' }
      const restored = await stage.run('restore', { ...standby.environment, ...target }, run)
      assert.equal(restored.refusal?.reason, 'ServerReadOnly')
      const back = await stage.run('restore', { ...server.environment, ...target }, run)
      assert.equal(back.status, 0, back.stderr)
      await server.sql('postgres', 'DROP DATABASE copy')
      const tables = factsOf(run, hostileName).tables as { name: string; rows: number; exact: boolean }[]
      assert.deepEqual(
        tables.map(({ name, rows, exact }) => [name, rows, exact]),
        [
          ['measures_2026', 100, true],
          ['orders', 300, true],
          ["ta.b'le", 500, true],
          ['volatile', 0, false],
        ],
      )
    } finally {
      await standby.stop()
      await server.sql(hostileName, `SET default_transaction_read_only TO off; DROP TABLE volatile`)
    }
  })

  test('names its reason when the server cannot be reached, or refuses the login', async () => {
    const unreachable = await dump({ PGPORT: '1' })
    assert.equal(refusedFor(unreachable), 'ServerUnreachable')
    assert.match(unreachable.refusal?.sentence ?? '', /Connection refused/)
    const password = await dump({ PGPASSWORD: 'wrong' })
    assert.equal(refusedFor(password), 'LoginRefused')
    assert.match(password.refusal?.sentence ?? '', /password authentication failed.*Secret/)
    assert.doesNotMatch(password.stderr, /wrong/)
  })

  test('is refused when pg_dump is older than the server', async () => {
    const programs = await stage.programs({ pg_dump: `echo 'pg_dump (PostgreSQL) 14.9 (Debian 14.9-1)'` })
    const run = await dump({ PATH: `${programs}:${server.environment.PATH}` })
    assert.equal(refusedFor(run), 'ClientOlderThanServer')
    assert.match(run.refusal?.sentence ?? '', /pg_dump 14\.9 .*version 15.*image of PostgreSQL 15 or newer/)
  })

  test('is refused with TimescaleDB', async () => {
    await server.sql('postgres', 'CREATE DATABASE hyper')
    await server.sql(
      'hyper',
      `CREATE EXTENSION pg_trgm; SET allow_system_table_mods TO on; UPDATE pg_extension SET extname = 'timescaledb' WHERE extname = 'pg_trgm'`,
    )
    assert.equal(refusedFor(await dump({ BACKUP_DATABASES: 'hyper' })), 'ExtensionUnsupported')
    await server.sql('postgres', 'DROP DATABASE hyper')
  })

  for (const name of ['line\nend', '.facts/postgres.dump'])
    test(`is refused for a database with the name ${JSON.stringify(name)}`, async () => {
      await server.sql('postgres', `CREATE DATABASE "${name}"`)
      const run = await dump()
      assert.equal(refusedFor(run), 'DatabaseNameUnsupported')
      assert.match(run.refusal?.sentence ?? '', /Rename the database/)
      assert.equal((await dump({ BACKUP_DATABASES: 'postgres' })).status, 0)
      await server.sql('postgres', `DROP DATABASE "${name}"`)
    })

  describe('as a role that only reads', () => {
    const login = { PGUSER: 'back"up', PGPASSWORD: 'reads' }
    before(async () => {
      await server.sql('postgres', `CREATE ROLE "back""up" LOGIN PASSWORD 'reads'; CREATE DATABASE plain`)
      await server.sql(
        'plain',
        `CREATE SCHEMA inner_ones; CREATE TABLE inner_ones.t (id serial); INSERT INTO inner_ones.t DEFAULT VALUES`,
      )
    })
    after(async () => {
      await server.sql('postgres', 'DROP DATABASE plain')
      await server.sql('postgres', 'DROP ROLE "back""up"')
    })
    const only = (database: string) => dump({ ...login, BACKUP_DATABASES: database })

    test('names what it may not read, and the GRANT that lets it', async () => {
      const run = await only('plain')
      assert.equal(refusedFor(run), 'RightsMissing')
      assert.match(
        run.refusal?.sentence ?? '',
        /: inner_ones\.t, inner_ones\.t_id_seq\. .*GRANT pg_read_all_data TO "back""up"/,
      )
    })

    test('may have each object granted; then role passwords are not in the globals, and the facts say so', async () => {
      const rights = `USAGE ON SCHEMA inner_ones, SELECT ON ALL TABLES IN SCHEMA inner_ones, SELECT ON ALL SEQUENCES IN SCHEMA inner_ones`
      for (const right of rights.split(', ')) await server.sql('plain', `GRANT ${right} TO "back""up"`)
      const run = await only('plain')
      assert.equal(run.status, 0, run.stderr)
      assert.deepEqual(JSON.parse(String(run.artifacts.get('.facts/globals.sql'))), { rolePasswords: false })
      assert.match(String(run.artifacts.get('globals.sql')), /CREATE ROLE "back""up"/)
      assert.doesNotMatch(String(run.artifacts.get('globals.sql')), /PASSWORD/)
      for (const right of rights.split(', ')) await server.sql('plain', `REVOKE ${right} FROM "back""up"`)
    })

    test('needs no more than pg_read_all_data, which reads the passwords of roles as well', async () => {
      await server.sql('postgres', 'GRANT pg_read_all_data TO "back""up"')
      const run = await only('plain')
      assert.equal(run.status, 0, run.stderr)
      assert.deepEqual(JSON.parse(String(run.artifacts.get('.facts/globals.sql'))), { rolePasswords: true })
      assert.match(String(run.artifacts.get('globals.sql')), /ALTER ROLE "back""up" .*PASSWORD 'SCRAM/)
    })

    test('needs CONNECT where PUBLIC has it not', async () => {
      const run = await only(hostileName)
      assert.equal(refusedFor(run), 'RightsMissing')
      assert.match(run.refusal?.sentence ?? '', /may not connect .*GRANT CONNECT ON DATABASE/)
    })

    test('needs each large object granted, and BYPASSRLS where row-level security is on', async () => {
      await server.sql('postgres', 'GRANT readers TO "back""up"')
      const rows = await only(hostileName)
      assert.equal(refusedFor(rows), 'RowSecurity')
      assert.match(rows.refusal?.sentence ?? '', /"odd ""one"\.orders\. .*ALTER ROLE "back""up" BYPASSRLS/)
      await server.sql('postgres', 'ALTER ROLE "back""up" BYPASSRLS')
      assert.equal((await only(hostileName)).status, 0)
      await server.sql(hostileName, `SET default_transaction_read_only TO off; SELECT lo_create(4712)`)
      const object = await only(hostileName)
      assert.equal(refusedFor(object), 'LargeObjectsUnreadable')
      assert.match(object.refusal?.sentence ?? '', /: 4712\. .*GRANT SELECT ON LARGE OBJECT/)
      await server.sql(hostileName, `SET default_transaction_read_only TO off; SELECT lo_unlink(4712)`)
    })
  })
})
