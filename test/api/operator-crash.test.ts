// The operator between its writes: killed with SIGKILL before and after every single one of them, with a cache that is behind, and on an
// API server that refuses or forgets to answer. Each time the same story must end the same way: nothing twice, nothing left over
// (docs/design.md "Names are locks", F28, F31, F33).
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { tail } from '../../dev/command.ts'
import { eventually } from '../../dev/eventually.ts'
import type { Backup } from '../../src/api/backup.ts'
import type { BackupPolicy } from '../../src/api/backup-policy.ts'
import type { CronJob, Job, KubernetesObject, VolumeSnapshot } from '../../src/api/kubernetes.ts'
import { annotation } from '../../src/api/labels.ts'
import { cronJobName } from '../../src/api/names.ts'
import * as resources from '../../src/controllers/resources.ts'
import { scheduleHash } from '../../src/plan/policy-schedule.ts'
import { Client } from '../../src/runtime/client.ts'
import type { Resource } from '../../src/runtime/resource.ts'
import { jobNameOfSlot } from '../world.ts'
import { startApiProxy, type Fate, type Write } from './api-proxy.ts'
import { clusterHands } from './cluster-hands.ts'
import { startControlPlane, type ControlPlane } from './control-plane.ts'
import { applyAll, bind, namespaceObjects, onDemand, policyObject, snapshotClass, volume } from './stage.ts'
import {
  expireLease,
  installOperatorChart,
  installSnapshotCrds,
  startOperator,
  type RunningOperator,
} from './operator.ts'

let plane: ControlPlane
let admin: Client
before(async () => {
  plane = await startControlPlane()
  admin = new Client(plane.adminConfig)
  await Promise.all([installOperatorChart(plane), installSnapshotCrds(plane)])
})
after(async () => {
  await admin.close()
  await plane.stop()
})

test('killed with -9 before and after every write, it does everything once and leaves nothing over', async t => {
  const met = new Map<string, 'before' | 'after'>()
  let kills = 0
  const story = await tellStory(t, 'killed', {
    onWrite: (write, operator) => {
      const key = fingerprint(write)
      const cut = met.get(key) === undefined ? 'before' : met.get(key) === 'before' ? 'after' : undefined
      if (!cut) return 'pass'
      met.set(key, cut)
      kills++
      assert.ok(kills < 400, `so many different writes are no story any more: ${[...met.keys()].join('\n')}`)
      return { cut, after: operator.shoot }
    },
  })
  t.diagnostic(`${kills} kills at ${met.size} writes, in ${story.seconds.toFixed(0)} s`)
  assert.ok(met.size >= 20, `only ${met.size} writes were seen`)
  // Several writes may be under way when one of them is its end.
  assert.ok(story.starts > met.size, `${story.starts} starts`)
})

test('with a cache that is a second and a half behind, it does everything once', async t => {
  const story = await tellStory(t, 'behind', { watchDelayMs: 1500 })
  t.diagnostic(`${story.seconds.toFixed(0)} s`)
})

test('an API server that refuses, or carries out and forgets to answer, makes no Backup fail and nothing twice', async t => {
  const faults: readonly Fate[] = [
    { answer: 500, when: 'before' },
    { answer: 500, when: 'after' },
    { cut: 'after' },
    { answer: 409, when: 'before' },
    { cut: 'before' },
    { answer: 429, when: 'before', retryAfter: 1 },
  ]
  const met = new Set<string>()
  const story = await tellStory(t, 'refused', {
    onWrite: write => {
      const key = fingerprint(write)
      if (met.has(key)) return 'pass'
      met.add(key)
      // Not every write: failure upon failure of one policy is what the growing pauses between its reconciles are for.
      return met.size % 3 === 0 ? (faults[(met.size / 3) % faults.length] ?? 'pass') : 'pass'
    },
  })
  t.diagnostic(`faults at a third of ${met.size} writes, in ${story.seconds.toFixed(0)} s`)
  assert.equal(story.starts, 1)
})

type Means = {
  readonly onWrite?: (write: Write, operator: { readonly shoot: () => void }) => Fate
  readonly watchDelayMs?: number
}

type Story = { readonly starts: number; readonly seconds: number }

const hour = 3_600_000

/**
 * A snapshot policy over two claims and a job policy, both with a slot that passed while no operator ran: the slot is caught up, an
 * on-demand run of each follows, retention deletes, and then the policies go.
 */
async function tellStory(t: { after: (fn: () => unknown) => void }, namespace: string, means: Means): Promise<Story> {
  const begin = performance.now()
  // Half an hour from any slot, so that none comes while the story is told.
  const slot = new Date(Math.floor(Date.now() / 60_000) * 60_000 - hour / 2)
  const schedule = `${slot.getUTCMinutes()} * * * *`
  await setTheStage(namespace, schedule, new Date(slot.getTime() - 2.5 * hour))

  const created: string[] = []
  let shoot = () => {}
  const proxy = await startApiProxy({
    url: plane.url,
    ca: plane.ca,
    watchDelayMs: means.watchDelayMs,
    onWrite: write => {
      // The lease has its own tests; events are told on the side, and losing one is no harm.
      if (/\/(leases|events)(\/|$)/.test(write.path)) return 'pass'
      return means.onWrite?.(write, { shoot: () => shoot() }) ?? 'pass'
    },
    onWritten: (write, status) => {
      if (write.method !== 'POST' || status !== 201 || write.path.endsWith('/events')) return
      const { kind, metadata } = JSON.parse(write.body) as KubernetesObject
      if (kind !== 'Lease') created.push(`${kind} ${metadata.name}`)
    },
  })
  const hands = clusterHands(admin, namespace)
  const stop = new AbortController()
  let current: RunningOperator | undefined
  let starts = 0
  const supervisor = (async () => {
    while (!stop.signal.aborted) {
      starts++
      const operator = await startOperator(plane, `${namespace}-${starts}`, proxy.url)
      current = operator
      shoot = () => void process.kill(operator.pid, 'SIGKILL')
      if (stop.signal.aborted) await operator.kill()
      await operator.exited
      await expireLease(admin)
    }
  })()
  const finish = async () => {
    if (stop.signal.aborted) return
    stop.abort()
    await current?.kill()
    await supervisor
    await proxy.close()
    await hands.stop()
  }
  t.after(finish)
  const reached = (what: string, condition: () => Promise<boolean>) =>
    eventually(what, condition, { seconds: 140 }).catch(async (error: unknown) => {
      const words = [...hands.failures(), current ? await tail(current.log) : 'none'].join('\n')
      throw new Error(`${(await whatIs(namespace)).join('\n')}\nthe operator's last words:\n${words}`, { cause: error })
    })

  await reached('the slot to be caught up', async () => {
    const runs = await backups(namespace)
    const done = runs.filter(({ spec, status }) => spec.slot && status?.phase === 'Completed')
    const policies = await list<BackupPolicy>(resources.backupPolicies, namespace)
    return done.length === 3 && policies.every(policy => isReady(policy) && policy.status?.slots?.missed === 2)
  })
  for (const policy of ['app', 'dump'])
    await admin.create(resources.backups, onDemand(namespace, `now-${policy}`, policy))
  await reached('the runs on demand to be complete and the older snapshots to be pruned', async () => {
    const runs = await backups(namespace)
    const names = new Set(runs.map(({ metadata }) => metadata.name))
    return (
      names.has('now-app') &&
      names.has('now-dump') &&
      runs.every(({ status }) => status?.phase === 'Completed') &&
      runs.filter(({ spec }) => spec.policy === 'app' && spec.slot).length === 0 &&
      (await list(resources.snapshots, namespace)).length === 2
    )
  })
  for (const policy of ['app', 'dump']) await admin.delete(resources.backupPolicies, namespace, policy)
  await reached('the CronJob and the helpers of the deleted policies to be gone', async () => {
    const left = await list<Job>(resources.jobs, namespace)
    return (await list<CronJob>(resources.cronJobs, namespace)).length === 0 && left.length === 2
  })
  await finish()

  assert.deepEqual(
    created.filter((each, index) => created.indexOf(each) !== index),
    [],
    'nothing is made twice, also not after it was deleted',
  )
  const runs = await backups(namespace)
  assert.deepEqual(
    runs.filter(({ status }) => status?.phase !== 'Completed'),
    [],
  )
  // One parent with a child for each claim; one run at the slot and one on demand of the job policy.
  assert.equal(runs.length, 3 + 2)
  const ofRuns = runs.flatMap(({ status }) => (status?.snapshot ? [status.snapshot.name] : []))
  const left = await list<VolumeSnapshot>(resources.snapshots, namespace)
  assert.deepEqual(new Set(left.map(({ metadata }) => metadata.name)), new Set(ofRuns))
  assert.equal(left.length, 2)
  return { starts, seconds: (performance.now() - begin) / 1000 }
}

/** Everything that was there before the operator: claims, policies whose clocks stopped at `since`, and a Job of a slot after that. */
async function setTheStage(namespace: string, schedule: string, since: Date): Promise<void> {
  const objects: KubernetesObject[] = [
    ...namespaceObjects(namespace),
    snapshotClass,
    ...['data-0', 'data-1'].flatMap(name => volume(namespace, name)),
    policyObject(namespace, 'app', { schedule, retention: 1, strategy: { type: 'snapshot' } }),
    policyObject(namespace, 'dump', { schedule, retention: 3, backend, strategy: { type: 'job', job } }),
  ]
  await applyAll(plane, objects)
  for (const name of ['data-0', 'data-1']) await bind(admin, namespace, name)
  for (const name of ['app', 'dump']) {
    const stored = await admin.get<BackupPolicy>(resources.backupPolicies, namespace, name)
    assert.ok(stored)
    const time = since.toISOString()
    const status = { scheduleHash: scheduleHash(stored), scheduleSince: time, accountedUntil: time }
    const body = { status }
    await admin.patch(resources.backupPolicies, namespace, name, { kind: 'merge', body }, { subresource: 'status' })
  }
  const newest = new Date(since.getTime() + 2.5 * hour)
  await admin.create(resources.jobs, jobOfSlot(namespace, newest))
}

/** As the CronJob controller made it, and its CronJob was made by an operator before. */
function jobOfSlot(namespace: string, slot: Date): Job {
  const cronJob = cronJobName('dump')
  const labels = {
    'app.kubernetes.io/managed-by': 'backup-operator',
    'backup.dev/policy': 'dump',
    'backup.dev/target': 'command',
    'backup.dev/role': 'run',
  }
  const containers = ['dump', 'mover'].map(name => ({ name, image: 'none' }))
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: jobNameOfSlot(cronJob, slot),
      namespace,
      labels,
      annotations: { [annotation.cronJobSlot]: slot.toISOString() },
      ownerReferences: [
        { apiVersion: 'batch/v1', kind: 'CronJob', name: cronJob, uid: 'of-an-earlier-one', controller: true },
      ],
    },
    spec: { template: { metadata: { labels }, spec: { restartPolicy: 'Never', containers } as never } },
  }
}

const backend = { type: 's3', bucket: 'backups', endpoint: 'http://minio.minio.svc:9000', secretRef: 'minio-creds' }
const job = { image: 'postgres:15', args: ['pg_dump', 'shop'] }

async function list<T extends KubernetesObject>(resource: Resource, namespace: string): Promise<readonly T[]> {
  return (await admin.list<T>(resource, { namespace })).items
}

const backups = (namespace: string) => list<Backup>(resources.backups, namespace)

/** For whoever reads why a story did not end. */
async function whatIs(namespace: string): Promise<readonly string[]> {
  const policies = await list<BackupPolicy>(resources.backupPolicies, namespace)
  const others = [resources.cronJobs, resources.jobs, resources.snapshots].map(each => list(each, namespace))
  return [
    ...policies.map(({ metadata, status }) => `BackupPolicy ${metadata.name} ${JSON.stringify(status)}`),
    ...(await backups(namespace)).map(
      ({ metadata, status }) => `Backup ${metadata.name} ${status?.phase} ${status?.reason}`,
    ),
    ...(await Promise.all(others)).flat().map(({ kind, metadata }) => `${kind} ${metadata.name}`),
  ]
}

function isReady({ status }: BackupPolicy): boolean {
  return status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') ?? false
}

/** What a write is about, whenever it is done: without times, versions and identities. */
function fingerprint({ method, path, body }: Write): string {
  if (body === '') return `${method} ${path}`
  const { metadata, ...rest } = JSON.parse(body) as Partial<KubernetesObject>
  const text = JSON.stringify({ name: metadata?.name, ...rest })
  return `${method} ${path} ${text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME').replace(/"duration":"[^"]*"/g, '')}`
}
