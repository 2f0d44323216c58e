// Servers that want TLS and a certificate, and clients with MySQL's names.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { makeCertificates } from '../api/control-plane/certificates.ts'
import { startMariaDb } from './mariadb-server.ts'
import { makePresetStage, type PresetStage } from './preset-stage.ts'

describe('how the preset of MariaDB reaches servers', { timeout: 300_000 }, () => {
  let stage: PresetStage
  let keys: string
  before(async () => {
    stage = await makePresetStage('mariadb')
    keys = await mkdtemp(join(tmpdir(), 'backup-operator-keys-'))
    await makeCertificates(keys)
  })
  after(async () => {
    await stage?.remove()
    await rm(keys, { recursive: true, force: true })
  })
  const key = (name: string) => join(keys, name)

  test('over TLS with a client certificate, and the name of the server is checked unless said otherwise', async () => {
    const server = await startMariaDb([
      `--ssl-ca=${key('ca.crt')}`,
      `--ssl-cert=${key('apiserver.crt')}`,
      `--ssl-key=${key('apiserver.key')}`,
    ])
    try {
      await server.sql(`CREATE DATABASE one; CREATE TABLE one.t (i INT); GRANT USAGE ON *.* TO admin@'%' REQUIRE X509`)
      const dump = (environment: Readonly<Record<string, string>>) =>
        stage.run('dump', { ...server.environment, ...environment })
      const certificate = { BACKUP_SSL_CERT: key('admin.crt'), BACKUP_SSL_KEY: key('admin.key') }
      const authority = { BACKUP_SSL_CA: key('ca.crt') }
      const whole = await dump({ ...certificate, ...authority })
      assert.equal(whole.status, 0, whole.stderr)
      assert.equal((await dump({ ...certificate, BACKUP_SSL_MODE: 'require' })).status, 0)
      const reason = async (environment: Readonly<Record<string, string>>) => (await dump(environment)).refusal?.reason
      assert.equal(await reason(authority), 'LoginRefused', 'without a certificate')
      assert.equal(await reason({ ...certificate, BACKUP_SSL_CA: key('admin.crt') }), 'ServerUnreachable')
      assert.equal(
        await reason({ ...certificate, BACKUP_SSL_MODE: 'verify-full', BACKUP_SSL_CA: key('none') }),
        'TlsFileMissing',
      )
      const otherName = { ...certificate, ...authority, MYSQL_HOST: '127.0.0.2' }
      assert.equal(await reason(otherName), 'ServerUnreachable', 'it is not the name in the certificate')
    } finally {
      await server.stop()
    }
  })

  test("by MySQL's names; what is not known there is refused", async () => {
    const server = await startMariaDb(['--version=8.4.3'])
    try {
      await server.sql(`CREATE DATABASE one; USE one; CREATE TABLE t (i INT); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT i FROM t;
        CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET NEW.i = 2; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1`)
      const content = await server.content('one')
      const version = 'Ver 8.4.3 for Linux on x86_64 (MySQL Community Server - GPL)'
      const named = (name: string, program: string) =>
        `[ "$2" = --version ] && { echo '${name}  ${version}'; exit; }; exec "${server.programs}/${program}" "$@"`
      const path = await stage.programs({
        mysql: named('mysql', 'mariadb'),
        mysqldump: named('mysqldump', 'mariadb-dump'),
      })
      const environment = { ...server.environment, PATH: path, BACKUP_USERS: 'false' }
      const from = await stage.run('dump', environment)
      assert.equal(from.status, 0, from.stderr)
      assert.match(String(from.artifacts.get('.engine')), /"preset": "mysql", "serverVersion": "8\.4\.3"/)
      const restore = { ...environment, BACKUP_RESTORE_ID: 'a1', BACKUP_RESTORE_UID: 'u-1' }
      const beside = await stage.run('restore', { ...restore, BACKUP_INTO: 'two' }, from)
      assert.equal(beside.status, 0, beside.stderr)
      assert.equal(await server.content('two'), content)
      const again = await stage.run('restore', { ...restore, BACKUP_INTO: 'two' }, from)
      assert.equal(again.refusal?.reason, 'TargetNotEmpty', 'nothing there says that it is done')
      const over = await stage.run('restore', { ...restore, BACKUP_OVERWRITE: 'true' }, from)
      assert.equal(over.refusal?.reason, 'SwapUnsupported')
    } finally {
      await server.stop()
    }
  })

  test('whose settings change what SQL means', async () => {
    const server = await startMariaDb(['--log-bin=log', '--skip-name-resolve', '--lower-case-table-names=1'])
    try {
      await server.sql(`CREATE DATABASE one; USE one; CREATE TABLE t (i INT, s TEXT); INSERT INTO t VALUES (1, 'it''s \\\\ "this"');
        CREATE VIEW v AS SELECT s FROM t WHERE s <> 'a\\\\b'; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE COMMENT 'a\\\\b' DO SELECT 1;
        CREATE FUNCTION f() RETURNS TEXT DETERMINISTIC RETURN 'a\\\\b"c"'; CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET NEW.s = '\\\\"';
        CREATE USER 'back\\\\slash'@'%' IDENTIFIED BY 'x'; GRANT EXECUTE ON FUNCTION f TO 'back\\\\slash'@'%'`)
      const content = await server.content('one')
      const grants = "SHOW GRANTS FOR `back\\slash`@'%'"
      const rights = await server.sql(grants)
      await server.sql(`SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT', GLOBAL time_zone = '+05:00',
        GLOBAL group_concat_max_len = 4, GLOBAL lock_wait_timeout = 1, GLOBAL character_set_server = latin1`)
      const from = await stage.run('dump', server.environment)
      assert.equal(from.status, 0, from.stderr)
      const restore = {
        ...server.environment,
        BACKUP_RESTORE_ID: 'a1',
        BACKUP_RESTORE_UID: 'u-1',
        BACKUP_USERS: 'true',
      }
      await server.sql('USE one; DROP FUNCTION f; DROP USER "back\\slash"')
      const over = await stage.run('restore', { ...restore, BACKUP_OVERWRITE: 'true', BACKUP_PREVIOUS: 'Delete' }, from)
      assert.equal(over.status, 0, over.stderr)
      await server.sql('SET GLOBAL sql_mode = DEFAULT')
      assert.equal(await server.content('one'), content)
      assert.equal(await server.sql(grants), rights)
    } finally {
      await server.stop()
    }
  })
})
