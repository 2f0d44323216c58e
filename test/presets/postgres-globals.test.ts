// What of `pg_dumpall --globals-only` the preset of PostgreSQL runs on a server, and what it does not, against a real one.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { startPostgres, type PostgresServer } from './postgres-server.ts'
import { makePresetStage, type PresetRun, type PresetStage } from './preset-stage.ts'

describe('the globals of PostgreSQL', { timeout: 300_000 }, () => {
  let server: PostgresServer
  let stage: PresetStage
  let backup: PresetRun
  let folder: string
  before(async () => {
    stage = await makePresetStage('postgres')
    server = await startPostgres()
    folder = await mkdtemp(join(tmpdir(), 'backup-operator-globals-'))
    backup = await stage.run('dump', server.environment)
    assert.equal(backup.status, 0, backup.stderr)
  })
  after(async () => {
    await server?.stop()
    await stage?.remove()
    if (folder) await rm(folder, { recursive: true })
  })

  const roles = () => server.sql('postgres', `SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1`)
  const restore = async (globals: string) =>
    stage.run(
      'restore',
      { ...server.environment, BACKUP_RESTORE_ID: 'g', BACKUP_RESTORE_UID: 'g', BACKUP_GLOBALS: 'true' },
      await stage.changed(backup, { 'globals.sql': globals }),
    )
  const between = (sql: string, end = '\\unrestrict Key1') =>
    `--\n-- dump\n--\n\n\\restrict Key1\n\n${sql}\n\n${end}\n\n-- complete\n`

  test('make the roles that are missing, and alter none that is there', async () => {
    await server.sql('postgres', `CREATE ROLE old NOLOGIN; CREATE ROLE admins SUPERUSER`)
    const run = await restore(
      between(`SET default_transaction_read_only = off;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
CREATE ROLE old;
ALTER ROLE old WITH SUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$x';
COMMENT ON ROLE old IS 'changed';
ALTER ROLE old SET work_mem TO '9MB';
CREATE ROLE "n;e'w ""one";
ALTER ROLE "n;e'w ""one" WITH NOSUPERUSER INHERIT NOCREATEROLE CREATEDB LOGIN NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 3 VALID UNTIL '2099-01-01 00:00:00+00';
COMMENT ON ROLE "n;e'w ""one" IS E'a ''line''
\\\\! touch ${folder}/comment
\\\\restrict; -- \\'no comment
';
CREATE ROLE grp;
GRANT grp TO "n;e'w ""one" WITH ADMIN OPTION GRANTED BY gone;
GRANT pg_monitor TO grp GRANTED BY gone;
GRANT admins TO grp GRANTED BY gone;
GRANT grp TO old GRANTED BY gone;
CREATE TABLESPACE fast OWNER old LOCATION '/mnt/fast';
GRANT ALL ON TABLESPACE fast TO grp;
GRANT SET ON PARAMETER work_mem TO grp;`),
    )
    assert.equal(run.status, 0, run.stderr)
    assert.equal(
      await server.sql(
        'postgres',
        `SELECT rolname, rolsuper, rolcanlogin, rolcreatedb, rolconnlimit, shobj_description(oid, 'pg_authid') IS NOT NULL FROM pg_roles
         WHERE rolname IN ('old', 'grp', E'n;e\\'w "one') ORDER BY 1`,
      ),
      `grp|f|f|f|-1|f\nn;e'w "one|f|t|t|3|t\nold|f|f|f|-1|f`,
    )
    assert.equal(
      await server.sql('postgres', `SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname ~ '^n;'`),
      `a 'line'\n\\! touch ${folder}/comment\n\\restrict; -- 'no comment`,
    )
    assert.equal(
      await server.sql(
        'postgres',
        `SELECT roleid::regrole, member::regrole, admin_option FROM pg_auth_members WHERE member >= 16384 ORDER BY 1, 2`,
      ),
      `pg_monitor|grp|f\ngrp|"n;e'w ""one"|t`,
    )
    const { leftOut } = run.result as { leftOut: string[] }
    assert.deepEqual(leftOut.toSorted(), [
      'globals: rights on the parameter work_mem',
      'globals: rights on the tablespace fast',
      'globals: the membership of grp in admins, since a role of this name was there before',
      'globals: the tablespace fast',
    ])
    assert.equal(existsSync(join(folder, 'comment')), false)
    const again = await restore(between('CREATE ROLE grp;\nALTER ROLE grp WITH SUPERUSER;'))
    assert.equal(again.status, 0, again.stderr)
    assert.equal(await server.sql('postgres', `SELECT rolsuper FROM pg_roles WHERE rolname = 'grp'`), 'f')
  })

  test('are not half made when one role cannot be made', async () => {
    const before = await roles()
    const run = await restore(between(`CREATE ROLE first;\nCREATE ROLE pg_second;`))
    assert.notEqual(run.status, 0)
    assert.match(run.stderr, /role name "pg_second" is reserved/)
    assert.equal(await roles(), before)
  })

  const touch = () => `touch ${folder}/pwned`
  const hostile: readonly (readonly [what: string, sql: () => string])[] = [
    ['a command of psql (CVE-2025-8714)', () => between(`CREATE ROLE evil;\n\\! ${touch()}`)],
    [
      'a command of psql after a comment that a name with a line end has ended (CVE-2025-8715)',
      () => between(`-- User Config "x\n\\! ${touch()}\n"`),
    ],
    [
      'SQL after a comment that a name with a line end has ended',
      () => between(`-- User Config "x\nDROP ROLE postgres;\n--"`),
    ],
    [
      'a back-quoted argument of \\unrestrict (CVE-2026-18408)',
      () => between('CREATE ROLE evil;', `\\unrestrict \`${touch()}\``),
    ],
    ['a back-quoted argument of \\restrict', () => `\\restrict \`${touch()}\`\nCREATE ROLE evil;\n`],
    ['an end of the restriction in the middle', () => between(`CREATE ROLE evil;\n\\unrestrict Key1\n\\! ${touch()}`)],
    ['another key', () => between('CREATE ROLE evil;', '\\unrestrict Key2')],
    ['a second restriction', () => between('\\restrict Key2\nCREATE ROLE evil;')],
    ['a command of psql behind a statement', () => between(`CREATE ROLE evil \\g | ${touch()}`)],
    ['a string that does not end', () => between(`COMMENT ON ROLE evil IS 'open;`)],
    [
      'a string that ends where a backslash seems to keep it open',
      () => between(`COMMENT ON ROLE evil IS 'a\\'; \\! ${touch()}\n--';`),
    ],
    ['a dollar quote', () => between(`COMMENT ON ROLE evil IS $$a$$;`)],
    ['a unicode string', () => between(`COMMENT ON ROLE evil IS U&'a';`)],
    ['a statement of another kind', () => between(`DO 'BEGIN END';`)],
    ['an attribute that is more than one', () => between(`ALTER ROLE evil WITH LOGIN IN ROLE admins;`)],
    ['a role that is granted by a clause', () => between('CREATE ROLE evil ROLE postgres;')],
    ['a right on an object', () => between(`GRANT SELECT ON TABLE t TO evil;`)],
    ['a dump that ends early', () => `\\restrict Key1\nCREATE ROLE evil;\n`],
    ['a statement that ends early', () => between('CREATE ROLE evil')],
  ]
  for (const [what, sql] of hostile)
    test(`are refused with ${what}, and nothing of them is run`, async () => {
      const before = await roles()
      const run = await restore(sql())
      assert.equal(run.refusal?.reason, 'GlobalsUnsafe', run.stderr)
      assert.match(run.refusal?.sentence ?? '', /do not|does not/)
      assert.equal(await roles(), before)
      assert.equal(existsSync(join(folder, 'pwned')), false)
    })
})
