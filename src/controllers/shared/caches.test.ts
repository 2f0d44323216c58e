import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Job, Pod } from '../../api/kubernetes.ts'
import type { Client } from '../../runtime/client/client.ts'
import { silentLog } from '../../runtime/log.ts'
import type { RuntimeMetrics } from '../../runtime/metrics.ts'
import { createCaches } from './caches.ts'

function caches() {
  const metrics = { watchCache: () => {}, onRestart: () => () => {} } as unknown as RuntimeMetrics
  return createCaches({ client: {} as Client, log: silentLog, metrics }).caches
}

const metadata = { name: 'x', namespace: 'shop', uid: 'u', resourceVersion: '7', labels: { app: 'db' } }
const managedFields = [{ manager: 'someone', fieldsV1: { 'f:spec': {} } }]

test('of a Job the template is not kept, but what plans and people are told of it is', () => {
  const { jobs } = caches()
  const conditions = [{ type: 'Failed', status: 'True', reason: 'DeadlineExceeded' }]
  const own = 'only-in-labels'
  const labels = {
    ...metadata.labels,
    'controller-uid': own,
    'batch.kubernetes.io/controller-uid': own,
    'job-name': own,
  }
  jobs.offer({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { ...metadata, labels, annotations: { 'backup.dev/store': 's' }, managedFields } as Job['metadata'],
    spec: {
      parallelism: 1,
      backoffLimit: 2,
      activeDeadlineSeconds: 900,
      podFailurePolicy: { rules: [{ action: 'Ignore' }] },
      template: {
        spec: {
          restartPolicy: 'Never',
          activeDeadlineSeconds: 300,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: 30,
          securityContext: {},
          containers: [{ name: 'dump', image: 'postgres:15' }],
          volumes: [{ name: 'tmp', emptyDir: {} }],
        },
      },
    },
    status: { startTime: '2026-01-01T00:00:00Z', conditions },
  })
  const job = jobs.get('shop', 'x')
  assert.deepEqual(job?.metadata, { ...metadata, annotations: { 'backup.dev/store': 's' } })
  const { spec, status } = job
  assert.deepEqual([spec.backoffLimit, spec.activeDeadlineSeconds], [2, 900])
  assert.equal(spec.template.spec.activeDeadlineSeconds, 300)
  assert.deepEqual(status, { startTime: '2026-01-01T00:00:00Z', conditions })
  assert.doesNotMatch(JSON.stringify(job), /postgres|Ignore|emptyDir|only-in-labels/)
})

test('of a pod what became of its containers is kept, and fields of their state that nobody has named yet', () => {
  const { pods } = caches()
  const state = { terminated: { exitCode: 1, message: '{"phase":"failed"}', futureField: 1 } }
  const heavy = { image: 'i', imageID: 'i@sha256:0', containerID: 'containerd://0', resources: {}, volumeMounts: [] }
  const container = { name: 'mover', restartCount: 0, state }
  pods.offer({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, annotations: { 'example.com/long': 'x' } },
    spec: {},
    status: { phase: 'Failed', reason: 'Evicted', containerStatuses: [{ ...heavy, ...container }] },
  } as Pod)
  const { spec, status, ...rest } = pods.get('shop', 'x') as Pod & { readonly spec?: object }
  assert.deepEqual(rest, { apiVersion: 'v1', kind: 'Pod', metadata })
  assert.equal(spec, undefined)
  assert.equal(status?.reason, 'Evicted')
  assert.deepEqual(status.containerStatuses, [container])
})

test('the answer to a write is kept as lightly as what a watch tells', () => {
  const { backups } = caches()
  const annotations = { 'backup.dev/hold': 'true' }
  const applied = { 'kubectl.kubernetes.io/last-applied-configuration': '{"a": "copy of all of it"}' }
  const spec = { policy: 'nightly' }
  const answer = { ...metadata, annotations: { ...annotations, ...applied }, managedFields }
  backups.offer({ apiVersion: 'backup.dev/v1alpha1', kind: 'Backup', metadata: answer, spec })
  assert.deepEqual(backups.get('shop', 'x')?.metadata, { ...metadata, annotations })
  assert.deepEqual(backups.byIndex('policy', 'shop/nightly').length, 1)
})
