// docs/disaster-recovery.md is read at night, by somebody whose cluster is gone: a backup that the real mover and the real script of the preset made of
// a real PostgreSQL comes back by exactly the commands on that page.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { capture } from '../../dev/command.ts'
import { debianRclone } from '../../dev/debian-tools.ts'
import { repository } from '../../dev/paths.ts'
import { startPostgres, type PostgresServer } from '../presets/postgres-server.ts'
import { startS3Server, type S3Server } from '../storage/s3-servers.ts'
import { jobOf, runPod, taskFor } from './backup-pod.ts'

const secret = { accessKey: 'minioadmin', secretKey: 'minioadmin' }
const page = await readFile(join(repository, 'docs/disaster-recovery.md'), 'utf8')

/** As in the container of the preset, whose folder of helpers is `shared` here. */
const dump = ['sh', '-c', 'exec shared/busybox sh shared/preset-postgres.sh dump']

/** The code block below the comment that names it. */
function block(name: string): string {
  const [, text] = new RegExp(`<!-- tested: ${name} -->\\n\`\`\`sh\\n([^]+?)\`\`\``).exec(page) ?? []
  return text ?? assert.fail(`docs/disaster-recovery.md has no block "tested: ${name}"`)
}

/** The variables that a block sets, which are the reader's to choose. */
function variablesOf(settings: string): readonly string[] {
  return [...settings.matchAll(/\b(\w+)=/g)].map(([, name = '']) => name)
}

describe('the way back without a cluster', { timeout: 300_000 }, () => {
  let store: S3Server
  let lost: PostgresServer
  let found: PostgresServer
  before(async () => {
    ;[store, lost, found] = await Promise.all([startS3Server('minio'), startPostgres(), startPostgres()])
  })
  after(() => Promise.all([store?.stop(), lost?.stop(), found?.stop()]))

  test('brings back what the preset of PostgreSQL has stored, by the commands of the page', async t => {
    await lost.sql('postgres', `CREATE ROLE clerk LOGIN PASSWORD 'of the clerk'`)
    await lost.sql('postgres', 'CREATE DATABASE shop OWNER clerk')
    const rows = `SELECT n AS id, md5(n::text) AS item FROM generate_series(1, 50000) n`
    await lost.sql('shop', `CREATE TABLE orders AS ${rows}; ALTER TABLE orders OWNER TO clerk`)
    const contents = (server: PostgresServer) =>
      server.sql('shop', `SELECT count(*), md5(string_agg(item, ',' ORDER BY id)) FROM orders`)
    const before = await contents(lost)

    const bucket = await store.makeBucket()
    const backend = { bucket, endpoint: store.endpoint, prefix: 'prod' }
    for (const slot of [0, 1]) {
      const { message } = await runPod({
        task: taskFor(store, bucket, { backend, target: 'db' }),
        secret,
        run: jobOf(slot),
        announces: true,
        command: ['env', ...variables(lost.environment), ...dump],
      })
      assert.equal(message.phase, 'committed', JSON.stringify(message))
    }

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
    const PATH = [dirname(await debianRclone()), found.programs, process.env.PATH].join(':')
    const begun = performance.now()
    const steps = ['targets', 'backups', 'manifest', 'artifacts', 'postgres'].map(block)
    const output = await capture(['bash', '-e', '-c', steps.join('\n')], {
      cwd: directory,
      env: { ...found.environment, ...settings, PATH, HOME: directory },
    })
    t.diagnostic(
      `from the bucket to a PostgreSQL with its rows: ${Math.round(performance.now() - begun)} ms\n${output}`,
    )
    assert.match(output, /^db\/$/m)
    assert.match(output, /^globals\.sql: OK$/m)
    assert.match(output, /^shop\.dump: OK$/m)
    assert.equal(await contents(found), before)
    const owner = `SELECT tableowner FROM pg_tables WHERE tablename = 'orders'`
    assert.equal(await found.sql('shop', owner), 'clerk')
    await capture(['psql', '-XAtqc', 'SELECT 1'], {
      env: { ...found.environment, PGUSER: 'clerk', PGPASSWORD: 'of the clerk', PGDATABASE: 'shop' },
    })
  })
})

function variables(environment: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(environment).map(([name, value]) => `${name}=${value}`)
}
