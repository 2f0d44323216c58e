// The chart as text: what helm makes of it, with the values that people change.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { CommandError } from '../../dev/command.ts'
import { goToolDirectory } from '../../dev/go-tools.ts'
import { repository } from '../../dev/paths.ts'
import type { Container, KubernetesObject } from '../../src/api/kubernetes.ts'
import { startControlPlane, type ControlPlane } from '../api/control-plane/control-plane.ts'
import { schemaLocation, writeSchemas } from '../api/control-plane/kubeconform-schemas.ts'
import { chartDirectory, helm, installChart, releaseNamespace, renderChart } from './chart.ts'

type Deployment = KubernetesObject & {
  readonly spec: {
    readonly replicas: number
    readonly template: {
      readonly metadata: object
      readonly spec: { readonly containers: readonly Container[] } & Record<string, unknown>
    }
  }
}

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`
const everyOption = [
  `image={"repository":"registry.example.com/backup","tag":"1.2.3","digest":"${digest}","pullPolicy":"Always"}`,
  'imagePullSecrets=[{"name":"registry"},{"name":"mirror"}]',
  'clusterId="prod-eu-1"',
  'replicas=3',
  'logLevel="debug"',
  'priorityClassName="system-cluster-critical"',
  'nodeSelector={"kubernetes.io/arch":"amd64"}',
  'tolerations=[{"key":"control-plane","operator":"Exists"}]',
  'affinity={"nodeAffinity":{}}',
  'podAnnotations={"example.com/a":"1"}',
  'podLabels={"team":"platform"}',
  'serviceAccount={"name":"backups","annotations":{"example.com/role":"x"}}',
  'networkPolicy.metricsFrom=[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"monitoring"}}}]',
  'networkPolicy.apiServerPorts=[8443]',
  'podDisruptionBudget.minAvailable="50%"',
  'serviceMonitor={"enabled":true,"labels":{"release":"prometheus"},"interval":"15s"}',
  'prometheusRule={"enabled":true,"labels":{"release":"prometheus"}}',
  'admissionPolicies={"imagePrefixes":["mirror.example.com/","cache.example.com/"],"restoreAccounts":["velero","o\'neill"]}',
]

let plane: ControlPlane
let schemas: string
before(async () => {
  plane = await startControlPlane()
  await installChart(plane)
  schemas = await mkdtemp(join(tmpdir(), 'kubeconform-'))
  const groups = ['rbac.authorization', 'networking', 'admissionregistration', 'apiextensions']
  const paths = ['api/v1', 'apis/apps/v1', 'apis/policy/v1', ...groups.map(group => `apis/${group}.k8s.io/v1`)]
  await writeSchemas(plane, paths, schemas)
})
after(async () => {
  await rm(schemas, { recursive: true, force: true })
  await plane.stop()
})

function find(objects: readonly KubernetesObject[], kind: string): KubernetesObject {
  const [found, ...others] = objects.filter(object => object.kind === kind)
  assert.ok(found && others.length === 0, `one ${kind} in ${objects.map(object => object.kind).join(', ')}`)
  return found
}

function deploymentOf(objects: readonly KubernetesObject[]): Deployment {
  return find(objects, 'Deployment') as Deployment
}

/** What kubeconform says; its own schemas for kinds of the Prometheus operator are not to be had without a network. */
function kubeconform(objects: readonly KubernetesObject[]) {
  const input = objects.map(object => JSON.stringify(object)).join('\n---\n')
  const args = [
    '-strict',
    '-summary',
    '-skip',
    'ServiceMonitor,PrometheusRule',
    '-schema-location',
    schemaLocation(schemas),
    '-',
  ]
  return spawnSync(join(goToolDirectory('kubeconform'), 'kubeconform'), args, { input, encoding: 'utf8' })
}

for (const [name, values] of [
  ['default values', []],
  ['every option', everyOption],
] as const)
  test(`helm lint and kubeconform find nothing wrong with ${name}`, async () => {
    const said = await helm(['lint', '--strict', chartDirectory, ...values.flatMap(value => ['--set-json', value])])
    assert.match(said, /0 chart\(s\) failed/)
    const objects = await renderChart(values)
    const { stdout, status } = kubeconform(objects)
    const skipped = objects.filter(({ kind }) => kind === 'ServiceMonitor' || kind === 'PrometheusRule').length
    assert.equal(status, 0, stdout)
    assert.match(stdout, new RegExp(`Valid: ${objects.length - skipped}, Invalid: 0, Errors: 0, Skipped: ${skipped}`))
  })

test('kubeconform would notice a field that does not exist', async () => {
  const deployment = deploymentOf(await renderChart())
  const { stdout, status } = kubeconform([
    { ...deployment, spec: { ...deployment.spec, replicass: 2 } } as KubernetesObject,
  ])
  assert.equal(status, 1)
  assert.match(stdout, /additional properties 'replicass' not allowed/)
})

test('by default: two copies, a budget, a fence, a network policy, and nothing that needs foreign CRDs', async () => {
  const objects = await renderChart()
  const count = Map.groupBy(objects, ({ kind }) => kind)
  assert.deepEqual(Object.fromEntries([...count].map(([kind, { length }]) => [kind, length])), {
    ServiceAccount: 1,
    NetworkPolicy: 1,
    PodDisruptionBudget: 1,
    CustomResourceDefinition: 3,
    ClusterRole: 3,
    ClusterRoleBinding: 1,
    Role: 1,
    RoleBinding: 1,
    Service: 1,
    Deployment: 1,
    ValidatingAdmissionPolicy: 5,
    ValidatingAdmissionPolicyBinding: 5,
  })
  assert.equal(deploymentOf(objects).spec.replicas, 2)
  for (const { kind, metadata } of objects)
    if (kind === 'CustomResourceDefinition') assert.equal(metadata.annotations?.['helm.sh/resource-policy'], 'keep')
})

test('the operator and its movers get the same image, by digest where one is given', async () => {
  const { containers } = deploymentOf(await renderChart(everyOption)).spec.template.spec
  const image = `registry.example.com/backup@${digest}`
  assert.equal(containers[0]?.image, image)
  assert.deepEqual(containers[0]?.args, [
    'operator',
    `--image=${image}`,
    '--image-pull-policy=Always',
    '--image-pull-secret=registry',
    '--image-pull-secret=mirror',
    '--cluster-id=prod-eu-1',
    '--namespace=$(POD_NAMESPACE)',
    '--identity=$(POD_NAME)',
    '--metrics-port=8080',
    '--health-port=8081',
    '--log-level=debug',
  ])
  const tagged = deploymentOf(await renderChart(['image.tag="1.2.3"']))
  assert.match(tagged.spec.template.spec.containers[0]?.image ?? '', /:1\.2\.3$/)
})

test('the notes warn of the default image, which nobody has published, and of no other', async () => {
  const notes = (...values: string[]) => helm(['install', 'x', chartDirectory, '--dry-run=client', ...values])
  assert.match(await notes(), /WARNING: no image is published under ghcr\.io\/backup-operator\/backup-operator yet/)
  assert.doesNotMatch(await notes('--set', 'image.repository=registry.example.com/backup'), /WARNING/)
})

test('the program knows every argument that the chart gives it', async () => {
  for (const values of [[], everyOption]) {
    const { args = [] } = deploymentOf(await renderChart(values)).spec.template.spec.containers[0] ?? {}
    const main = join(repository, 'src/main.ts')
    const { stdout } = spawnSync(process.execPath, [main, ...args], { env: {}, encoding: 'utf8' })
    // It gets as far as looking for the API server of its pod.
    assert.match(stdout, /KUBERNETES_SERVICE_HOST/)
  }
})

test('the fence follows the image, its mirrors and the service account, and says which images may run', async () => {
  const policies = (await renderChart(everyOption)).filter(({ kind }) => kind === 'ValidatingAdmissionPolicy')
  const [fence, slot] = ['fence', 'slot'].map(name =>
    policies.find(({ metadata }) => metadata.name.endsWith(`-${name}`)),
  ) as unknown as readonly {
    readonly spec: {
      readonly matchConditions: readonly { readonly expression: string }[]
      readonly validations: readonly { readonly expression: string; readonly message?: string }[]
    }
  }[]
  const image = fence?.spec.validations[0]
  assert.ok(
    image?.expression.endsWith(
      String.raw`c.image.matches(r'^registry\.example\.com/backup(:[^/@]+)?(@[^/@]+)?$') || c.image.startsWith('mirror.example.com/') || c.image.startsWith('cache.example.com/'))`,
    ),
    image?.expression,
  )
  assert.match(
    image?.message ?? '',
    /only: registry\.example\.com\/backup at any tag or digest, or what begins with mirror\.example\.com\/ or cache\.example\.com\/$/,
  )
  const operator = `system:serviceaccount:${releaseNamespace}:backups`
  assert.equal(fence?.spec.matchConditions[0]?.expression, `request.userInfo.username == '${operator}'`)
  const others = `!(request.userInfo.username in ["${operator}","velero","o'neill"])`
  assert.equal(slot?.spec.matchConditions[0]?.expression, others)
  const without = await renderChart(['admissionPolicies.enabled=false'])
  assert.ok(!without.some(({ kind }) => kind.startsWith('ValidatingAdmissionPolicy')))
})

test('options add and remove whole objects', async () => {
  const kinds = async (...values: readonly string[]) => new Set((await renderChart(values)).map(({ kind }) => kind))
  assert.ok(!(await kinds('podDisruptionBudget.enabled=false')).has('PodDisruptionBudget'))
  assert.ok(!(await kinds('replicas=1')).has('PodDisruptionBudget'), 'with one copy it would block every drain')
  assert.ok(!(await kinds('networkPolicy.enabled=false')).has('NetworkPolicy'))
  assert.ok(!(await kinds('crds.install=false')).has('CustomResourceDefinition'))
  assert.ok((await kinds('serviceMonitor.enabled=true')).has('ServiceMonitor'))
  assert.ok((await kinds('prometheusRule.enabled=true')).has('PrometheusRule'))
  const roles = (await renderChart(['rbac.aggregateToUserRoles=false'])).filter(({ kind }) => kind === 'ClusterRole')
  assert.equal(roles.length, 1)
})

test('the ServiceMonitor selects the metrics Service, and the rule holds the alerts as they are in files/', async () => {
  const objects = await renderChart(everyOption)
  const monitor = find(objects, 'ServiceMonitor') as KubernetesObject & {
    readonly spec: { readonly selector: { readonly matchLabels: object }; readonly endpoints: readonly object[] }
  }
  const labels = find(objects, 'Service').metadata.labels ?? {}
  for (const [key, value] of Object.entries(monitor.spec.selector.matchLabels)) assert.equal(labels[key], value)
  assert.deepEqual(monitor.spec.endpoints, [{ port: 'metrics', path: '/metrics', interval: '15s', honorLabels: true }])
  assert.equal(monitor.metadata.labels?.release, 'prometheus')
  const rule = find(objects, 'PrometheusRule')
  assert.match(JSON.stringify(rule), /\{\{ \$labels\.policy \}\} failed/)
})

test('operator pods pass the pod security level restricted', async () => {
  await plane.kubectl(['create', 'namespace', 'restricted'])
  await plane.kubectl(['label', 'namespace', 'restricted', 'pod-security.kubernetes.io/enforce=restricted'])
  await plane.kubectl(['-n', 'restricted', 'create', 'serviceaccount', 'backups'])
  const values = everyOption.filter(value => !value.startsWith('priorityClassName'))
  const { spec } = deploymentOf(await renderChart(values)).spec.template
  const pod = (change: object) => ({
    input: JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'operator', namespace: 'restricted' },
      spec: { ...spec, ...change },
    }),
  })
  await plane.kubectl(['create', '--dry-run=server', '-f', '-'], pod({}))
  await assert.rejects(
    plane.kubectl(['create', '--dry-run=server', '-f', '-'], pod({ hostNetwork: true })),
    /violates PodSecurity/,
  )
})

for (const [value, message] of [
  ['watchNamespaces=["a"]', /additional properties 'watchNamespaces' not allowed/],
  ['image.regsitry="x"', /at '\/image': additional properties 'regsitry' not allowed/],
  ['replicas="two"', /at '\/replicas': got string, want integer/],
  ['image.digest="latest"', /at '\/image\/digest': 'latest' does not match pattern/],
  ['image.pullPolicy="Sometimes"', /at '\/image\/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'/],
  ['logLevel="verbose"', /at '\/logLevel': value must be one of 'debug', 'info', 'warn', 'error'/],
  ['imagePullSecrets=["registry"]', /at '\/imagePullSecrets\/0': got string, want object/],
  ['networkPolicy.apiServerPorts=[0]', /at '\/networkPolicy\/apiServerPorts\/0': minimum: got 0, want 1/],
  ['clusterId="a b"', /at '\/clusterId': 'a b' does not match pattern/],
] as const)
  test(`the values schema refuses ${value} and says where`, async () => {
    await assert.rejects(renderChart([value]), (error: unknown) => {
      assert.ok(error instanceof CommandError)
      assert.match(error.stderr, message)
      return true
    })
  })
