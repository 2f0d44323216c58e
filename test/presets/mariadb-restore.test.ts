// What the preset of MariaDB brings back, and that it changes nothing else, against a real server.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { after, before, beforeEach, describe, test } from 'node:test'
import { startMariaDb, type MariaDbServer } from './mariadb-server.ts'
import { accountsOf, hostileName, makeHostileShop, quotedName } from './mariadb-shop.ts'
import { makePresetStage, type PresetRun, type PresetStage, type Stored } from './preset-stage.ts'

const restoreOne = { BACKUP_RESTORE_ID: 'a1b2', BACKUP_RESTORE_UID: '6b0f3a1e-0000-4000-8000-00000000a1b2' }
const restoreTwo = { BACKUP_RESTORE_ID: 'c3d4', BACKUP_RESTORE_UID: '6b0f3a1e-0000-4000-8000-00000000c3d4' }

describe('the restore of MariaDB', { timeout: 600_000 }, () => {
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

  async function dumped(): Promise<Stored> {
    const run = await stage.run('dump', server.environment)
    assert.equal(run.status, 0, run.stderr)
    return run
  }
  const restore = (from: Stored, environment: Readonly<Record<string, string>>) =>
    stage.run('restore', { ...server.environment, ...restoreOne, ...environment }, from)
  async function restored(from: Stored, environment: Readonly<Record<string, string>> = {}) {
    const run = await restore(from, environment)
    assert.equal(run.status, 0, run.stderr)
    const { seconds, ...result } = run.result as { seconds: number; databases: unknown; leftOut: readonly string[] }
    assert.ok(Number.isInteger(seconds))
    return result
  }
  function assertRefused(run: PresetRun, reason: string, sentence: RegExp) {
    assert.deepEqual([run.status, run.refusal?.reason], [65, reason], run.stderr)
    assert.match(run.refusal?.sentence ?? '', sentence)
  }
  const databases = async () =>
    (
      await server.sql(`SELECT SCHEMA_NAME FROM information_schema.SCHEMATA
        WHERE SCHEMA_NAME NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') ORDER BY 1`)
    ).split('\n')

  test('brings a lost server back: databases, code, accounts, rights', async () => {
    await makeHostileShop(server)
    await server.sql(`CREATE DATABASE users; CREATE TABLE users.t (i INT); INSERT INTO users.t VALUES (7)`)
    const [content, accounts] = [await server.content(hostileName), await accountsOf(server)]
    const from = await dumped()
    await server.clear()
    const { leftOut, databases: made } = await restored(from, { BACKUP_USERS: 'true' })
    assert.equal(await server.content(hostileName), content)
    assert.equal(await accountsOf(server), accounts)
    assert.equal(await server.sql('SELECT * FROM users.t'), '7')
    assert.deepEqual(made, [
      { database: 'users', as: 'users', previous: null },
      { database: hostileName, as: hostileName, previous: null },
    ])
    // What only root may grant.
    assert.deepEqual(
      leftOut.filter(line => !line.includes('GRANT PROXY')),
      [],
    )
  })

  test('makes a new database beside the one that is there, and says what of it cannot be', async () => {
    await makeHostileShop(server)
    const from = await dumped()
    const content = await server.content(hostileName)
    const { leftOut } = await restored(from, { BACKUP_DATABASE: hostileName, BACKUP_INTO: 'copy' })
    assert.equal(await server.content(hostileName), content)
    await server.sql(`DROP TRIGGER ${quotedName}.named`)
    const copy = (await server.content('copy')).replaceAll(`${quotedName}.`, '')
    assert.equal(copy, await server.content(hostileName))
    assert.deepEqual(
      leftOut.map(line => line.replace(/: ERROR.*/, '')),
      [
        'copy: the trigger named was not made',
        `copy: the view mixed still names the database ${hostileName}`,
        `copy: the default of numbered.id still names the database ${hostileName}`,
      ],
    )
    assert.deepEqual(await databases(), ['copy', hostileName])
    const again = await restored(from, { BACKUP_DATABASE: hostileName, BACKUP_INTO: 'copy' })
    assert.deepEqual(again.databases, [{ database: hostileName, as: 'copy', previous: null }], 'doing it again is safe')
  })

  test('takes an empty database that is there for a new one, and begins again where one was killed', async () => {
    await makeHostileShop(server)
    const [from, content] = [await dumped(), await server.content(hostileName)]
    await server.sql(`DROP DATABASE ${quotedName}; CREATE DATABASE ${quotedName}`)
    const wrapper = `"${server.programs}/mariadb" "$@"; [ "$1" = --help ] || case "$*" in *init-command*) kill -KILL 0 ;; esac`
    const path = await stage.programs({ mariadb: wrapper })
    const killed = await restore(from, { PATH: `${path}:${server.programs}` })
    assert.equal(killed.status, 137, killed.stderr)
    await restored(from)
    assert.equal(await server.content(hostileName), content)
    assert.deepEqual(await databases(), [hostileName])
  })

  for (const previous of ['Keep', 'Delete'] as const)
    test(`puts a database back over the one that is there: previous: ${previous}`, async () => {
      await makeHostileShop(server)
      const [from, content] = [await dumped(), await server.content(hostileName)]
      const rights = await accountsOf(server)
      await server.sql(`USE ${quotedName}; DROP VIEW A; DROP TABLE \`child \`\`x\`; CREATE TABLE A (i INT); DELETE FROM parent;
        DROP TRIGGER stamped; CREATE PROCEDURE mine() SELECT 3; CREATE VIEW broken AS SELECT * FROM A; DROP TABLE A;
        CREATE TABLE A (j INT); ALTER EVENT often ENABLE; ALTER DATABASE ${quotedName} COMMENT 'of mine';`)
      const former = await server.content(hostileName).catch(() => 'a view of it is broken')
      assert.equal(former, 'a view of it is broken')
      const { databases: made, leftOut } = await restored(from, { BACKUP_OVERWRITE: 'true', BACKUP_PREVIOUS: previous })
      assert.equal(await server.content(hostileName), content)
      assert.equal(await accountsOf(server), rights, 'who may call routines may still')
      const before = `${hostileName}_before_a1b2`
      const kept = previous === 'Keep' ? before : null
      assert.deepEqual(made, [{ database: hostileName, as: hostileName, previous: kept }])
      assert.deepEqual(await databases(), previous === 'Keep' ? [hostileName, before] : [hostileName])
      assert.equal(
        await server.sql(`SELECT SCHEMA_COMMENT FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '%z\`b'`),
        `of mine (restored by Restore ${restoreOne.BACKUP_RESTORE_UID})`,
      )
      if (previous === 'Delete') assert.deepEqual(leftOut, [])
      else {
        assert.deepEqual(
          leftOut.map(line => line.slice(before.length).replace(/: ERROR.*/, '')),
          [
            ': the trigger named was not made',
            ': the view broken was not kept: it refers to what was not there',
            `: the view mixed still names the database ${hostileName}`,
            `: the default of numbered.id still names the database ${hostileName}`,
            ': its events are disabled: late one, often',
          ],
        )
        const inBefore = (table: string, column: string) =>
          server.sql(
            `SELECT ${column}_NAME FROM information_schema.${table} WHERE ${column}_SCHEMA LIKE '%before%' ORDER BY 1`,
          )
        assert.equal(await inBefore('ROUTINES', 'ROUTINE'), 'mine\npro c\nseven')
        assert.equal(await inBefore('VIEWS', 'TABLE'), 'a view\nmixed')
        assert.equal(
          await server.sql(`SELECT DISTINCT STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA LIKE '%before%'`),
          'DISABLED',
        )
      }
      const again = await restored(from, { BACKUP_OVERWRITE: 'true', BACKUP_PREVIOUS: previous })
      assert.deepEqual(again, { databases: made, leftOut: [] }, 'doing it again changes nothing')
      assert.equal(await server.content(hostileName), content)
      await restored(from, { ...restoreTwo, BACKUP_OVERWRITE: 'true', BACKUP_PREVIOUS: 'Delete' })
      assert.equal(await server.content(hostileName), content)
    })

  test('names what is cut so that two stay two', async () => {
    const [a, b] = ['a', 'b'].map(end => `${'n'.repeat(62)}${end}`)
    await server.sql(
      `CREATE DATABASE ${a}; CREATE TABLE ${a}.t (i INT); CREATE DATABASE ${b}; CREATE TABLE ${b}.t (i INT)`,
    )
    const from = await dumped()
    await restored(from, { BACKUP_OVERWRITE: 'true' })
    const names = await databases()
    assert.equal(names.length, 4)
    assert.ok(names.every(name => name.length <= 64))
  })

  describe('refuses, and changes nothing:', () => {
    const shop = `CREATE DATABASE shop; CREATE TABLE shop.parent (i INT PRIMARY KEY); INSERT INTO shop.parent VALUES (1);
      CREATE DATABASE other; CREATE TABLE other.t (i INT PRIMARY KEY); INSERT INTO other.t VALUES (1)`
    let from: Stored
    before(async () => {
      await server.clear()
      await server.sql(shop)
      from = await dumped()
    })
    beforeEach(() => server.sql(shop))
    const cases: readonly (readonly [
      what: string,
      sql: string,
      environment: Record<string, string>,
      reason: string,
      sentence: RegExp,
    ])[] = [
      ['a database with content', '', { BACKUP_DATABASE: 'shop' }, 'TargetNotEmpty', /overwrite: true/],
      [
        'one with nothing but a routine',
        'DROP TABLE shop.parent; CREATE PROCEDURE shop.p() SELECT 1',
        { BACKUP_DATABASE: 'shop' },
        'TargetNotEmpty',
        /shop has content/,
      ],
      [
        'a database that the backup does not have',
        '',
        { BACKUP_DATABASE: 'Shop' },
        'NotInBackup',
        /it has other, shop/,
      ],
      ['one name for two', '', { BACKUP_INTO: 'x' }, 'IntoNeedsOneDatabase', /other, shop/],
      ["the server's own", '', { BACKUP_DATABASE: 'shop', BACKUP_INTO: 'mysql' }, 'NameUnsupported', /another name/],
      [
        'a foreign key from another database',
        'CREATE TABLE other.c (i INT, FOREIGN KEY (i) REFERENCES shop.parent (i))',
        { BACKUP_DATABASE: 'shop', BACKUP_OVERWRITE: 'true' },
        'SwapUnsupported',
        /c_ibfk_1 of other.c/,
      ],
      [
        'a foreign key to another database',
        'ALTER TABLE shop.parent ADD FOREIGN KEY (i) REFERENCES other.t (i)',
        { BACKUP_DATABASE: 'shop', BACKUP_OVERWRITE: 'true' },
        'SwapUnsupported',
        /refers to the database other/,
      ],
      [
        'a table of an engine that nobody has tried',
        'CREATE TABLE shop.m (i INT) ENGINE=MEMORY',
        { BACKUP_DATABASE: 'shop', BACKUP_OVERWRITE: 'true' },
        'SwapUnsupported',
        /shop.m has the engine MEMORY/,
      ],
      [
        'a name that somebody else has',
        'CREATE DATABASE shop_before_a1b2',
        { BACKUP_DATABASE: 'shop', BACKUP_OVERWRITE: 'true' },
        'NameTaken',
        /shop_before_a1b2/,
      ],
      [
        'accounts that the backup does not have',
        '',
        { BACKUP_DATABASE: 'shop', BACKUP_USERS: 'true' },
        'NotInBackup',
        /accounts/,
      ],
    ]
    for (const [what, sql, environment, reason, sentence] of cases)
      test(what, async () => {
        if (sql) await server.sql(sql)
        const without =
          reason === 'NotInBackup' && environment.BACKUP_USERS
            ? await stage.changed(from, { 'mysql.sql': undefined })
            : from
        const had = await databases()
        const content = await server.content('shop')
        assertRefused(await restore(without, environment), reason, sentence)
        assert.deepEqual(await databases(), had)
        assert.equal(await server.content('shop'), content)
      })

    test('a server that is older than the dump, or of another kind', async () => {
      const of = (serverVersion: string) =>
        stage.changed(from, {
          '.engine': JSON.stringify({ preset: 'mariadb', serverVersion, clientVersion: serverVersion }),
        })
      assertRefused(
        await restore(await of('11.4.2-MariaDB-ubu2404'), { BACKUP_INTO: 'x', BACKUP_DATABASE: 'shop' }),
        'ServerOlder',
        /10\.11/,
      )
      assertRefused(
        await restore(await of('8.4.3'), { BACKUP_INTO: 'x', BACKUP_DATABASE: 'shop' }),
        'OtherEngine',
        /mysql 8\.4\.3/,
      )
      assert.deepEqual(await databases(), ['other', 'shop'])
    })

    test('an account that may not make what is in the backup, before a byte of it', async () => {
      await server.sql(
        `CREATE USER small@'%' IDENTIFIED BY 'x'; GRANT ALL ON small.* TO small@'%'; GRANT SELECT ON *.* TO small@'%'`,
      )
      const account = { BACKUP_USER: 'small', MYSQL_PWD: 'x', BACKUP_DATABASE: 'shop' }
      assertRefused(await restore(from, { ...account, BACKUP_INTO: 'new' }), 'RightsMissing', /administrator/)
      assertRefused(await restore(from, { ...account, BACKUP_INTO: 'small' }), 'RightsMissing', /SET USER/)
      assert.deepEqual(await databases(), ['other', 'shop'])
    })

    test('a dump that lacks tables that its facts name, over a database', async () => {
      const empty = String(from.artifacts.get('shop.sql')).replaceAll(
        /^(CREATE TABLE|INSERT INTO|\/\*!40000 ALTER)[^;]*;$/gm,
        '',
      )
      const over = { BACKUP_DATABASE: 'shop', BACKUP_OVERWRITE: 'true' }
      const nothing = await restore(await stage.changed(from, { 'shop.sql': empty }), over)
      assertRefused(nothing, 'RestoredDiffers', /parent are not in the dump/)
      const facts = String(from.artifacts.get('.facts/shop.sql')).replace('"parent"', '"pa\\u0072ent 2"')
      const lacking = await stage.changed(from, { '.facts/shop.sql': facts })
      const content = await server.content('shop')
      assertRefused(await restore(lacking, over), 'RestoredDiffers', /parent 2 are not in the dump/)
      assert.equal(await server.content('shop'), content)
      assert.deepEqual(await databases(), ['other', 'shop'])
    })

    test('a dump that is damaged, without a word of what is in it', async () => {
      const dump = String(from.artifacts.get('shop.sql')).replace('(1)', "(1), ('secret', 2)")
      const damaged = await stage.changed(from, { 'shop.sql': dump })
      const run = await restore(damaged, { BACKUP_DATABASE: 'shop', BACKUP_OVERWRITE: 'true' })
      assert.equal(run.status, 1)
      assert.match(run.stderr, /ERROR 1136[^]*shop was not loaded/)
      assert.doesNotMatch(run.stderr, /secret/)
      assert.deepEqual(await databases(), ['other', 'shop'])
    })

    test('a dump whose foreign keys leave it, over a database', async () => {
      const dump = String(from.artifacts.get('shop.sql')).replace(
        'PRIMARY KEY (`i`)',
        'PRIMARY KEY (`i`), FOREIGN KEY (i) REFERENCES other.t (i)',
      )
      const over = { BACKUP_DATABASE: 'shop', BACKUP_OVERWRITE: 'true' }
      assertRefused(
        await restore(await stage.changed(from, { 'shop.sql': dump }), over),
        'SwapUnsupported',
        /refers to the database other/,
      )
      assert.deepEqual(await databases(), ['other', 'shop'])
    })

    for (const [what, line] of [
      ['a command of the client', '\\! touch PWNED'],
      ['one within a statement', 'SELECT 1 \\! touch PWNED\n;'],
      ['one by its name', 'system touch PWNED\n'],
      ['another one', 'tee PWNED\n'],
      ['one that reads', 'source /etc/passwd\n'],
      ['one by a letter', '\\. /etc/passwd\n'],
      ['a statement that reads', "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE parent;"],
    ] as const)
      test(`a dump with ${what}`, async () => {
        const marker = `${stage.folder}/pwned`
        const dump = String(from.artifacts.get('shop.sql')).replace(
          '-- Dump completed',
          `${line.replace('PWNED', marker)}\n-- Dump completed`,
        )
        const run = await restore(await stage.changed(from, { 'shop.sql': dump }), {
          BACKUP_DATABASE: 'shop',
          BACKUP_INTO: 'x',
        })
        assert.equal(run.status, 1, run.stderr)
        assert.match(run.stderr, /shop was not loaded/)
        assert.ok(!existsSync(marker))
        assert.deepEqual(await databases(), ['other', 'shop'], 'nothing of it is left')
      })
  })
})
