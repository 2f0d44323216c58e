import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Backup, BackupStatus } from '../../api/kinds/backup.ts'
import { restoreSpec, type Restore, type RestoreStatus } from '../../api/kinds/restore.ts'
import { backupPolicySpec, type BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { BackupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import { keyFrom } from '../../runtime/client/resource.ts'
import { Store } from '../../runtime/cache/store.ts'
import { BackupMetrics } from './metrics.ts'

const lastTransitionTime = '2026-01-01T00:00:00Z'
const condition = (type: string, status: 'True' | 'False') => ({
  type,
  status,
  reason: 'X',
  message: '',
  lastTransitionTime,
})

function policy(name: string, status?: BackupPolicyStatus, spec: object = {}): BackupPolicy {
  return {
    apiVersion: 'backup.dev/v1alpha1',
    kind: 'BackupPolicy',
    metadata: { name, namespace: 'shop', uid: name, creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: backupPolicySpec.parse({
      selector: { matchLabels: { app: 'postgres' } },
      schedule: '0 2 * * *',
      retention: 7,
      strategy: { type: 'snapshot' },
      ...spec,
    }),
    status,
  }
}

function backup(name: string, status: BackupStatus, of = 'nightly'): Backup {
  const metadata = { name, namespace: 'shop', uid: name }
  const startTime = status.completionTime
  const spec = { policy: of }
  return { apiVersion: 'backup.dev/v1alpha1', kind: 'Backup', metadata, spec, status: { startTime, ...status } }
}

const newBackups = () =>
  new Store<Backup>({ indexes: { policy: ({ metadata, spec }) => [keyFrom(metadata.namespace, spec.policy)] } })

function world(now = '2026-01-10T12:00:00Z') {
  const policies = new Store<BackupPolicy>()
  const backups = newBackups()
  const restores = new Store<Restore>()
  policies.replace([])
  backups.replace([])
  const state = { leads: true, now, serverTime: now }
  const metrics = new BackupMetrics({
    policies,
    backups,
    restores,
    isLeader: () => state.leads,
    now: () => new Date(state.now),
    serverTime: () => new Date(state.serverTime),
  })
  /** The samples, without comments and histogram buckets. */
  const scrape = async () =>
    (await textOf(metrics)).split('\n').filter(line => line && !line.startsWith('#') && !line.includes('_bucket{'))
  return { policies, backups, restores, metrics, state, scrape }
}

async function textOf(metrics: BackupMetrics): Promise<string> {
  return (await Array.fromAsync(metrics.text())).join('')
}

const run = { namespace: 'shop', policy: 'nightly', strategy: 'snapshot' } as const

test('a new policy has its counters at 0 and no times of what never happened', async () => {
  const { policies, scrape } = world('2026-01-01T01:00:00Z')
  policies.set(policy('nightly'))
  const ofNamespace = 'namespace="shop",policy_namespace="shop"'
  const labels = `${ofNamespace},policy="nightly"`
  assert.deepEqual((await scrape()).sort(), [
    `backup_duration_seconds_count{${ofNamespace},strategy="snapshot"} 0`,
    `backup_duration_seconds_sum{${ofNamespace},strategy="snapshot"} 0`,
    `backup_failure_total{${labels},strategy="snapshot"} 0`,
    `backup_missed_slots_total{${labels}} 0`,
    ...['Completed', 'Deleting', 'Failed', 'Pending', 'Running', 'Skipped'].map(
      phase => `backup_objects{${labels},phase="${phase}"} 0`,
    ),
    'backup_operator_leader 1',
    `backup_overdue_seconds{${labels}} 0`,
    `backup_policy_ready{${labels}} 0`,
    `backup_policy_suspended{${labels}} 0`,
    `backup_retention_blocked{${labels}} 0`,
    `backup_skipped_slots_total{${labels}} 0`,
    `backup_success_total{${labels},strategy="snapshot"} 0`,
    `backup_suspect{${labels}} 0`,
    `backup_targets_not_ready{${labels}} 0`,
  ])
})

test('F82: targets that no backup can be made of are counted, without those that the policy no longer selects', async () => {
  const { policies, scrape } = world()
  const target = (name: string, reason: string) => ({ name, ready: reason === 'Ready', reason, message: '' })
  const targets = [target('data', 'Ready'), target('new', 'PVCPending'), target('old', 'TargetNotFound')]
  policies.set(policy('nightly', { targets }))
  const counted = (await scrape()).filter(line => line.startsWith('backup_targets_not_ready'))
  assert.deepEqual(
    counted.map(line => line.split(' ')[1]),
    ['1'],
  )
})

test('what objects know is right on the first scrape after a restart', async () => {
  const { policies, backups, scrape } = world()
  policies.set(
    policy('nightly', {
      conditions: [condition('Ready', 'True')],
      lastSuccess: '2026-01-10T02:00:07Z',
      nextRun: '2026-01-11T02:00:00Z',
      slots: { missed: 3, skipped: 1 },
    }),
  )
  backups.set(
    backup('a', { phase: 'Completed', target: 'data', storedBytes: 5, completionTime: '2026-01-09T02:00:07Z' }),
  )
  backups.set(
    backup('b', { phase: 'Completed', target: 'data', storedBytes: 7, completionTime: '2026-01-10T02:00:07Z' }),
  )
  const restoreSize = '1Ki'
  backups.set(
    backup('c', {
      phase: 'Completed',
      target: 'wal',
      completionTime: '2026-01-10T02:00:05Z',
      snapshot: { name: 'c', restoreSize },
    }),
  )
  const samples = await scrape()
  for (const sample of [
    'backup_last_success_timestamp_seconds{namespace="shop",policy_namespace="shop",policy="nightly"} 1768010407',
    'backup_next_run_timestamp_seconds{namespace="shop",policy_namespace="shop",policy="nightly"} 1768096800',
    'backup_last_run_succeeded{namespace="shop",policy_namespace="shop",policy="nightly"} 1',
    'backup_last_size_bytes{namespace="shop",policy_namespace="shop",policy="nightly"} 1031',
    'backup_policy_ready{namespace="shop",policy_namespace="shop",policy="nightly"} 1',
    'backup_missed_slots_total{namespace="shop",policy_namespace="shop",policy="nightly"} 3',
    'backup_skipped_slots_total{namespace="shop",policy_namespace="shop",policy="nightly"} 1',
    'backup_objects{namespace="shop",policy_namespace="shop",policy="nightly",phase="Completed"} 3',
    'backup_overdue_seconds{namespace="shop",policy_namespace="shop",policy="nightly"} 0',
  ])
    assert.ok(samples.includes(sample), `${sample}\nis not in\n${samples.join('\n')}`)
})

test('one failed target makes the last run a failure, whatever the others did later', async () => {
  const { policies, backups, scrape } = world()
  policies.set(policy('nightly'))
  backups.set(backup('a', { phase: 'Completed', target: 'wal', completionTime: '2026-01-09T02:00:00Z' }))
  backups.set(backup('b', { phase: 'Failed', target: 'wal', completionTime: '2026-01-10T02:00:00Z' }))
  backups.set(backup('c', { phase: 'Completed', target: 'data', completionTime: '2026-01-10T02:05:00Z' }))
  const sample = (value: number) =>
    `backup_last_run_succeeded{namespace="shop",policy_namespace="shop",policy="nightly"} ${value}`
  assert.ok((await scrape()).includes(sample(0)))
  backups.set(backup('d', { phase: 'Completed', target: 'wal', completionTime: '2026-01-10T03:00:00Z' }))
  assert.ok((await scrape()).includes(sample(1)))
})

test('F23: the newest run is told where the clock of the operator alone is behind', async () => {
  const { policies, backups, state, scrape } = world('2026-01-10T00:02:00Z')
  state.serverTime = '2026-01-10T02:02:00Z'
  policies.set(policy('nightly'))
  backups.set(backup('a', { phase: 'Failed', target: 'data', completionTime: '2026-01-09T02:00:00Z' }))
  backups.set(backup('b', { phase: 'Completed', target: 'data', completionTime: '2026-01-10T02:00:00Z' }))
  const told = (await scrape()).filter(line => line.startsWith('backup_last_run_succeeded'))
  assert.deepEqual(
    told.map(line => line.split(' ')[1]),
    ['1'],
  )
})

test('a failure is remembered by the policy when its Backup is gone, and forgotten of targets that are', async () => {
  const { policies, backups, scrape } = world()
  const gone = { name: 'old', ready: false, reason: 'TargetNotFound', message: '' }
  const data = { name: 'data', ready: true, reason: 'Ready', message: '' }
  policies.set(policy('nightly', { conditions: [condition('LastBackupSucceeded', 'False')], targets: [gone, data] }))
  const sample = (value: number) =>
    `backup_last_run_succeeded{namespace="shop",policy_namespace="shop",policy="nightly"} ${value}`
  assert.ok((await scrape()).includes(sample(0)))
  backups.set(backup('a', { phase: 'Failed', target: 'old', completionTime: '2026-01-09T02:00:00Z' }))
  backups.set(backup('b', { phase: 'Completed', target: 'data', completionTime: '2026-01-09T02:00:00Z' }))
  assert.ok((await scrape()).includes(sample(1)))
})

test('runs are counted once, with their seconds', async () => {
  const { policies, metrics, scrape } = world()
  policies.set(policy('nightly'))
  metrics.observe({ ...run, outcome: 'success', seconds: 4 })
  metrics.observe({ ...run, outcome: 'failure', seconds: 60 })
  const samples = (await scrape()).filter(line => /success_total|failure_total|duration/.test(line))
  assert.deepEqual(samples.sort(), [
    'backup_duration_seconds_count{namespace="shop",policy_namespace="shop",strategy="snapshot"} 2',
    'backup_duration_seconds_sum{namespace="shop",policy_namespace="shop",strategy="snapshot"} 64',
    'backup_failure_total{namespace="shop",policy_namespace="shop",policy="nightly",strategy="snapshot"} 1',
    'backup_success_total{namespace="shop",policy_namespace="shop",policy="nightly",strategy="snapshot"} 1',
  ])
})

test('Restores are counted by the policy that made the backup, and the newest good one tells how long it took', async () => {
  const { restores, metrics, state, scrape } = world()
  const into = { into: { args: ['pg_restore'] } }
  const add = (name: string, status: RestoreStatus, how: object = into) =>
    restores.set({
      apiVersion: 'backup.dev/v1alpha1',
      kind: 'Restore',
      metadata: { name, namespace: 'shop', uid: name },
      spec: restoreSpec.parse({ source: { policy: { name: 'nightly' } }, ...how }),
      status: { policy: 'nightly', ...status },
    })
  const from = (startTime: string, completionTime: string) => ({
    phase: 'Completed' as const,
    startTime,
    completionTime,
  })
  add('old', from('2026-01-09T10:00:00Z', '2026-01-09T12:00:00Z'))
  add('new', from('2026-01-10T10:00:00Z', '2026-01-10T10:05:00Z'))
  add('only-read', from('2026-01-10T11:00:00Z', '2026-01-10T11:00:01Z'), { verify: true })
  add('going', { phase: 'Restoring', startTime: '2026-01-10T11:30:00Z' })
  metrics.observeRestore({ namespace: 'shop', policy: 'nightly', phase: 'Completed' })
  const labels = 'namespace="shop",policy_namespace="shop",policy="nightly"'
  const ofRestores = async () => (await scrape()).filter(line => line.includes('restore'))
  assert.deepEqual(await ofRestores(), [
    `backup_restores_total{${labels},phase="Completed"} 1`,
    `backup_restores_total{${labels},phase="Failed"} 0`,
    `backup_restore_last_duration_seconds{${labels}} 300`,
  ])
  state.leads = false
  assert.deepEqual(await ofRestores(), [])
  state.leads = true
  assert.ok((await ofRestores()).includes(`backup_restores_total{${labels},phase="Completed"} 0`))
  restores.replace([])
  assert.deepEqual(await ofRestores(), [])
})

test('every series of a policy goes with it, and a late observation brings none back', async () => {
  const { policies, backups, metrics, scrape } = world()
  policies.set(policy('nightly'))
  backups.set(backup('a', { phase: 'Failed', target: 'data', completionTime: '2026-01-09T02:00:00Z' }))
  metrics.observe({ ...run, outcome: 'failure', seconds: 1 })
  await scrape()
  policies.remove(policy('nightly'))
  metrics.observe({ ...run, outcome: 'failure', seconds: 1 })
  assert.deepEqual(await scrape(), ['backup_operator_leader 1'])
})

test('a policy that changes its strategy starts that strategy’s counters at 0 and ends the other’s', async () => {
  const { policies, metrics, scrape } = world()
  policies.set(policy('nightly'))
  metrics.observe({ ...run, outcome: 'success', seconds: 1 })
  await scrape()
  policies.set(
    policy('nightly', undefined, { strategy: { type: 'job', job: { image: 'postgres:15', args: ['pg_dump'] } } }),
  )
  assert.deepEqual(
    (await scrape()).filter(line => line.startsWith('backup_success_total')),
    ['backup_success_total{namespace="shop",policy_namespace="shop",policy="nightly",strategy="job"} 0'],
  )
})

test('labels are bounded by the policies that exist: Backups that name no policy add nothing', async () => {
  const { backups, scrape } = world()
  for (let n = 0; n < 100; n++) backups.set(backup(`b${n}`, { phase: 'Failed', target: `t${n}` }, `invented-${n}`))
  assert.deepEqual(await scrape(), ['backup_operator_leader 1'])
})

test('a suspended policy has no next run and owes nothing', async () => {
  const { policies, scrape } = world('2026-06-01T00:00:00Z')
  policies.set(policy('nightly', { nextRun: '2026-01-11T02:00:00Z' }, { suspend: true }))
  const samples = await scrape()
  assert.ok(samples.includes('backup_policy_suspended{namespace="shop",policy_namespace="shop",policy="nightly"} 1'))
  assert.ok(samples.includes('backup_overdue_seconds{namespace="shop",policy_namespace="shop",policy="nightly"} 0'))
  assert.ok(!samples.some(line => line.startsWith('backup_next_run_timestamp_seconds')))
})

test('only the leader has series of backups; one that leads again begins anew', async () => {
  const { policies, metrics, state, scrape } = world()
  policies.set(policy('nightly'))
  metrics.observe({ ...run, outcome: 'success', seconds: 1 })
  state.leads = false
  assert.deepEqual(await scrape(), ['backup_operator_leader 0'])
  state.leads = true
  assert.ok(
    (await scrape()).includes(
      'backup_success_total{namespace="shop",policy_namespace="shop",policy="nightly",strategy="snapshot"} 0',
    ),
  )
})

test('F94: what is kept and stored, what is suspect, and that nothing can be deleted, can be alerted on before a run fails', async () => {
  const { policies, backups, scrape } = world()
  const target = { ready: true, reason: 'Ready', message: '' }
  const targets = [
    { ...target, name: 'data', kept: 2 },
    { ...target, name: 'wal', kept: 1 },
  ]
  policies.set(policy('nightly', { targets, conditions: [condition('RetentionBlocked', 'True')] }))
  backups.set(backup('a', { phase: 'Completed', target: 'data', storedBytes: 50 }))
  backups.set(backup('b', { phase: 'Completed', target: 'wal', storedBytes: 7 }))
  backups.set(backup('c', { phase: 'Failed', target: 'wal', storedBytes: 1000 }))
  const suspect = backup('d', { phase: 'Completed', target: 'data', storedBytes: 1, suspect: true })
  backups.set(suspect)
  const sample = (name: string, value: number) =>
    `${name}{namespace="shop",policy_namespace="shop",policy="nightly"} ${value}`
  const expected = [
    ['backup_kept', 3],
    ['backup_stored_bytes', 58],
    ['backup_suspect', 1],
    ['backup_retention_blocked', 1],
  ] as const
  const samples = await scrape()
  for (const [name, value] of expected) assert.ok(samples.includes(sample(name, value)), name)
  const annotations = { 'backup.dev/accepted': 'true' }
  backups.set({ ...suspect, metadata: { ...suspect.metadata, annotations } })
  assert.ok((await scrape()).includes(sample('backup_suspect', 0)))
})

test('F94: bytes that nobody knows are not said to be none', async () => {
  const { policies, backups, scrape } = world()
  policies.set(policy('nightly'))
  backups.set(backup('a', { phase: 'Completed', target: 'data', snapshot: { name: 'a', restoreSize: '1Gi' } }))
  assert.ok(!(await scrape()).some(line => line.startsWith('backup_stored_bytes')))
})

test('every series of a policy says its namespace in a label that no scrape overwrites (R40)', async () => {
  const { policies, scrape } = world()
  policies.set(policy('nightly'))
  for (const line of await scrape()) assert.match(line, /^backup_operator_leader |\{[^}]*policy_namespace="shop"/)
})

test('what time alone changes is right at every scrape, also when no object changes', async () => {
  const { policies, state, scrape } = world()
  const made = policy('nightly', { lastSuccess: '2026-01-10T02:00:07Z' })
  policies.set({ ...made, metadata: { ...made.metadata, generation: 1 } })
  const overdue = async () => (await scrape()).find(line => line.startsWith('backup_overdue_seconds'))?.split(' ')[1]
  assert.equal(await overdue(), '0')
  state.now = '2026-01-12T12:00:00Z'
  assert.equal(await overdue(), String(34 * 3600))
})

test('runs of a namespace are in one histogram for each strategy, which goes with its last policy', async () => {
  const { policies, metrics } = world()
  policies.set(policy('nightly'))
  policies.set(policy('weekly'))
  metrics.observe({ ...run, outcome: 'success', seconds: 4 })
  metrics.observe({ ...run, policy: 'weekly', outcome: 'success', seconds: 40 })
  const labels = 'namespace="shop",policy_namespace="shop",strategy="snapshot"'
  const buckets = (await textOf(metrics)).split('\n').filter(line => line.startsWith('backup_duration_seconds_bucket'))
  assert.equal(buckets.length, 14)
  for (const sample of [`le="1"} 0`, `le="5"} 1`, `le="30"} 1`, `le="60"} 2`, `le="+Inf"} 2`])
    assert.ok(buckets.includes(`backup_duration_seconds_bucket{${labels},${sample}`), sample)
  policies.replace([])
  assert.doesNotMatch(await textOf(metrics), /duration_seconds_bucket/)
})

test('a scrape of many policies leaves the loop to others', async () => {
  const { policies, backups, metrics } = world()
  policies.replace(Array.from({ length: 1000 }, (_, index) => policy(`p${index}`)))
  backups.replace(
    Array.from({ length: 10_000 }, (_, index) =>
      backup(`b${index}`, { phase: 'Completed', target: 'data', storedBytes: 1 }, `p${index % 1000}`),
    ),
  )
  let turns = 0
  const others = setInterval(() => turns++)
  try {
    assert.ok((await textOf(metrics)).split('\n').length > 18_000)
  } finally {
    clearInterval(others)
  }
  assert.ok(turns >= 3, `others had ${turns} turns`)
})

test('nothing is said while a cache is being filled: half of it would be wrong', async () => {
  const policies = new Store<BackupPolicy>()
  const backups = newBackups()
  const restores = new Store<Restore>()
  const metrics = new BackupMetrics({
    policies,
    backups,
    restores,
    isLeader: () => true,
    now: () => new Date(0),
    serverTime: () => undefined,
  })
  policies.replace([policy('nightly')])
  assert.doesNotMatch(await textOf(metrics), /^backup_objects\{/m)
  backups.replace([])
  assert.match(await textOf(metrics), /^backup_objects\{/m)
})
