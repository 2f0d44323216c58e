// The rights of the operator that the end-to-end stories need not come to use, used: on an API server without WatchList, where answers
// get lost, the cache is behind, and a create is refused for good.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { eventually } from '../../../dev/eventually.ts'
import { usedElsewhere } from '../../../e2e/grants.ts'
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { KubernetesObject } from '../../../src/api/kubernetes.ts'
import { annotation, label } from '../../../src/api/labels.ts'
import * as resources from '../../../src/controllers/shared/resources.ts'
import { Client } from '../../../src/runtime/client/client.ts'
import { releaseName, releaseNamespace } from '../../chart/chart.ts'
import { installedRights, refusals, requestsOf, rightName, unusedRights } from '../../runner/rights.ts'
import { startApiProxy } from '../control-plane/api-proxy.ts'
import { clusterHands } from '../control-plane/cluster-hands.ts'
import { startControlPlane } from '../control-plane/control-plane.ts'
import { installOperatorChart, installSnapshotCrds, startOperator } from './operator.ts'
import { applyAll, bind, namespaceObjects, onDemand, policyObject, snapshotClass, volume } from './stage.ts'

const namespace = 'shop'

test('S1: each right that no story needs is needed here, and nothing is asked for without a right', async t => {
  const plane = await startControlPlane({ audit: true, featureGates: 'WatchList=false' })
  t.after(() => plane.stop())
  const admin = new Client(plane.adminConfig)
  t.after(() => admin.close())
  await Promise.all([installOperatorChart(plane), installSnapshotCrds(plane)])
  const never = { schedule: '0 0 29 2 *', retention: 2 }
  const backend = { type: 's3', bucket: 'backups', endpoint: 'http://minio.minio.svc:9000', secretRef: 'minio-creds' }
  const job = { image: 'postgres:15', args: ['pg_dump', 'shop'] }
  await applyAll(plane, [
    ...namespaceObjects(namespace),
    snapshotClass,
    ...['data-0', 'data-1'].flatMap(name => volume(namespace, name)),
    policyObject(namespace, 'app', { ...never, strategy: { type: 'snapshot' } }),
    policyObject(namespace, 'dump', { ...never, backend, strategy: { type: 'job', job } }),
    policyObject(namespace, 'refused', { ...never, backend, strategy: { type: 'job', job } }),
  ])
  for (const claim of ['data-0', 'data-1']) await bind(admin, namespace, claim)

  // No Job of one policy is ever made, and that is told again and again. Of the others the first object of each kind is made, but the
  // operator does not hear of it: it tries again and finds what it has not seen.
  const lost = new Set<string>()
  const proxy = await startApiProxy({
    url: plane.url,
    ca: plane.ca,
    // A write that was cut off is tried again after five seconds.
    watchDelayMs: path => (/\/(backups|jobs|cronjobs|volumesnapshots)$/.test(path) ? 7000 : 1000),
    onWrite: ({ method, path, body }) => {
      if (path.endsWith('/jobs') && body.includes(`"${label.policy}":"refused"`)) return { answer: 403, when: 'before' }
      if (method !== 'POST' || !path.includes(`/namespaces/${namespace}/`) || lost.has(path)) return 'pass'
      lost.add(path)
      return { cut: 'after' }
    },
  })
  t.after(() => proxy.close())
  const hands = clusterHands(admin, namespace)
  t.after(() => hands.stop())
  const operator = await startOperator(plane, 'forgetful', proxy.url)
  t.after(() => operator.kill())

  for (const policy of ['app', 'dump'])
    await admin.create(resources.backups, onDemand(namespace, `now-${policy}`, policy))
  await eventually(
    'both runs, one with a child for each claim, to be complete',
    async () => {
      const { items } = await admin.list<Backup>(resources.backups, { namespace })
      return items.length === 4 && items.every(({ status }) => status?.phase === 'Completed')
    },
    { seconds: 60 },
  )
  const hold = { metadata: { annotations: { [annotation.hold]: 'true' } } }
  for (const { metadata } of (await admin.list<Backup>(resources.backups, { namespace })).items)
    await admin.patch(resources.backups, namespace, metadata.name, { kind: 'merge', body: hold })
  await eventually(
    'the holds to be on both snapshots',
    async () => {
      const { items } = await admin.list<KubernetesObject>(resources.snapshots, { namespace })
      return items.filter(({ metadata }) => metadata.labels?.[label.hold] === 'true').length === 2
    },
    { seconds: 60 },
  )
  await eventually(
    'the refusal to be told again',
    async () => {
      type Event = KubernetesObject & { readonly reason: string; readonly count: number }
      const { items } = await admin.list<Event>(resources.events, { namespace })
      return items.some(({ reason, count }) => reason === 'CreationRefused' && count > 1)
    },
    { seconds: 60 },
  )

  const requests = requestsOf(await readFile(plane.auditLog ?? '', 'utf8'), `${releaseNamespace}:${releaseName}`)
  assert.deepEqual(refusals(requests), [])
  const rights = await installedRights(async kind =>
    JSON.parse(await plane.kubectl(['-n', releaseNamespace, 'get', kind, releaseName, '-o', 'json'])),
  )
  const unused = new Set(unusedRights(rights, requests, releaseNamespace).map(rightName))
  const granted = new Set(rights.map(rightName))
  for (const name of usedElsewhere.flatMap(each => each.rights)) {
    assert.ok(granted.has(name), `there is no right to ${name}: e2e/grants.ts need not name it`)
    assert.ok(!unused.has(name), `the operator did not ${name}`)
  }
})
