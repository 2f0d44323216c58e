// The kinds of snapshots are not served for a while, and their objects stay: as when their CRDs are replaced, on a real API server.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { eventually } from '../../../dev/eventually.ts'
import { isFinal } from '../../../src/api/kinds/backup-phases.ts'
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import type { KubernetesObject, VolumeSnapshot } from '../../../src/api/kubernetes.ts'
import * as resources from '../../../src/controllers/shared/resources.ts'
import { Client } from '../../../src/runtime/client/client.ts'
import { isNotFound } from '../../../src/runtime/client/errors.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'
import {
  eventuallyBy,
  expireLease,
  installOperatorChart,
  installSnapshotCrds,
  startOperator,
  type RunningOperator,
} from './operator.ts'
import { applyAll, bind, namespaceObjects, onDemand, policyObject, snapshotClass, volume } from './stage.ts'

const namespace = 'shop'
/** In the past of this cluster. */
const longAgo = new Date(Date.now() - 2 * 86_400_000).toISOString().replace(/\.\d+Z$/, 'Z')

let plane: ControlPlane
let admin: Client
let operator: RunningOperator

before(async () => {
  plane = await startControlPlane()
  admin = new Client(plane.adminConfig)
  await Promise.all([installOperatorChart(plane), installSnapshotCrds(plane)])
  await applyAll(plane, [
    ...namespaceObjects(namespace),
    snapshotClass,
    ...volume(namespace, 'data'),
    policyObject(namespace, 'app', { schedule: '0 0 29 2 *', retention: 2, strategy: { type: 'snapshot' } }),
  ])
  await bind(admin, namespace, 'data')
  operator = await startOperator(plane, 'first')
})
after(async () => {
  await operator?.kill()
  await admin?.close()
  await plane?.stop()
})

test('F33: a run goes on when the snapshot API was away for a moment, though its policy has not been ready for days', async () => {
  await admin.create(resources.backups, onDemand(namespace, 'now', 'app'))
  const run = await until('the run to begin', async () => (await backup()).status?.run)
  const relabel = { kind: 'merge', body: { metadata: { labels: { app: 'nobody' } } } } as const
  await admin.patch(resources.claims, namespace, 'data', relabel)
  await until('the policy to select nothing', async () => (await ready())?.reason === 'SelectorMatchedNothing')
  await operator.kill()
  await setBack()

  await serve(false)
  operator = await operator.again()
  await expireLease(admin)
  await until('the policy to tell of it', async () => (await ready())?.reason === 'SnapshotCRDsMissing')
  assert.equal((await ready())?.lastTransitionTime, longAgo, 'the condition is no witness')
  assert.equal((await backup()).status?.phase, 'Running')

  await serve(true)
  await until('the policy to see it', async () => (await ready())?.reason === 'SelectorMatchedNothing')
  const status = { readyToUse: true, creationTime: new Date().toISOString(), restoreSize: '16Mi' }
  const written = { kind: 'merge', body: { status } } as const
  await admin.patch(resources.snapshots, namespace, run, written, { subresource: 'status' })
  await until('the run to end', async () => isFinal((await backup()).status?.phase))
  const { phase, message = '' } = (await backup()).status ?? {}
  assert.equal(phase, 'Completed', message)
  const snapshot = await admin.get<VolumeSnapshot>(resources.snapshots, namespace, run)
  assert.ok(snapshot && !snapshot.metadata.deletionTimestamp)
})

/** The policy has not been ready since long ago. */
async function setBack(): Promise<void> {
  const policy = await admin.get<BackupPolicy>(resources.backupPolicies, namespace, 'app')
  const conditions = policy?.status?.conditions?.map(each => ({ ...each, lastTransitionTime: longAgo }))
  const body = { kind: 'merge', body: { status: { conditions } } } as const
  await admin.patch(resources.backupPolicies, namespace, 'app', body, { subresource: 'status' })
}

/** Only the version that the operator speaks: what is stored stays. */
async function serve(served: boolean): Promise<void> {
  type Definition = KubernetesObject & { readonly spec: { readonly versions: readonly { readonly name: string }[] } }
  for (const { plural, group } of [resources.snapshots, resources.snapshotClasses]) {
    const crd = `${plural}.${group}`
    const { spec } = JSON.parse(await plane.kubectl(['get', 'crd', crd, '-o', 'json'])) as Definition
    const version = spec.versions.findIndex(({ name }) => name === 'v1')
    const patch = JSON.stringify([{ op: 'replace', path: `/spec/versions/${version}/served`, value: served }])
    await plane.kubectl(['patch', 'crd', crd, '--type=json', '-p', patch])
  }
  const isServed = async () => {
    try {
      for (const kind of [resources.snapshots, resources.snapshotClasses]) await admin.list(kind, {})
      return true
    } catch (error) {
      if (isNotFound(error)) return false
      throw error
    }
  }
  await eventually(`snapshots to be served: ${served}`, async () => (await isServed()) === served, { seconds: 20 })
}

async function backup(): Promise<Backup> {
  return (await admin.get<Backup>(resources.backups, namespace, 'now')) ?? assert.fail()
}

async function ready() {
  const policy = await admin.get<BackupPolicy>(resources.backupPolicies, namespace, 'app')
  return policy?.status?.conditions?.find(({ type }) => type === 'Ready')
}

function until<T>(what: string, condition: () => Promise<T>): Promise<NonNullable<T>> {
  return eventuallyBy(operator, what, condition, 40)
}
