// Caches hold less than the API server has. What is written from them must not take the rest away.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import { createCaches } from '../../../src/controllers/shared/caches.ts'
import * as resources from '../../../src/controllers/shared/resources.ts'
import { Client } from '../../../src/runtime/client/client.ts'
import { silentLog } from '../../../src/runtime/log.ts'
import type { RuntimeMetrics } from '../../../src/runtime/metrics.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'
import { installOperatorChart } from './operator.ts'
import { applyAll, namespaceObjects, onDemand, policyObject } from './stage.ts'

let plane: ControlPlane
let admin: Client
before(async () => {
  plane = await startControlPlane()
  admin = new Client(plane.adminConfig)
  await installOperatorChart(plane)
  await applyAll(plane, namespaceObjects('shop'))
})
after(async () => {
  await admin.close()
  await plane.stop()
})

const metadata = {
  labels: { team: 'a' },
  annotations: {
    'kubectl.kubernetes.io/last-applied-configuration': '{"spec": "as it was applied"}',
    'backup.dev/hold': 'true',
    'example.com/note': 'keep me',
  },
  finalizers: ['example.com/mine'],
}

const metrics = { watchCache: () => {}, onRestart: () => () => {} } as unknown as RuntimeMetrics

test('a status that is written from the cache leaves spec, annotations, labels and finalizers as they are', async () => {
  const { caches } = createCaches({ client: admin, log: silentLog, metrics })
  const backup = onDemand('shop', 'one', 'nightly')
  const strategy = { type: 'snapshot' }
  const policy = policyObject('shop', 'nightly', { schedule: '0 2 * * *', retention: 3, strategy }) as BackupPolicy
  const madeBackup = await admin.create<Backup>(resources.backups, {
    ...backup,
    metadata: { ...backup.metadata, ...metadata },
  })
  const madePolicy = await admin.create(resources.backupPolicies, {
    ...policy,
    metadata: { ...policy.metadata, ...metadata },
  })
  caches.backups.offer(madeBackup)
  caches.policies.offer(madePolicy)
  const cachedBackup = caches.backups.get('shop', 'one')
  const cachedPolicy = caches.policies.get('shop', 'nightly')
  assert.ok(cachedBackup && cachedPolicy)
  assert.doesNotMatch(JSON.stringify([cachedBackup, cachedPolicy]), /last-applied|managedFields/)
  const subresource = { subresource: 'status' }
  await admin.replace(
    resources.backups,
    { ...cachedBackup, status: { phase: 'Failed', message: 'tried' } },
    subresource,
  )
  await admin.replace(resources.backupPolicies, { ...cachedPolicy, status: { selected: 1 } }, subresource)
  for (const [resource, name, made, status] of [
    [resources.backups, 'one', madeBackup, { phase: 'Failed', message: 'tried' }],
    [resources.backupPolicies, 'nightly', madePolicy, { selected: 1 }],
  ] as const) {
    const stored = await admin.get<Backup>(resource, 'shop', name)
    assert.deepEqual(stored?.status, status)
    assert.deepEqual(stored.spec, (made as Backup).spec)
    assert.equal(stored.metadata.generation, made.metadata.generation)
    for (const field of ['labels', 'annotations', 'finalizers'] as const)
      assert.deepEqual(stored.metadata[field], made.metadata[field], `${resource.kind} ${field}`)
  }
})
