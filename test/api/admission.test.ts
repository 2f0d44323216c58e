// The chart's ValidatingAdmissionPolicies on a real API server (DESIGN R22): what the operator's token can write, and what the
// author of a policy must be allowed to.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { parse } from 'yaml'
import { CommandError } from '../../dev/command.ts'
import { eventually } from '../../dev/eventually.ts'
import { repository } from '../../dev/paths.ts'
import type { BackupPolicy } from '../../src/api/backup-policy.ts'
import type { CronJob, JobSpec, KubernetesObject } from '../../src/api/kubernetes.ts'
import { backupCronJob, catalogJob, onDemandJob, probeJob } from '../../src/resources/jobs.ts'
import type { Settings } from '../../src/resources/settings.ts'
import { installChart, releaseName, releaseNamespace, renderChart } from '../chart.ts'
import { kubectlAs, type Kubectl } from './account.ts'
import { startControlPlane, type ControlPlane } from './control-plane.ts'

let plane: ControlPlane
let operator: Kubectl
let settings: Settings
let policy: BackupPolicy

before(async () => {
  plane = await startControlPlane()
  await installChart(plane)
  operator = await kubectlAs(plane, releaseNamespace, releaseName)
  settings = {
    image: await chartImage(),
    imagePullPolicy: 'IfNotPresent',
    imagePullSecrets: ['pull'],
    clusterId: 'test',
  }
  await plane.kubectl(['create', 'namespace', 'shop'])
  policy = await storedJobPolicy()
  // Policies reach the API server's admission a moment after they are stored.
  await eventually(
    'the fence to stand',
    async () =>
      /denied request/.test(await answer(operator, ['create', '--dry-run=server', '-f', '-'], stranger('shop'))),
    { seconds: 20 },
  )
})
after(() => plane.stop())

test('the operator may create every object that it builds, and change its CronJob', async () => {
  const job = policy.spec.strategy.job
  assert.ok(job)
  const marks = { held: [], accepted: [] }
  const withCa: BackupPolicy = {
    ...policy,
    spec: { ...policy.spec, backend: { ...backendOf(policy), ca: 'store-ca' } },
  }
  const backup = JSON.parse(
    await plane.kubectl(['-n', 'shop', 'create', '-o', 'json', '-f', '-'], {
      input: JSON.stringify({
        apiVersion: 'backup.dev/v1alpha1',
        kind: 'Backup',
        metadata: { name: 'now' },
        spec: { policy: policy.metadata.name },
      }),
    }),
  ) as Parameters<typeof onDemandJob>[2]
  const cronJob = backupCronJob(policy, job, '0 2 * * *', marks, settings)
  const ours = [
    cronJob,
    onDemandJob(withCa, job, backup, marks, settings),
    probeJob(policy, 'hash', 1, settings),
    probeJob(withCa, 'other', 1, settings),
    catalogJob(policy, 'run', undefined, settings),
  ]
  for (const object of ours) await operator(['create', '-f', '-'], { input: JSON.stringify(object) })
  // The API server's own defaults must pass as well: they come back with the next update.
  const stored = await operator(['-n', 'shop', 'get', 'cronjob', cronJob.metadata.name, '-o', 'json'])
  await operator(['replace', '-f', '-'], { input: stored.replace('"0 2 * * *"', '"0 3 * * *"') })
  for (const object of ours.slice(1)) await operator(['-n', 'shop', 'delete', 'job', object.metadata.name])
})

test('with the operator’s token a privileged Job in kube-system is denied', async () => {
  assert.match(
    await answer(operator, ['create', '-f', '-'], stranger('kube-system')),
    /^Error from server \(Forbidden\): error when creating "STDIN": jobs.batch "stranger" is forbidden: ValidatingAdmissionPolicy 'backup-operator-fence'.*denied request: the operator may run the containers prepare, dump and mover only/,
  )
})

/** One change of a Job that the operator would build, and what the fence says. */
const offences: readonly {
  readonly name: string
  readonly change: (pod: Pod) => object
  readonly message: RegExp
}[] = [
  {
    name: 'another image for the mover',
    change: container('mover', { image: 'evil:1' }),
    message: /chart's image only/,
  },
  { name: 'another image for prepare', change: init({ image: 'evil:1' }), message: /chart's image only/ },
  {
    name: 'another init container',
    change: init({ name: 'first' }),
    message: /containers prepare, dump and mover only/,
  },
  { name: 'another container', change: container('dump', { name: 'extra' }), message: /prepare, dump and mover only/ },
  {
    name: 'a command for the mover',
    change: container('mover', { command: ['sh'] }),
    message: /command mover of the image only/,
  },
  {
    name: 'other arguments for the mover',
    change: container('mover', { args: ['operator'] }),
    message: /command mover of the image only/,
  },
  {
    name: 'other variables for the mover',
    change: container('mover', { env: [{ name: 'NODE_OPTIONS', value: '--require=/tmp/x.js' }] }),
    message: /BACKUP_ variables only/,
  },
  {
    name: 'a whole Secret as variables of the mover',
    change: container('mover', { envFrom: [{ secretRef: { name: 'x' } }] }),
    message: /BACKUP_ variables only/,
  },
  {
    name: 'a token',
    change: pod => ({ ...pod, automountServiceAccountToken: true }),
    message: /no service account token/,
  },
  {
    name: 'a token by default',
    change: ({ automountServiceAccountToken: _, ...pod }) => pod,
    message: /no service account token/,
  },
  {
    name: 'another service account',
    change: pod => ({ ...pod, serviceAccountName: 'admin' }),
    message: /no service account token/,
  },
  ...['hostNetwork', 'hostPID', 'hostIPC', 'shareProcessNamespace'].map(field => ({
    name: field,
    change: (pod: Pod) => ({ ...pod, [field]: true }),
    message: /no host namespaces/,
  })),
  { name: 'a node of its choice', change: pod => ({ ...pod, nodeName: 'control-plane' }), message: /choose no node/ },
  {
    name: 'tolerations',
    change: pod => ({ ...pod, tolerations: [{ operator: 'Exists' }] }),
    message: /choose no node/,
  },
  {
    name: 'a priority',
    change: pod => ({ ...pod, priorityClassName: 'system-node-critical' }),
    message: /no priority/,
  },
  {
    name: 'sysctls',
    change: podContext({ sysctls: [{ name: 'kernel.msgmax', value: '1' }] }),
    message: /security context of backup pods/,
  },
  { name: 'root in the pod', change: podContext({ runAsNonRoot: false }), message: /security context of backup pods/ },
  {
    name: 'a privileged dump',
    change: dumpContext({ privileged: true, allowPrivilegeEscalation: true }),
    message: /fixed security context/,
  },
  { name: 'root', change: dumpContext({ runAsUser: 0 }), message: /fixed security context/ },
  {
    name: 'an added capability',
    change: dumpContext({ capabilities: { drop: ['ALL'], add: ['SYS_ADMIN'] } }),
    message: /fixed security context/,
  },
  {
    name: 'a kept capability',
    change: dumpContext({ capabilities: { drop: ['NET_RAW'] } }),
    message: /fixed security context/,
  },
  {
    name: 'no seccomp',
    change: dumpContext({ seccompProfile: { type: 'Unconfined' } }),
    message: /fixed security context/,
  },
  {
    name: 'a writable root',
    change: dumpContext({ readOnlyRootFilesystem: false }),
    message: /fixed security context/,
  },
  {
    name: 'no security context',
    change: container('dump', { securityContext: undefined }),
    message: /fixed security context/,
  },
  {
    name: 'a hostPath',
    change: volume({ name: 'shared', hostPath: { path: '/' } }),
    message: /volumes shared and tmp/,
  },
  {
    name: 'a token as a projected volume',
    change: volume({ name: 'tmp', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }),
    message: /volumes shared and tmp/,
  },
  {
    name: 'a PVC',
    change: volume({ name: 'credentials', persistentVolumeClaim: { claimName: 'data' } }),
    message: /volumes shared and tmp/,
  },
  {
    name: 'the credentials in the dump',
    change: container('dump', { volumeMounts: [{ name: 'credentials', mountPath: '/x' }] }),
    message: /only the mover sees/,
  },
  {
    name: 'a host port',
    change: container('dump', { ports: [{ containerPort: 1, hostPort: 1 }] }),
    message: /only the mover sees/,
  },
]
for (const { name, change, message } of offences)
  test(`the fence refuses the operator ${name}, in a Job and in a CronJob`, async () => {
    const job = policy.spec.strategy.job
    assert.ok(job)
    const cronJob = backupCronJob(policy, job, '0 2 * * *', { held: [], accepted: [] }, settings)
    const spec = cronJob.spec.jobTemplate.spec
    const changed = { ...spec, template: { ...spec.template, spec: change(spec.template.spec) } } as JobSpec
    const asCronJob: CronJob = {
      ...cronJob,
      metadata: { ...cronJob.metadata, name: 'offence' },
      spec: { ...cronJob.spec, jobTemplate: { ...cronJob.spec.jobTemplate, spec: changed } },
    }
    const asJob = { ...asCronJob, kind: 'Job', spec: changed }
    for (const object of [asCronJob, asJob]) {
      const said = await answer(operator, ['create', '--dry-run=server', '-f', '-'], object)
      assert.match(said, /is forbidden: ValidatingAdmissionPolicy 'backup-operator-fence'/)
      assert.match(said, message)
    }
  })

test('the fence is about the operator only: others create Jobs as before', async () => {
  await plane.kubectl(['create', '--dry-run=server', '-f', '-'], { input: JSON.stringify(stranger('shop')) })
})

test('the operator can neither change nor delete Jobs and CronJobs of others', async () => {
  await plane.kubectl(['-n', 'shop', 'create', 'cronjob', 'theirs', '--image=busybox', '--schedule=0 0 1 1 *'])
  const refused =
    /'backup-operator-own-objects'.*denied request: the operator may change and delete only objects that it made/
  assert.match(await answer(operator, ['-n', 'shop', 'delete', 'cronjob', 'theirs']), refused)
  const theirs = JSON.parse(
    await plane.kubectl(['-n', 'shop', 'get', 'cronjob', 'theirs', '-o', 'json']),
  ) as KubernetesObject
  const job = policy.spec.strategy.job
  assert.ok(job)
  const { metadata, ...ours } = backupCronJob(policy, job, '0 2 * * *', { held: [], accepted: [] }, settings)
  const takenOver = {
    ...ours,
    metadata: { ...metadata, name: 'theirs', resourceVersion: theirs.metadata.resourceVersion },
  }
  assert.match(await answer(operator, ['replace', '-f', '-'], takenOver), refused)
})

test('an author needs get on the Secret that the policy names', async () => {
  const author = await authorWith('secretless', ['pods'])
  const said = await answer(author, ['-n', 'shop', 'create', '--dry-run=server', '-f', '-'], jobPolicy('by-secretless'))
  assert.match(
    said,
    /denied request: system:serviceaccount:shop:secretless may not get the Secret minio-creds that spec.backend.secretRef names, so a policy of theirs cannot use it; grant get on that Secret in namespace shop$/m,
  )
})

test('an author needs create on pods for strategy job, not for strategy snapshot', async () => {
  const author = await authorWith('podless', ['secrets'])
  assert.match(
    await answer(author, ['-n', 'shop', 'create', '--dry-run=server', '-f', '-'], jobPolicy('by-podless')),
    /denied request: system:serviceaccount:shop:podless may not create pods in namespace shop, so a policy of theirs cannot run a command there; grant create on pods, or use strategy snapshot$/m,
  )
  const sample = { ...jobPolicy('by-podless'), spec: { ...jobPolicy('').spec, strategy: { type: 'snapshot' } } }
  await author(['-n', 'shop', 'create', '-f', '-'], { input: JSON.stringify(sample) })
})

test('an author with both rights is let in; one without may label the policy but not change its spec', async () => {
  const author = await authorWith('entitled', ['secrets', 'pods'])
  await author(['-n', 'shop', 'create', '-f', '-'], { input: JSON.stringify(jobPolicy('by-entitled')) })
  const nobody = await authorWith('unentitled', [])
  await nobody(['-n', 'shop', 'label', 'bp', 'by-entitled', 'team=a'])
  for (const patch of ['{"spec":{"retention":1}}', '{"spec":{"backend":{"secretRef":"other"}}}'])
    assert.match(
      await answer(nobody, ['-n', 'shop', 'patch', 'bp', 'by-entitled', '--type=merge', '-p', patch]),
      /unentitled may not get the Secret/,
    )
})

type Pod = JobSpec['template']['spec'] & Record<string, unknown>

function container(name: string, change: object) {
  return (pod: Pod) => ({
    ...pod,
    containers: pod.containers.map(each => (each.name === name ? { ...each, ...change } : each)),
  })
}

function init(change: object) {
  return (pod: Pod) => ({ ...pod, initContainers: pod.initContainers?.map(each => ({ ...each, ...change })) })
}

function podContext(change: object) {
  return (pod: Pod) => ({ ...pod, securityContext: { ...pod.securityContext, ...change } })
}

function dumpContext(change: object) {
  return (pod: Pod) => ({
    ...pod,
    containers: pod.containers.map(each =>
      each.name === 'dump' ? { ...each, securityContext: { ...each.securityContext, ...change } } : each,
    ),
  })
}

function volume(changed: { readonly name: string; readonly [source: string]: unknown }) {
  return (pod: Pod) => ({
    ...pod,
    volumes: pod.volumes.map(each => ((each as { name: string }).name === changed.name ? changed : each)),
  })
}

/** What somebody with the operator's token would really want: a privileged pod with the node's file system. */
function stranger(namespace: string) {
  const spec = {
    restartPolicy: 'Never',
    containers: [{ name: 'root', image: 'busybox', securityContext: { privileged: true } }],
    volumes: [{ name: 'node', hostPath: { path: '/' } }],
  }
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'stranger', namespace },
    spec: { template: { spec } },
  }
}

/** What kubectl wrote to stderr when it was refused, else its stdout. */
async function answer(kubectl: Kubectl, args: readonly string[], object?: object): Promise<string> {
  try {
    return await kubectl(args, object && { input: JSON.stringify(object) })
  } catch (error) {
    if (error instanceof CommandError) return error.stderr
    throw error
  }
}

/** A ServiceAccount in `shop` that may write policies, get the Secret `minio-creds` or create pods: what is named. */
async function authorWith(name: string, rights: readonly ('secrets' | 'pods')[]): Promise<Kubectl> {
  const rules = [
    { apiGroups: ['backup.dev'], resources: ['backuppolicies'], verbs: ['get', 'create', 'patch'] },
    ...(rights.includes('secrets')
      ? [{ apiGroups: [''], resources: ['secrets'], resourceNames: ['minio-creds'], verbs: ['get'] }]
      : []),
    ...(rights.includes('pods') ? [{ apiGroups: [''], resources: ['pods'], verbs: ['create'] }] : []),
  ]
  const metadata = { name, namespace: 'shop' }
  const rbac = 'rbac.authorization.k8s.io'
  const objects = [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    { apiVersion: `${rbac}/v1`, kind: 'Role', metadata, rules },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: rbac, kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: 'shop' }],
    },
  ]
  for (const object of objects) await plane.kubectl(['create', '-f', '-'], { input: JSON.stringify(object) })
  const kubectl = await kubectlAs(plane, 'shop', name)
  await eventually(
    `the grants of ${name} to count`,
    async () => (await answer(kubectl, ['-n', 'shop', 'auth', 'can-i', 'create', 'backuppolicies'])).startsWith('yes'),
    { seconds: 20 },
  )
  return kubectl
}

function jobPolicy(name: string) {
  return { ...jobExample, metadata: { name } }
}

const jobExample = parse(await readFile(join(repository, 'examples/job-postgres.yaml'), 'utf8')) as BackupPolicy

async function storedJobPolicy(): Promise<BackupPolicy> {
  const input = JSON.stringify(jobExample)
  return JSON.parse(await plane.kubectl(['-n', 'shop', 'create', '-o', 'json', '-f', '-'], { input })) as BackupPolicy
}

function backendOf({ spec }: BackupPolicy) {
  assert.ok(spec.backend)
  return spec.backend
}

async function chartImage(): Promise<string> {
  const deployment = (await renderChart()).find(({ kind }) => kind === 'Deployment') as
    | {
        readonly spec: {
          readonly template: { readonly spec: { readonly containers: readonly { readonly image: string }[] } }
        }
      }
    | undefined
  const image = deployment?.spec.template.spec.containers[0]?.image
  assert.ok(image)
  return image
}
