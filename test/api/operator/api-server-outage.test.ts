// The API server goes down under a running operator, over one slot of a policy: the operator must give up its lease and end, and what
// the kubelet starts in its place must run that slot once (F20; the time without any operator is in e2e/operator.alone.test.ts).
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { eventually } from '../../../dev/eventually.ts'
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import type { VolumeSnapshot } from '../../../src/api/kubernetes.ts'
import * as resources from '../../../src/controllers/shared/resources.ts'
import { Client } from '../../../src/runtime/client/client.ts'
import { clusterHands, type Hands } from '../control-plane/cluster-hands.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'
import {
  eventuallyBy,
  installOperatorChart,
  installSnapshotCrds,
  readLog,
  startOperator,
  type RunningOperator,
} from './operator.ts'
import { applyAll, bind, namespaceObjects, policyObject, snapshotClass, volume } from './stage.ts'

const namespace = 'shop'
const minute = 60_000

let plane: ControlPlane
let admin: Client
let hands: Hands | undefined
const started: RunningOperator[] = []

before(async () => {
  plane = await startControlPlane()
  admin = new Client(plane.adminConfig)
  await Promise.all([installOperatorChart(plane), installSnapshotCrds(plane)])
  await applyAll(plane, [...namespaceObjects(namespace), snapshotClass, ...volume(namespace, 'data')])
  await bind(admin, namespace, 'data')
})
after(async () => {
  await Promise.all(started.map(operator => operator.kill()))
  await hands?.stop()
  await admin.close()
  await plane.stop()
})

test('a slot that passes while the API server is down runs once, by the operator that is started again (F20)', async t => {
  const first = await startOperator(plane, 'first')
  started.push(first)
  const leads = async () => (await readLog(first)).includes('controller started')
  await eventuallyBy(first, 'operator that leads', leads, 30)
  // One slot, late enough for its policy to be seen, and then none for an hour: however slow the machine, the outage is over it.
  const dark = Math.ceil((Date.now() + 22_000) / minute) * minute
  const schedule = `${new Date(dark).getUTCMinutes()} * * * *`
  await applyAll(plane, [policyObject(namespace, 'app', { schedule, retention: 9, strategy: { type: 'snapshot' } })])
  hands = clusterHands(admin, namespace)
  const waits = async () => Date.parse((await policyApp()).status?.nextRun ?? '') === dark
  await eventuallyBy(first, 'policy that waits for its slot', waits, 15)
  const counts = (await policyApp()).status?.slots
  assert.deepEqual(counts, { missed: 0, skipped: 0 })

  // Less than the ten seconds for which a lease is held: the slot comes while the operator still leads, and cannot write.
  await eventually('five seconds before the slot', () => Date.now() >= dark - 5000, { seconds: 120 })
  await plane.killApiServer()
  assert.ok(Date.now() < dark, 'the API server was killed before the slot')
  await eventuallyBy(first, 'end of the operator, which cannot renew its lease', () => !first.running(), 30)
  const said = await readLog(first)
  assert.match(said, /the leader lease was lost[^]*"code":1,"reason":"lost"/)
  const tries = said.match(/"POST \S+\/backups: no answer/g)?.length ?? 0
  assert.ok(tries > 0, 'it led when the slot came, and tried it')
  t.diagnostic(`tried the slot ${tries} times in vain`)
  await eventually('the slot to pass', () => Date.now() > dark, { seconds: 60 })
  const second = await first.again()
  started.push(second)
  await plane.restartApiServer()
  const up = Date.now()

  await eventuallyBy(second, 'Backup of the slot of the outage that is Completed', () => toldOf(dark), 90)
  t.diagnostic(`down for ${seconds(up - dark)} s after the slot, caught up ${seconds(Date.now() - up)} s later`)
  assert.ok(second.running(), 'an operator that is started without an API server waits for it')
  const runs = await backups()
  assert.deepEqual(
    runs.map(backup => `${slotOf(backup)} ${backup.status?.phase}`).toSorted(),
    [`${dark} Completed`],
    'one Backup for the slot',
  )
  assert.deepEqual((await policyApp()).status?.slots, counts)
  const taken = (await admin.list<VolumeSnapshot>(resources.snapshots, { namespace })).items
  assert.deepEqual(
    taken.map(({ metadata }) => metadata.name).toSorted(),
    runs.map(({ status }) => status?.snapshot?.name ?? '').toSorted(),
    'one VolumeSnapshot for the Backup',
  )
})

/** Whether a Backup of this slot is Completed, and its policy says so: nothing is left to write. */
async function toldOf(slot: number): Promise<boolean> {
  const done = (await backups()).some(backup => slotOf(backup) === slot && backup.status?.phase === 'Completed')
  const { accountedUntil, lastSuccess } = (await policyApp()).status ?? {}
  return done && Date.parse(accountedUntil ?? '') === slot && Date.parse(lastSuccess ?? '') >= slot
}

const slotOf = ({ spec }: Backup) => Date.parse(spec.slot ?? '')

async function policyApp(): Promise<BackupPolicy> {
  const policy = await admin.get<BackupPolicy>(resources.backupPolicies, namespace, 'app')
  assert.ok(policy)
  return policy
}

async function backups(): Promise<readonly Backup[]> {
  return (await admin.list<Backup>(resources.backups, { namespace })).items
}

const seconds = (ms: number) => (ms / 1000).toFixed(1)
