// The chart's ValidatingAdmissionPolicies on a real API server (docs/design.md R22): what the operator's token can write.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { parse } from 'yaml'
import { eventually } from '../../../dev/eventually.ts'
import { repository } from '../../../dev/paths.ts'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import type { CronJob, JobSpec, KubernetesObject } from '../../../src/api/kubernetes.ts'
import {
  backupCronJob,
  catalogJob,
  dryRunJob,
  holdJob,
  onDemandJob,
  probeJob,
  startJob,
} from '../../../src/resources/jobs.ts'
import { volumesOf } from '../../../src/presets/dump-environment.ts'
import type { DumpSource } from '../../../src/resources/mover-pod.ts'
import { resolveJob, restoreJob, type RestoreContainer } from '../../../src/resources/restore-jobs.ts'
import { fromPolicy, restore } from '../../plan/restore-world.ts'
import type { Settings } from '../../../src/resources/settings.ts'
import { cronJobDifferences } from '../../../src/plan/policy/cron-job-difference.ts'
import { installChart, releaseName, releaseNamespace, renderChart } from '../../chart/chart.ts'
import { answer, kubectlAs, type Kubectl } from '../control-plane/account.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'
import { differences, offences, type Pod } from './fence-offences.ts'

let plane: ControlPlane
let operator: Kubectl
let settings: Settings
let policy: BackupPolicy

before(async () => {
  plane = await startControlPlane()
  await installChart(plane, ['admissionPolicies.imagePrefixes=["mirror.example.com/all/"]'])
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
    startJob(policy, job, 'hash', 1, settings),
    catalogJob(policy, 'run', undefined, settings),
    holdJob(policy, { run: 'run', slot: undefined, held: true }, settings),
    dryRunJob(policy, cronJob),
  ]
  for (const object of ours) await operator(['create', '-f', '-'], { input: JSON.stringify(object) })
  // The API server's own defaults must pass as well: they come back with the next update.
  const stored = await operator(['-n', 'shop', 'get', 'cronjob', cronJob.metadata.name, '-o', 'json'])
  await operator(['replace', '-f', '-'], { input: stored.replace('"0 2 * * *"', '"0 3 * * *"') })
  for (const object of ours.slice(1)) await operator(['-n', 'shop', 'delete', 'job', object.metadata.name])
})

test('the operator may create both Jobs of a Restore; only the mover is given what opens a backup', async () => {
  const { resolve, restoring, verifying } = jobsOfRestore()
  for (const object of [resolve, restoring, verifying])
    await operator(['create', '--dry-run=server', '-f', '-'], { input: JSON.stringify(object) })
  const { spec } = restoring.spec.template
  const changed = (change: object) => ({
    ...restoring,
    spec: {
      ...restoring.spec,
      template: {
        spec: {
          ...spec,
          containers: spec.containers.map(each => (each.name === 'restore' ? { ...each, ...change } : each)),
          volumes: [...spec.volumes, { name: 'more', secret: { secretName: 'keys' } }],
        },
      },
    },
  })
  const context = spec.containers.find(({ name }) => name === 'restore')?.securityContext
  for (const [change, message] of [
    [{ volumeMounts: [{ name: 'identities', mountPath: '/x' }] }, /only the mover mounts the Secrets that open/],
    [{ volumeMounts: [{ name: 'more', mountPath: '/x' }] }, /only the mover mounts the Secrets that open/],
    [{ volumeMounts: [{ name: 'credentials', mountPath: '/x' }] }, /only the mover mounts the Secrets that open/],
    [{ securityContext: { ...context, readOnlyRootFilesystem: false } }, /read-only root file system/],
  ] as const)
    assert.match(await answer(operator, ['create', '--dry-run=server', '-f', '-'], changed(change)), message)
})

function jobsOfRestore() {
  const of = restore({ ...fromPolicy, identities: { secretRef: 'keys' } })
  const owner = { clusterId: 'test', namespace: 'shop', policy: policy.metadata.name }
  const folder = { backend: { ...backendOf(policy), ca: 'store-ca' }, owner }
  const chosen = { target: 'command', run: 'run', slot: new Date(0) }
  const files = volumesOf([{ name: 'client', mountPath: '/tls', secret: { name: 'db-client' } }])
  const command: RestoreContainer = { image: 'postgres:17', args: ['pg_restore'], env: [], ...files }
  const now = new Date(0)
  return {
    resolve: resolveJob(of, folder, { target: undefined, pick: 'newest' }, settings, now),
    restoring: restoreJob(of, folder, chosen, command, settings, now),
    verifying: restoreJob(of, folder, chosen, undefined, settings, now),
  }
}

test('F77: a CronJob with everything that a policy can ask for comes back from the API server as it was written', async () => {
  const { job: ofPolicy } = policy.spec.strategy
  assert.ok(ofPolicy)
  const { volumes: _, ...stated } = ofPolicy
  const job: DumpSource = {
    ...stated,
    ...volumesOf([
      { name: 'client', mountPath: '/tls', secret: { name: 'db-client', items: [{ key: 'a', path: 'b' }] } },
      { name: 'settings', mountPath: '/settings', configMap: { name: 'settings' }, optional: true },
    ]),
    env: [
      { name: 'EMPTY', value: '' },
      { name: 'PGPASSWORD', valueFrom: { secretKeyRef: { name: 'db', key: 'password' } } },
    ],
    envFrom: [{ configMapRef: { name: 'db' } }, { prefix: 'DB_', secretRef: { name: 'db', optional: false } }],
  }
  const withCa = { ...policy, spec: { ...policy.spec, backend: { ...backendOf(policy), ca: 'store-ca' } } }
  const cronJob = backupCronJob(withCa, job, '0 2 * * *', { held: [], accepted: [] }, settings)
  const input = JSON.stringify({ ...cronJob, metadata: { ...cronJob.metadata, name: 'whole' } })
  const stored = await operator(['create', '--dry-run=server', '-o', 'json', '-f', '-'], { input })
  assert.deepEqual(cronJobDifferences(JSON.parse(stored) as CronJob, cronJob), [])
})

test('with the operator’s token a privileged Job in kube-system is denied', async () => {
  assert.match(
    await answer(operator, ['create', '-f', '-'], stranger('kube-system')),
    /^Error from server \(Forbidden\): error when creating "STDIN": jobs.batch "stranger" is forbidden: ValidatingAdmissionPolicy 'backup-operator-fence'.*denied request: backup pods have no service account token/,
  )
})

for (const { name, change, message } of offences)
  test(`the fence refuses the operator ${name}, in a Job and in a CronJob`, async () => {
    for (const object of runOfPod(change)) {
      const said = await answer(operator, ['create', '--dry-run=server', '-f', '-'], object)
      assert.match(said, /is forbidden: ValidatingAdmissionPolicy 'backup-operator-fence'/)
      assert.match(said, message)
    }
  })

for (const { name, change } of differences)
  test(`F77: the fence lets pass ${name}, in a Job and in a CronJob`, async () => {
    for (const object of runOfPod(change))
      await operator(['create', '--dry-run=server', '-f', '-'], { input: JSON.stringify(object) })
  })

test('F77: what a mutating policy of the cluster makes of our Jobs and CronJobs is accepted and stored', async () => {
  const input = [mutatingPolicy, mutatingBinding].map(object => JSON.stringify(object)).join('\n---\n')
  await plane.kubectl(['create', '-f', '-'], { input })
  const [cronJob, job] = runOfPod(pod => pod)
  for (const object of [cronJob, job]) {
    const create = ['create', '--dry-run=server', '-o', 'json', '-f', '-']
    const stored = await eventually(
      `the mutating policy to change a ${object.kind}`,
      async () => {
        const said = await operator(create, { input: JSON.stringify(object) })
        return said.includes('mesh-proxy') ? said : undefined
      },
      { seconds: 20 },
    )
    for (const part of ['"dedicated"', '"fsGroup": 1000', '@sha256:', '"team": "platform"'])
      assert.ok(stored.includes(part), part)
    if (object.kind === 'CronJob')
      assert.deepEqual(cronJobDifferences(JSON.parse(stored) as CronJob, object as CronJob), [])
  }
})

/** The CronJob of the policy and a run of it as a Job of its own, with the pod changed. */
function runOfPod(change: (pod: Pod) => object): readonly [CronJob, KubernetesObject] {
  const job = policy.spec.strategy.job
  assert.ok(job)
  const cronJob = backupCronJob(policy, job, '0 2 * * *', { held: [], accepted: [] }, settings)
  const spec = cronJob.spec.jobTemplate.spec
  const changed = { ...spec, template: { ...spec.template, spec: change(spec.template.spec) } } as JobSpec
  const asCronJob: CronJob = {
    ...cronJob,
    metadata: { ...cronJob.metadata, name: 'changed' },
    spec: { ...cronJob.spec, jobTemplate: { ...cronJob.spec.jobTemplate, spec: changed } },
  }
  return [asCronJob, { ...asCronJob, kind: 'Job', spec: changed } as KubernetesObject]
}

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

/** As a policy engine, cluster defaults and a mesh do it: tolerations, a group for volumes, a label, images by digest, a proxy. */
const mutatingPolicy = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'MutatingAdmissionPolicy',
  metadata: { name: 'cluster-defaults' },
  spec: {
    matchConstraints: {
      objectSelector: { matchLabels: { 'app.kubernetes.io/managed-by': 'backup-operator' } },
      resourceRules: [
        {
          apiGroups: ['batch'],
          apiVersions: ['v1'],
          operations: ['CREATE', 'UPDATE'],
          resources: ['jobs', 'cronjobs'],
        },
      ],
    },
    failurePolicy: 'Fail',
    reinvocationPolicy: 'Never',
    variables: [
      {
        name: 'template',
        expression: "object.kind == 'CronJob' ? '/spec/jobTemplate/spec/template' : '/spec/template'",
      },
      {
        name: 'mover',
        expression: `(object.kind == 'CronJob' ? dyn(object).spec.jobTemplate.spec.template : dyn(object).spec.template).spec.containers.filter(c, c.name == 'mover')[0].image`,
      },
    ],
    mutations: [
      {
        patchType: 'JSONPatch',
        jsonPatch: {
          expression: `[
            JSONPatch{op: 'add', path: variables.template + '/spec/tolerations', value: [{'key': 'dedicated', 'operator': 'Exists'}]},
            JSONPatch{op: 'add', path: variables.template + '/spec/securityContext/fsGroup', value: 1000},
            JSONPatch{op: 'add', path: '/metadata/labels/team', value: 'platform'},
            JSONPatch{op: 'replace', path: variables.template + '/spec/containers/1/image',
              value: variables.mover + '@sha256:${'0'.repeat(64)}'},
            JSONPatch{op: 'add', path: variables.template + '/spec/containers/-', value: {
              'name': dyn('mesh-proxy'), 'image': dyn('mesh/proxy:1'), 'securityContext': dyn({
                'allowPrivilegeEscalation': dyn(false), 'capabilities': dyn({'drop': ['ALL']}), 'runAsUser': dyn(1337)})}}
          ]`,
        },
      },
    ],
  },
}
const mutatingBinding = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'MutatingAdmissionPolicyBinding',
  metadata: { name: 'cluster-defaults' },
  spec: { policyName: 'cluster-defaults' },
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
