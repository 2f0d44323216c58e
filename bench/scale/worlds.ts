// What stands in the cluster when the operator starts: made by the administrator, as operator and controllers would have left it.
import type { Backup } from '../../src/api/kinds/backup.ts'
import type { CronJob, Job, VolumeSnapshot } from '../../src/api/kubernetes.ts'
import { annotation, label } from '../../src/api/labels.ts'
import { cronJobName, slotRunName } from '../../src/api/names.ts'
import * as resources from '../../src/controllers/shared/resources.ts'
import { scheduledBackup, volumeSnapshot } from '../../src/resources/backup-objects.ts'
import type { Client } from '../../src/runtime/client/client.ts'
import { rfc3339 } from '../../src/schedule/times.ts'
import { clusterHands } from '../../test/api/control-plane/cluster-hands.ts'
import type { ControlPlane } from '../../test/api/control-plane/control-plane.ts'
import { createBucket } from '../../test/api/operator/pretend-bucket.ts'
import { applyAll, bind, namespaceObjects, policyObject, snapshotClass, volume } from '../../test/api/operator/stage.ts'
import { eventually } from '../../dev/eventually.ts'
import { startMeasured, type Program } from './operator-in-image.ts'

export type WorldSize = {
  readonly policies: number
  /** Good backups of each policy. */
  readonly backups: number
}

/** A slot that does not come while anything is measured. */
export const never = '0 0 29 2 *'
const namespaceCount = 10

export const namespaceOf = (index: number) => `tenant-${index % namespaceCount}`
export const policyOf = (index: number) => `policy-${index}`
const slotOf = (index: number) => new Date(Date.UTC(2026, 8, 1 + index, 2))

/** Works off `items`, so many at a time. */
export async function inParallel<T>(
  items: Iterable<T>,
  work: (item: T) => Promise<unknown>,
  width = 16,
): Promise<void> {
  const queue = [...items]
  const worker = async () => {
    for (let item = queue.pop(); item !== undefined; item = queue.pop()) await work(item)
  }
  await Promise.all(Array.from({ length: width }, worker))
}

export const indexes = (count: number) => Array.from({ length: count }, (_, index) => index)

const namespaces = () => indexes(namespaceCount).map(namespaceOf)

/** Each policy selects one claim, and has its snapshots. */
export async function makeSnapshotWorld(
  plane: ControlPlane,
  admin: Client,
  { policies, backups }: WorldSize,
): Promise<void> {
  await applyAll(plane, [...namespaces().flatMap(namespaceObjects), snapshotClass])
  await inParallel(indexes(policies), async index => {
    const namespace = namespaceOf(index)
    const app = `app-${index}`
    const [persistent, claim] = volume(namespace, `data-${index}`, app)
    if (!persistent || !claim) throw new TypeError('a volume is two objects')
    await admin.create(resources.volumes, persistent)
    await admin.create(resources.claims, claim)
    await bind(admin, namespace, `data-${index}`)
    const strategy = { type: 'snapshot' }
    const spec = { selector: { matchLabels: { app } }, schedule: never, retention: 2 * backups, strategy }
    await admin.create(resources.backupPolicies, policyObject(namespace, policyOf(index), spec))
  })
  await inParallel(
    indexes(policies * backups),
    async index => await makeSnapshotBackup(admin, Math.floor(index / backups), slotOf(index % backups)),
  )
}

async function makeSnapshotBackup(admin: Client, index: number, slot: Date): Promise<void> {
  const [namespace, policy, claim] = [namespaceOf(index), policyOf(index), `data-${index}`]
  const name = slotRunName(policy, claim, slot)
  const backup = scheduledBackup(namespace, policy, name, claim, slot)
  const time = `${slot.toISOString().slice(0, 19)}Z`
  const content = `snapcontent-${crypto.randomUUID()}`
  await admin.create<VolumeSnapshot>(
    resources.snapshots,
    volumeSnapshot(backup, name, claim, 'only', rfc3339(new Date())),
  )
  await writeStatus(admin, resources.snapshots, namespace, name, {
    readyToUse: true,
    creationTime: time,
    restoreSize: '16Mi',
    boundVolumeSnapshotContentName: content,
  })
  await admin.create(resources.backups, backup)
  const snapshot = { name, contentName: content, restoreSize: '16Mi', deletionPolicy: 'Delete' }
  await writeStatus(admin, resources.backups, namespace, name, {
    phase: 'Completed',
    reason: 'Completed',
    target: claim,
    run: name,
    startTime: time,
    completionTime: time,
    duration: '1s',
    size: '16Mi',
    snapshot,
    retention: { keep: true, reason: 'WithinRetention' },
    conditions: [
      {
        type: 'Ready',
        status: 'True',
        reason: 'Completed',
        message: 'the VolumeSnapshot is ready to use',
        lastTransitionTime: time,
        observedGeneration: 1,
      },
    ],
  })
}

const writeStatus = async (
  admin: Client,
  resource: typeof resources.backups,
  namespace: string,
  name: string,
  status: object,
) => await admin.patch(resource, namespace, name, { kind: 'merge', body: { status } }, { subresource: 'status' })

const backend = { type: 's3', bucket: 'backups', endpoint: 'http://minio.minio.svc:9000', secretRef: 'minio-creds' }
const job = { image: 'postgres:15', args: ['pg_dump', '--format=custom', '--dbname=shop'] }

/** Each policy has its CronJob, and the Jobs, pods and Backups of the last slots: all made by a first operator and the rest of a cluster. */
export async function makeJobWorld(
  plane: ControlPlane,
  admin: Client,
  { policies, backups }: WorldSize,
  program: Program,
): Promise<void> {
  await applyAll(plane, namespaces().flatMap(namespaceObjects))
  const bucket = createBucket()
  const hands = namespaces().map(namespace => clusterHands(admin, namespace, { bucket }))
  const operator = await startMeasured(plane, program)
  const patience = { seconds: 1800, every: 2000 }
  try {
    await inParallel(indexes(policies), async index => {
      const strategy = { type: 'job', job }
      const spec = { schedule: never, retention: 2 * backups, backend, strategy }
      await admin.create(resources.backupPolicies, policyObject(namespaceOf(index), policyOf(index), spec))
    })
    const count = async (resource: typeof resources.jobs) =>
      (await admin.list(resource, { labelSelector: label.managedBy, metadataOnly: true })).items.length
    await eventually('a CronJob of each policy', async () => (await count(resources.cronJobs)) >= policies, patience)
    await inParallel(indexes(policies * backups), async index => {
      const policy = Math.floor(index / backups)
      await admin.create(resources.jobs, await jobOfSlot(admin, policy, slotOf(index % backups)))
    })
    const completed = async () => {
      const { items } = await admin.list<Backup>(resources.backups)
      return items.filter(({ status }) => status?.phase === 'Completed').length
    }
    await eventually('a Backup of each Job', async () => (await completed()) >= policies * backups, patience)
  } finally {
    await operator.stop()
    await Promise.all(hands.map(hand => hand.stop()))
  }
}

const cronJobs = new Map<string, CronJob>()

/** As the CronJob controller makes it. */
async function jobOfSlot(admin: Client, index: number, slot: Date): Promise<Job> {
  const namespace = namespaceOf(index)
  const owner = cronJobName(policyOf(index))
  const cronJob = cronJobs.get(owner) ?? (await admin.get<CronJob>(resources.cronJobs, namespace, owner))
  if (!cronJob) throw new Error(`no CronJob ${owner}`)
  cronJobs.set(owner, cronJob)
  const { metadata, spec } = cronJob.spec.jobTemplate
  const { name, uid = '' } = cronJob.metadata
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: `${name}-${slot.getTime() / 60_000}`,
      namespace,
      labels: metadata?.labels,
      annotations: { ...metadata?.annotations, [annotation.cronJobSlot]: slot.toISOString() },
      ownerReferences: [
        { apiVersion: 'batch/v1', kind: 'CronJob', name, uid, controller: true, blockOwnerDeletion: true },
      ],
    },
    spec,
  }
}
