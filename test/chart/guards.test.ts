// What guards the operator's own pods: who may talk with them and whom they may reach, their limits, their probes, their rights on a node.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KubernetesObject } from '../../src/api/kubernetes.ts'
import { renderChart } from './chart.ts'

type Labels = Readonly<Record<string, string>>
type Port = { readonly port: number | string; readonly protocol?: string }
type NetworkPolicy = KubernetesObject & {
  readonly spec: {
    readonly podSelector: { readonly matchLabels: Labels }
    readonly policyTypes: readonly string[]
    readonly ingress: readonly { readonly from?: readonly object[]; readonly ports: readonly Port[] }[]
    readonly egress: readonly { readonly to?: readonly object[]; readonly ports: readonly Port[] }[]
  }
}
type Probe = { readonly httpGet: { readonly path: string; readonly port: string } }
type OperatorContainer = {
  readonly args: readonly string[]
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly livenessProbe: Probe
  readonly readinessProbe: Probe
  readonly resources: { readonly requests: Labels; readonly limits: Labels }
  readonly securityContext: object
}
type Deployment = KubernetesObject & {
  readonly spec: {
    readonly selector: { readonly matchLabels: Labels }
    readonly template: {
      readonly metadata: { readonly labels: Labels }
      readonly spec: {
        readonly automountServiceAccountToken?: boolean
        readonly securityContext: object
        readonly terminationGracePeriodSeconds: number
        readonly containers: readonly [OperatorContainer]
      }
    }
  }
}

async function rendered<T extends KubernetesObject>(kind: string, ...values: readonly string[]): Promise<T> {
  const [found, ...others] = (await renderChart(values)).filter(object => object.kind === kind)
  assert.ok(found && others.length === 0)
  return found as T
}

test('the NetworkPolicy is about the pods of the Deployment, whatever labels people add', async () => {
  for (const values of [[], ['podLabels={"team":"platform","app.kubernetes.io/name":"other"}']]) {
    const { spec } = await rendered<NetworkPolicy>('NetworkPolicy', ...values)
    const deployment = await rendered<Deployment>('Deployment', ...values)
    assert.deepEqual(spec.podSelector.matchLabels, deployment.spec.selector.matchLabels)
    assert.ok(Object.keys(spec.podSelector.matchLabels).length >= 2)
    const { labels } = deployment.spec.template.metadata
    for (const [key, value] of Object.entries(spec.podSelector.matchLabels)) assert.equal(labels[key], value)
    assert.deepEqual(spec.policyTypes, ['Ingress', 'Egress'])
  }
})

test('the operator reaches ports of name servers and of the API server, and no others', async () => {
  const dns = [
    { port: 53, protocol: 'UDP' },
    { port: 53, protocol: 'TCP' },
  ]
  const egress = async (...values: readonly string[]) =>
    (await rendered<NetworkPolicy>('NetworkPolicy', ...values)).spec.egress
  assert.deepEqual(await egress(), [{ ports: dns }, { ports: [{ port: 443 }, { port: 6443 }] }])
  assert.deepEqual(await egress('networkPolicy.apiServerPorts=[8443]'), [{ ports: dns }, { ports: [{ port: 8443 }] }])
})

test('metrics and probes come in, metrics only from whom the values name', async () => {
  const ingress = async (...values: readonly string[]) =>
    (await rendered<NetworkPolicy>('NetworkPolicy', ...values)).spec.ingress
  const health = { ports: [{ port: 'health' }] }
  assert.deepEqual(await ingress(), [{ ports: [{ port: 'metrics' }] }, health])
  const from = [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }]
  const limited = await ingress(`networkPolicy.metricsFrom=${JSON.stringify(from)}`)
  assert.deepEqual(limited, [{ ports: [{ port: 'metrics' }], from }, health])
})

test('probes ask the ports that the program is told to serve', async () => {
  const { spec } = (await rendered<Deployment>('Deployment')).spec.template
  const [operator] = spec.containers
  assert.deepEqual(operator.livenessProbe.httpGet, { path: '/healthz', port: 'health' })
  assert.deepEqual(operator.readinessProbe.httpGet, { path: '/readyz', port: 'health' })
  for (const { name, containerPort } of operator.ports)
    assert.ok(operator.args.includes(`--${name}-port=${containerPort}`))
  assert.deepEqual(
    operator.ports.map(({ name }) => name),
    ['metrics', 'health'],
  )
})

test('the operator has limits, no privileges and nothing to write to', async () => {
  const { spec } = (await rendered<Deployment>('Deployment')).spec.template
  const [operator, ...others] = spec.containers as readonly OperatorContainer[]
  assert.ok(operator)
  assert.deepEqual(others, [])
  assert.ok(operator.resources.requests['cpu'] && operator.resources.requests['memory'])
  assert.ok(operator.resources.limits['memory'])
  assert.deepEqual(operator.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    runAsNonRoot: true,
    capabilities: { drop: ['ALL'] },
    seccompProfile: { type: 'RuntimeDefault' },
  })
  assert.equal('volumes' in spec, false)
  // Ten seconds are what it takes at most (docs/design.md), and some for the kubelet.
  assert.ok(spec.terminationGracePeriodSeconds > 10)
})
