// What its users notice when the operator itself goes: a leader that dies, a time without any operator, a restart. One test after the
// other, because each disturbs the one operator that all policies of the cluster have.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { kubectl } from '../dev/cluster-access.ts'
import { eventually } from '../dev/eventually.ts'
import { releaseName, releaseNamespace } from '../dev/release.ts'
import type { Backup } from '../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../src/api/kinds/backup-policy.ts'
import type { Job, KubernetesObject } from '../src/api/kubernetes.ts'
import * as resources from '../src/controllers/shared/resources.ts'
import { scheduleHash } from '../src/plan/policy/schedule.ts'
import { cluster, patience, waitFor } from './cluster.ts'
import { installMinio, installOperator, operatorDeployment } from './install.ts'
import { api, put } from './objects.ts'
import {
  backupsOf,
  claim,
  conditionOf,
  defaultDriver,
  immediateClass,
  policyOf,
  removeClasses,
  snapshotPolicy,
  snapshotsOf,
} from './snapshot-stack.ts'
import { jobPolicy, onDemand, remove, shell, storeNamespace } from './stack.ts'

const namespace = 'e2e-operator'
const schedule = '* * * * *'
const minute = 60_000

before(() => Promise.all([installOperator(), installMinio()]))
after(async () => {
  await scaleTo(2)
  await removeClasses()
})

test('a life with interruptions', async t => {
  await storeNamespace(t, namespace)
  await put(
    immediateClass(await defaultDriver()),
    claim(namespace, 'data'),
    snapshotPolicy(namespace, 'snaps', { spec: { schedule, retention: 50 } }),
    ...['dumps', 'vanishing'].map(name => jobPolicy(namespace, name, shell('echo hello'), { schedule, retention: 50 })),
  )
  for (const policy of ['snaps', 'dumps', 'vanishing'])
    await conditionOf(namespace, policy, 'Ready', { status: 'True' }, 60)

  await t.test('a leader whose pod is deleted by force is followed, and its slot runs once', async () => {
    const gone = await leader()
    const began = Date.now()
    await kubectl(cluster, ['-n', releaseNamespace, 'delete', 'pod', gone, '--force', '--grace-period=0'])
    const next = await eventually(
      'another copy to lead',
      async () => {
        const holder = await leader()
        return holder !== gone && holder !== '' ? holder : undefined
      },
      { seconds: 20 },
    )
    t.diagnostic(`followed after ${((Date.now() - began) / 1000).toFixed(1)} s`)
    assert.notEqual(next, gone)
    const slot = Math.ceil(began / minute) * minute
    for (const policy of ['snaps', 'dumps']) await completeAt(policy, slot)
    await assertOncePerSlot()
  })

  await t.test(
    'slots without an operator: the Job is recorded, the snapshot caught up once, older slots counted, a Job that is gone is found in the bucket',
    async () => {
      const before = (await policyOf(namespace, 'snaps')).status?.slots?.missed ?? 0
      await scaleTo(0)
      const down = Date.now()
      // An operator that was away for longer: this policy's clock stopped ten minutes ago.
      await put(snapshotPolicy(namespace, 'late', { spec: { schedule, retention: 50 } }))
      const since = new Date(Math.floor(down / minute) * minute - 10 * minute)
      await stopClock('late', since)
      const slot = Math.ceil(down / minute) * minute
      for (const policy of ['dumps', 'vanishing'])
        await eventually(
          'the CronJob to run its Job without us',
          async () => {
            const job = await api.get<Job>(resources.jobs, namespace, `backup-${policy}-${slot / minute}`)
            return job?.status?.succeeded === 1
          },
          { seconds: 60 + patience },
        )
      // Nobody has seen this one's end; only the bucket knows of it (F34).
      await kubectl(cluster, ['-n', namespace, 'delete', `job/backup-vanishing-${slot / minute}`])
      assert.equal((await at('dumps', slot)).length, 0)
      await scaleTo(2)
      // The next run tells that the bucket holds more than is known: nobody has to wait for the next minute.
      await put(onDemand(namespace, 'asking', 'vanishing'))
      for (const policy of ['snaps', 'dumps', 'vanishing']) await completeAt(policy, slot)
      const [found] = await at('vanishing', slot)
      assert.deepEqual([found?.status?.message, found?.status?.bytes], ['found in the bucket', 6])
      assert.equal((await policyOf(namespace, 'snaps')).status?.slots?.missed ?? 0, before)
      const caughtUp = await eventually(
        'the newest slot of the long outage to be caught up',
        async () => {
          const runs = await backupsOf(namespace, 'late')
          return runs.length > 0 && runs.every(({ status }) => status?.phase === 'Completed') ? runs : undefined
        },
        { seconds: patience },
      )
      const first = Math.min(...caughtUp.map(({ spec }) => Date.parse(spec.slot ?? '')))
      // The policy tells of a slot after its Backups do.
      const missed = await eventually(
        'the slots of the long outage to be counted',
        async () => (await policyOf(namespace, 'late')).status?.slots?.missed,
        { seconds: patience },
      )
      assert.equal(missed, (first - since.getTime()) / minute - 1)
      assert.ok(missed >= 9, `${missed} missed slots`)
      await assertOncePerSlot()
    },
  )

  await t.test('after the restart the first scrape is right, and the series of a policy go with it', async () => {
    const metrics = await scrape(await leader())
    const value = (metric: string, policy: string) => {
      const lines = metrics.split('\n').filter(line => line.startsWith(`${metric}{`) && line.includes(namespace))
      return Number(
        lines
          .find(line => line.includes(`policy="${policy}"`))
          ?.split(' ')
          .at(-1),
      )
    }
    for (const policy of ['snaps', 'dumps']) {
      const { status } = await policyOf(namespace, policy)
      // The status was read after the metrics, and another slot may have passed in between.
      const success = Date.parse(status?.lastSuccess ?? '') / 1000
      assert.ok(success - value('backup_last_success_timestamp_seconds', policy) <= 90)
      assert.equal(value('backup_next_run_timestamp_seconds', policy) % 60, 0)
      assert.ok(value('backup_success_total', policy) >= 1)
      assert.equal(value('backup_failure_total', policy), 0)
    }
    assert.ok(value('backup_missed_slots_total', 'late') >= 9)
    await remove(namespace, 'bp/late')
    await eventually(
      'the series of the deleted policy to go',
      async () => !(await scrape(await leader())).includes('policy="late"'),
      { seconds: patience },
    )
  })

  await t.test('the operator is guarded as the chart says', async () => {
    const guards = ['poddisruptionbudget', 'networkpolicy'].map(kind => `${kind}/${releaseName}`)
    const found = await kubectl(cluster, ['-n', releaseNamespace, 'get', ...guards, '-o', 'name'])
    assert.equal(found.trim().split('\n').length, 2)
    await waitFor(releaseNamespace, `poddisruptionbudget/${releaseName}`, 'jsonpath={.status.currentHealthy}=2')
  })
})

async function scaleTo(replicas: number): Promise<void> {
  const where = ['-n', releaseNamespace]
  await kubectl(cluster, [...where, 'scale', operatorDeployment, `--replicas=${replicas}`])
  if (replicas > 0) await kubectl(cluster, [...where, 'rollout', 'status', operatorDeployment, '--timeout=120s'])
  else {
    const selector = ['-l', `app.kubernetes.io/instance=${releaseName}`]
    await kubectl(cluster, [...where, 'wait', 'pod', ...selector, '--for=delete', '--timeout=60s'])
  }
}

/** The pod that leads. */
async function leader(): Promise<string> {
  type Lease = KubernetesObject & { readonly spec?: { readonly holderIdentity?: string } }
  const lease = await api.get<Lease>(resources.leases, releaseNamespace, releaseName)
  return lease?.spec?.holderIdentity?.split('_')[0] ?? ''
}

const scrape = (pod: string) =>
  kubectl(cluster, ['get', '--raw', `/api/v1/namespaces/${releaseNamespace}/pods/${pod}:8080/proxy/metrics`])

/** As if no operator had looked at the policy since then. */
async function stopClock(name: string, since: Date): Promise<void> {
  const time = since.toISOString()
  const hash = scheduleHash(await policyOf(namespace, name))
  const status = { scheduleHash: hash, scheduleSince: time, accountedUntil: time }
  const options = { subresource: 'status' }
  await api.patch<BackupPolicy>(resources.backupPolicies, namespace, name, { kind: 'merge', body: { status } }, options)
}

/** The scheduled Backups of a policy at a slot, given in ms since the epoch. */
async function at(policy: string, slot: number): Promise<readonly Backup[]> {
  return (await backupsOf(namespace, policy)).filter(({ spec }) => spec.slot && Date.parse(spec.slot) === slot)
}

async function completeAt(policy: string, slot: number): Promise<void> {
  await eventually(
    `the slot ${new Date(slot).toISOString()} of ${policy} to be complete`,
    async () => (await at(policy, slot))[0]?.status?.phase === 'Completed',
    { seconds: 60 + patience },
  )
}

/** Every slot has one Backup, and every Backup of a snapshot its VolumeSnapshot. */
async function assertOncePerSlot(): Promise<void> {
  for (const policy of ['snaps', 'dumps', 'vanishing']) {
    const slots = (await backupsOf(namespace, policy)).flatMap(({ spec }) => spec.slot ?? [])
    assert.equal(new Set(slots).size, slots.length, slots.join(', '))
  }
  const taken = (await snapshotsOf(namespace, 'snaps')).map(({ metadata }) => metadata.name)
  const told = (await backupsOf(namespace, 'snaps')).map(({ metadata }) => metadata.name)
  assert.deepEqual(new Set(taken), new Set(told))
}
