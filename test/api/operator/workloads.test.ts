// What a preset is to back up, looked up on a real API server with the rights that the chart gives.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KubernetesObject } from '../../../src/api/kubernetes.ts'
import { WorkloadLooks } from '../../../src/controllers/shared/workloads.ts'
import type { PresetWorld } from '../../../src/presets/workloads.ts'
import { Client } from '../../../src/runtime/client/client.ts'
import { realClock } from '../../../src/runtime/clock.ts'
import { releaseName, releaseNamespace } from '../../chart/chart.ts'
import { all, found, presetPolicy } from '../../plan/preset-world.ts'
import { startControlPlane } from '../control-plane/control-plane.ts'
import { installOperatorChart } from './operator.ts'
import { applyAll, namespaceObjects } from './stage.ts'

const namespace = 'shop'
const labels = { app: 'postgres' }
const template = { metadata: { labels }, spec: { containers: [{ name: 'db', image: 'postgres:17' }] } }

function object(apiVersion: string, kind: string, name: string, more: object = {}): KubernetesObject {
  return { apiVersion, kind, metadata: { name, namespace }, ...more }
}

test('pods, their owners and the Services beside them are seen with the rights of the chart', async t => {
  const plane = await startControlPlane()
  t.after(() => plane.stop())
  const admin = new Client(plane.adminConfig)
  t.after(() => admin.close())
  await installOperatorChart(plane)
  const workload = { spec: { replicas: 0, serviceName: 'db', selector: { matchLabels: labels }, template } }
  const { serviceName: _, ...ofDeployment } = workload.spec
  await applyAll(plane, [
    ...namespaceObjects(namespace),
    object('apps/v1', 'StatefulSet', 'db', workload),
    object('apps/v1', 'Deployment', 'cache', { spec: ofDeployment }),
    object('apps/v1', 'ReplicaSet', 'cache-1', { spec: ofDeployment }),
    object('v1', 'Service', 'db', { spec: { selector: labels, ports: [{ port: 5432 }] } }),
  ])
  const pod = (name: string, kind: string, owner: string, podLabels: object = labels) => ({
    ...object('v1', 'Pod', name, { spec: template.spec }),
    metadata: {
      name,
      namespace,
      labels: podLabels,
      ownerReferences: [{ apiVersion: 'apps/v1', kind, name: owner, uid: `uid-of-${owner}`, controller: true }],
    },
  })
  await applyAll(plane, [
    pod('db-0', 'StatefulSet', 'db'),
    pod('cache-1-x', 'ReplicaSet', 'cache-1'),
    pod('web-0', 'StatefulSet', 'web', { app: 'web' }),
  ] as readonly KubernetesObject[])

  const token = await plane.serviceAccountToken(releaseNamespace, releaseName)
  const operator = new Client({ url: plane.url, ca: plane.ca, token })
  t.after(() => operator.close())
  const seen: PresetWorld[] = []
  const looks = new WorkloadLooks(operator, realClock, (_, workloads) => {
    seen.push(workloads)
    return all([found('db')])
  })
  const policy = presetPolicy()
  await looks.look(policy, false, new AbortController().signal)
  assert.deepEqual(looks.found(policy), { ...all([found('db')]), pods: 2 })
  const [{ pods, statefulSets, deployments, services } = assert.fail()] = seen
  const named = (some: readonly KubernetesObject[]) => some.map(({ kind, metadata }) => `${kind} ${metadata.name}`)
  assert.deepEqual(named(pods).toSorted(), ['Pod cache-1-x', 'Pod db-0'])
  assert.deepEqual(named([...statefulSets, ...deployments, ...services]), [
    'StatefulSet db',
    'Deployment cache',
    'Service db',
  ])
  const inferring = new WorkloadLooks(operator, realClock)
  await inferring.look(policy, false, new AbortController().signal)
  assert.deepEqual(
    inferring.found(policy)?.targets.map(({ is, name }) => [is, name]),
    [
      ['unresolved', 'cache-1'],
      ['unresolved', 'db'],
    ],
    'no password is told of anywhere',
  )
  for (const each of [...pods, ...statefulSets, ...deployments, ...services]) {
    assert.ok('spec' in each, each.kind)
    assert.ok(!('managedFields' in each.metadata), each.kind)
  }
})
