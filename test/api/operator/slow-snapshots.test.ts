// Storage systems that cut a snapshot in a moment and copy it for long, on a real API server: nobody plays the snapshot controller but the test.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { isFinal } from '../../../src/api/kinds/backup-phases.ts'
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import type { VolumeSnapshot } from '../../../src/api/kubernetes.ts'
import { annotation } from '../../../src/api/labels.ts'
import * as resources from '../../../src/controllers/shared/resources.ts'
import { Client } from '../../../src/runtime/client/client.ts'
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
/** The shortest that admission allows. */
const readyTimeoutSeconds = 10

let plane: ControlPlane
let admin: Client
let operator: RunningOperator

before(async () => {
  plane = await startControlPlane()
  admin = new Client(plane.adminConfig)
  await Promise.all([installOperatorChart(plane), installSnapshotCrds(plane)])
  const strategy = { type: 'snapshot', snapshot: { readyTimeoutSeconds } }
  const never = '0 0 29 2 *'
  const of = (app: string, spec: object) =>
    policyObject(namespace, app, { selector: { matchLabels: { app } }, strategy, ...spec })
  await applyAll(plane, [
    ...namespaceObjects(namespace),
    snapshotClass,
    ...volume(namespace, 'data', 'clock'),
    ...volume(namespace, 'logs', 'people'),
    of('clock', { schedule: '* * * * *', retention: 2 }),
    of('people', { schedule: never, retention: 1 }),
  ])
  for (const claim of ['data', 'logs']) await bind(admin, namespace, claim)
  operator = await startOperator(plane, 'patient')
})
after(async () => {
  await operator?.kill()
  await admin?.close()
  await plane?.stop()
})

test('F67: a slow snapshot stays, the next slot begins beside it, and it is Completed when it is ready at last', async () => {
  const first = await begun(() => newest('clock'))
  await say(first, cut())
  const slow = await told(first, 'SnapshotSlow')
  assert.equal(slow.status?.phase, 'Running')
  assert.ok(slow.status.takenTime)
  assert.match(slow.status.message ?? '', /until 2 newer ones of its kind are good/)

  const second = await begun(async () => {
    const backup = await newest('clock')
    return backup?.metadata.name === first.metadata.name ? undefined : backup
  })
  const suspend = { kind: 'merge', body: { spec: { suspend: true } } } as const
  await admin.patch<BackupPolicy>(resources.backupPolicies, namespace, 'clock', suspend)
  await say(second, ready())
  await told(second, 'Completed')
  assert.equal((await snapshotOf(first))?.metadata.deletionTimestamp, undefined)
  await say(first, ready())
  assert.equal((await told(first, 'Completed')).status?.phase, 'Completed')
})

test('F81, F67: on demand one waits until the other is cut, and a slow one goes once the newer one is good', async () => {
  await admin.create(resources.backups, onDemand(namespace, 'one', 'people'))
  const one = await begun(() => named('one'))
  await admin.create(resources.backups, onDemand(namespace, 'two', 'people'))
  const waiting = await told({ metadata: { name: 'two' } }, 'Overlapping')
  assert.equal(waiting.status?.phase, 'Pending')
  await say(one, cut())
  const two = await begun(() => named('two'))
  await say(two, cut())
  await told(one, 'SnapshotSlow')
  await say(two, ready())
  await told(two, 'Completed')
  const gone = await told(one, 'SnapshotNotReady')
  assert.equal(gone.status?.phase, 'Failed')
  await until('the slow snapshot to go', async () => !(await snapshotOf(one)) || undefined)
  const policy = await admin.get<BackupPolicy>(resources.backupPolicies, namespace, 'people')
  const last = policy?.status?.conditions?.find(({ type }) => type === 'LastBackupSucceeded')
  assert.equal(last?.status, 'True', 'the newest run is the one that decides')
})

function cut(): NonNullable<VolumeSnapshot['status']> {
  return { creationTime: new Date().toISOString(), readyToUse: false }
}

function ready(): NonNullable<VolumeSnapshot['status']> {
  return { creationTime: new Date().toISOString(), readyToUse: true, restoreSize: '16Mi' }
}

/** What the snapshot controller would say of the Backup's snapshot. */
async function say(backup: Named, status: NonNullable<VolumeSnapshot['status']>): Promise<void> {
  const snapshot = await snapshotOf(backup)
  assert.ok(snapshot)
  const patch = { kind: 'merge', body: { status } } as const
  await admin.patch(resources.snapshots, namespace, snapshot.metadata.name, patch, { subresource: 'status' })
}

type Named = { readonly metadata: { readonly name: string } }

/** The Backup once its snapshot was made. */
function begun(find: () => Promise<Backup | undefined>): Promise<Backup> {
  return until('a snapshot to be made', async () => {
    const backup = await find()
    return backup && (await snapshotOf(backup)) ? backup : undefined
  })
}

function told({ metadata: { name } }: Named, reason: string): Promise<Backup> {
  return until(`Backup ${name} to say ${reason}`, async () => {
    const backup = await named(name)
    return backup?.status?.reason === reason ? backup : undefined
  })
}

function named(name: string): Promise<Backup | undefined> {
  return admin.get<Backup>(resources.backups, namespace, name)
}

/** Of those that go on. */
async function newest(policy: string): Promise<Backup | undefined> {
  const { items } = await admin.list<Backup>(resources.backups, { namespace })
  const going = items.filter(({ spec, status }) => spec.policy === policy && !isFinal(status?.phase))
  return going.toSorted((a, b) => ((a.spec.slot ?? '') < (b.spec.slot ?? '') ? 1 : -1))[0]
}

async function snapshotOf({ metadata: { name } }: Named): Promise<VolumeSnapshot | undefined> {
  const { items } = await admin.list<VolumeSnapshot>(resources.snapshots, { namespace })
  return items.find(({ metadata }) => metadata.annotations?.[annotation.backup] === name)
}

function until<T>(what: string, condition: () => Promise<T | undefined>): Promise<NonNullable<T>> {
  return eventuallyBy(operator, what, condition, 90)
}
