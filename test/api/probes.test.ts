// Probes of stores on a real API server (docs/design.md R2): thirty policies whose store is nowhere, applied at the same moment. Few
// probes are there at once, every policy gets its own, and none is repeated before its time.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { BackupPolicy } from '../../src/api/backup-policy.ts'
import type { Job, KubernetesObject } from '../../src/api/kubernetes.ts'
import { label } from '../../src/api/labels.ts'
import { encodeMoverMessage } from '../../src/api/mover-message.ts'
import * as resources from '../../src/controllers/resources.ts'
import { Client } from '../../src/runtime/client.ts'
import { Reflector } from '../../src/runtime/reflector.ts'
import { startControlPlane, type ControlPlane } from './control-plane.ts'
import { eventuallyBy, installOperatorChart, startOperator, type RunningOperator } from './operator.ts'
import { applyAll, namespaceObjects, policyObject } from './stage.ts'

const namespace = 'shop'
const count = 30
/** What docs/design.md R2 calls bounded. */
const bound = 10
/** Seconds: the first back-off, and how long a policy may wait until it asks for a place again. */
const [firstRetry, placeWait] = [60, 25]
const jobDelayMs = 1000

let plane: ControlPlane
let admin: Client
let operator: RunningOperator | undefined

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

test('of thirty policies whose store is nowhere ten are probed at a time, each once, and then not before a minute', async t => {
  const probes = watchProbes()
  t.after(probes.stop)
  const backend = { type: 's3', bucket: 'backups', endpoint: 'http://nowhere.invalid:9000', secretRef: 'minio-creds' }
  const strategy = { type: 'job', job: { image: 'postgres:15', args: ['pg_dump', 'shop'] } }
  const spec = { schedule: '0 0 29 2 *', retention: 2, backend, strategy }
  const names = Array.from({ length: count }, (_, index) => `policy-${index}`)
  await applyAll(plane, [...namespaceObjects(namespace), ...names.map(name => policyObject(namespace, name, spec))])
  const running = await startOperator(plane, 'only')
  operator = running

  await eventuallyBy(
    running,
    'every policy to be looked at',
    async () => (await policies()).every(policy => readyOf(policy)?.reason === 'Probing'),
    40,
  )
  await eventuallyBy(running, 'all places to be taken', () => probes.unfinished().length >= bound, 20)

  // From here on each probe's pod ends as soon as it is seen, and its Job after the second that the Job controller takes.
  const began = performance.now()
  const endedAt = new Map<string, number>()
  const failed = new Set<string>()
  await eventuallyBy(
    running,
    'every policy to know that its store is nowhere',
    async () => {
      for (const job of probes.unfinished()) {
        const { name } = job.metadata
        const ended = endedAt.get(name)
        if (ended === undefined) {
          endedAt.set(name, performance.now())
          await endPod(job)
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

/** The pod of a probe, ended with the mover's message that nothing is there. */
async function endPod({ metadata, spec }: Job): Promise<void> {
  const { name, uid = '', creationTimestamp } = metadata
  const owner = { apiVersion: 'batch/v1', kind: 'Job', name, uid, controller: true, blockOwnerDeletion: false }
  const pod: KubernetesObject & { readonly spec: object } = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...spec.template.metadata, name: `${name}-pod`, namespace, ownerReferences: [owner] },
    spec: spec.template.spec,
  }
  await admin.create(resources.pods, pod)
  const message = encodeMoverMessage({
    phase: 'failed',
    reason: 'EndpointUnreachable',
    message: 'nowhere.invalid: its name does not resolve (DNS)',
  })
  const finishedAt = new Date().toISOString()
  const terminated = { exitCode: 20, message, startedAt: creationTimestamp, finishedAt }
  const state = { name: 'mover', image: 'none', imageID: 'none', ready: false, restartCount: 0, state: { terminated } }
  const body = { status: { phase: 'Failed', containerStatuses: [state] } }
  await admin.patch(resources.pods, namespace, pod.metadata.name, { kind: 'merge', body }, { subresource: 'status' })
}

async function failJob({ metadata: { name, creationTimestamp } }: Job): Promise<void> {
  const now = new Date().toISOString()
  const because = { status: 'True', reason: 'BackoffLimitExceeded', lastTransitionTime: now, lastProbeTime: now }
  const conditions = ['FailureTarget', 'Failed'].map(type => ({ type, ...because }))
  const body = { status: { startTime: creationTimestamp, failed: 1, conditions } }
  await admin.patch(resources.jobs, namespace, name, { kind: 'merge', body }, { subresource: 'status' })
}
