// Restores on a real API server, with the chart's own account: what becomes of each kind of source, and that nothing is restored twice.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import type { Restore } from '../../../src/api/kinds/restore.ts'
import type { Job, KubernetesObject } from '../../../src/api/kubernetes.ts'
import { apiVersion, label } from '../../../src/api/labels.ts'
import * as resources from '../../../src/controllers/shared/resources.ts'
import { Client } from '../../../src/runtime/client/client.ts'
import { Reflector } from '../../../src/runtime/cache/reflector.ts'
import { releaseName, releaseNamespace } from '../../chart/chart.ts'
import { taskOf } from '../../plan/restore-world.ts'
import { refusals, requestsOf } from '../../runner/rights.ts'
import { startApiProxy } from '../control-plane/api-proxy.ts'
import { clusterHands, type Hands } from '../control-plane/cluster-hands.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'
import { eventuallyBy, expireLease, installOperatorChart, startOperator, type RunningOperator } from './operator.ts'
import { createBucket, type Bucket } from './pretend-bucket.ts'
import { applyAll, namespaceObjects, onDemand, policyObject } from './stage.ts'

const namespace = 'shop'
const seconds = 60
const backend = { type: 's3', bucket: 'backups', endpoint: 'http://minio.minio.svc:9000', secretRef: 'minio-creds' }
const job = { image: 'postgres:15', args: ['pg_dump', 'shop'] }
const spec = { schedule: '0 0 29 2 *', retention: 3, backend, strategy: { type: 'job', job } }
const into = { args: ['pg_restore', '-e', '-d', 'shop'] }

let plane: ControlPlane
let admin: Client
let operator: RunningOperator
let hands: Hands
let bucket: Bucket
/** Names of the Jobs of Restores that were ever made, each as often as that. */
const made: string[] = []
const watching = new AbortController()

before(async () => {
  plane = await startControlPlane({ audit: true })
  admin = new Client(plane.adminConfig)
  await installOperatorChart(plane)
  await applyAll(plane, [...namespaceObjects(namespace), policyObject(namespace, 'dump', spec)])
  bucket = createBucket()
  for (const day of [1, 2, 3]) bucket.put('dump', `run-${day}`, new Date(Date.UTC(2026, 0, day)))
  hands = clusterHands(admin, namespace, { bucket, endless: ['endless'] })
  const seen = new Reflector<Job>({ client: admin, resource: resources.jobs, namespace })
  seen.store.subscribe(({ type, object: { metadata } }) => {
    if (type === 'added' && metadata.labels?.[label.restore]) made.push(metadata.name)
  })
  void seen.run(watching.signal)
  operator = await startOperator(plane, 'restorer')
})
after(async () => {
  watching.abort()
  await operator?.kill()
  await hands?.stop()
  await admin?.close()
  await plane?.stop()
})

test('the newest backup of a policy is back, and the status tells which, what was made, and how long it took', async () => {
  await create('newest', { source: { policy: { name: 'dump' } }, into })
  const { status } = await ended('newest')
  assert.deepEqual([status?.phase, status?.reason], ['Completed', 'Completed'], status?.message ?? '')
  assert.equal(status?.backup?.run, 'run-3')
  assert.deepEqual(status?.result?.databases, [{ database: 'shop', as: 'shop' }])
  assert.equal(status?.progress?.percent, 100)
  assert.match(status?.duration ?? '', /^\d+s$/)
  await plane.kubectl(['-n', namespace, 'wait', 'rst/newest', '--for=condition=Ready', '--timeout=5s'])
  const text = await operator.metrics()
  const labels = `namespace="${namespace}",policy_namespace="${namespace}",policy="dump"`
  assert.ok(text.includes(`backup_restores_total{${labels},phase="Completed"} 1\n`))
  assert.ok(text.includes(`backup_restores_total{${labels},phase="Failed"} 0\n`))
  assert.match(text, new RegExp(`^backup_restore_last_duration_seconds\\{${labels}\\} \\d+$`, 'm'))
})

test('the newest backup before a time is another one', async () => {
  await create('earlier', { source: { policy: { name: 'dump', before: '2026-01-02T12:00:00Z' } }, into })
  assert.equal((await ended('earlier')).status?.backup?.run, 'run-2')
})

test('a Restore of a Backup that goes on waits for it', async () => {
  const ofBackup = { source: { backup: 'now' }, into }
  await create('of-backup', ofBackup)
  await admin.create(resources.backups, onDemand(namespace, 'now', 'dump'))
  const { status } = await ended('of-backup')
  assert.equal(status?.phase, 'Completed', status?.message ?? '')
  assert.match(status?.backup?.run ?? '', /^backup-dump-/)
})

test('a place in a bucket without a run lists what is there, and with a run is restored without any policy', async () => {
  bucket.put('gone', 'old-run', new Date(Date.UTC(2026, 0, 1)))
  const place = { backend, namespace: 'elsewhere', policy: 'gone' }
  const image = 'postgres:15'
  await create('unnamed', { source: { bucket: place }, into: { ...into, image } })
  const { status } = await ended('unnamed')
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'RunNotNamed'])
  assert.deepEqual(
    status?.available?.map(({ run }) => run),
    ['old-run'],
  )
  await create('named', { source: { bucket: { ...place, run: 'old-run' } }, into: { ...into, image } })
  assert.equal((await ended('named')).status?.phase, 'Completed')
})

test('by a preset it is restored into the workload that the pods tell of, in their image, as their administrator', async () => {
  const labels = { app: 'db' }
  const secretKeyRef = { name: 'db', key: 'password' }
  const env = [{ name: 'POSTGRES_PASSWORD', valueFrom: { secretKeyRef } }]
  const controller = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'db', uid: 'uid-of-db', controller: true }
  const strategy = { type: 'job', job: { preset: 'postgres' } }
  await applyAll(plane, [
    policyObject(namespace, 'presets', { ...spec, selector: { matchLabels: labels }, strategy }),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'db', namespace },
      spec: { selector: labels, ports: [{ port: 5432 }] },
    } as KubernetesObject,
  ])
  bucket.put('presets', 'run-1', new Date(Date.UTC(2026, 0, 1)))
  await create('by-preset', {
    source: { policy: { name: 'presets' } },
    into: { preset: 'postgres', target: 'db', only: { database: 'shop' } },
  })
  await eventuallyBy(
    operator,
    'the Restore to wait for the workload',
    async () => {
      const seen = await admin.get<Restore>(resources.restores, namespace, 'by-preset')
      return seen?.status?.reason === 'TargetNotFound'
    },
    seconds,
  )
  await applyAll(plane, [
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'db-0', namespace, labels, ownerReferences: [controller] },
      spec: { containers: [{ name: 'postgres', image: 'postgres:17', env }] },
    } as KubernetesObject,
  ])
  const { status } = await ended('by-preset')
  assert.equal(status?.phase, 'Completed', status?.message ?? '')
  const stored = await admin.get<Job>(resources.jobs, namespace, status?.jobs?.restore?.name ?? '')
  const container = stored?.spec.template.spec.containers.find(({ name }) => name === 'restore')
  assert.deepEqual(
    [container?.image, container?.args],
    ['postgres:17', ['/.backup/busybox', 'sh', '/.backup/preset-postgres.sh', 'restore']],
  )
  const given = Object.fromEntries(container?.env?.map(each => [each.name, each.value ?? each.valueFrom]) ?? [])
  assert.deepEqual([given['PGHOST'], given['PGPASSWORD']], ['db.shop.svc', { secretKeyRef }])
  assert.equal(given['BACKUP_INTO'], 'shop_20260101t0000')
})

test('a Restore that verifies runs no command', async () => {
  await create('verified', { source: { policy: { name: 'dump' } }, verify: true })
  const { status } = await ended('verified')
  assert.equal(status?.phase, 'Completed', status?.message ?? '')
  const stored = await admin.get<Job>(resources.jobs, namespace, status?.jobs?.restore?.name ?? '')
  assert.deepEqual(
    stored?.spec.template.spec.containers.map(({ name }) => name),
    ['mover'],
  )
  const task = taskOf(stored)
  assert.ok(task.kind === 'restore' && task.verify)
})

test('a Restore waits a little for the policy that is applied with it', async () => {
  await create('before-policy', { source: { policy: { name: 'late' } }, into })
  await until('it to wait', async () => (await restoreOf('before-policy')).status?.reason === 'PolicyNotFound')
  bucket.put('late', 'run-1', new Date(Date.UTC(2026, 0, 1)))
  await applyAll(plane, [policyObject(namespace, 'late', spec)])
  assert.equal((await ended('before-policy')).status?.phase, 'Completed')
})

test('an operator that is killed in the middle restores nothing twice, and runs nothing again that has ended', async () => {
  await create('endless', { source: { policy: { name: 'dump' } }, into })
  await until('it to look for the backup', async () => (await restoreOf('endless')).status?.jobs?.resolve !== undefined)
  await operator.kill()
  await expireLease(admin)
  operator = await operator.again()
  await create('after', { source: { policy: { name: 'dump' } }, into })
  assert.equal((await ended('after')).status?.phase, 'Completed')
  assert.equal((await restoreOf('endless')).status?.phase, 'Resolving')
  assert.deepEqual(
    made.filter((name, index) => made.indexOf(name) !== index),
    [],
  )

  // Deleting it is how it is ended.
  await admin.delete(resources.restores, namespace, 'endless')
  await until('its Jobs to go', async () => {
    const labelSelector = `${label.restore}=endless`
    return (await admin.list(resources.jobs, { namespace, labelSelector })).items.length === 0
  })
})

test('a Job that somebody deletes is not made again', async () => {
  const { status } = await restoreOf('newest')
  await admin.delete(resources.jobs, namespace, status?.jobs?.restore?.name ?? '')
  await create('next', { source: { policy: { name: 'dump' } }, into })
  await ended('next')
  assert.equal(made.filter(name => name === status?.jobs?.restore?.name).length, 1)
  assert.deepEqual((await restoreOf('newest')).status, status)
})

test('what pods have said counts also where the watch has not told of it yet', async t => {
  await operator.kill()
  await expireLease(admin)
  // Their Jobs are seen to have ended first.
  const watchDelayMs = (path: string) => (path.endsWith('/pods') ? 4000 : 0)
  const proxy = await startApiProxy({ url: plane.url, ca: plane.ca, onWrite: () => 'pass', watchDelayMs })
  t.after(() => proxy.close())
  operator = await startOperator(plane, 'behind', proxy.url)
  await create('behind', { source: { policy: { name: 'dump' } }, into })
  const { status } = await ended('behind')
  assert.equal(status?.phase, 'Completed', status?.message ?? '')
  assert.deepEqual(status?.result?.databases, [{ database: 'shop', as: 'shop' }])
  await operator.kill()
})

test('the operator was refused nothing', async () => {
  const requests = requestsOf(await readFile(plane.auditLog ?? '', 'utf8'), `${releaseNamespace}:${releaseName}`)
  assert.deepEqual(refusals(requests), [])
})

async function create(name: string, of: object): Promise<void> {
  const object = { apiVersion, kind: 'Restore', metadata: { name, namespace }, spec: of } as KubernetesObject
  await admin.create(resources.restores, object)
}

async function restoreOf(name: string): Promise<Restore> {
  const found = await admin.get<Restore>(resources.restores, namespace, name)
  assert.ok(found)
  return found
}

async function ended(name: string): Promise<Restore> {
  await until(`Restore ${name} to end`, async () => (await restoreOf(name)).status?.completionTime !== undefined)
  return restoreOf(name)
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  await eventuallyBy(operator, what, condition, seconds)
}
