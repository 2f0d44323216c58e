// How the preset of PostgreSQL logs in with what the operator gives it: a file with the password, and files of TLS that all may read.
import assert from 'node:assert/strict'
import { chmod, copyFile, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { makeCertificates } from '../api/control-plane/certificates.ts'
import { startPostgres, type PostgresServer } from './postgres-server.ts'
import { makePresetStage, type Environment, type PresetRun, type PresetStage } from './preset-stage.ts'

/** Of the role `hostile`: what is syntax in a file of passwords, in SQL and in shells, and the end of a line of Windows. */
const hostilePassword = String.raw`a:b\c\:'"$(d) *` + '\r'

describe('how the preset of PostgreSQL reaches servers', { timeout: 300_000 }, () => {
  let stage: PresetStage
  let server: PostgresServer
  const file = (name: string) => join(stage.folder, name)
  before(async () => {
    stage = await makePresetStage('postgres')
    await makeCertificates(stage.folder)
    server = await startPostgres({
      settings: {
        ssl: 'on',
        ssl_ca_file: file('ca.crt'),
        ssl_cert_file: file('apiserver.crt'),
        ssl_key_file: file('apiserver.key'),
      },
      // The name in the certificate has to be that of the role.
      logins: ['hostssl all admin all cert', 'hostnossl all admin all reject'],
    })
    await server.sql(
      'postgres',
      `CREATE ROLE admin LOGIN SUPERUSER;
       CREATE ROLE hostile LOGIN SUPERUSER PASSWORD '${hostilePassword.replaceAll("'", "''")}';
       CREATE DATABASE shop`,
    )
    await server.sql('shop', 'CREATE TABLE t AS SELECT generate_series(1, 10) AS n')
    await copyFile(file('admin.key'), file('mounted.key'))
    await chmod(file('mounted.key'), 0o444)
  })
  after(async () => {
    await server?.stop()
    await stage?.remove()
  })

  const dump = (environment: Environment) => stage.run('dump', { ...login(), BACKUP_DATABASES: 'shop', ...environment })
  const login = (): Environment => {
    const { PGUSER: _user, PGPASSWORD: _password, ...others } = server.environment
    return others
  }
  const comesBack = async (environment: Environment) => {
    const dumped = await dump(environment)
    assert.equal(dumped.status, 0, dumped.stderr)
    const target = { BACKUP_RESTORE_ID: 'r', BACKUP_RESTORE_UID: 'u', BACKUP_INTO: 'copy' }
    const restored = await stage.run('restore', { ...login(), ...environment, ...target }, dumped)
    assert.equal(restored.status, 0, restored.stderr)
    assert.equal(await server.sql('copy', 'SELECT count(*) FROM t'), '10')
    await server.sql('postgres', 'DROP DATABASE copy')
    assert.deepEqual(await readdir(file('tmp')), [], 'no file is left behind')
  }
  const assertRefused = ({ status, refusal, artifacts }: PresetRun, reason: string, sentence: RegExp) => {
    assert.deepEqual([status, refusal?.reason, [...artifacts.keys()]], [65, reason, ['.refused']])
    assert.match(refusal?.sentence ?? '', sentence)
  }

  test('with the password of a file, whatever is in it, and as postgres where no user is named', async () => {
    await writeFile(file('password'), `${server.environment.PGPASSWORD}\n`)
    await comesBack({ BACKUP_PASSWORD_FILE: file('password'), PGUSER: '' })
    await writeFile(file('hostile'), `${hostilePassword}\n`)
    await comesBack({ BACKUP_PASSWORD_FILE: file('hostile'), PGUSER: 'hostile' })
    await writeFile(file('hostile'), hostilePassword)
    await comesBack({ BACKUP_PASSWORD_FILE: file('hostile'), PGUSER: 'hostile' })
  })

  test('with the password of libpq before that of the file', async () => {
    await comesBack({ BACKUP_PASSWORD_FILE: file('none'), PGPASSWORD: server.environment.PGPASSWORD ?? '' })
  })

  test('hands the password on in a file that nobody else can read', async () => {
    await writeFile(file('password'), `${server.environment.PGPASSWORD}\n`)
    const programs = await stage.programs({
      pg_dumpall: `/bin/busybox stat -c %a "$PGPASSFILE" >"${file('mode')}"; exec ${server.programs}/pg_dumpall "$@"`,
    })
    await comesBack({ BACKUP_PASSWORD_FILE: file('password'), PATH: `${programs}:${server.environment.PATH}` })
    assert.equal(await readFile(file('mode'), 'utf8'), '600\n')
  })

  test('names the file of the password that is missing or holds more, and never what is in it', async () => {
    const missing = await dump({ BACKUP_PASSWORD_FILE: file('none') })
    assertRefused(missing, 'LoginRefused', /none, is missing or cannot be read\. Mount/)
    const restored = await stage.run('restore', {
      ...login(),
      BACKUP_PASSWORD_FILE: file('none'),
      BACKUP_RESTORE_ID: 'r',
      BACKUP_RESTORE_UID: 'u',
    })
    assertRefused(restored, 'LoginRefused', /none, is missing/)
    await writeFile(file('two-lines'), 'seCret1\nseCret2\n')
    const longer = await dump({ BACKUP_PASSWORD_FILE: file('two-lines') })
    assertRefused(longer, 'LoginRefused', /two-lines, has more than one line/)
    await writeFile(file('wrong'), 'seCret3\n')
    const wrong = await dump({ BACKUP_PASSWORD_FILE: file('wrong') })
    assertRefused(wrong, 'LoginRefused', /password authentication failed/)
    for (const run of [longer, wrong]) assert.doesNotMatch(run.stderr + run.refusal?.sentence, /seCret/)
  })

  test('over TLS with a certificate whose key all may read', async () => {
    const certificate = { PGUSER: 'admin', PGSSLCERT: file('admin.crt'), PGSSLKEY: file('mounted.key') }
    const authority = { PGSSLROOTCERT: file('ca.crt') }
    await comesBack({ ...certificate, ...authority, PGSSLMODE: 'verify-full' })
    await comesBack({ ...certificate, PGSSLMODE: 'require', PGSSLROOTCERT: file('none') })
    const other = await dump({ ...certificate, PGSSLMODE: 'verify-ca', PGSSLROOTCERT: file('admin.crt') })
    assertRefused(other, 'ServerUnreachable', /certificate verify failed/)
    const without = await dump({ PGUSER: 'admin', ...authority, PGSSLMODE: 'require' })
    assertRefused(without, 'LoginRefused', /valid client certificate|certificate authentication failed/)
  })

  test('without the files of TLS that are missing, unless the mode needs the authority', async () => {
    await writeFile(file('password'), `${server.environment.PGPASSWORD}\n`)
    const none = { PGSSLROOTCERT: file('none'), PGSSLCERT: file('none'), PGSSLKEY: file('none') }
    const password = { BACKUP_PASSWORD_FILE: file('password') }
    await comesBack({ ...none, ...password })
    await comesBack({ ...none, ...password, PGSSLCERT: file('admin.crt') })
    await comesBack({ ...none, ...password, PGSSLKEY: file('mounted.key') })
    const refused = await dump({ ...none, ...password, PGSSLMODE: 'verify-ca' })
    assertRefused(refused, 'TlsFileMissing', /verify-ca needs the authority.*none\. Put it into the Secret/)
    const folder = await dump({ ...password, PGSSLCERT: file('admin.crt'), PGSSLKEY: stage.folder })
    assertRefused(folder, 'TlsFileMissing', /cannot be read/)
  })
})
