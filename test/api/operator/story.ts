// One story in which the operator comes to do every kind of write that it does. However it is disturbed meanwhile, it must end the same
// way: nothing twice, nothing left over.
import assert from 'node:assert/strict'
import { eventually } from '../../../dev/eventually.ts'
import { isFinal } from '../../../src/api/kinds/backup-phases.ts'
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import type { Restore } from '../../../src/api/kinds/restore.ts'
import type { CronJob, Job, KubernetesObject, VolumeSnapshot } from '../../../src/api/kubernetes.ts'
import { annotation, apiVersion, label } from '../../../src/api/labels.ts'
import { commandTarget, cronJobName } from '../../../src/api/names.ts'
import * as resources from '../../../src/controllers/shared/resources.ts'
import { nextSlot } from '../../../src/schedule/schedule.ts'
import { parseSchedule } from '../../../src/schedule/parse.ts'
import { Client } from '../../../src/runtime/client/client.ts'
import type { Resource } from '../../../src/runtime/client/resource.ts'
import type { Fate, Write } from '../control-plane/api-proxy.ts'
import { clusterHands } from '../control-plane/cluster-hands.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'
import { installOperatorChart, installSnapshotCrds } from './operator.ts'
import { createBucket, type Bucket } from './pretend-bucket.ts'
import { onDemand } from './stage.ts'
import { hour, hourly, setTheStage, slotBefore, unknownRuns } from './story-stage.ts'
import { superviseOperator } from './supervised-operator.ts'

export type Means = {
  readonly onWrite?: (write: Write, operator: { readonly shoot: () => void }) => Fate
  readonly watchDelayMs?: () => number
}

export type Story = { readonly starts: number; readonly seconds: number }

export type StoryCluster = {
  readonly plane: ControlPlane
  readonly admin: Client
  readonly stop: () => Promise<void>
}

/** A control plane on which stories can be told, one after the other, each in a namespace of its own. */
export async function startStoryCluster(): Promise<StoryCluster> {
  const plane = await startControlPlane()
  const admin = new Client(plane.adminConfig)
  const stop = async () => {
    await admin.close()
    await plane.stop()
  }
  try {
    await Promise.all([installOperatorChart(plane), installSnapshotCrds(plane)])
    return { plane, admin, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

type Scene = {
  readonly admin: Client
  readonly namespace: string
  readonly slot: Date
  readonly bucket: Bucket
  readonly reached: (what: string, condition: () => Promise<boolean>) => Promise<unknown>
}

/**
 * A slot that passed while no operator ran is caught up, what only the bucket tells of becomes known, snapshots that take too long and
 * runs that people cancel are cleaned up, an edit and a resume fire nothing, a hold is put on a snapshot, on-demand runs follow, retention
 * deletes, what the bucket has lost is forgotten, a backup is restored, and then the policies go, in the middle of a run.
 */
export async function tellStory(
  t: { after: (fn: () => unknown) => void },
  { plane, admin }: StoryCluster,
  namespace: string,
  means: Means,
): Promise<Story> {
  const begin = performance.now()
  const slot = slotBefore(Date.now())
  const bucket = createBucket()
  await setTheStage(plane, admin, namespace, slot, bucket)

  const created: string[] = []
  const firing: string[] = []
  const operator = await superviseOperator(plane, admin, namespace, {
    watchDelayMs: means.watchDelayMs,
    // The lease has its own tests; events are told on the side, and losing one is no harm.
    onWrite: (write, current) =>
      /\/(leases|events)(\/|$)/.test(write.path) ? 'pass' : (means.onWrite?.(write, current) ?? 'pass'),
    onWritten: (write, status) => {
      if (write.method === 'PUT' && status === 200 && /\/cronjobs\/[^/]+$/.test(write.path))
        firing.push(...firedBy(JSON.parse(write.body) as CronJob))
      if (write.method !== 'POST' || status !== 201 || write.path.endsWith('/events')) return
      const { kind, metadata } = JSON.parse(write.body) as KubernetesObject
      if (kind !== 'Lease') created.push(`${kind} ${metadata.name}`)
    },
  })
  const hands = clusterHands(admin, namespace, { bucket, endless: ['never-ready', 'given-up', 'cancelled', 'endless'] })
  let finished = false
  const finish = async () => {
    if (finished) return
    finished = true
    await operator.stop()
    await hands.stop()
  }
  t.after(finish)
  const reached = (what: string, condition: () => Promise<boolean>) =>
    eventually(what, condition, { seconds: 140 }).catch(async (error: unknown) => {
      const words = [...hands.failures(), await operator.lastWords()].join('\n')
      const state = (await whatIs(admin, namespace)).join('\n')
      throw new Error(`${state}\nthe operator's last words:\n${words}`, { cause: error })
    })

  const scene = { admin, namespace, slot, bucket, reached }
  await giveASnapshotUp(scene)
  await catchUp(scene)
  await cancelARun(scene)
  await edit(scene)
  await hold(scene)
  await backUpNow(scene)
  await bringBack(scene)
  await deletePolicies(scene)
  await finish()

  assert.deepEqual(
    created.filter((each, index) => created.indexOf(each) !== index),
    [],
    'nothing is made twice, also not after it was deleted',
  )
  assert.deepEqual(firing, [], 'no edit fires for the past')
  await nothingIsLeftOver(scene)
  return { starts: operator.starts(), seconds: (performance.now() - begin) / 1000 }
}

/** Its Backup is deleted before it is ready. */
async function giveASnapshotUp({ admin, namespace, reached }: Scene): Promise<void> {
  await reached('the snapshot that is to be given up to be made', async () =>
    (await snapshots(admin, namespace)).some(snapshot => madeFor(snapshot) === 'given-up'),
  )
  await admin.delete(resources.backups, namespace, 'given-up')
}

async function catchUp(scene: Scene): Promise<void> {
  const { admin, namespace, reached } = scene
  await reached('the slot to be caught up, and what is in the bucket to be known', async () => {
    const runs = (await backups(admin, namespace)).filter(({ spec }) => spec.slot)
    const policies = await list<BackupPolicy>(admin, resources.backupPolicies, namespace)
    return (
      runs.length === 3 + 2 &&
      runs.every(isCompleted) &&
      policies.every(
        policy => isReady(policy) && (policy.metadata.name === 'slow' || policy.status?.slots?.missed === 2),
      ) &&
      (await isSettled(scene))
    )
  })
}

async function cancelARun({ admin, namespace, reached }: Scene): Promise<void> {
  await startRun(admin, namespace, reached, 'cancelled')
  await admin.delete(resources.backups, namespace, 'cancelled')
  await reached('the Job of the cancelled run to go', async () =>
    (await jobs(admin, namespace)).every(job => madeFor(job) !== 'cancelled'),
  )
}

/** A clock that is set anew lets its controller fire the latest slot that it has not seen (docs/design.md R4). */
async function edit({ admin, namespace, slot, reached }: Scene): Promise<void> {
  const name = cronJobName('dump')
  const edits = [
    { spec: { suspend: true }, seen: slot },
    // The suspension was a long one: slots passed meanwhile.
    { spec: { suspend: false }, seen: new Date(slot.getTime() - hour) },
    { spec: { schedule: hourly(slot, 5) }, seen: slot },
  ]
  for (const { spec, seen } of edits) {
    // What its controller writes.
    const status = { lastScheduleTime: seen.toISOString() }
    await admin.patch(
      resources.cronJobs,
      namespace,
      name,
      { kind: 'merge', body: { status } },
      { subresource: 'status' },
    )
    await admin.patch(resources.backupPolicies, namespace, 'dump', { kind: 'merge', body: { spec } })
    await reached(`the CronJob to follow ${JSON.stringify(spec)}`, async () => {
      const cronJob = await admin.get<CronJob>(resources.cronJobs, namespace, name)
      return Object.entries(spec).every(([field, value]) => cronJob?.spec[field as 'schedule'] === value)
    })
  }
}

async function backUpNow(scene: Scene): Promise<void> {
  const { admin, namespace, bucket, reached } = scene
  const { pruned, lost } = unknownRuns
  bucket.lose('dump', lost)
  // Pods of one second are told apart by their names, and the words of this one must be the newer ones.
  await nextSecond(reached)
  for (const policy of ['app', 'dump'])
    await admin.create(resources.backups, onDemand(namespace, `now-${policy}`, policy))
  const isComplete = async (name: string) => {
    const backup = await admin.get<Backup>(resources.backups, namespace, name)
    return backup !== undefined && isCompleted(backup)
  }
  await reached('the runs on demand to be complete', async () =>
    (await Promise.all(['now-app', 'now-dump'].map(isComplete))).every(Boolean),
  )
  // Those on demand are superseded by each other, and by no slot. Snapshots of one second are told apart by their names, too.
  await nextSecond(reached)
  await admin.create(resources.backups, onDemand(namespace, 'last-app', 'app'))
  await reached('all that is superseded or lost to be gone', async () => {
    const runs = await backups(admin, namespace)
    const names = new Set(runs.map(({ metadata }) => metadata.name))
    return (
      names.has('last-app') &&
      names.has('now-dump') &&
      runs.every(run => isCompleted(run) || run.metadata.name === 'never-ready') &&
      // Nor any of its children, which go one by one.
      ![...names].some(name => name.startsWith('now-app')) &&
      !names.has(pruned) &&
      !names.has(lost) &&
      (await snapshots(admin, namespace)).length === 4 &&
      (await isSettled(scene))
    )
  })
}

/** The Jobs of it are made once, and stay with it. */
async function bringBack({ admin, namespace, reached }: Scene): Promise<void> {
  const spec = { source: { backup: 'now-dump' }, into: { args: ['pg_restore', '-d', 'shop'] } }
  await admin.create<KubernetesObject>(resources.restores, {
    apiVersion,
    kind: 'Restore',
    metadata: { namespace, name: 'back' },
    spec,
  } as KubernetesObject)
  await reached('the Restore to be complete', async () => {
    const restore = await admin.get<Restore>(resources.restores, namespace, 'back')
    return restore?.status?.phase === 'Completed'
  })
}

async function nextSecond(reached: Scene['reached']): Promise<void> {
  const second = () => Math.floor(Date.now() / 1000)
  const now = second()
  await reached('the next second', async () => second() > now)
}

/** On a Backup, from where the operator brings it to the snapshot. */
async function hold({ admin, namespace, reached }: Scene): Promise<void> {
  const ofSlot = (await backups(admin, namespace)).find(({ spec }) => spec.policy === 'app' && spec.slot)
  assert.ok(ofSlot)
  const { name } = ofSlot.metadata
  const body = { metadata: { annotations: { [annotation.hold]: 'true' } } }
  await admin.patch(resources.backups, namespace, name, { kind: 'merge', body })
  await reached('the hold to be on the snapshot', async () =>
    (await snapshots(admin, namespace)).some(
      snapshot => madeFor(snapshot) === name && snapshot.metadata.labels?.[label.hold] === 'true',
    ),
  )
}

async function deletePolicies({ admin, namespace, reached }: Scene): Promise<void> {
  await startRun(admin, namespace, reached, 'endless')
  for (const policy of ['app', 'dump', 'slow']) await admin.delete(resources.backupPolicies, namespace, policy)
  await reached('the CronJob, the helpers and the running Job of the deleted policies to be gone', async () => {
    const runs = await backups(admin, namespace)
    return (
      (await list<CronJob>(admin, resources.cronJobs, namespace)).length === 0 &&
      (await jobs(admin, namespace)).length === 1 &&
      runs.every(({ status }) => isFinal(status?.phase))
    )
  })
}

async function nothingIsLeftOver({ admin, namespace }: Scene): Promise<void> {
  const runs = await backups(admin, namespace)
  const failed = runs.filter(run => !isCompleted(run))
  assert.deepEqual(
    new Set(failed.map(({ metadata, status }) => `${metadata.name} ${status?.phase} ${status?.reason}`)),
    new Set(['endless Failed PolicyDeleted', 'never-ready Failed SnapshotNotCut']),
  )
  // A run at the slot for each claim, one parent with a child for each; one run at the slot and one on demand of the job policy.
  const good = runs.filter(isCompleted)
  assert.equal(good.length, 2 + 3 + 2, good.map(({ metadata }) => metadata.name).join(', '))
  const ofRuns = good.flatMap(({ status }) => (status?.snapshot ? [status.snapshot.name] : []))
  const left = await snapshots(admin, namespace)
  assert.deepEqual(new Set(left.map(({ metadata }) => metadata.name)), new Set(ofRuns))
  assert.equal(left.length, 4)
  // Of the Jobs that are recorded the newest success stays.
  const jobsOfRuns = good.flatMap(({ metadata, status }) => (metadata.name === 'now-dump' ? [status?.run] : []))
  assert.deepEqual(new Set((await jobs(admin, namespace)).map(({ metadata }) => metadata.name)), new Set(jobsOfRuns))
}

/** The slots that the CronJob controller would fire for at once, when it sees what was written. */
function firedBy({ metadata, spec, status }: CronJob): readonly string[] {
  const from = new Date(status?.lastScheduleTime ?? metadata.creationTimestamp ?? 0)
  const fired = nextSlot(parseSchedule(spec.schedule), spec.timeZone ?? 'Etc/UTC', from, 'cronjob')
  if (spec.suspend || !fired || fired > new Date()) return []
  return [`${spec.schedule} fires for ${fired.toISOString()}: its clock stood at ${from.toISOString()}`]
}

async function startRun(admin: Client, namespace: string, reached: Scene['reached'], name: string): Promise<void> {
  await admin.create(resources.backups, onDemand(namespace, name, 'dump'))
  await reached(`the run ${name} to go on`, async () => {
    const backup = await admin.get<Backup>(resources.backups, namespace, name)
    return backup?.status?.phase === 'Running'
  })
}

/** The list of the bucket is read where it had to be, and nothing is left of the reading. */
async function isSettled({ admin, namespace, bucket }: Scene): Promise<boolean> {
  const policy = await admin.get<BackupPolicy>(resources.backupPolicies, namespace, 'dump')
  const target = policy?.status?.targets?.find(({ name }) => name === commandTarget)
  const pages = (await jobs(admin, namespace)).filter(({ metadata }) => metadata.labels?.[label.role] === 'catalog')
  return target?.digest === bucket.digest('dump') && pages.length === 0
}

async function list<T extends KubernetesObject>(
  admin: Client,
  resource: Resource,
  namespace: string,
): Promise<readonly T[]> {
  return (await admin.list<T>(resource, { namespace })).items
}

const backups = (admin: Client, namespace: string) => list<Backup>(admin, resources.backups, namespace)
/** But for those of the Restore. */
const jobs = async (admin: Client, namespace: string) =>
  (await list<Job>(admin, resources.jobs, namespace)).filter(({ metadata }) => !metadata.labels?.[label.restore])
const snapshots = (admin: Client, namespace: string) => list<VolumeSnapshot>(admin, resources.snapshots, namespace)

const madeFor = ({ metadata }: KubernetesObject) => metadata.annotations?.[annotation.backup]
const isCompleted = ({ status }: Backup) => status?.phase === 'Completed'

function isReady({ status }: BackupPolicy): boolean {
  return status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') ?? false
}

/** For whoever reads why a story did not end. */
async function whatIs(admin: Client, namespace: string): Promise<readonly string[]> {
  const policies = await list<BackupPolicy>(admin, resources.backupPolicies, namespace)
  const others = [resources.cronJobs, resources.jobs, resources.snapshots].map(each => list(admin, each, namespace))
  return [
    ...policies.map(({ metadata, status }) => `BackupPolicy ${metadata.name} ${JSON.stringify(status)}`),
    ...(await backups(admin, namespace)).map(
      ({ metadata, status }) => `Backup ${metadata.name} ${status?.phase} ${status?.reason}`,
    ),
    ...(await Promise.all(others)).flat().map(({ kind, metadata }) => `${kind} ${metadata.name}`),
  ]
}
