// What the preset of MariaDB dumps, what it refuses to dump, and what `verify` finds, against a real server.
import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { after, before, beforeEach, describe, test } from 'node:test'
import { startMariaDb, type MariaDbServer } from './mariadb-server.ts'
import { hostileName, makeHostileShop, quotedName } from './mariadb-shop.ts'
import { makePresetStage, type PresetRun, type PresetStage } from './preset-stage.ts'

type Environment = Readonly<Record<string, string>>

describe('the dump of MariaDB', { timeout: 600_000 }, () => {
  let server: MariaDbServer
  let stage: PresetStage
  before(async () => {
    stage = await makePresetStage('mariadb')
    server = await startMariaDb()
  })
  after(async () => {
    await server?.stop()
    await stage?.remove()
  })
  beforeEach(() => server.clear())

  const dump = (environment: Environment = {}) => stage.run('dump', { ...server.environment, ...environment })
  async function dumped(environment: Environment = {}) {
    const run = await dump(environment)
    assert.equal(run.status, 0, run.stderr)
    return run
  }
  function assertRefused(run: PresetRun, reason: string, sentence: RegExp) {
    assert.deepEqual([...run.artifacts.keys()], ['.refused'], 'nothing was dumped')
    assert.deepEqual([run.status, run.refusal?.reason], [65, reason], run.stderr)
    assert.match(run.refusal?.sentence ?? '', sentence)
  }
  const lastLine = (run: PresetRun, name: string) => String(run.artifacts.get(name)).trimEnd().split('\n').at(-1) ?? ''

  test('is an artifact of each database, with its facts before it, and one of the accounts', async () => {
    await makeHostileShop(server)
    // A name that accounts could be taken for.
    await server.sql('CREATE DATABASE mysql_users; CREATE TABLE mysql_users.t (i INT)')
    const run = await dumped()
    const names = [
      '.engine',
      '.facts/mysql_users.sql',
      'mysql_users.sql',
      `.facts/${hostileName}.sql`,
      `${hostileName}.sql`,
      'mysql.sql',
    ]
    assert.deepEqual([...run.artifacts.keys()], names)
    for (const name of names.filter(name => !name.startsWith('.')))
      assert.match(lastLine(run, name), /^-- Dump completed/)
    const engine = JSON.parse(String(run.artifacts.get('.engine'))) as Record<string, string>
    assert.equal(engine.preset, 'mariadb')
    assert.match(engine.serverVersion ?? '', /^10\.11\.\d+-MariaDB/)
    assert.match(engine.clientVersion ?? '', /^10\.11\.\d+-MariaDB$/)
    const facts = JSON.parse(String(run.artifacts.get(`.facts/${hostileName}.sql`))) as Record<string, unknown>
    const { tables, ...others } = facts as { tables: readonly Record<string, unknown>[] }
    const counts = { views: 3, routines: 2, triggers: 3, events: 2 }
    assert.deepEqual(others, { database: hostileName, charset: 'latin1', collation: 'latin1_german2_ci', ...counts })
    assert.deepEqual(
      tables.map(({ rows: _, ...table }) => table),
      ['child `x', 'history', 'logged', 'numbered', 'numbers', 'parent', 'parts'].map(name => ({
        schema: hostileName,
        name,
        exact: false,
        engine: 'InnoDB',
      })),
    )
    assert.ok(![...run.artifacts.values()].some(artifact => artifact.includes(server.environment.MYSQL_PWD ?? '')))
    assert.ok(!run.stderr.includes(server.environment.MYSQL_PWD ?? ''))
  })

  test('can be loaded by hand, with nothing but the client', async () => {
    await makeHostileShop(server)
    await server.sql(
      'CREATE DATABASE plain; CREATE TABLE plain.t (i INT); INSERT INTO plain.t VALUES (1); CREATE EVENT plain.e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1; CREATE TRIGGER plain.r BEFORE INSERT ON plain.t FOR EACH ROW SET NEW.i = 2',
    )
    const [content, run] = [await server.content('plain'), await dumped({ BACKUP_DATABASES: 'plain' })]
    await server.sql('DROP DATABASE plain; CREATE DATABASE plain')
    await server.sql(`USE plain;\n${String(run.artifacts.get('plain.sql'))}`)
    assert.equal(await server.content('plain'), content)
  })

  test('takes the databases that it is told, without those that are excluded, and leaves accounts out', async () => {
    for (const name of ['one', 'two', 'Two', 'three'])
      await server.sql(`CREATE DATABASE ${name}; CREATE TABLE ${name}.t (i INT)`)
    const names = async (environment: Environment) =>
      [...(await dumped(environment)).artifacts.keys()].filter(name => !name.startsWith('.'))
    assert.deepEqual(await names({ BACKUP_DATABASES: 'two\none\n', BACKUP_EXCLUDE: 'one' }), ['two.sql', 'mysql.sql'])
    assert.deepEqual(await names({ BACKUP_EXCLUDE: 'two\nnever there', BACKUP_USERS: 'false' }), [
      'one.sql',
      'three.sql',
      'Two.sql',
    ])
    assertRefused(await dump({ BACKUP_DATABASES: 'TWO\none' }), 'DatabaseMissing', /TWO/)
  })

  test('reads the password from a file, and says when it cannot log in or reach the server', async () => {
    await server.sql('CREATE DATABASE one')
    const file = `${stage.folder}/password`
    await writeFile(file, `${server.environment.MYSQL_PWD}\n`)
    await dumped({ MYSQL_PWD: 'wrong', BACKUP_PASSWORD_FILE: file })
    assertRefused(await dump({ MYSQL_PWD: 'wrong' }), 'LoginRefused', /admin.*1045/)
    assertRefused(await dump({ BACKUP_PASSWORD_FILE: `${file}.none` }), 'LoginRefused', /cannot be read/)
    assertRefused(await dump({ MYSQL_TCP_PORT: '1' }), 'ServerUnreachable', /127\.0\.0\.1:1.*2002/)
    assert.deepEqual(await readdir(`${stage.folder}/tmp`), [], 'no file is left behind')
  })

  test('is refused to a client that is older than the server, to one of another kind, and without one', async () => {
    await server.sql('CREATE DATABASE one')
    const saying = async (version: string) => {
      const program = (name: string) =>
        `[ "$2" = --version ] && { echo '${version}'; exit; }; exec "${server.programs}/${name}" "$@"`
      return stage.programs({ mariadb: program('mariadb'), 'mariadb-dump': program('mariadb-dump') })
    }
    const old = await saying('mariadb-dump  Ver 10.19 Distrib 10.6.16-MariaDB, for debian-linux-gnu (x86_64)')
    assertRefused(
      await dump({ PATH: old }),
      'ClientOlderThanServer',
      /10\.6\.16-MariaDB is older than the server 10\.11/,
    )
    const newer = await saying('mariadb-dump from 11.4.2-MariaDB, client 10.19 for debian-linux-gnu (x86_64)')
    assert.equal((await dump({ PATH: newer })).status, 0)
    const mysql = await saying('mysqldump  Ver 8.4.3 for Linux on x86_64 (MySQL Community Server - GPL)')
    assertRefused(await dump({ PATH: mysql }), 'ClientOfOtherKind', /mysql 8\.4\.3/)
    assertRefused(await dump({ PATH: '/nonexistent' }), 'ClientMissing', /mariadb-dump/)
  })

  test('is refused where something could not be brought back', async () => {
    const cases: readonly (readonly [string, string, RegExp])[] = [
      ['CREATE DATABASE one; CREATE TABLE one.m (i INT) ENGINE=MyISAM', 'NonTransactionalTables', /one\.m \(MyISAM\)/],
      [
        'CREATE DATABASE one; USE one; CREATE TABLE t (i INT, j INT); CREATE VIEW `v/i` AS SELECT i FROM t; CREATE VIEW fine AS SELECT j FROM t; ALTER TABLE t DROP i',
        'ViewInvalid',
        /one\.v\/i;/,
      ],
      ['CREATE DATABASE `one\ntwo`', 'NameUnsupported', /one\?two/],
      ['CREATE DATABASE one; CREATE TABLE one.`a\nb` (i INT)', 'NameUnsupported', /line break/],
      ['CREATE DATABASE `.engine`', 'NameUnsupported', /begins with a dot: \.engine/],
      ['SELECT 1', 'NothingToDump', /nothing to back up/],
      [
        "CREATE DATABASE one; CREATE DATABASE one_restoring_x; CREATE TABLE one_restoring_x._backup_restore_x (kind TEXT, body LONGBLOB); INSERT INTO one_restoring_x._backup_restore_x VALUES ('ready', 'one')",
        'RestoreUnfinished',
        /content of one,/,
      ],
    ]
    for (const [sql, reason, sentence] of cases) {
      await server.clear()
      await server.sql(sql)
      assertRefused(await dump(), reason, sentence)
    }
    await server.clear()
    await server.sql('CREATE DATABASE one; CREATE TABLE one.m (i INT) ENGINE=MyISAM')
    await dumped({ BACKUP_ALLOW_NON_TRANSACTIONAL: 'true' })
  })

  test('needs no more than the rights that are documented, and names each that is missing', async () => {
    await makeHostileShop(server)
    const rights = ['SELECT', 'SHOW VIEW', 'TRIGGER', 'EVENT']
    await server.sql("CREATE USER backup@'%' IDENTIFIED BY 'x'")
    const account = { BACKUP_USER: 'backup', MYSQL_PWD: 'x' }
    const whole = await dumped()
    for (const missing of rights) {
      await server.sql(
        `REVOKE ALL, GRANT OPTION FROM backup@'%'; GRANT ${rights.filter(right => right !== missing).join(', ')} ON *.* TO backup@'%'`,
      )
      assertRefused(
        await dump(account),
        'RightsMissing',
        new RegExp(`lacks ${missing} .*GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON \\*\\.\\* TO \`backup\``),
      )
    }
    await server.sql(`GRANT ${rights.join(', ')} ON *.* TO backup@'%'`)
    assertRefused(await dump(account), 'ViewInvalid', /\.A; .*GRANT EXECUTE ON FUNCTION/)
    await server.sql(`GRANT EXECUTE ON FUNCTION ${quotedName}.seven TO backup@'%'`)
    const mine = await dumped(account)
    const text = (run: PresetRun) =>
      String(run.artifacts.get(`${hostileName}.sql`)).replaceAll(/^-- Dump completed on .*$/gm, '')
    assert.equal(text(mine), text(whole), 'nothing is hidden from it')
    await server.sql(`REVOKE ALL, GRANT OPTION FROM backup@'%'; CREATE DATABASE shop_1; CREATE TABLE shop_1.t (i INT);
      GRANT ${rights.join(', ')} ON \`shop\\_1\`.* TO backup@'%'`)
    const one = { ...account, BACKUP_DATABASES: 'shop_1', BACKUP_USERS: 'false' }
    assertRefused(await dump(one), 'RightsMissing', /GRANT SELECT ON mysql\.proc/)
    await server.sql("GRANT SELECT ON mysql.proc TO backup@'%'")
    assert.deepEqual([...(await dumped(one)).artifacts.keys()], ['.engine', '.facts/shop_1.sql', 'shop_1.sql'])
    assertRefused(await dump({ ...one, BACKUP_DATABASES: '' }), 'RightsMissing', /lacks SELECT/)
    assertRefused(await dump({ ...one, BACKUP_USERS: 'true' }), 'RightsMissing', /mysql\.\*/)
  })

  test('fails when the client ends early, whatever it says', async () => {
    await server.sql('CREATE DATABASE one; CREATE TABLE one.t (i INT)')
    for (const [how, status] of [
      ['| head -c 700', 74],
      ['| head -c 700; exit 0', 74],
      ['; exit 3', 3],
    ] as const) {
      const short = `case $* in *--routines*) "${server.programs}/mariadb-dump" "$@" ${how} ;; *) exec "${server.programs}/mariadb-dump" "$@" ;; esac`
      const path = await stage.programs({ 'mariadb-dump': short })
      const run = await dump({ PATH: `${path}:${server.programs}` })
      assert.equal(run.status, status, run.stderr)
    }
  })

  test('is verified without a server: its end, and the tables that its facts name', async () => {
    await makeHostileShop(server)
    const whole = await dumped()
    const verify = (from: typeof whole | Awaited<ReturnType<PresetStage['changed']>>) =>
      stage.run('verify', { PATH: '/nonexistent' }, from)
    const good = await verify(whole)
    assert.equal(good.status, 0, good.stderr)
    assert.deepEqual((good.result as { databases: unknown }).databases, [{ database: hostileName, tables: 7 }])
    const dump = whole.artifacts.get(`${hostileName}.sql`) ?? Buffer.of()
    const cut = await stage.changed(whole, { [`${hostileName}.sql`]: dump.subarray(0, -30) })
    const lacking = await stage.changed(whole, {
      [`${hostileName}.sql`]: String(dump).replace('CREATE TABLE `parts`', 'CREATE TABLE `others`'),
    })
    for (const [from, reason, sentence] of [
      [cut, 'DumpIncomplete', /without its last line/],
      [lacking, 'TablesMissing', /: parts;/],
    ] as const)
      assertRefused(await verify(from), reason, sentence)
  })
})
