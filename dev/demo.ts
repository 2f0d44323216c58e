// `make demo`: the main job, end to end, on the real cluster, explained as it goes. Runs inside the cluster's network and can be
// run again: what is there already stays.
// usage: demo.ts [NAMESPACE]; the app and its policies are in `default` otherwise
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { parseAllDocuments } from 'yaml'
import type { Backup } from '../src/api/kinds/backup.ts'
import type { Restore } from '../src/api/kinds/restore.ts'
import { apply, chosenCluster, kubectl, kubectlJson } from './cluster-access.ts'
import { eventually } from './eventually.ts'
import { repository } from './paths.ts'
import { forwardPort } from './port-forward.ts'
import { installRelease, releaseNamespace } from './release.ts'

const cluster = chosenCluster()
const [, , app = 'default'] = process.argv
const localImages = { 'minio/minio': 'localhost/minio:1', 'postgres:15': 'localhost/postgres:15' } as const

let step = 0
function tell(title: string, ...lines: readonly string[]): void {
  step += 1
  console.log(`\n\x1b[1m${step}. ${title}\x1b[0m`)
  for (const line of lines) console.log(`   ${line}`)
}

/** Shows a command and what it prints, as a person at the keyboard would see it. */
async function show(...args: readonly string[]): Promise<void> {
  console.log(`\n   \x1b[36m$ kubectl ${args.join(' ')}\x1b[0m`)
  const output = await kubectl(cluster, args)
  console.log(output.trimEnd().replaceAll(/^/gm, '   '))
}

/** The examples name public images; the local cluster has its own builds of them and no registry. */
async function example(name: string): Promise<string> {
  const text = await readFile(join(repository, 'examples', name), 'utf8')
  return text.replaceAll(/^(\s*image:\s*)(\S+)$/gm, (line, key: string, image: string) => {
    const local = Object.entries(localImages).find(([from]) => image === from || image.startsWith(`${from}:`))
    return local ? `${key}${local[1]}` : line
  })
}

/** The example has the credentials for policies in `default`. */
async function store(): Promise<readonly object[]> {
  return parseAllDocuments(await example('minio.yaml')).map(document => {
    const object = document.toJS() as { readonly metadata: { readonly namespace?: string } }
    const { metadata } = object
    return metadata.namespace === 'default' ? { ...object, metadata: { ...metadata, namespace: app } } : object
  })
}

async function main(): Promise<void> {
  tell('A store: MinIO with the bucket "backups" and a Secret with its credentials', 'examples/minio.yaml')
  await apply(cluster, await store())

  tell(
    'An app to back up: PostgreSQL with a volume',
    'Pod and volume carry the label app: postgres, which the policies select.',
  )
  await kubectl(cluster, ['-n', app, 'apply', '-f', join(import.meta.dirname, 'demo', 'app.yaml')])
  await kubectl(cluster, ['-n', app, 'rollout', 'status', 'deployment/postgres', '--timeout=120s'])
  await kubectl(cluster, ['-n', 'minio', 'wait', '--for=condition=Ready', 'pod', '--all', '--timeout=120s'])
  await fillDatabase()

  tell('The operator, by its Helm chart', 'helm install backup-operator charts/backup-operator')
  await installRelease(cluster)
  await show('-n', releaseNamespace, 'get', 'pods')

  tell(
    'The sample policy, unmodified (examples/sample-backuppolicy.yaml), and one that says `preset: postgres` (examples/preset-postgres.yaml)',
    'The first makes volume snapshots. The second finds image, Service and credentials by itself, and streams dumps of all databases into the bucket.',
    'Before any run, a probe finds out whether the store works.',
  )
  await kubectl(cluster, ['-n', app, 'apply', '-f', join(repository, 'examples/sample-backuppolicy.yaml')])
  await kubectl(cluster, ['-n', app, 'apply', '-f', '-'], { input: await example('preset-postgres.yaml') })
  await kubectl(cluster, ['-n', app, 'wait', '--for=condition=Ready', 'backuppolicy', '--all', '--timeout=120s'])
  await show('-n', app, 'get', 'backuppolicies')

  tell(
    'Both run at night. A Backup object runs one now',
    'This is what a person or a pipeline creates before an upgrade.',
  )
  const names = await runNow('sample', 'postgres')
  await Promise.all(names.map(completed))

  tell('The state that a user cares about')
  await show('-n', app, 'get', 'bp,bk,volumesnapshots')

  tell('What is in the bucket', 'The manifest is written last: a backup exists if and only if its manifest does.')
  for (const { Key, Size } of await bucketObjects()) console.log(`   ${String(Size).padStart(8)}  ${Key}`)

  tell('Somebody drops the table', 'drop table orders')
  await psql('-d', 'shop', '-c', 'drop table orders')
  console.log(`   ${await psql('-d', 'shop', '-c', 'select count(*) from orders').catch(lastLine)}`)

  tell(
    'A Restore brings the database back from the bucket, over the broken one',
    'It is restored beside it and checked; only then do both change their names. `previous: Keep` would keep the broken one.',
  )
  await restored(await restoreNow())
  await show('-n', app, 'get', 'restores')
  console.log(
    `   the database shop holds ${(await psql('-d', 'shop', '-c', 'select count(*) from orders')).trim()} orders`,
  )

  tell('The metrics, as Prometheus sees them (the leader serves them)')
  console.log(await backupMetrics())

  tell(
    'Now you',
    'make shell                                    a shell with kubectl and helm for this cluster; in it:',
    '  kubectl describe bp sample                  why a policy is, or is not, ready',
    '  kubectl explain bp.spec.strategy.job        every field',
    '  kubectl explain restore.spec                what can be restored, and into what',
    '  kubectl create -f examples/backup-now.yaml  another backup now',
    'make test                                     the proof of all this',
    'make cluster-down                             leave nothing behind',
  )
}

const psql = async (...args: readonly string[]) =>
  kubectl(cluster, ['-n', app, 'exec', 'deployment/postgres', '--', 'psql', '-U', 'postgres', '-XAtq', ...args])

/** Of what psql says where a table is gone: its error without the rest. */
function lastLine(error: unknown): string {
  const [, said = String(error)] = /(ERROR: .*)/.exec(error instanceof Error ? error.message : '') ?? []
  return said
}

/** Five lines of spec. @returns the name of the Restore */
async function restoreNow(): Promise<string> {
  const restore = {
    apiVersion: 'backup.dev/v1alpha1',
    kind: 'Restore',
    metadata: { generateName: 'orders-back-' },
    spec: {
      source: { policy: { name: 'postgres' } },
      into: { overwrite: true, previous: 'Delete', only: { database: 'shop' } },
    },
  }
  return kubectl(cluster, ['-n', app, 'create', '-f', '-', '-o', 'jsonpath={.metadata.name}'], {
    input: JSON.stringify(restore),
  })
}

async function fillDatabase(): Promise<void> {
  await eventually('PostgreSQL answers', () => psql('-c', 'select 1'), { seconds: 60 })
  if ((await psql('-c', "select count(*) from pg_database where datname = 'shop'")).trim() === '0')
    await psql('-c', 'create database shop')
  await psql(
    '-d',
    'shop',
    '-c',
    'create table if not exists orders as select n, md5(n::text) as item from generate_series(1, 100000) n',
  )
  const rows = await psql('-d', 'shop', '-c', 'select count(*) from orders')
  console.log(`   the database shop holds ${rows.trim()} orders`)
}

async function runNow(...policies: readonly string[]): Promise<readonly string[]> {
  const created = policies.map(async policy => {
    const backup = {
      apiVersion: 'backup.dev/v1alpha1',
      kind: 'Backup',
      metadata: { generateName: 'demo-' },
      spec: { policy },
    }
    const name = await kubectl(cluster, ['-n', app, 'create', '-f', '-', '-o', 'jsonpath={.metadata.name}'], {
      input: JSON.stringify(backup),
    })
    console.log(`   created Backup ${name} for policy ${policy}`)
    return name
  })
  return Promise.all(created)
}

const completed = (name: string) => succeeded('Backup', name)
const restored = (name: string) => succeeded('Restore', name)

/** @throws Error with what the object says, when it fails or does not end */
async function succeeded(kind: 'Backup' | 'Restore', name: string): Promise<void> {
  let said = 'nothing'
  const ended = async () => {
    const { status } = await kubectlJson<Backup | Restore>(cluster, ['-n', app, 'get', kind, name, '-o', 'json'])
    said = `${status?.phase}, ${status?.reason}: ${status?.message}`
    return ['Completed', 'Failed', 'Skipped'].find(phase => phase === status?.phase)
  }
  const phase = await eventually(`the end of ${kind} ${name}`, ended, { seconds: 180, every: 1000 }).catch(
    (cause: unknown) => {
      throw new Error(`${kind} ${name} does not end; it says ${said}`, { cause })
    },
  )
  if (phase !== 'Completed') throw new Error(`${kind} ${name} says ${said}`)
}

async function bucketObjects() {
  const secret = await kubectlJson<{ data: Record<string, string> }>(cluster, [
    '-n',
    app,
    'get',
    'secret',
    'minio-creds',
    '-o',
    'json',
  ])
  const [accessKeyId = '', secretAccessKey = ''] = Object.values(secret.data).map(value =>
    Buffer.from(value, 'base64').toString(),
  )
  const forwarded = await forwardPort(cluster, 'minio', 'minio', 9000)
  const client = new S3Client({
    endpoint: `http://127.0.0.1:${forwarded.port}`,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  })
  try {
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: 'backups', Prefix: `${app}/` }))
    return Contents
  } finally {
    client.destroy()
    await forwarded.close()
  }
}

async function backupMetrics(): Promise<string> {
  const { items } = await kubectlJson<{ items: { metadata: { name: string } }[] }>(cluster, [
    '-n',
    releaseNamespace,
    'get',
    'pods',
    '-l',
    'app.kubernetes.io/name=backup-operator',
    '-o',
    'json',
  ])
  const pages = await Promise.all(
    items.map(({ metadata }) =>
      kubectl(cluster, [
        'get',
        '--raw',
        `/api/v1/namespaces/${releaseNamespace}/pods/${metadata.name}:8080/proxy/metrics`,
      ]),
    ),
  )
  const wanted = /^backup_(success_total|failure_total|duration_seconds_(sum|count)|last_success|next_run|policy_ready)/
  const lines = pages
    .flatMap(page => page.split('\n'))
    .filter(line => wanted.test(line) && line.includes(`namespace="${app}"`))
  return lines.map(line => `   ${line}`).join('\n')
}

await main()
