// Objects that somebody forged on a real API server, with all our labels and names: whatever they say, no Backup is Completed by it, none
// is made or deleted, and nobody touches what is not ours (docs/design.md R27).
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { CronJob, Job, KubernetesObject, OwnerReference, Pod } from '../../../src/api/kubernetes.ts'
import { annotation } from '../../../src/api/labels.ts'
import { encodeMoverMessage } from '../../../src/api/mover/message.ts'
import { cronJobName } from '../../../src/api/names.ts'
import * as resources from '../../../src/controllers/shared/resources.ts'
import { Client } from '../../../src/runtime/client/client.ts'
import { controlledBy, jobNameOfSlot } from '../../plan/world.ts'
import { clusterHands, endPod, type Hands } from '../control-plane/cluster-hands.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'
import { eventuallyBy, installOperatorChart, startOperator, type RunningOperator } from './operator.ts'
import { applyAll, namespaceObjects, onDemand, policyObject } from './stage.ts'

const namespace = 'shop'
const backend = { type: 's3', bucket: 'backups', endpoint: 'http://minio.minio.svc:9000', secretRef: 'minio-creds' }
const strategy = { type: 'job', job: { image: 'postgres:15', args: ['pg_dump', 'shop'] } }

let plane: ControlPlane
let admin: Client
let operator: RunningOperator
let hands: Hands

before(async () => {
  plane = await startControlPlane()
  admin = new Client(plane.adminConfig)
  await installOperatorChart(plane)
  await applyAll(plane, [
    ...namespaceObjects(namespace),
    policyObject(namespace, 'dump', { schedule: '0 0 29 2 *', retention: 5, backend, strategy }),
  ])
  hands = clusterHands(admin, namespace, { endless: ['going', 'forged'] })
  operator = await startOperator(plane, 'believer')
})
after(async () => {
  await operator?.kill()
  await hands?.stop()
  await admin?.close()
  await plane?.stop()
})

test('a forged Job and a forged committed pod complete no Backup, make none and delete none, and stay as they are (F74)', async () => {
  const good = await run('good', 'Completed')
  const going = await run('going', 'Running')
  const [runName = '', jobUID = ''] = [going.status?.run, going.status?.jobUID]
  const real = await admin.get<Job>(resources.jobs, namespace, runName)
  assert.ok(real && jobUID === real.metadata.uid)
  const lie = {
    phase: 'committed',
    finishedAt: Date.now(),
    bytes: 1,
    storedBytes: 1,
    manifest: 'manifests/forged.json',
    deleted: [good.status?.run ?? ''],
  } as const

  const other: OwnerReference = { ...controlledBy(real), uid: 'other' }
  const pods = [
    await forgePod('labels-only', real, [], encodeMoverMessage({ ...lie, run: runName })),
    await forgePod('another-job', real, [other], encodeMoverMessage({ ...lie, run: runName })),
    await forgePod('no-controller', real, [{ ...controlledBy(real), controller: false }], encodeMoverMessage(lie)),
  ]
  const forged = await forgeJob(new Date(Math.ceil(Date.now() / 60_000) * 60_000))
  await endPod(admin, forged, 0, { ...lie, run: forged.metadata.name })
  // Before the eyes of the operator, which asks for pods of this name before its verdict.
  await admin.delete(resources.jobs, namespace, runName, { propagationPolicy: 'Background' })
  const lost = await run('going', 'Failed')
  assert.equal(lost.status?.reason, 'JobDeleted')

  // By the end of another run its watches have told of all the above.
  await run('after', 'Completed')
  const backups = (await admin.list<Backup>(resources.backups, { namespace })).items
  assert.deepEqual(backups.map(({ metadata, status }) => `${metadata.name} ${status?.phase}`).toSorted(), [
    'after Completed',
    'going Failed',
    'good Completed',
  ])
  for (const { metadata } of pods)
    assert.equal((await admin.get<Pod>(resources.pods, namespace, metadata.name))?.metadata.uid, metadata.uid)
  const stays = await admin.get<Job>(resources.jobs, namespace, forged.metadata.name)
  assert.deepEqual([stays?.metadata.uid, stays?.metadata.deletionTimestamp], [forged.metadata.uid, undefined])
})

/** A Backup that is asked for, or was, once it has come to this phase. */
async function run(name: string, phase: string): Promise<Backup> {
  if (!(await admin.get(resources.backups, namespace, name)))
    await admin.create(resources.backups, onDemand(namespace, name, 'dump'))
  const reached = async () => {
    const backup = await admin.get<Backup>(resources.backups, namespace, name)
    return backup?.status?.phase === phase && backup
  }
  const backup = await eventuallyBy(operator, `Backup ${name} to be ${phase}`, reached, 60)
  assert.ok(backup)
  return backup
}

/** As the CronJob's own template says, and of a CronJob that is not ours; the hands of the cluster leave its pod running. */
async function forgeJob(slot: Date): Promise<Job> {
  const cronJob = await admin.get<CronJob>(resources.cronJobs, namespace, cronJobName('dump'))
  assert.ok(cronJob)
  const { metadata, spec } = cronJob.spec.jobTemplate
  return await admin.create<Job>(resources.jobs, {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      ...metadata,
      name: jobNameOfSlot(cronJob.metadata.name, slot),
      namespace,
      annotations: {
        ...metadata?.annotations,
        [annotation.cronJobSlot]: slot.toISOString(),
        [annotation.backup]: 'forged',
      },
      ownerReferences: [{ ...controlledBy(cronJob), uid: 'other' }],
    },
    spec,
  })
}

async function forgePod(name: string, of: Job, ownerReferences: readonly OwnerReference[], message: string) {
  const labels = { ...of.spec.template.metadata?.labels, 'batch.kubernetes.io/job-name': of.metadata.name }
  const pod: KubernetesObject & { readonly spec: object } = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels, ownerReferences },
    spec: { containers: [{ name: 'mover', image: 'forged' }] },
  }
  const created = await admin.create<KubernetesObject>(resources.pods, pod)
  const image = { image: 'forged', imageID: 'none', ready: false, restartCount: 0 }
  const state = { terminated: { exitCode: 0, message } }
  const status = { phase: 'Succeeded', containerStatuses: [{ ...image, name: 'mover', state }] }
  await admin.patch(resources.pods, namespace, name, { kind: 'merge', body: { status } }, { subresource: 'status' })
  return created
}
