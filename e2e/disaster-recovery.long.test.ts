// The cluster is gone, etcd and all, and the bucket is left: an empty cluster gets a PostgreSQL back, timed, then the same policies go on in
// the folders of before (docs/disaster-recovery.md). It is a cluster beside the one of the stories, which is killed.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { nodeAddress } from '../dev/cluster/layout.ts'
import { eventually } from '../dev/eventually.ts'
import { goToolDirectory } from '../dev/go-tools.ts'
import { repository } from '../dev/paths.ts'
import { isAlive } from '../dev/process-identity.ts'
import { releaseName, releaseNamespace } from '../dev/release.ts'
import type { BackupPolicy } from '../src/api/kinds/backup-policy.ts'
import type { Backup } from '../src/api/kinds/backup.ts'
import type { Restore } from '../src/api/kinds/restore.ts'
import type { CronJob, KubernetesObject } from '../src/api/kubernetes.ts'
import { apiVersion } from '../src/api/labels.ts'
import { secondCluster } from './second-cluster.ts'

const { scratch, dev, env, run, holder, begin, remove } = secondCluster('lost-cluster')

/** Seconds, for what should happen soon. */
const patience = 180
/** On the node's own address, which pods reach; its files are on no node. */
const endpoint = `http://${nodeAddress}:9000`
const credentials = { user: 'backup', password: 'of-the-store' }
const data = join(scratch, 'store')
let store: { readonly stop: () => Promise<void> } | undefined

before(begin)
after(async () => {
  await store?.stop()
  await remove()
})

const kubectl = (args: readonly string[], input?: string) => run(dev('exec', '--', 'kubectl', ...args), input)
const inShop = (...args: readonly string[]) => kubectl(['-n', 'shop', ...args])
const read = async <T>(object: string) => JSON.parse(await inShop('get', object, '-o', 'json')) as T
const put = (...items: readonly object[]) =>
  kubectl(['apply', '--server-side', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items }))

/** MinIO in the network of the cluster that is there now, on the files of before. It ends with this process. */
async function startStore() {
  mkdirSync(join(data, 'backups'), { recursive: true })
  const minio = join(goToolDirectory('minio'), 'minio')
  const server = [minio, 'server', '--address', `${nodeAddress}:9000`, '--console-address', '127.0.0.1:9001', data]
  const dying = ['setpriv', '--pdeathsig', 'KILL', '--']
  const [program = '', ...args] = [...dying, ...dev('exec', '--', ...dying, ...server)]
  const root = { MINIO_ROOT_USER: credentials.user, MINIO_ROOT_PASSWORD: credentials.password }
  const child = spawn(program, args, { env: { ...env, ...root }, stdio: 'ignore' })
  const ended = once(child, 'exit')
  const stop = async () => {
    if (child.exitCode === null) child.kill('SIGTERM')
    await ended
  }
  store = { stop }
  const knock = ['bash', '-c', `exec 3<>/dev/tcp/${nodeAddress}/9000`]
  await eventually('the store to listen', () => run(dev('exec', '--', ...knock)).then(() => true), { seconds: 30 })
}

/** A cluster with the operator, the store's credentials, and nothing else. */
async function startCluster() {
  await run(dev('up'))
  await startStore()
  const where = ['--namespace', releaseNamespace, '--create-namespace', '--wait', '--timeout=180s']
  const chart = join(repository, 'charts/backup-operator')
  await run(dev('exec', '--', 'helm', 'install', releaseName, chart, ...where))
  await put(
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { namespace: 'shop', name: 'minio-creds' },
      stringData: { rootUser: credentials.user, rootPassword: credentials.password },
    },
  )
}

/** With an empty volume. */
async function startDatabase() {
  await inShop('apply', '-f', join(repository, 'dev/demo/app.yaml'))
  await inShop('rollout', 'status', 'deployment/postgres', `--timeout=${patience}s`)
  await eventually('PostgreSQL to take connections', () => sql('postgres', 'select 1'), { seconds: patience })
}

const sql = (database: string, text: string) =>
  inShop('exec', 'deployment/postgres', '--', 'psql', '-U', 'postgres', '-XAtq', '-d', database, '-c', text)
const contents = () => sql('shop', `select count(*), md5(string_agg(item, ',' order by n)) from orders`)

const policy = (bucket: object) => ({
  apiVersion,
  kind: 'BackupPolicy',
  metadata: { namespace: 'shop', name: 'postgres' },
  spec: {
    selector: { matchLabels: { app: 'postgres' } },
    schedule: '0 0 29 2 *',
    retention: 3,
    backend: { ...backend, ...bucket },
    strategy: { type: 'job', job: { preset: 'postgres' } },
  },
})
const backend = { type: 's3', bucket: 'backups', endpoint, secretRef: 'minio-creds' }

function becomes<T extends KubernetesObject>(object: string, what: string, condition: (it: T) => boolean): Promise<T> {
  return eventually(
    `${object} to be ${what}`,
    async () => {
      const it = await read<T & { readonly status?: unknown }>(object)
      if (condition(it)) return it
      throw new Error(`it is ${JSON.stringify(it.status)}`)
    },
    { seconds: patience, every: 500 },
  )
}

function isReady(reason: string) {
  return ({ status, metadata }: BackupPolicy) =>
    status?.conditions?.some(
      each => each.type === 'Ready' && each.reason === reason && each.observedGeneration === metadata.generation,
    ) ?? false
}

async function backUp(name: string): Promise<Backup> {
  await put({ apiVersion, kind: 'Backup', metadata: { namespace: 'shop', name }, spec: { policy: 'postgres' } })
  return becomes<Backup>(`backup/${name}`, 'Completed', ({ status }) => status?.phase === 'Completed')
}

async function restore(name: string, choice: object, goal: object): Promise<NonNullable<Restore['status']>> {
  const bucket = { backend, namespace: 'shop', policy: 'postgres', ...choice }
  await put({
    apiVersion,
    kind: 'Restore',
    metadata: { namespace: 'shop', name },
    spec: { source: { bucket }, ...goal },
  })
  const isOver = ({ status }: Restore) => status?.phase === 'Completed' || status?.phase === 'Failed'
  return (await becomes<Restore>(`restore/${name}`, 'over', isOver)).status ?? assert.fail()
}

const clusterId = () => kubectl(['get', 'namespace', 'kube-system', '-o', 'jsonpath={.metadata.uid}'])

test('a PostgreSQL comes back in an empty cluster, from nothing but the bucket, and its policy goes on there', async t => {
  await startCluster()
  await startDatabase()
  await sql('postgres', 'create database shop')
  await sql('shop', 'create table orders as select n, md5(n::text) as item from generate_series(1, 200000) n')
  const known = await contents()
  await put(policy({}))
  const lost = await backUp('before')
  const lostId = await clusterId()

  const victim = holder()
  process.kill(victim.pid, 'SIGKILL')
  await eventually('the cluster to end', () => !isAlive(victim), { seconds: 30 })
  await store?.stop()
  await run(dev('down'))
  assert.throws(() => readFileSync(join(scratch, 'state/run/admin.conf')), 'nothing of the cluster is left')

  const begun = performance.now()
  const seconds = () => ((performance.now() - begun) / 1000).toFixed(0)
  await startCluster()
  const ready = seconds()
  assert.notEqual(await clusterId(), lostId)
  const seen = await restore('what-is-there', {}, { verify: true })
  assert.deepEqual([seen.phase, seen.reason], ['Failed', 'RunNotNamed'], JSON.stringify(seen))
  assert.deepEqual(
    seen.available?.map(each => each.run),
    [lost.status?.run],
  )
  await startDatabase()
  const password = { secretKeyRef: { name: 'postgres-credentials', key: 'password' } }
  const into = {
    image: 'localhost/postgres:15',
    server: { host: 'postgres.shop.svc' },
    credentials: { user: 'postgres', passwordFrom: password },
  }
  const done = await restore('everything', { newest: true }, { into })
  assert.equal(done.phase, 'Completed', JSON.stringify(done))
  assert.equal(await contents(), known)
  t.diagnostic(
    `from nothing to a cluster with the operator in ${ready} s, to PostgreSQL with its rows in ${seconds()} s`,
  )

  await put(policy({}))
  const refused = await becomes<BackupPolicy>('backuppolicy/postgres', 'refused', isReady('PrefixOwnedByOther'))
  const { message } = refused.status?.conditions?.find(({ type }) => type === 'Ready') ?? assert.fail()
  assert.match(message, new RegExp(`cluster ${lostId}.*backend\\.adopt`, 's'))
  await put(policy({ adopt: lostId }))
  await becomes<BackupPolicy>('backuppolicy/postgres', 'Ready', isReady('Ready'))
  const backups = JSON.parse(await inShop('get', 'backups', '-o', 'json')) as { readonly items: readonly Backup[] }
  assert.deepEqual(
    backups.items.map(({ status }) => [status?.run, status?.phase]),
    [[lost.status?.run, 'Completed']],
    'the backup of the lost cluster is shown before there is a new one',
  )
  const cronJobs = JSON.parse(await inShop('get', 'cronjobs', '-o', 'json')) as { readonly items: readonly CronJob[] }
  assert.deepEqual(
    cronJobs.items.map(({ spec }) => spec.suspend ?? false),
    [false],
  )
  await backUp('after')
  const both = JSON.parse(await inShop('get', 'backups', '-o', 'json')) as { readonly items: readonly Backup[] }
  assert.deepEqual(
    both.items.map(({ status }) => status?.phase),
    ['Completed', 'Completed'],
  )
  t.diagnostic(`its policy goes on after ${seconds()} s`)
})
