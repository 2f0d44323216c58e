// The job strategy as a user knows it: pg_dump into a bucket, by hand and by the clock, and only what retention keeps.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { clusterRun, kubectl } from '../dev/cluster-access.ts'
import { capture } from '../dev/command.ts'
import { eventually } from '../dev/eventually.ts'
import { repository } from '../dev/paths.ts'
import type { Backup } from '../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../src/api/kinds/backup-policy.ts'
import { parseBackupRecord } from '../src/api/record.ts'
import { annotation } from '../src/api/labels.ts'
import * as resources from '../src/controllers/shared/resources.ts'
import { cluster, execInPod, patience, postgresImage, waitFor } from './cluster.ts'
import { installMinio, installOperator } from './install.ts'
import { api, type Manifest, put } from './objects.ts'
import {
  backupEnd,
  jobPolicy,
  operatorLogs,
  patch,
  policyCondition,
  postgres,
  remove,
  run,
  runPods,
  secret,
  shell,
  store as minio,
  storeNamespace,
} from './stack.ts'
import { openStore } from './store.ts'

const canary = 'canary-2b7d05'

test('strategy job', { concurrency: 8 }, async t => {
  await Promise.all([installOperator(), installMinio()])
  const store = await openStore()
  t.after(() => store.close())
  const namespace = 'e2e-job'
  const restricted = { 'pod-security.kubernetes.io/enforce': 'restricted' }
  await Promise.all([store.removeAll(namespace), storeNamespace(t, namespace, restricted)])

  const stories = [
    t.test('pg_dump in a restricted namespace: the backup opens with zstd and pg_restore, and restores', async () => {
      await assert.rejects(
        kubectl(cluster, ['-n', namespace, 'run', 'loose', `--image=${postgresImage}`, '--dry-run=server']),
        /violates PodSecurity "restricted/,
      )
      await put(secret(namespace, 'postgres-credentials', { password: canary }), ...postgres(namespace))
      await put(await examplePolicy(namespace))
      await waitFor(namespace, 'pod/postgres', 'condition=Ready')
      const sql = (database: string, text: string) =>
        execInPod(namespace, 'postgres', ['psql', '-XAtq', '-U', 'postgres', '-d', database, '-c', text])
      await eventually('PostgreSQL to take connections', () => sql('shop', 'select 1'), { seconds: patience })
      await sql('shop', `create table item as select n as id, md5(n::text) as name from generate_series(1, 20000) n`)

      const status = await run(namespace, 'by-hand', 'postgres-dump')
      assert.deepEqual(
        [status.phase, status.reason, status.message],
        ['Completed', 'Completed', 'the backup is complete'],
      )
      await policyCondition(namespace, 'postgres-dump', 'LastBackupSucceeded', 'Completed')

      // From here on nothing of ours: the bucket, a client of somebody else, and the tools of zstd and PostgreSQL.
      assert.ok(status.manifest, JSON.stringify(status))
      const record = parseBackupRecord((await store.get(status.manifest)).toString())
      const [artifact, ...furtherArtifacts] = record.artifacts
      assert.ok(artifact)
      assert.deepEqual(furtherArtifacts, [])
      assert.equal(record.run, status.run)
      const keys = artifact.segments.map(({ key }) => `${namespace}/postgres-dump/${key}`)
      const others = [`${namespace}/postgres-dump/owner.json`, status.manifest]
      assert.deepEqual(new Set(await store.keys(`${namespace}/postgres-dump/`)), new Set([...keys, ...others]))
      const stored = Buffer.concat(await Promise.all(keys.map(key => store.get(key))))
      assert.equal(stored.length, status.storedBytes)

      await using folder = await mkdtempDisposable(join(tmpdir(), 'backup-'))
      const [packed, dump] = [join(folder.path, 'dump.zst'), join(folder.path, 'dump')]
      await writeFile(packed, stored)
      await capture(['zstd', '--decompress', '--quiet', packed, '-o', dump])
      const plain = await readFile(dump)
      const digest = createHash('sha256').update(plain).digest('hex')
      assert.deepEqual([artifact.bytes, artifact.sha256], [plain.length, digest])
      assert.deepEqual(
        status.artifacts?.map(({ bytes, sha256 }) => [bytes, sha256]),
        [[plain.length, digest]],
      )

      const inPod = ['kubectl', '-n', namespace, 'exec', '--stdin', 'postgres', '--']
      await clusterRun(cluster, [...inPod, 'sh', '-c', 'cat >/tmp/dump'], { input: { file: dump } })
      const restore = (...args: readonly string[]) =>
        execInPod(namespace, 'postgres', ['pg_restore', ...args, '/tmp/dump'])
      assert.match(await restore('--list'), /TABLE DATA public item postgres/)
      await sql('shop', 'create database copy')
      await restore('-U', 'postgres', '-d', 'copy', '--exit-on-error')
      assert.equal(
        await sql('copy', 'select count(*), max(name) from item'),
        await sql('shop', 'select count(*), max(name) from item'),
      )

      await assertNoSecretIsShown(namespace, 'postgres-dump')
    }),

    t.test('a slot of the schedule: one run, recorded as a Backup with its slot', async () => {
      await put(jobPolicy(namespace, 'minutely', shell('echo data'), { schedule: '* * * * *' }))
      const backup = await eventually(
        'a scheduled Backup',
        async () => {
          const { items } = await api.list<Backup>(resources.backups, { namespace })
          return items.find(({ spec }) => spec.policy === 'minutely')
        },
        { seconds: 60 + patience },
      )
      const { name } = backup.metadata
      const slot = new Date(backup.spec.slot ?? '')
      const status = await backupEnd(namespace, name)
      assert.equal(status.phase, 'Completed')
      assert.equal(name, `backup-minutely-${slot.getTime() / 60_000}`)
      assert.equal(status.run, name)
      const late = (Date.parse(status.startTime ?? '') - slot.getTime()) / 1000
      assert.ok(late >= 0 && late < 30, `the run began ${late} s after its slot`)
      assert.ok(status.manifest, JSON.stringify(status))
      const record = parseBackupRecord((await store.get(status.manifest)).toString())
      assert.equal(Date.parse(record.slot), slot.getTime())

      // A Backup that somebody deletes is not made again from its Job; the bucket, which still has its data, brings it back.
      await remove(namespace, `backup/${name}`)
      await patch(namespace, 'backuppolicy/minutely', { spec: { suspend: true } })
      await policyCondition(namespace, 'minutely', 'Ready', 'Suspended')
      assert.equal(await api.get(resources.backups, namespace, name), undefined)
      const later = await run(namespace, 'minutely-by-hand', 'minutely')
      assert.equal(later.phase, 'Completed')
      const found = await backupEnd(namespace, name)
      assert.deepEqual([found.phase, found.bytes, found.manifest], ['Completed', status.bytes, status.manifest])
    }),

    t.test('retention 2: four good runs leave two, and failed ones between them push nothing out', async () => {
      const mode = (value: string) =>
        put({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name: 'mode' }, data: { value } })
      await mode('good')
      const command = shell('echo data; [ "$MODE" = good ]')
      const env = [{ name: 'MODE', valueFrom: { configMapKeyRef: { name: 'mode', key: 'value' } } }]
      await put(jobPolicy(namespace, 'pruned', { ...command, env }, { retention: 2, backoffLimit: 0 }))
      const runs: string[] = []
      for (const kind of ['good', 'good', 'bad', 'good', 'bad', 'good'] as const) {
        await mode(kind)
        const status = await run(namespace, `pruned-${runs.length + 1}`, 'pruned')
        assert.deepEqual(
          [status.phase, status.reason],
          kind === 'good' ? ['Completed', 'Completed'] : ['Failed', 'SourceExit'],
        )
        runs.push(status.run ?? '')
        const manifests = await store.keys(`${namespace}/pruned/manifests/`)
        assert.equal(manifests.length, Math.min(2, runs.length))
      }
      const newest = [runs[3] ?? '', runs[5] ?? '']
      const runsIn = async (part: string) => {
        const found = await store.keys(`${namespace}/pruned/${part}/`)
        return runs.filter(name => found.some(key => key.includes(name)))
      }
      assert.deepEqual(await runsIn('manifests'), newest)
      assert.deepEqual(await runsIn('data'), newest)
      assert.equal((await store.keys(`${namespace}/pruned/data/`)).length, 2)
      const left = await eventually(
        'the Backups of pruned data to go',
        async () => {
          const { items } = await api.list<Backup>(resources.backups, { namespace })
          const names = items.filter(({ spec }) => spec.policy === 'pruned').map(({ metadata }) => metadata.name)
          return names.length === 4 && names.toSorted()
        },
        { seconds: patience },
      )
      assert.deepEqual(left, ['pruned-3', 'pruned-4', 'pruned-5', 'pruned-6'])
      // The plan that deletes them tells of what it has found; the next one tells what is left.
      const policy = () => api.get<BackupPolicy>(resources.backupPolicies, namespace, 'pruned')
      const kept = async () => (await policy())?.status?.targets?.[0]?.kept === 2
      await eventually('the policy to count what is left', kept, { seconds: patience })
    }),

    t.test(
      'a held backup stays whatever comes, says so once the bucket holds it, and goes when it is released (F63)',
      async () => {
        await put(jobPolicy(namespace, 'held', shell('echo data'), { retention: 1 }))
        const first = await run(namespace, 'held-1', 'held')
        const hold = (name: string, value: string) =>
          patch(namespace, `backup/${name}`, { metadata: { annotations: { [annotation.hold]: value } } })
        const says = (name: string, reason: string) =>
          eventually(
            `Backup ${name} to say ${reason}`,
            async () => {
              const backup = await api.get<Backup>(resources.backups, namespace, name)
              return backup?.status?.conditions?.some(each => each.type === 'Held' && each.reason === reason)
            },
            { seconds: patience },
          )
        await hold('held-1', 'true')
        await says('held-1', 'Held')
        const holds = () => store.keys(`${namespace}/held/holds/`)
        assert.deepEqual(await holds(), [`${namespace}/held/holds/${first.run}.json`])
        const second = await run(namespace, 'held-2', 'held')
        const third = await run(namespace, 'held-3', 'held')
        const manifests = async () => (await store.keys(`${namespace}/held/manifests/`)).join()
        assert.ok((await manifests()).includes(first.run ?? ''))
        assert.ok(!(await manifests()).includes(second.run ?? ''))

        await hold('held-1', 'false')
        await says('held-1', 'HoldReleased')
        assert.deepEqual(await holds(), [])
        await run(namespace, 'held-4', 'held')
        const left = await manifests()
        assert.ok(!left.includes(first.run ?? '') && !left.includes(third.run ?? ''), left)
      },
    ),

    t.test('a backup that shrank: suspect, and nothing is pruned until a person has accepted it (F03)', async () => {
      const size = (value: string) =>
        put({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name: 'size' }, data: { value } })
      const env = [{ name: 'SIZE', valueFrom: { configMapKeyRef: { name: 'size', key: 'value' } } }]
      await size('2097152')
      await put(jobPolicy(namespace, 'shrunk', { ...shell('head -c "$SIZE" /dev/zero'), env }, { retention: 1 }))
      const manifests = () => store.keys(`${namespace}/shrunk/manifests/`)
      const first = await run(namespace, 'shrunk-1', 'shrunk')
      const last = await run(namespace, 'shrunk-2', 'shrunk')
      assert.deepEqual([first.suspect, last.suspect, await manifests()], [undefined, undefined, [last.manifest]])

      await size('100')
      const kept = [last.manifest]
      for (const name of ['shrunk-3', 'shrunk-4']) {
        const { phase, suspect, message, manifest } = await run(namespace, name, 'shrunk')
        kept.push(manifest)
        assert.deepEqual([phase, suspect, await manifests()], ['Completed', true, kept])
        assert.match(message ?? '', /far smaller than the largest good one; look at it/)
        await policyCondition(namespace, 'shrunk', 'RetentionBlocked', 'Suspect')
      }

      await kubectl(cluster, ['-n', namespace, 'annotate', 'backup/shrunk-4', 'backup.dev/accepted=true'])
      const small = await run(namespace, 'shrunk-5', 'shrunk')
      assert.deepEqual([small.phase, small.suspect, await manifests()], ['Completed', undefined, [small.manifest]])
      await eventually(
        'retention not to be blocked any more',
        async () => {
          const policy = await api.get<BackupPolicy>(resources.backupPolicies, namespace, 'shrunk')
          return !policy?.status?.conditions?.some(
            ({ type, status }) => type === 'RetentionBlocked' && status === 'True',
          )
        },
        { seconds: patience },
      )
    }),
  ]
  await Promise.all(stories)
})

/** examples/job-postgres.yaml, in the story's namespace and with the cluster's build of the image. */
async function examplePolicy(namespace: string): Promise<Manifest> {
  const example = parse(await readFile(join(repository, 'examples/job-postgres.yaml'), 'utf8')) as Manifest & {
    readonly spec: { readonly strategy: { readonly job: object } }
  }
  const { spec, metadata } = example
  const job = { ...spec.strategy.job, image: postgresImage }
  return { ...example, metadata: { ...metadata, namespace }, spec: { ...spec, strategy: { ...spec.strategy, job } } }
}

/** The values of the Secrets are in no object but themselves, in no log, in no event. */
async function assertNoSecretIsShown(namespace: string, policy: string) {
  const kinds = 'pods,jobs,cronjobs,backups,backuppolicies,events,configmaps'
  const objects = await kubectl(cluster, ['-n', namespace, 'get', kinds, '-o', 'json', '--show-managed-fields'])
  const logs = await Promise.all(
    (await runPods(namespace, policy)).map(({ metadata }) =>
      kubectl(cluster, ['-n', namespace, 'logs', metadata.name, '--all-containers']),
    ),
  )
  assert.match(logs.join('\n'), /"phase":"committed"|committed/)
  const operator = await operatorLogs()
  assert.match(objects, /postgres-credentials/)
  for (const text of [objects, ...logs, operator])
    for (const value of [canary, minio.password]) assert.ok(!text.includes(value), `${value} is shown`)
}
