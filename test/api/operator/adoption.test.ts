// A cluster was lost, and its policy is applied in this one: on a real API server, with the chart's own account. The folder is refused, then
// adopted, and what it holds is shown before anything is started by schedule.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { CronJob, Job } from '../../../src/api/kubernetes.ts'
import { label } from '../../../src/api/labels.ts'
import { cronJobName } from '../../../src/api/names.ts'
import * as resources from '../../../src/controllers/shared/resources.ts'
import { Reflector } from '../../../src/runtime/cache/reflector.ts'
import { Client } from '../../../src/runtime/client/client.ts'
import { jobNameOfSlot } from '../../plan/world.ts'
import { clusterHands, type Hands } from '../control-plane/cluster-hands.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'
import { eventuallyBy, installOperatorChart, startOperator, type RunningOperator } from './operator.ts'
import { createBucket, type Bucket } from './pretend-bucket.ts'
import { applyAll, namespaceObjects, onDemand, policyObject } from './stage.ts'

const namespace = 'shop'
const seconds = 60
const lost = 'cluster-of-before'
const backend = { type: 's3', bucket: 'backups', endpoint: 'http://minio.minio.svc:9000', secretRef: 'minio-creds' }
const job = { image: 'postgres:15', args: ['pg_dump', 'shop'] }
const spec = { schedule: '0 0 29 2 *', retention: 3, backend, strategy: { type: 'job', job } }
const slots = [1, 2, 3].map(day => new Date(Date.UTC(2026, 0, day)))
const runsOf = (policy: string) => slots.map(slot => jobNameOfSlot(cronJobName(policy), slot))

let plane: ControlPlane
let admin: Client
let operator: RunningOperator
let hands: Hands
let bucket: Bucket
/** Of each CronJob whether it was suspended, at every change. */
const suspended = new Map<string, boolean[]>()
/** Names of all Jobs that make backups, as soon as there are any. */
const runs: string[] = []
const watching = new AbortController()

before(async () => {
  plane = await startControlPlane()
  admin = new Client(plane.adminConfig)
  await installOperatorChart(plane)
  await applyAll(plane, namespaceObjects(namespace))
  bucket = createBucket()
  hands = clusterHands(admin, namespace, { bucket, endless: [] })
  const cronJobs = new Reflector<CronJob>({ client: admin, resource: resources.cronJobs, namespace })
  cronJobs.store.subscribe(({ type, object: { metadata, spec: of } }) => {
    const before = suspended.get(metadata.name) ?? []
    const is = of.suspend ?? false
    if (type !== 'deleted' && before.at(-1) !== is) suspended.set(metadata.name, [...before, is])
  })
  const jobs = new Reflector<Job>({ client: admin, resource: resources.jobs, namespace })
  jobs.store.subscribe(({ type, object: { metadata } }) => {
    if (type === 'added' && metadata.labels?.[label.role] === 'run') runs.push(metadata.name)
  })
  void cronJobs.run(watching.signal)
  void jobs.run(watching.signal)
  operator = await startOperator(plane, 'rebuilt')
})
after(async () => {
  watching.abort()
  await operator?.kill()
  await hands?.stop()
  await admin?.close()
  await plane?.stop()
})

function ready(name: string, reason: string) {
  return eventuallyBy(
    operator,
    `${name} to be ${reason}`,
    async () => {
      const policy = await admin.get<BackupPolicy>(resources.backupPolicies, namespace, name)
      const is = policy?.status?.conditions?.find(({ type }) => type === 'Ready')
      return is?.reason === reason && is.observedGeneration === policy?.metadata.generation ? is : undefined
    },
    seconds,
  )
}

async function shown(policy: string): Promise<readonly (readonly [string | undefined, string | undefined])[]> {
  const { items } = await admin.list<Backup>(resources.backups, { namespace })
  return items
    .filter(each => each.spec.policy === policy)
    .map(({ status }) => [status?.run, status?.phase] as const)
    .toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1))
}

const completed = (policy: string) => runsOf(policy).map(run => [run, 'Completed'])

test('a policy says whose its folder is, adopts it, shows what it holds, and then goes on by schedule', async () => {
  for (const [n, run] of runsOf('lost').entries()) bucket.put('lost', run, slots[n] ?? assert.fail())
  bucket.mark('lost', lost)
  await applyAll(plane, [policyObject(namespace, 'lost', spec)])
  const refused = await ready('lost', 'PrefixOwnedByOther')
  assert.equal(refused.status, 'False')
  assert.match(refused.message, /of cluster cluster-of-before.*backend\.adopt/)
  assert.deepEqual(await shown('lost'), [])

  const adopting = { ...spec, backend: { ...backend, adopt: lost } }
  await applyAll(plane, [policyObject(namespace, 'lost', adopting)])
  await eventuallyBy(
    operator,
    'the CronJob to go on',
    async () => suspended.get(cronJobName('lost'))?.join() === 'false,true,false',
    seconds,
  )
  assert.deepEqual(await shown('lost'), completed('lost'), 'the Backups were there before')
  assert.deepEqual(runs, [], 'and no run of this cluster')
  const cronJob = await admin.get<CronJob>(resources.cronJobs, namespace, cronJobName('lost'))
  assert.ok(cronJob?.status?.lastScheduleTime, 'its clock was set, so that nothing fires for a time before')
  await eventuallyBy(
    operator,
    'nothing to be left to read',
    async () => {
      const policy = await admin.get<BackupPolicy>(resources.backupPolicies, namespace, 'lost')
      return policy?.status?.store?.folder?.length === 0
    },
    seconds,
  )
  await ready('lost', 'Ready')
})

test('a policy that was deleted, and its Backups with it, has them again before its first run', async () => {
  for (const [n, run] of runsOf('again').entries()) bucket.put('again', run, slots[n] ?? assert.fail())
  await applyAll(plane, [policyObject(namespace, 'again', spec)])
  await eventuallyBy(
    operator,
    'the Backups to be shown',
    async () => JSON.stringify(await shown('again')) === JSON.stringify(completed('again')),
    seconds,
  )
  assert.deepEqual(suspended.get(cronJobName('again')), [false], 'nothing is adopted, and nothing waits')
  assert.deepEqual(runs, [])
})

test('a run that a person asks for does not wait for the list', async () => {
  bucket.put('asked', runsOf('asked')[0] ?? assert.fail(), slots[0] ?? assert.fail())
  bucket.mark('asked', lost)
  await applyAll(plane, [policyObject(namespace, 'asked', { ...spec, backend: { ...backend, adopt: lost } })])
  await admin.create(resources.backups, onDemand(namespace, 'now', 'asked'))
  await eventuallyBy(
    operator,
    'both to be shown',
    async () => {
      const all = await shown('asked')
      return all.length === 2 && all.every(([, phase]) => phase === 'Completed')
    },
    seconds,
  )
  await eventuallyBy(
    operator,
    'the CronJob to go on',
    async () => suspended.get(cronJobName('asked'))?.join() === 'true,false',
    seconds,
  )
})
