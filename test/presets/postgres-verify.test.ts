// The preset of PostgreSQL reads a backup to its end without any server.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { hostileName, makeHostileShop } from './hostile-shop.ts'
import { startPostgres, type PostgresServer } from './postgres-server.ts'
import { makePresetStage, type Environment, type PresetRun, type PresetStage, type Stored } from './preset-stage.ts'

describe('a verified backup of PostgreSQL', { timeout: 300_000 }, () => {
  let stage: PresetStage
  let backup: PresetRun
  let offline: Environment
  before(async () => {
    stage = await makePresetStage('postgres')
    const server: PostgresServer = await startPostgres()
    try {
      await makeHostileShop(server)
      backup = await stage.run('dump', server.environment)
      assert.equal(backup.status, 0, backup.stderr)
      const { PATH = '', LD_LIBRARY_PATH = '' } = server.environment
      offline = { PATH, LD_LIBRARY_PATH }
    } finally {
      await server.stop()
    }
  })
  after(() => stage?.remove())

  const verify = (from: Stored = backup) => stage.run('verify', offline, from)
  const facts = () =>
    JSON.parse(String(backup.artifacts.get(`.facts/${hostileName}.dump`))) as {
      tables: { name: string; schema: string }[]
    }
  const withTables = (tables: unknown[]) =>
    stage.changed(backup, { [`.facts/${hostileName}.dump`]: JSON.stringify({ ...facts(), tables }) })

  test('has every table that was counted when it was made', async () => {
    const run = await verify()
    assert.equal(run.status, 0, run.stderr)
    assert.partialDeepStrictEqual(run.result, {
      databases: [
        { database: 'postgres', tables: 0, missing: [] },
        { database: hostileName, tables: 3, missing: [] },
      ],
    })
    const same = await verify(await withTables(facts().tables))
    assert.deepEqual(same.status, 0, 'facts are read in any spelling of JSON')
  })

  test('is none when tables are missing that were counted', async () => {
    const { tables } = facts()
    const [first] = tables
    const run = await verify(
      await withTables([
        ...tables,
        { ...first, name: `o"t\\h\ner` },
        { schema: 'public', name: 'gone', oid: 99, rows: 1, exact: true },
      ]),
    )
    assert.equal(run.status, 65)
    assert.equal(run.refusal?.reason, 'TablesMissing')
    assert.partialDeepStrictEqual(run.result, {
      databases: [
        { database: 'postgres', tables: 0, missing: [] },
        { database: hostileName, tables: 5, missing: [`${first?.schema}.o"t\\h er`, 'public.gone'] },
      ],
    })
  })

  test('is none when an archive ends early, or is something else', async () => {
    const name = `${hostileName}.dump`
    const whole = backup.artifacts.get(name) ?? Buffer.alloc(0)
    for (const data of [
      whole.subarray(0, whole.length - 1000),
      Buffer.from('PGDMP and nothing more'),
      Buffer.alloc(0),
    ]) {
      const run = await verify(await stage.changed(backup, { [name]: data }))
      assert.notEqual(run.status, 0)
      assert.equal(run.result, undefined)
    }
  })

  test('is none when its globals hold what pg_dumpall does not write', async () => {
    const run = await verify(await stage.changed(backup, { 'globals.sql': '\\! true\n' }))
    assert.equal(run.refusal?.reason, 'GlobalsUnsafe')
  })

  test('is none when it holds no database', async () => {
    const run = await verify(
      await stage.changed(backup, { 'postgres.dump': undefined, [`${hostileName}.dump`]: undefined }),
    )
    assert.equal(run.refusal?.reason, 'NotInBackup')
  })
})
