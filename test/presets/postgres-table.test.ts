// One table that the preset of PostgreSQL brings back into a database that goes on, against a real server.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { contentOf, hostileName, makeHostileShop } from './hostile-shop.ts'
import { startPostgres, type PostgresServer } from './postgres-server.ts'
import { makePresetStage, type Environment, type PresetRun, type PresetStage } from './preset-stage.ts'

describe('one table of a PostgreSQL database', { timeout: 300_000 }, () => {
  let server: PostgresServer
  let stage: PresetStage
  let backup: PresetRun
  let content: string
  before(async () => {
    stage = await makePresetStage('postgres')
    server = await startPostgres()
    await makeHostileShop(server)
    await write(`CREATE TABLE "odd ""one".parent (n int); CREATE TABLE "odd ""one".child () INHERITS ("odd ""one".parent);
      INSERT INTO "odd ""one".child VALUES (1), (2)`)
    backup = await stage.run('dump', server.environment)
    assert.equal(backup.status, 0, backup.stderr)
    // Rows that are lost, and newer ones that stay.
    await write(`DELETE FROM "odd ""one"."ta.b'le" WHERE id > 300; INSERT INTO "odd ""one".orders (item) VALUES (5)`)
    content = await contentOf(server, hostileName)
  })
  after(async () => {
    await server?.stop()
    await stage?.remove()
  })

  const write = (sql: string) => server.sql(hostileName, `SET default_transaction_read_only TO off; ${sql}`)
  const restore = (id: string, table: string, environment: Environment = {}) =>
    stage.run(
      'restore',
      {
        ...server.environment,
        BACKUP_RESTORE_ID: id,
        BACKUP_RESTORE_UID: `uid of ${id}`,
        BACKUP_DATABASE: hostileName,
        BACKUP_TABLE: table,
        ...environment,
      },
      backup,
    )
  const databases = () => server.sql('postgres', `SELECT datname FROM pg_database ORDER BY 1`)

  test('comes back beside the one of today, with rows, indexes, defaults and sequences of its own', async () => {
    const before = await databases()
    const run = await restore('t1', `odd "one.ta.b'le`)
    assert.equal(run.status, 0, run.stderr)
    assert.partialDeepStrictEqual(run.result, {
      databases: [{ database: hostileName, as: hostileName, table: `odd "one.ta.b'le_t1`, previous: null }],
    })
    const { leftOut } = run.result as { leftOut: string[] }
    assert.match(leftOut.join('\n'), /TRIGGER odd "one ta\.b'le noted/)
    assert.equal(await databases(), before, 'the scratch database is gone')
    const table = `"odd ""one"."ta.b'le_t1"`
    assert.equal(await server.sql(hostileName, `SELECT count(*), max(id) FROM ${table}`), '500|500')
    assert.equal(
      await server.sql(
        hostileName,
        `SELECT indexrelid::regclass, indisprimary FROM pg_index WHERE indrelid = '${table.replaceAll("'", "''")}'::regclass ORDER BY 2`,
      ),
      `"in dex_t1"|f\n"ta.b'le_pkey_t1"|t`,
    )
    assert.equal(
      await server.sql(
        hostileName,
        `SELECT pg_get_userbyid(relowner), obj_description(oid, 'pg_class') FROM pg_class WHERE relname = 'ta.b''le_t1'`,
      ),
      `r o'l"e=ö|restored by Restore uid of t1`,
    )
    const added = `INSERT INTO ${table} (words) VALUES ('next') RETURNING id, feeling`
    assert.equal(await write(added), '501|sad')
    const again = await restore('t1', `odd "one.ta.b'le`)
    assert.equal(again.status, 0, 'done again it finds that it is done')
    assert.equal(await server.sql(hostileName, `SELECT count(*) FROM ${table}`), '501')
    await write(`DROP TABLE ${table}`)
    assert.equal(await contentOf(server, hostileName), content, 'nothing else has changed')
  })

  test('says which foreign keys and policies it comes without', async () => {
    const run = await restore('t2', 'odd "one.orders')
    assert.equal(run.status, 0, run.stderr)
    const { leftOut } = run.result as { leftOut: string[] }
    for (const left of [
      /FK CONSTRAINT odd "one orders orders_item_fkey/,
      /POLICY odd "one orders mine/,
      /ROW SECURITY odd "one orders/,
    ])
      assert.match(leftOut.join('\n'), left)
    await write(`DROP TABLE "odd ""one".orders_t2`)
  })

  test("is nobody's partition and nobody's child: the parents of today do not show its rows twice", async () => {
    for (const table of ['measures_2026', 'child']) {
      const run = await restore('t3', `odd "one.${table}`)
      assert.equal(run.status, 0, run.stderr)
    }
    const counts = `SELECT (SELECT count(*) FROM "odd ""one".measures), (SELECT count(*) FROM "odd ""one".parent),
      (SELECT count(*) FROM "odd ""one".measures_2026_t3), (SELECT count(*) FROM "odd ""one".child_t3)`
    assert.equal(await server.sql(hostileName, counts), '100|2|100|2')
    await write(`DROP TABLE "odd ""one".measures_2026_t3, "odd ""one".child_t3`)
  })

  test('is refused where its name is taken, its database is missing, or the backup has no such table', async () => {
    await write(`CREATE TABLE "odd ""one".orders_t4 ()`)
    assert.equal((await restore('t4', 'odd "one.orders')).refusal?.reason, 'TargetNotEmpty')
    await write(`DROP TABLE "odd ""one".orders_t4`)
    assert.equal((await restore('t4', 'odd "one.orders', { BACKUP_INTO: 'nowhere' })).refusal?.reason, 'TargetMissing')
    assert.equal((await restore('t4', 'odd "one.orders', { BACKUP_INTO: 'postgres' })).refusal?.reason, 'TargetMissing')
    const { refusal } = await restore('t4', 'orders')
    assert.equal(refusal?.reason, 'NotInBackup')
    assert.match(refusal?.sentence ?? '', /there are: odd "one\.child, odd "one\.measures_2026/)
    assert.equal((await restore('t4', 'odd "one.orders', { BACKUP_DATABASE: '' })).refusal?.reason, 'DatabaseAmbiguous')
    assert.equal(await contentOf(server, hostileName), content)
  })

  test('that cannot be made in the target leaves nothing there, and no scratch database', async () => {
    const before = await databases()
    await server.sql('postgres', 'CREATE DATABASE without_types')
    await server.sql('without_types', `CREATE SCHEMA "odd ""one"`)
    const run = await restore('t5', `odd "one.ta.b'le`, { BACKUP_INTO: 'without_types' })
    assert.notEqual(run.status, 0)
    assert.match(run.stderr, /ERROR: +type .*mood" does not exist/)
    assert.equal(
      await server.sql(
        'without_types',
        `SELECT count(*) FROM pg_class WHERE relnamespace = '"odd ""one"'::regnamespace`,
      ),
      '0',
    )
    await server.sql('postgres', 'DROP DATABASE without_types')
    assert.equal(await databases(), before)
  })
})
