// The life of operator processes on a real API server, with the chart's own account: CRDs that come late, two copies of which one is
// killed, metrics across a restart, and what of its rights it uses.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { capture } from '../../../dev/command.ts'
import { promtool } from '../../../dev/debian-tools.ts'
import { eventually } from '../../../dev/eventually.ts'
import { isFinal } from '../../../src/api/kinds/backup-phases.ts'
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import type { KubernetesObject, VolumeSnapshot } from '../../../src/api/kubernetes.ts'
import { annotation, managerName } from '../../../src/api/labels.ts'
import * as resources from '../../../src/controllers/shared/resources.ts'
import { Client } from '../../../src/runtime/client/client.ts'
import { releaseName, releaseNamespace } from '../../chart/chart.ts'
import { refusals, requestsOf } from '../../runner/rights.ts'
import { startApiProxy, type ApiProxy, type Fate } from '../control-plane/api-proxy.ts'
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

let plane: ControlPlane
let admin: Client
let first: RunningOperator
let second: RunningOperator
const started: RunningOperator[] = []
let hands: Hands | undefined
/** Before the API server of the first operator. */
let proxy: ApiProxy
/** What becomes of the creates of VolumeSnapshots there. */
let snapshotFate: Fate = 'pass'
/** The kinds whose watches tell nothing for the time of a story. */
let silent: readonly string[] = []
const silentMs = 20_000

before(async () => {
  plane = await startControlPlane({ audit: true })
  admin = new Client(plane.adminConfig)
  proxy = await startApiProxy({
    url: plane.url,
    ca: plane.ca,
    onWrite: ({ method, path }) => (method === 'POST' && path.endsWith('/volumesnapshots') ? snapshotFate : 'pass'),
    watchDelayMs: path => (silent.some(kind => path.endsWith(`/${kind}`)) ? silentMs : 0),
  })
  await installOperatorChart(plane)
  const policy = { schedule: '0 0 29 2 *', retention: 2, strategy: { type: 'snapshot' } }
  await applyAll(plane, [
    ...namespaceObjects(namespace),
    ...volume(namespace, 'data'),
    policyObject(namespace, 'app', policy),
    policyObject(namespace, 'other', policy),
  ])
  await bind(admin, namespace, 'data')
})
after(async () => {
  await Promise.all(started.map(operator => operator.kill()))
  await hands?.stop()
  await proxy.close()
  await admin.close()
  await plane.stop()
})

test('without the snapshot CRDs policies are Stalled; when they come, they become Ready without a restart', async () => {
  first = await start('first', proxy.url)
  await conditions('Ready False SnapshotCRDsMissing', 'Stalled True SnapshotCRDsMissing')
  await admin.create(resources.backups, onDemand(namespace, 'early', 'app'))
  const waits = async () =>
    (await admin.get<Backup>(resources.backups, namespace, 'early'))?.status?.reason === 'SnapshotCRDsMissing'
  await eventuallyBy(first, 'reason of Backup early', waits, 20)

  await installSnapshotCrds(plane)
  await applyAll(plane, [snapshotClass])
  await conditions('Ready True Ready')
  const policy = await policyApp()
  assert.equal(
    policy.status?.conditions?.find(({ type }) => type === 'Stalled'),
    undefined,
  )
  hands = clusterHands(admin, namespace)
  assert.equal((await ended('early')).status?.phase, 'Completed')
  assert.ok(first.running())
})

test('promtool finds nothing to improve in what a leader serves that has run a backup', async () => {
  const input = await counted(1)
  assert.equal(await capture([await promtool(), 'check', 'metrics'], { input }), '')
})

test('an answer that the watch has overtaken takes back nothing that the watch told (F31)', async () => {
  const answered = Promise.withResolvers<void>()
  snapshotFate = { answerAfter: answered.promise }
  await admin.create(resources.backups, onDemand(namespace, 'overtaken', 'app'))
  const own = async () => (await snapshotsOf('overtaken')).length === 1
  await eventuallyBy(first, 'VolumeSnapshot of Backup overtaken', own, 20).finally(() => (snapshotFate = 'pass'))
  const ready = async () => (await snapshotsOf('overtaken')).every(({ status }) => status?.readyToUse)
  await eventually('it to be ready', ready, { seconds: 20 })
  // What this run waits for comes on the same watch, after the news of the other.
  assert.equal((await run('later', 'other')).status?.phase, 'Completed')
  const waiting = await admin.get<Backup>(resources.backups, namespace, 'overtaken')
  assert.equal(waiting?.status?.phase, 'Pending', 'its create was answered too early')
  answered.resolve()
  assert.equal((await ended('overtaken')).status?.phase, 'Completed')
})

test('a Backup is of what stands when it is asked for, though no watch has told of that yet (F31)', async () => {
  await applyAll(plane, volume(namespace, 'new', 'nobody'))
  await bind(admin, namespace, 'new')
  silent = ['backuppolicies', 'persistentvolumeclaims', 'volumesnapshotclasses']
  const chosen = { ...snapshotClass, metadata: { name: 'chosen' } }
  const edited = policyObject(namespace, 'other', {
    selector: { matchLabels: { app: 'new' } },
    schedule: '0 0 29 2 *',
    retention: 2,
    strategy: { type: 'snapshot', snapshot: { volumeSnapshotClassName: 'chosen' } },
  })
  await applyAll(plane, [chosen, edited])
  const body = { metadata: { labels: { app: 'new' } } }
  await admin.patch(resources.claims, namespace, 'new', { kind: 'merge', body })
  const { status } = await run('at-once', 'other').finally(() => (silent = []))
  assert.deepEqual([status?.phase, status?.target], ['Completed', 'new'])
  const classes = (await snapshotsOf('at-once')).map(({ spec }) => spec.volumeSnapshotClassName)
  assert.deepEqual(classes, ['chosen'])
  await admin.delete(resources.snapshotClasses, undefined, 'chosen')
})

test('a killed leader is followed by the other copy within the lease and five seconds, and nothing is lost', async t => {
  second = await start('second')
  await eventually('the second copy to serve metrics', () => second.metrics(), { seconds: 20 })
  assert.doesNotMatch(await second.metrics(), /^backup_policy_ready\{/m, 'a copy that does not lead exports no backups')
  const success = series(await counted(2), 'backup_last_success_timestamp_seconds', 'app')

  await first.kill()
  const killed = performance.now()
  await admin.create(resources.backups, onDemand(namespace, 'meanwhile', 'app'))
  await eventually('the other copy to lead', async () => (await leader()).startsWith('second_'), { seconds: 20 })
  t.diagnostic(`followed after ${((performance.now() - killed) / 1000).toFixed(1)} s`)
  const backup = await ended('meanwhile')
  assert.equal(backup.status?.phase, 'Completed')

  // The first scrape of a process that leads since a moment ago: what objects know is right, what it counts starts at 0 or the one run.
  const metrics = await second.metrics()
  assert.ok(series(metrics, 'backup_last_success_timestamp_seconds', 'app') >= success)
  assert.equal(series(metrics, 'backup_next_run_timestamp_seconds', 'app'), Date.UTC(2028, 1, 29) / 1000)
  assert.equal(series(metrics, 'backup_success_total', 'other'), 0)
  assert.equal(series(metrics, 'backup_failure_total', 'app'), 0)
  assert.equal(series(metrics, 'backup_success_total', 'app'), 1)
})

test('the series of a policy go with it', async () => {
  assert.match(await second.metrics(), /policy="other"/)
  await admin.delete(resources.backupPolicies, namespace, 'other')
  await eventually('its series to go', async () => !(await second.metrics()).includes('policy="other"'), {
    seconds: 10,
  })
  assert.match(await second.metrics(), /policy="app"/)
})

test('asked to stop, it ends in good order within ten seconds and hands the lease over at once', async t => {
  const third = await start('third')
  await eventually('the third copy to serve metrics', () => third.metrics(), { seconds: 20 })
  const asked = performance.now()
  second.terminate()
  await second.exited
  const seconds = (performance.now() - asked) / 1000
  assert.ok(seconds < 10, `it took ${seconds} s`)
  assert.match(await readFile(second.log, 'utf8'), /"code":0,"reason":"stopped"/)
  await eventually('the third copy to lead', async () => (await leader()).startsWith('third_'), { seconds: 8 })
  t.diagnostic(
    `stopped in ${seconds.toFixed(1)} s, followed ${((performance.now() - asked) / 1000).toFixed(1)} s after`,
  )
})

test('it asked for nothing that its account may not do', async () => {
  const log = await readFile(plane.auditLog ?? '', 'utf8')
  const requests = requestsOf(log, `${releaseNamespace}:${releaseName}`)
  assert.ok(requests.length > 50, `${requests.length} requests`)
  assert.deepEqual(refusals(requests), [])
})

async function start(identity: string, url?: string): Promise<RunningOperator> {
  const operator = await startOperator(plane, identity, url)
  started.push(operator)
  return operator
}

async function policyApp(): Promise<BackupPolicy> {
  const policy = await admin.get<BackupPolicy>(resources.backupPolicies, namespace, 'app')
  assert.ok(policy)
  return policy
}

/** Waits until the policy has these conditions, each as `type status reason`. */
async function conditions(...wanted: readonly string[]): Promise<void> {
  let seen: readonly string[] = []
  const met = async () => {
    seen = ((await policyApp()).status?.conditions ?? []).map(
      ({ type, status, reason }) => `${type} ${status} ${reason}`,
    )
    return wanted.every(each => seen.includes(each))
  }
  await eventually(wanted.join(', '), met, { seconds: 30 }).catch((error: unknown) => {
    throw new Error(`the conditions are ${seen.join(', ')}`, { cause: error })
  })
}

function ended(name: string): Promise<Backup> {
  return eventuallyBy(
    started.at(-1) ?? first,
    `end of Backup ${name}`,
    async () => {
      const backup = await admin.get<Backup>(resources.backups, namespace, name)
      return backup && isFinal(backup.status?.phase) ? backup : undefined
    },
    20,
  )
}

async function run(name: string, policy = 'app'): Promise<Backup> {
  await admin.create(resources.backups, onDemand(namespace, name, policy))
  return await ended(name)
}

/** What the first operator serves, once it has counted so many good runs of `app`: it does when it hears that each was written. */
function counted(runs: number): Promise<string> {
  const line = new RegExp(`^backup_success_total\\{.*policy="app".*\\} ${runs}$`, 'm')
  const served = async () => {
    const text = await first.metrics()
    return line.test(text) ? text : undefined
  }
  return eventually(`${runs} runs to be counted`, served, { seconds: 10 })
}

async function snapshotsOf(backup: string): Promise<readonly VolumeSnapshot[]> {
  const { items } = await admin.list<VolumeSnapshot>(resources.snapshots, { namespace })
  return items.filter(({ metadata }) => metadata.annotations?.[annotation.backup] === backup)
}

async function leader(): Promise<string> {
  type Lease = KubernetesObject & { readonly spec?: { readonly holderIdentity?: string } }
  return (await admin.get<Lease>(resources.leases, releaseNamespace, managerName))?.spec?.holderIdentity ?? ''
}

/** The value of the one series of a metric that is about this policy. */
function series(text: string, metric: string, policy: string): number {
  const lines = text.split('\n').filter(line => line.startsWith(`${metric}{`) && line.includes(`policy="${policy}"`))
  assert.equal(lines.length, 1, `${metric} of ${policy}: ${lines.join('; ') || 'no series'}`)
  return Number(lines[0]?.split(' ').at(-1))
}
