import assert from 'node:assert/strict'
import { test } from 'node:test'
import { presetPolicy } from '../../../test/plan/preset-world.ts'
import { namespace, pod, service, world } from '../../../test/presets/world.ts'
import type { Deployment, StatefulSet } from '../../api/kubernetes.ts'
import { findWorkloads } from './find-workloads.ts'

const selected = { app: 'db' }
const policy = presetPolicy({ selector: { matchLabels: selected } })

function statefulSet(name: string, labels: Readonly<Record<string, string>> = selected, owner?: string): StatefulSet {
  const controller = {
    apiVersion: 'acid.zalan.do/v1',
    kind: 'postgresql',
    name: owner ?? '',
    uid: 'u',
    controller: true,
  }
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name, namespace, ...(owner === undefined ? {} : { ownerReferences: [controller] }) },
    spec: { template: { metadata: { labels } } },
  }
}

test('the preset of the policy finds the workloads of the pods', () => {
  const { targets, withoutPods } = findWorkloads(
    policy,
    world({ pods: [pod()], services: [service('db')], statefulSets: [statefulSet('db')] }),
  )
  assert.deepEqual(
    targets.map(({ is, name }) => [is, name]),
    [['resolved', 'db']],
  )
  assert.deepEqual(withoutPods, [])
})

test('what the selector would match and has no pods is no target, and is told apart from what is gone', () => {
  const deployment: Deployment = { ...statefulSet('legacy'), kind: 'Deployment' }
  const { targets, withoutPods } = findWorkloads(
    policy,
    world({
      statefulSets: [statefulSet('old'), statefulSet('pg', selected, 'shop'), statefulSet('web', { app: 'web' })],
      deployments: [deployment],
    }),
  )
  assert.deepEqual([targets, withoutPods], [[], ['legacy', 'old', 'shop']])
})

test('a workload that is scaled to zero does not become a server outside of the cluster', () => {
  const connection = { host: 'db', user: 'postgres', passwordFrom: { secretKeyRef: { name: 'db', key: 'password' } } }
  const { strategy } = policy.spec
  const job = { ...(strategy.job ?? assert.fail()), image: 'postgres:17', connection }
  const stated = { ...policy, spec: { ...policy.spec, strategy: { ...strategy, job } } }
  const names = (statefulSets: readonly StatefulSet[]) =>
    findWorkloads(stated, world({ statefulSets })).targets.map(({ name }) => name)
  assert.deepEqual([names([statefulSet('db')]), names([])], [[], ['postgres']])
})

test('a policy that states its command has none', () => {
  const { strategy } = policy.spec
  const { preset: _, ...job } = strategy.job ?? assert.fail()
  const stated = { ...policy, spec: { ...policy.spec, strategy: { ...strategy, job } } }
  assert.throws(() => findWorkloads(stated, world()), /preset/)
})
