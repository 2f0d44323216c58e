// Probes of stores on a real API server (docs/design.md R2): each is repeated at its time, and of thirty policies that are applied at
// the same moment few are probed at once, and every one gets its turn.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import type { Job } from '../../../src/api/kubernetes.ts'
import { label } from '../../../src/api/labels.ts'
import * as resources from '../../../src/controllers/shared/resources.ts'
import { stateHash } from '../../../src/resources/desired-state.ts'
import { Client } from '../../../src/runtime/client/client.ts'
import { Reflector } from '../../../src/runtime/cache/reflector.ts'
import { endPod } from '../control-plane/cluster-hands.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'
import { eventuallyBy, installOperatorChart, startOperator, type RunningOperator } from './operator.ts'
import { applyAll, namespaceObjects, policyObject } from './stage.ts'

const namespace = 'shop'
const count = 30
/** What docs/design.md R2 calls bounded. */
const bound = 10
/** Seconds: the first back-off, and how long a policy may wait until it asks for a place again. */
const [firstRetry, placeWait] = [60, 25]
const jobDelayMs = 1000
/** The operator is started this much before the first test's probes are due. */
const leadMs = 8000

let plane: ControlPlane
let admin: Client
let operator: RunningOperator

before(async () => {
  plane = await startControlPlane()
  admin = new Client(plane.adminConfig)
  await installOperatorChart(plane)
})
after(async () => {
  await operator?.kill()
  await admin.close()
  await plane.stop()
})

const backend = { type: 's3', bucket: 'backups', endpoint: 'http://nowhere.invalid:9000', secretRef: 'minio-creds' }
const strategy = { type: 'job', job: { image: 'postgres:15', args: ['pg_dump', 'shop'] } }
const spec = { schedule: '0 0 29 2 *', retention: 2, backend, strategy }

/** What its mover says. */
const nowhere = {
  phase: 'failed',
  reason: 'EndpointUnreachable',
  message: 'nowhere.invalid: its name does not resolve (DNS)',
} as const

/** Minutes after so many failures in a row. */
const backOff = [
  [1, 1],
  [2, 2],
  [3, 4],
  [4, 8],
  [5, 10],
  [9, 10],
] as const

test('a probe that failed is repeated after 1, 2, 4, 8, and then every 10 minutes', async () => {
  const past = 'past'
  const nameOf = (failures: number) => `failed-${failures}`
  await applyAll(plane, [
    ...namespaceObjects(past),
    ...backOff.map(([failures]) => policyObject(past, nameOf(failures), spec)),
  ])
  // An operator of before saw them fail, each so long ago that it is due at this moment.
  const due = Math.ceil(Date.now() / 1000) * 1000 + leadMs
  for (const [failures, minutes] of backOff) {
    const policy = await admin.get<BackupPolicy>(resources.backupPolicies, past, nameOf(failures))
    const store = {
      backendHash: stateHash(policy?.spec.backend),
      result: 'Unusable',
      reason: 'EndpointUnreachable',
      message: 'nothing answers',
      attempts: failures,
      failures,
      lastProbeTime: new Date(due - minutes * 60_000).toISOString(),
    }
    const body = { status: { store } }
    await admin.patch(
      resources.backupPolicies,
      past,
      nameOf(failures),
      { kind: 'merge', body },
      { subresource: 'status' },
    )
  }
  operator = await startOperator(plane, 'only')
  const probesOf = async () => (await admin.list<Job>(resources.jobs, { namespace: past })).items
  const probes = await eventuallyBy(
    operator,
    'each to be probed again',
    async () => {
      const jobs = await probesOf()
      return jobs.length === backOff.length ? jobs : undefined
    },
    leadMs / 1000 + 20,
  )
  const late = probes.map(({ metadata }) => Date.parse(metadata.creationTimestamp ?? '') - due)
  assert.ok(
    late.every(ms => ms >= 0 && ms <= 10_000),
    `they came ${late.join(', ')} ms after their time`,
  )
  // Here is no garbage collector, which takes each with the policy on which it hangs.
  for (const [failures] of backOff) {
    const policy = await admin.get<BackupPolicy>(resources.backupPolicies, past, nameOf(failures))
    const own = probes.filter(({ metadata }) =>
      metadata.ownerReferences?.some(({ controller, uid }) => controller && uid === policy?.metadata.uid),
    )
    assert.equal(own.length, 1)
    await admin.delete(resources.backupPolicies, past, nameOf(failures))
    for (const { metadata } of own) await admin.delete(resources.jobs, past, metadata.name)
  }
})

test('of thirty policies whose store is nowhere ten are probed at a time, each once, and then not before a minute', async t => {
  const probes = watchProbes()
  t.after(probes.stop)
  const names = Array.from({ length: count }, (_, index) => `policy-${index}`)
  await applyAll(plane, [...namespaceObjects(namespace), ...names.map(name => policyObject(namespace, name, spec))])
  await eventuallyBy(
    operator,
    'every policy to be looked at',
    async () => (await policies()).every(policy => readyOf(policy)?.reason === 'Probing'),
    40,
  )
  await eventuallyBy(operator, 'all places to be taken', () => probes.unfinished().length >= bound, 20)

  // From here on each probe's pod ends as soon as it is seen, and its Job after the second that the Job controller takes.
  const began = performance.now()
  const endedAt = new Map<string, number>()
  const failed = new Set<string>()
  await eventuallyBy(
    operator,
    'every policy to know that its store is nowhere',
    async () => {
      for (const job of probes.unfinished()) {
        const { name } = job.metadata
        const ended = endedAt.get(name)
        if (ended === undefined) {
          endedAt.set(name, performance.now())
          await endPod(admin, job, 20, nowhere)
        } else if (!failed.has(name) && performance.now() > ended + jobDelayMs) {
          failed.add(name)
          await failJob(job)
        }
      }
      return (await policies()).every(policy => {
        const ready = readyOf(policy)
        return ready?.status === 'False' && ready.reason === 'EndpointUnreachable'
      })
    },
    firstRetry - 5,
  )
  const seconds = (performance.now() - began) / 1000
  t.diagnostic(`at most ${probes.most()} at once; all ${count} were told after ${seconds.toFixed(1)} s`)
  assert.equal(probes.most(), bound)
  assert.ok(seconds < placeWait * 2 + 5, `it took ${seconds} s`)
  const made = probes.policies()
  assert.deepEqual(made.toSorted(), names.toSorted(), 'each policy was probed once')
})

async function policies(): Promise<readonly BackupPolicy[]> {
  const { items } = await admin.list<BackupPolicy>(resources.backupPolicies, { namespace })
  assert.equal(items.length, count)
  return items
}

const readyOf = ({ status }: BackupPolicy) => status?.conditions?.find(({ type }) => type === 'Ready')

/** Every probe Job that ever was, and how many were unfinished at the same moment. */
function watchProbes() {
  const stop = new AbortController()
  const reflector = new Reflector<Job>({ client: admin, resource: resources.jobs, namespace })
  const seen = new Map<string, string>()
  let most = 0
  const unfinished = () =>
    reflector.store
      .list()
      .filter(
        ({ metadata, status }) =>
          metadata.labels?.[label.role] === 'probe' && !status?.conditions?.some(({ type }) => type === 'Failed'),
      )
  reflector.store.subscribe(({ object: { metadata } }) => {
    if (metadata.labels?.[label.role] !== 'probe') return
    seen.set(metadata.name, metadata.labels[label.policy] ?? '')
    most = Math.max(most, unfinished().length)
  })
  const running = reflector.run(stop.signal)
  return {
    unfinished,
    most: () => most,
    /** The policy of each probe. */
    policies: () => [...seen.values()],
    stop: async () => {
      stop.abort()
      await running
    },
  }
}

async function failJob({ metadata: { name, creationTimestamp } }: Job): Promise<void> {
  const now = new Date().toISOString()
  const because = { status: 'True', reason: 'BackoffLimitExceeded', lastTransitionTime: now, lastProbeTime: now }
  const conditions = ['FailureTarget', 'Failed'].map(type => ({ type, ...because }))
  const body = { status: { startTime: creationTimestamp, failed: 1, conditions } }
  await admin.patch(resources.jobs, namespace, name, { kind: 'merge', body }, { subresource: 'status' })
}
