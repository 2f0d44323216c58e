// What the story of operator-story.ts begins with: claims, policies whose clocks stopped while no operator ran, the Job that a CronJob made
// meanwhile, and a bucket that holds more than the cluster knows.
import assert from 'node:assert/strict'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import type { Job, KubernetesObject } from '../../../src/api/kubernetes.ts'
import { annotation } from '../../../src/api/labels.ts'
import * as resources from '../../../src/controllers/shared/resources.ts'
import { scheduleHash } from '../../../src/plan/policy/schedule.ts'
import { backupCronJob } from '../../../src/resources/jobs.ts'
import type { Client } from '../../../src/runtime/client/client.ts'
import { jobNameOfSlot, settings } from '../../plan/world.ts'
import type { ControlPlane } from '../control-plane/control-plane.ts'
import type { Bucket } from './pretend-bucket.ts'
import { applyAll, bind, namespaceObjects, onDemand, policyObject, snapshotClass, volume } from './stage.ts'

export const hour = 3_600_000

/** The newest slot that passed while no operator ran: half an hour from any other, so that none comes while the story is told. */
export function slotBefore(now: number): Date {
  return new Date(Math.floor(now / 60_000) * 60_000 - hour / 2)
}

/** Every hour at the slot's minute, or so many minutes later. */
export function hourly(slot: Date, minutesLater = 0): string {
  return `${(slot.getUTCMinutes() + minutesLater) % 60} * * * *`
}

/** Runs that only the bucket tells of, hours before the slot: the older one goes by retention, the other is lost. */
export const unknownRuns = { pruned: 'backup-dump-pruned0000', lost: 'backup-dump-lost000000' } as const

/** Policy `app` snapshots two claims, `slow` two others that take too long, `dump` runs a command. */
export async function setTheStage(
  plane: ControlPlane,
  admin: Client,
  namespace: string,
  slot: Date,
  bucket: Bucket,
): Promise<void> {
  const schedule = hourly(slot)
  const slow = { 'never-ready': 'slow-0', 'given-up': 'slow-1' } as const
  const claims = [
    ...['data-0', 'data-1'].map(name => ({ name, app: 'shop' })),
    ...Object.values(slow).map(name => ({ name, app: 'slow' })),
  ]
  const objects: KubernetesObject[] = [
    ...namespaceObjects(namespace),
    snapshotClass,
    ...claims.flatMap(({ name, app }) => volume(namespace, name, app)),
    policyObject(namespace, 'app', { schedule, retention: 1, strategy: { type: 'snapshot' } }),
    policyObject(namespace, 'dump', { schedule, retention: 2, backend, strategy: { type: 'job', job } }),
    policyObject(namespace, 'slow', {
      selector: { matchLabels: { app: 'slow' } },
      schedule: '0 0 29 2 *',
      retention: 1,
      strategy: { type: 'snapshot', snapshot: { cutTimeoutSeconds: 10 } },
    }),
  ]
  await applyAll(plane, objects)
  for (const { name } of claims) await bind(admin, namespace, name)
  for (const name of ['app', 'dump']) {
    const stored = await policyNamed(admin, namespace, name)
    const time = new Date(slot.getTime() - 2.5 * hour).toISOString()
    const retention = { value: stored.spec.retention, since: time }
    const seen = name === 'dump' ? { cronJobUIDs: [earlierCronJob], retention } : {}
    const status = { scheduleHash: scheduleHash(stored), scheduleSince: time, accountedUntil: time, ...seen }
    const body = { status }
    await admin.patch(resources.backupPolicies, namespace, name, { kind: 'merge', body }, { subresource: 'status' })
  }
  bucket.put('dump', unknownRuns.pruned, new Date(slot.getTime() - 4 * hour))
  bucket.put('dump', unknownRuns.lost, new Date(slot.getTime() - 3 * hour))
  // Its mover does not prune yet what the policy does not keep any more.
  const dump = await policyNamed(admin, namespace, 'dump')
  await admin.create(resources.jobs, jobOfSlot({ ...dump, spec: { ...dump.spec, retention: 3 } }, slot))
  for (const [name, target] of Object.entries(slow))
    await admin.create(resources.backups, onDemand(namespace, name, 'slow', target))
}

async function policyNamed(admin: Client, namespace: string, name: string): Promise<BackupPolicy> {
  const stored = await admin.get<BackupPolicy>(resources.backupPolicies, namespace, name)
  assert.ok(stored)
  return stored
}

/** UID of the CronJob that an operator made before, and that is gone. */
const earlierCronJob = 'of-an-earlier-one'

/** As the CronJob controller made it. */
function jobOfSlot(policy: BackupPolicy, slot: Date): Job {
  assert.ok(policy.spec.strategy.job)
  const marks = { held: [], accepted: [] }
  const { metadata, spec } = backupCronJob(policy, policy.spec.strategy.job, policy.spec.schedule, marks, settings)
  const template = spec.jobTemplate
  const owner = {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    name: metadata.name,
    uid: earlierCronJob,
    controller: true,
  }
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      ...template.metadata,
      name: jobNameOfSlot(metadata.name, slot),
      namespace: policy.metadata.namespace,
      annotations: { ...template.metadata?.annotations, [annotation.cronJobSlot]: slot.toISOString() },
      ownerReferences: [owner],
    },
    spec: template.spec,
  }
}

const backend = { type: 's3', bucket: 'backups', endpoint: 'http://minio.minio.svc:9000', secretRef: 'minio-creds' }
const job = { image: 'postgres:15', args: ['pg_dump', 'shop'] }
