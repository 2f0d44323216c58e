// What the stories stand on: a node, snapshots, Services; and the demo, which needs nothing else.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { kubectl, kubectlJson } from '../dev/cluster-access.ts'
import { capture } from '../dev/command.ts'
import { repository } from '../dev/paths.ts'
import { cluster, execInPod, idlePod, postgresImage, waitFor } from './cluster.ts'
import { storyNamespace } from './namespace.ts'
import { put } from './objects.ts'

const claim = (namespace: string, name: string, dataSource?: object) => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { namespace, name },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '64Mi' } }, dataSource },
})

suite('a cluster', { concurrency: true }, () => {
  test('the node is Ready and every system pod, if there is one, runs', async () => {
    const nodes = await kubectlJson<{ items: { status: { conditions: { type: string; status: string }[] } }[] }>(
      cluster,
      ['get', 'nodes'],
    )
    assert.ok(nodes.items.length > 0)
    for (const { status } of nodes.items)
      assert.equal(status.conditions.find(({ type }) => type === 'Ready')?.status, 'True')
  })

  test('a snapshot of a volume is restored into a new one, with the bytes of the moment it was taken', async t => {
    const namespace = await storyNamespace(t, 'e2e-cluster-snapshot')
    await put(claim(namespace, 'original'), idlePod(namespace, 'writer', 'original'))
    await waitFor(namespace, 'pod/writer', 'condition=Ready')
    await execInPod(namespace, 'writer', ['sh', '-c', 'echo before >/data/file'])

    const snapshot = {
      apiVersion: 'snapshot.storage.k8s.io/v1',
      kind: 'VolumeSnapshot',
      metadata: { namespace, name: 'moment' },
      spec: { source: { persistentVolumeClaimName: 'original' } },
    }
    await put(snapshot)
    await waitFor(namespace, 'volumesnapshot/moment', 'jsonpath={.status.readyToUse}=true')
    await execInPod(namespace, 'writer', ['sh', '-c', 'echo after >/data/file'])

    const source = { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: 'moment' }
    await put(claim(namespace, 'restored', source), idlePod(namespace, 'reader', 'restored'))
    await waitFor(namespace, 'pod/reader', 'condition=Ready')
    assert.equal(await execInPod(namespace, 'reader', ['cat', '/data/file']), 'before\n')
    assert.equal(await execInPod(namespace, 'writer', ['cat', '/data/file']), 'after\n')
  })

  test('a pod reaches PostgreSQL through the DNS name of its Service', async t => {
    const namespace = await storyNamespace(t, 'e2e-cluster-service')
    const database = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace, name: 'database', labels: { app: 'database' } },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [
          {
            name: 'postgres',
            image: postgresImage,
            env: [
              { name: 'POSTGRES_PASSWORD', value: 'not-a-secret' },
              { name: 'PGDATA', value: '/data/pg' },
            ],
            readinessProbe: { tcpSocket: { port: 5432 }, periodSeconds: 1 },
            volumeMounts: [{ name: 'data', mountPath: '/data' }],
          },
        ],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }],
      },
    }
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace, name: 'database' },
      spec: { selector: { app: 'database' }, ports: [{ port: 5432 }] },
    }
    const claims = [claim(namespace, 'data'), claim(namespace, 'other')]
    await put(...claims, database, service, idlePod(namespace, 'client', 'other'))
    await waitFor(namespace, 'pod/database', 'condition=Ready')
    await waitFor(namespace, 'pod/client', 'condition=Ready')
    const address = `postgresql://postgres:not-a-secret@database.${namespace}.svc.cluster.local/postgres`
    const answer = await execInPod(namespace, 'client', ['psql', '-XAt', address, '-c', 'select 6 * 7'])
    assert.equal(answer, '42\n')
    assert.match(await kubectl(cluster, ['-n', namespace, 'logs', 'database']), /ready to accept connections/)
  })

  // `make demo`, as the README tells people to run it, in a namespace of its own.
  test('the demo comes to its end: both policies Ready, both backups Completed, and a table that was dropped is back', async t => {
    const namespace = await storyNamespace(t, 'e2e-demo')
    const program = join(repository, 'dev/demo.ts')
    const told = stripVTControlCharacters(await capture([process.execPath, program, namespace], { env: process.env }))

    assert.match(told, /the database shop holds 100000 orders\n/)
    const row = (start: string) => told.split('\n').findLast(line => line.trimStart().startsWith(start)) ?? ''
    assert.match(row('backuppolicy.backup.dev/sample '), / snapshot .* True +Ready /)
    assert.match(row('backuppolicy.backup.dev/postgres '), / job .* True +Ready /)
    for (const policy of ['sample', 'postgres']) {
      const [, name = ''] = new RegExp(`created Backup (demo-\\w+) for policy ${policy}\n`).exec(told) ?? []
      assert.match(row(`backup.backup.dev/${name} `), new RegExp(` ${policy} .* Completed `))
      const metric = `backup_success_total{namespace="${namespace}",policy_namespace="${namespace}",policy="${policy}"`
      assert.match(row(metric), / [1-9]\d*$/)
    }
    assert.match(told, new RegExp(`^ +\\d+ +${namespace}/postgres/data/.+\\.zst$`, 'm'))
    assert.match(told, new RegExp(`^ +\\d+ +${namespace}/postgres/manifests/.+\\.json$`, 'm'))
    assert.match(told, /relation "orders" does not exist\n/)
    assert.match(row('orders-back-'), / Completed /)
    assert.equal([...told.matchAll(/the database shop holds 100000 orders\n/g)].length, 2)
    assert.match(told, /make cluster-down +leave nothing behind\n$/)
  })
})
