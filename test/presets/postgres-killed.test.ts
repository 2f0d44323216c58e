// A restore over an existing database that is killed, or fails, at each call of a client program: done again it completes, and
// before that the old database is as it was, or the new one stands whole in its place.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { startPostgres, type PostgresServer } from './postgres-server.ts'
import { makePresetStage, type PresetRun, type PresetStage } from './preset-stage.ts'

const target = `shop's "own"`
const quoted = `"shop's ""own"""`
const literal = `'shop''s "own"'`

/** From the mark that says that the new one takes over to the end; and of them, what follows the renames. */
const callsOfSwap = 9
const callsAfterRenames = 3
/** The long list has all calls. */
const firstCall = (calls: number, last = callsOfSwap) => (process.env.TEST_LONG ? 1 : calls - last)

describe('a restore over a PostgreSQL database', { timeout: 900_000 }, () => {
  let server: PostgresServer
  let stage: PresetStage
  let backup: PresetRun
  before(async () => {
    stage = await makePresetStage('postgres')
    server = await startPostgres()
    await server.sql('postgres', `CREATE DATABASE ${quoted}`)
    await server.sql(target, `CREATE TABLE t AS SELECT 'dumped' AS word; CREATE SEQUENCE s`)
    backup = await stage.run('dump', { ...server.environment, BACKUP_DATABASES: target })
    assert.equal(backup.status, 0, backup.stderr)
    await server.sql(target, `UPDATE t SET word = 'newer'`)
    await server.sql('postgres', `ALTER DATABASE ${quoted} RENAME TO newer`)
  })
  after(async () => {
    await server?.stop()
    await stage?.remove()
  })

  /** Only the newer database stands under the name, as before the Restore. */
  async function reset() {
    const made = await server.sql(
      'postgres',
      `SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database WHERE NOT datistemplate AND datname NOT IN ('postgres', 'newer')`,
    )
    for (const statement of made.split('\n').filter(Boolean)) await server.sql('postgres', statement)
    await server.sql('postgres', `CREATE DATABASE ${quoted} TEMPLATE newer CONNECTION LIMIT 9`)
  }

  const environment = (previous: string) => ({
    ...server.environment,
    BACKUP_RESTORE_ID: 'k1',
    BACKUP_RESTORE_UID: '0c6e',
    BACKUP_OVERWRITE: 'true',
    BACKUP_PREVIOUS: previous,
  })

  /** The restore, with something done instead of the n-th call of psql or pg_restore. Also the number of calls. */
  async function restoreUpTo(nth: number, instead: string, previous: string) {
    const wrapper = `calls=\${0%/*}/calls
echo "$0" >>"$calls"
[ "$(wc -l <"$calls")" -eq ${nth} ] && { ${instead}; }
exec ${server.programs}/\${0##*/} "$@"`
    const programs = await stage.programs({ psql: wrapper, pg_restore: wrapper })
    const run = await stage.run(
      'restore',
      { ...environment(previous), PATH: `${programs}:${server.environment.PATH}` },
      backup,
    )
    const calls = (await readFile(join(programs, 'calls'), 'utf8')).trim().split('\n').length
    return { run, calls }
  }

  const open = async () =>
    (await server.sql('postgres', `SELECT datallowconn FROM pg_database WHERE datname = ${literal}`)) === 't'
  const word = (name: string) => server.sql(name, 'SELECT word FROM t')
  const others = () =>
    server.sql(
      'postgres',
      `SELECT datname, datallowconn, datconnlimit FROM pg_database WHERE NOT datistemplate AND datname NOT IN ('postgres', 'newer') ORDER BY 1`,
    )

  async function completes(previous: string) {
    const again = await stage.run('restore', environment(previous), backup)
    assert.equal(again.status, 0, again.stderr)
    const kept = `${target}_before_k1`
    assert.partialDeepStrictEqual(again.result, {
      databases: [{ database: target, as: target, previous: previous === 'Keep' ? kept : null }],
    })
    assert.equal(await word(target), 'dumped')
    assert.equal(await others(), previous === 'Keep' ? `${target}|t|9\n${kept}|t|9` : `${target}|t|9`)
    if (previous === 'Keep') assert.equal(await word(kept), 'newer')
  }

  for (const [previous, last] of [
    ['Keep', callsOfSwap],
    ['Delete', callsAfterRenames],
  ] as const)
    test(`that keeps or drops the old one (${previous}) can be killed before each call, and done again`, async () => {
      await reset()
      const { run, calls } = await restoreUpTo(0, 'true', previous)
      assert.equal(run.status, 0, run.stderr)
      let seen = ''
      for (let nth = firstCall(calls, last); nth <= calls; nth++) {
        await reset()
        const { run } = await restoreUpTo(nth, 'kill -KILL 0', previous)
        assert.equal(run.status, 137, `call ${nth} of ${calls}: ${run.stderr}`)
        // Connections are off for the instant of the swap, and only then may a kill leave them so: until it is done again.
        if (await open()) seen += `${await word(target)} `
        else seen += 'closed '
        await completes(previous)
      }
      assert.match(seen, previous === 'Keep' ? /^(newer )+(closed )+(dumped )+$/ : /^(newer )*(closed )*(dumped )+$/)
    })

  test('that fails at a call leaves the old one as it was, or the new one in its place, and nothing half made', async () => {
    await reset()
    const { calls } = await restoreUpTo(0, 'true', 'Keep')
    let seen = ''
    for (let nth = firstCall(calls); nth <= calls; nth++) {
      await reset()
      const { run } = await restoreUpTo(nth, 'exit 1', 'Keep')
      assert.notEqual(run.status, 0, `call ${nth} of ${calls}`)
      assert.equal(run.result, undefined)
      const now = await word(target)
      seen += `${now} `
      assert.equal(
        await others(),
        now === 'newer' ? `${target}|t|9` : `${target}|t|9\n${target}_before_k1|t|9`,
        `call ${nth} of ${calls}`,
      )
      await completes('Keep')
    }
    assert.match(seen, /^(newer )+(dumped )+$/)
  })

  test('that is killed within a statement can be done again while the server still works on that', async () => {
    await server.sql('postgres', 'CREATE DATABASE slow')
    await server.sql(
      'slow',
      `CREATE TABLE t AS SELECT 1; CREATE MATERIALIZED VIEW sleeping AS SELECT pg_sleep(2)::text AS slept`,
    )
    const dump = await stage.run('dump', { ...server.environment, BACKUP_DATABASES: 'slow' })
    assert.equal(dump.status, 0, dump.stderr)
    const programs = await stage.programs({
      pg_restore: `[ "$1" = --version ] && exec ${server.programs}/pg_restore "$@"
exec 4<&0
${server.programs}/pg_restore "$@" <&4 &
until psql -XAtqw -d postgres -c "SELECT 'now' FROM pg_stat_activity WHERE state = 'active' AND query ~ '^REFRESH'" | grep -q now; do :; done
kill -KILL 0`,
    })
    const into = { BACKUP_INTO: 'slow copy' }
    const killed = await stage.run(
      'restore',
      { ...environment('Keep'), ...into, PATH: `${programs}:${server.environment.PATH}` },
      dump,
    )
    assert.equal(killed.status, 137, killed.stderr)
    const again = await stage.run('restore', { ...environment('Keep'), ...into }, dump)
    assert.equal(again.status, 0, again.stderr)
    assert.equal(await server.sql('slow copy', 'SELECT count(*) FROM sleeping'), '1')
    assert.equal(await server.sql('postgres', `SELECT count(*) FROM pg_database WHERE datname ~ 'restoring'`), '0')
  })

  test('that is told to stop while the archive is restored leaves the old one as it was', async () => {
    await reset()
    // The script leads its process group.
    const programs = await stage.programs({
      pg_restore: `[ "$1" = --version ] && exec ${server.programs}/pg_restore "$@"
read -r _ _ _ _ leader _ </proc/$$/stat
kill -TERM $leader
exit 1`,
    })
    const stopped = await stage.run(
      'restore',
      { ...environment('Keep'), PATH: `${programs}:${server.environment.PATH}` },
      backup,
    )
    assert.equal(stopped.status, 143, stopped.stderr)
    assert.equal(await others(), `${target}|t|9`)
    assert.equal(await word(target), 'newer')
    await completes('Keep')
  })
})
