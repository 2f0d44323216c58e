// docs/disaster-recovery.md is read at night, by somebody whose cluster is gone: a backup that the real mover and the real script of the preset made of
// a real PostgreSQL comes back by exactly the commands on that page.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test, type TestContext } from 'node:test'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { capture } from '../../dev/command.ts'
import { debianAge, debianRclone } from '../../dev/debian-tools.ts'
import { repository } from '../../dev/paths.ts'
import { startMariaDb } from '../presets/mariadb-server.ts'
import { startPostgres, type PostgresServer } from '../presets/postgres-server.ts'
import { startS3Server, type S3Server } from '../storage/s3-servers.ts'
import { jobOf, runPod, taskFor } from './backup-pod.ts'

const secret = { accessKey: 'minioadmin', secretKey: 'minioadmin' }
const page = await readFile(join(repository, 'docs/disaster-recovery.md'), 'utf8')

type Environment = Readonly<Record<string, string>>

/** The code block below the comment that names it. */
function block(name: string): string {
  const [, text] = new RegExp(`<!-- tested: ${name} -->\\n\`\`\`sh\\n([^]+?)\`\`\``).exec(page) ?? []
  return text ?? assert.fail(`docs/disaster-recovery.md has no block "tested: ${name}"`)
}

/** The variables that a block sets, which are the reader's to choose. */
function variablesOf(settings: string): readonly string[] {
  return [...settings.matchAll(/\b(\w+)=/g)].map(([, name = '']) => name)
}

/** All that is on the page from the bucket to files, and then this database's own programs. */
function steps(engine: string, isEncrypted: boolean): string {
  const files = isEncrypted ? 'encrypted' : 'artifacts'
  return ['targets', 'backups', 'manifest', files, engine].map(block).join('\n')
}

describe('the way back without a cluster', { timeout: 300_000 }, () => {
  let store: S3Server
  before(async () => {
    store = await startS3Server('minio')
  })
  after(() => store?.stop())

  /** Two backups of a server by the script of its preset; encrypted where there is anybody to encrypt them to. */
  async function backUp(engine: string, environment: Environment, recipients: readonly string[] = []) {
    const bucket = await store.makeBucket()
    const backend = { bucket, endpoint: store.endpoint, prefix: 'prod' }
    // As in the container of the preset, whose folder of helpers is `shared` here.
    const encryption = recipients.length > 0 ? { recipients: [...recipients] } : undefined
    const dump = ['/bin/sh', '-c', `exec shared/busybox sh shared/preset-${engine}.sh dump`]
    for (const slot of [0, 1]) {
      const { message } = await runPod({
        task: taskFor(store, bucket, { backend, target: 'db', ...(encryption ? { encryption } : {}) }),
        secret,
        run: jobOf(slot),
        announces: true,
        command: ['env', ...variables(environment), ...dump],
      })
      assert.equal(message.phase, 'committed', JSON.stringify(message))
    }
    return bucket
  }

  async function follow(
    t: TestContext,
    engine: string,
    bucket: string,
    programs: string,
    environment: Environment,
    identity?: string,
  ) {
    const settings = {
      RCLONE_CONFIG_STORE_TYPE: 's3',
      RCLONE_CONFIG_STORE_PROVIDER: 'Minio',
      RCLONE_CONFIG_STORE_ENDPOINT: store.endpoint,
      RCLONE_CONFIG_STORE_REGION: 'us-east-1',
      RCLONE_CONFIG_STORE_ACCESS_KEY_ID: store.credentials.accessKeyId,
      RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY: store.credentials.secretAccessKey,
      folder: `store:${bucket}/prod/shop/orders`,
    }
    assert.deepEqual(variablesOf(block('settings')), Object.keys(settings), 'the page sets what the test sets')
    const directory = await mkdtemp(join(tmpdir(), 'backup-operator-recovery-'))
    t.after(() => rm(directory, { recursive: true, force: true }))
    if (environment['BACKUP_USER'])
      await writeFile(join(directory, '.my.cnf'), `[client]\nuser=${environment['BACKUP_USER']}\n`)
    if (identity !== undefined) await writeFile(join(directory, 'keys.txt'), `${identity}\n`)
    const PATH = [dirname(await debianRclone()), dirname(await debianAge()), programs, process.env.PATH].join(':')
    const begun = performance.now()
    const output = await capture(['bash', '-e', '-c', steps(engine, identity !== undefined)], {
      cwd: directory,
      env: { ...environment, ...settings, PATH, HOME: directory },
    })
    t.diagnostic(`from the bucket to ${engine} with its rows: ${Math.round(performance.now() - begun)} ms`)
    assert.match(output, /^db\/$/m)
    return output
  }

  test('brings back what the preset of PostgreSQL has stored, by the commands of the page', async t => {
    const [lost, found] = await Promise.all([startPostgres(), startPostgres()])
    t.after(() => Promise.all([lost.stop(), found.stop()]))
    const known = await shopIn(lost)

    const bucket = await backUp('postgres', lost.environment)
    const output = await follow(t, 'postgres', bucket, found.programs, found.environment)
    assert.match(output, /^globals\.sql: OK$/m)
    assert.match(output, /^shop\.dump: OK$/m)
    assert.equal(await contents(found), known)
    const asClerk = { ...found.environment, PGUSER: 'clerk', PGPASSWORD: 'of the clerk', PGDATABASE: 'shop' }
    assert.equal(await capture(['psql', '-XAtqc', 'SELECT count(*) FROM orders'], { env: asClerk }), '50000\n')
  })

  test('brings back what was encrypted, by age and the commands of the page', async t => {
    const [lost, found] = await Promise.all([startPostgres(), startPostgres()])
    t.after(() => Promise.all([lost.stop(), found.stop()]))
    const known = await shopIn(lost)
    const identity = await generateX25519Identity()
    const bucket = await backUp('postgres', lost.environment, [await identityToRecipient(identity)])
    const output = await follow(t, 'postgres', bucket, found.programs, found.environment, identity)
    assert.match(output, /^globals\.sql: OK$/m)
    assert.match(output, /^shop\.dump: OK$/m)
    assert.equal(await contents(found), known)
  })

  test('brings back what the preset of MariaDB has stored, by the commands of the page', async t => {
    const [lost, found] = await Promise.all([startMariaDb(), startMariaDb()])
    t.after(() => Promise.all([lost.stop(), found.stop()]))
    await lost.sql(`
      CREATE DATABASE shop CHARACTER SET utf8mb4;
      USE shop;
      CREATE TABLE orders (id INT PRIMARY KEY, item VARCHAR(40));
      INSERT INTO orders SELECT seq, MD5(seq) FROM seq_1_to_50000;
      CREATE USER clerk@'%' IDENTIFIED BY 'of the clerk';
      GRANT SELECT ON shop.* TO clerk@'%';`)
    const known = await lost.content('shop')

    const bucket = await backUp('mariadb', lost.environment)
    const output = await follow(t, 'mariadb', bucket, found.programs, found.environment)
    assert.match(output, /^mysql\.sql: OK$/m)
    assert.match(output, /^shop\.sql: OK$/m)
    assert.equal(await found.content('shop'), known)
    const asClerk = { ...found.environment, MYSQL_PWD: 'of the clerk' }
    const count = ['mariadb', '--no-defaults', '--user=clerk', '-NBe', 'SELECT COUNT(*) FROM orders', 'shop']
    assert.equal(await capture(count, { env: asClerk }), '50000\n')
  })
})

/** A database of a role of its own; what is in it. */
async function shopIn(server: PostgresServer): Promise<string> {
  await server.sql('postgres', `CREATE ROLE clerk LOGIN PASSWORD 'of the clerk'`)
  await server.sql('postgres', 'CREATE DATABASE shop OWNER clerk')
  const rows = `SELECT n AS id, md5(n::text) AS item FROM generate_series(1, 50000) n`
  await server.sql('shop', `CREATE TABLE orders AS ${rows}; ALTER TABLE orders OWNER TO clerk`)
  return contents(server)
}

function contents({ sql }: PostgresServer): Promise<string> {
  return sql('shop', `SELECT count(*), md5(string_agg(item, ',' ORDER BY id)) FROM orders`)
}

function variables(environment: Environment): readonly string[] {
  return Object.entries(environment).map(([name, value]) => `${name}=${value}`)
}
