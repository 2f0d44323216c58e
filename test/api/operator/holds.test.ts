// What retention must leave alone on a real API server, with the chart's own account: a snapshot that a claim waits for, and one that
// somebody holds, also when the Backup object that said so is gone.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { eventually } from '../../../dev/eventually.ts'
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import type { KubernetesObject, VolumeSnapshot } from '../../../src/api/kubernetes.ts'
import { annotation, label } from '../../../src/api/labels.ts'
import * as resources from '../../../src/controllers/shared/resources.ts'
import { Client } from '../../../src/runtime/client/client.ts'
import { releaseName, releaseNamespace } from '../../chart/chart.ts'
import { refusals, requestsOf } from '../../runner/rights.ts'
import { clusterHands, type Hands } from '../control-plane/cluster-hands.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'
import {
  eventuallyBy,
  installOperatorChart,
  installSnapshotCrds,
  startOperator,
  type RunningOperator,
} from './operator.ts'
import { applyAll, bind, namespaceObjects, onDemand, policyObject, snapshotClass, volume } from './stage.ts'

const namespace = 'shop'
const seconds = 60
const backend = { type: 's3', bucket: 'backups', endpoint: 'http://minio.minio.svc:9000', secretRef: 'minio-creds' }
const job = { image: 'postgres:15', args: ['pg_dump', 'shop'] }

let plane: ControlPlane
let admin: Client
let operator: RunningOperator
let hands: Hands

before(async () => {
  plane = await startControlPlane({ audit: true })
  admin = new Client(plane.adminConfig)
  await Promise.all([installOperatorChart(plane), installSnapshotCrds(plane)])
  await applyAll(plane, [
    ...namespaceObjects(namespace),
    snapshotClass,
    ...volume(namespace, 'data'),
    policyObject(namespace, 'app', { schedule: '0 0 29 2 *', retention: 1, strategy: { type: 'snapshot' } }),
    policyObject(namespace, 'dump', { schedule: '0 0 29 2 *', retention: 1, backend, strategy: { type: 'job', job } }),
  ])
  await bind(admin, namespace, 'data')
  hands = clusterHands(admin, namespace)
  operator = await startOperator(plane, 'keeper')
})
after(async () => {
  await operator?.kill()
  await hands?.stop()
  await admin?.close()
  await plane?.stop()
})

test('F86: the snapshot that an unbound claim names as its source stays, and goes when the claim is bound', async () => {
  const one = await run('one')
  const dataSource = { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: one }
  await applyAll(plane, [
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'restored', namespace },
      spec: {
        accessModes: ['ReadWriteOnce'],
        storageClassName: 'waits',
        resources: { requests: { storage: '16Mi' } },
        dataSource,
      },
    } as KubernetesObject,
  ])
  await run('two')
  await until('the policy to say what it keeps', async () => (await retentionBlocked())?.reason === 'SnapshotInUse')
  assert.match((await retentionBlocked())?.message ?? '', /PersistentVolumeClaim restored/)
  assert.ok(await snapshot(one))

  await bind(admin, namespace, 'restored')
  // An edit is a reason to try everything again at once.
  await admin.patch(resources.backupPolicies, namespace, 'app', {
    kind: 'merge',
    body: { spec: { schedule: '1 0 29 2 *' } },
  })
  await until('the snapshot to go', async () => (await snapshot(one)) === undefined)
  await until('the policy to say nothing more of it', async () => (await retentionBlocked()) === undefined)
})

test('F63: a hold is on the snapshot, outlives its Backup object, and ends when somebody says so', async () => {
  const held = await run('held')
  await annotate('held', 'true')
  await until(
    'the hold to be on the snapshot',
    async () => (await snapshot(held))?.metadata.labels?.[label.hold] === 'true',
  )
  await admin.delete(resources.backups, namespace, 'held')
  const next = await run('next')
  await run('last')
  await until('the one that nobody holds to go', async () => (await snapshot(next)) === undefined)
  assert.ok(await snapshot(held), 'the hold is with the data')

  const body = { metadata: { labels: { [label.hold]: null } } }
  await admin.patch(resources.snapshots, namespace, held, { kind: 'merge', body })
  await until('it to go like any other', async () => (await snapshot(held)) === undefined)
})

test('F63: a hold is written into the bucket by a Job, comes back with its Backup, and ends when somebody says so', async () => {
  await run('first', 'dump')
  await annotate('first', 'true')
  await until('the Backup to be held', async () => (await held('first'))?.status === 'True')
  await until('the Job to go', async () => {
    const { items } = await admin.list(resources.jobs, { namespace, labelSelector: `${label.role}=hold` })
    return items.length === 0
  })
  const { run: job = '' } = (await admin.get<Backup>(resources.backups, namespace, 'first'))?.status ?? {}
  await admin.delete(resources.backups, namespace, 'first')
  await run('second', 'dump')
  await run('third', 'dump')
  await until('the held one to come back, and the one between to go', async () => {
    const [back, between] = [job, 'second'].map(name => admin.get<Backup>(resources.backups, namespace, name))
    return (await back)?.metadata.annotations?.[annotation.hold] === 'true' && (await between) === undefined
  })
  await until('it to say that it is held', async () => (await held(job))?.status === 'True')

  await annotate(job, 'false')
  await until('it to be released', async () => (await held(job))?.reason === 'HoldReleased')
  await run('fourth', 'dump')
  const gone = async () => (await admin.get<Backup>(resources.backups, namespace, job)) === undefined
  await until('it to go like any other', gone)
})

test('F63: false takes a hold back, and the operator asked for nothing that its account may not do', async () => {
  const held = await run('for-a-while')
  await annotate('for-a-while', 'true')
  await until(
    'the hold to be on the snapshot',
    async () => (await snapshot(held))?.metadata.labels?.[label.hold] === 'true',
  )
  await annotate('for-a-while', 'false')
  await until('it to be taken away', async () => {
    const there = await snapshot(held)
    return there !== undefined && there.metadata.labels?.[label.hold] === undefined
  })
  await run('after')
  await until('it to go', async () => (await snapshot(held)) === undefined)
  const log = await readFile(plane.auditLog ?? '', 'utf8')
  assert.deepEqual(refusals(requestsOf(log, `${releaseNamespace}:${releaseName}`)), [])
})

/** @returns the name of its Job or snapshot. */
async function run(name: string, policy = 'app'): Promise<string> {
  // Snapshots of one second are told apart by their names, and this one must be the newer one.
  const begin = Date.now()
  await eventually('the next second', async () => Math.floor(Date.now() / 1000) > Math.floor(begin / 1000), { seconds })
  await admin.create(resources.backups, onDemand(namespace, name, policy))
  const done = await eventuallyBy(
    operator,
    `end of Backup ${name}`,
    async () => {
      const backup = await admin.get<Backup>(resources.backups, namespace, name)
      return backup?.status?.phase === 'Completed' ? backup : undefined
    },
    seconds,
  )
  assert.ok(done.status?.run)
  return done.status.run
}

async function held(name: string) {
  const backup = await admin.get<Backup>(resources.backups, namespace, name)
  return backup?.status?.conditions?.find(({ type }) => type === 'Held')
}

async function annotate(name: string, hold: string): Promise<void> {
  const body = { metadata: { annotations: { [annotation.hold]: hold } } }
  await admin.patch(resources.backups, namespace, name, { kind: 'merge', body })
}

function until(what: string, condition: () => Promise<boolean>): Promise<unknown> {
  return eventuallyBy(operator, what, condition, seconds)
}

function snapshot(name: string): Promise<VolumeSnapshot | undefined> {
  return admin.get<VolumeSnapshot>(resources.snapshots, namespace, name)
}

async function retentionBlocked() {
  const policy = await admin.get<BackupPolicy>(resources.backupPolicies, namespace, 'app')
  return policy?.status?.conditions?.find(({ type }) => type === 'RetentionBlocked')
}
