// Namespaces in which others have a say about Jobs and pods: a mesh that adds a container which never ends, an administrator's defaults,
// quotas on CPU. Backups are made there as anywhere, one after the other.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { kubectl } from '../dev/cluster-access.ts'
import { eventually } from '../dev/eventually.ts'
import type { Backup } from '../src/api/kinds/backup.ts'
import type { Job, Pod } from '../src/api/kubernetes.ts'
import * as resources from '../src/controllers/shared/resources.ts'
import { cluster, patience, postgresImage } from './cluster.ts'
import { installMinio, installOperator } from './install.ts'
import { api, put } from './objects.ts'
import { backupEnd, backupStatus, jobPolicy, onDemand, policyCondition, shell, storeNamespace } from './stack.ts'
import { openStore } from './store.ts'

const namespaces = { mesh: 'e2e-changed-mesh', quota: 'e2e-changed-quota' } as const

test('Jobs and pods that others change', { concurrency: 3 }, async t => {
  await Promise.all([installOperator(), installMinio()])
  const store = await openStore()
  t.after(() => store.close())
  await Promise.all(
    Object.values(namespaces).map(async namespace => {
      await storeNamespace(t, namespace)
      await store.removeAll(namespace)
    }),
  )

  await Promise.all([
    t.test(
      'a container that never ends, tolerations and labels: the policy is Ready, and slots go on (F76, F77)',
      async s => {
        const namespace = namespaces.mesh
        await changesAll(s, namespace)
        await put(jobPolicy(namespace, 'meshed', shell('echo data'), { schedule: '* * * * *', retention: 2 }))
        const ready = await policyCondition(namespace, 'meshed', 'Ready', 'Ready')
        assert.equal(ready.status, 'True')

        await eventually(
          'a run’s pod to be there with the container of others',
          async () => {
            const { items } = await api.list<Pod>(resources.pods, { namespace, labelSelector: 'backup.dev/role=run' })
            return items.some(({ status }) => status?.containerStatuses?.some(({ name }) => name === 'mesh-proxy'))
          },
          { seconds: 60 + patience },
        )
        const slots = await eventually(
          'two slots to be Completed, though the container of the first run’s pod would never end',
          async () => {
            const { items } = await api.list<Backup>(resources.backups, { namespace })
            const good = items.filter(({ status }) => status?.phase === 'Completed').map(({ spec }) => spec.slot)
            if (good.length < 2) throw new Error(`they are ${JSON.stringify(items.map(({ status }) => status?.phase))}`)
            return good
          },
          { seconds: 180 + patience },
        )
        assert.equal(new Set(slots).size, slots.length)
        const { items: backups } = await api.list<Backup>(resources.backups, { namespace })
        assert.deepEqual(
          backups.filter(({ status }) => ['Failed', 'Skipped'].includes(status?.phase ?? '')),
          [],
        )
        const { items: jobs } = await api.list<Job>(resources.jobs, { namespace })
        for (const { metadata } of jobs) assert.equal(metadata.labels?.team, 'platform')
      },
    ),

    t.test(
      'a quota on CPU refuses pods that name no limit: told with its words, and with a limit range they run (F77)',
      async () => {
        const namespace = namespaces.quota
        const quota = { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { namespace, name: 'cpu' } }
        await put({ ...quota, spec: { hard: { 'limits.cpu': '4', 'requests.cpu': '4' } } })
        await eventually(
          'the quota to be in force',
          async () => await kubectl(cluster, ['-n', namespace, 'get', 'quota', 'cpu', '-o', 'jsonpath={.status.hard}']),
          { seconds: patience },
        )
        await put(jobPolicy(namespace, 'limited', shell('echo data')), onDemand(namespace, 'limited'))
        const status = await backupStatus(namespace, 'limited', 'refused', ({ reason }) => reason === 'QuotaExceeded')
        assert.match(status.message ?? '', /must specify limits\.cpu/)
        const limits = [{ type: 'Container', default: { cpu: '500m' }, defaultRequest: { cpu: '10m' } }]
        await put({ apiVersion: 'v1', kind: 'LimitRange', metadata: { namespace, name: 'defaults' }, spec: { limits } })
        assert.equal((await backupEnd(namespace, 'limited', 120 + patience)).phase, 'Completed')
        assert.equal((await policyCondition(namespace, 'limited', 'Ready', 'Ready', 120 + patience)).status, 'True')
      },
    ),
  ])
})

/** Adds to each pod a container that never ends, and to Jobs and CronJobs what an administrator sets for all. Ends with the test. */
async function changesAll(t: TestContext, namespace: string): Promise<void> {
  const policies = [
    {
      name: `e2e-pods-of-${namespace}`,
      rule: { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] },
      patches: `[
        JSONPatch{op: 'add', path: '/metadata/labels/mesh', value: 'on'},
        JSONPatch{op: 'add', path: '/spec/containers/-', value: {
          'name': dyn('mesh-proxy'), 'image': dyn('${postgresImage}'), 'imagePullPolicy': dyn('IfNotPresent'),
          'command': dyn(['sh', '-c', 'trap exit TERM; tail -f /dev/null & wait']), 'securityContext': dyn({'runAsUser': dyn(1337)})}}
      ]`,
    },
    {
      name: `e2e-jobs-of-${namespace}`,
      rule: {
        apiGroups: ['batch'],
        apiVersions: ['v1'],
        operations: ['CREATE', 'UPDATE'],
        resources: ['jobs', 'cronjobs'],
      },
      patches: `[
        JSONPatch{op: 'add', path: '/metadata/labels/team', value: 'platform'},
        JSONPatch{op: 'add', path: (object.kind == 'CronJob' ? '/spec/jobTemplate/spec/template' : '/spec/template') + '/spec/tolerations',
          value: [{'key': 'dedicated', 'operator': 'Exists'}]}
      ]`,
    },
  ]
  const kinds = ['mutatingadmissionpolicy', 'mutatingadmissionpolicybinding']
  async function stop(): Promise<void> {
    const names = policies.map(({ name }) => name)
    for (const kind of kinds) await kubectl(cluster, ['delete', '--ignore-not-found', kind, ...names])
  }
  await stop()
  t.after(stop)
  const apiVersion = 'admissionregistration.k8s.io/v1'
  for (const { name, rule, patches } of policies) {
    const matchConstraints = {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
      resourceRules: [rule],
    }
    const mutations = [{ patchType: 'JSONPatch', jsonPatch: { expression: patches } }]
    const spec = { matchConstraints, failurePolicy: 'Fail', reinvocationPolicy: 'Never', mutations }
    await put(
      { apiVersion, kind: 'MutatingAdmissionPolicy', metadata: { name }, spec },
      { apiVersion, kind: 'MutatingAdmissionPolicyBinding', metadata: { name }, spec: { policyName: name } },
    )
  }
  const container = { name: 'any', image: postgresImage }
  const job = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { namespace, name: 'any', labels: { mesh: 'on' } },
    spec: { template: { spec: { restartPolicy: 'Never', containers: [container] } } },
  }
  const pod = ['-n', namespace, 'run', 'any', `--image=${postgresImage}`, '--dry-run=server', '-o', 'json']
  await eventually(
    'Jobs and pods to be changed',
    async () =>
      (
        await kubectl(cluster, ['create', '--dry-run=server', '-o', 'json', '-f', '-'], { input: JSON.stringify(job) })
      ).includes('"dedicated"') && (await kubectl(cluster, pod)).includes('mesh-proxy'),
    { seconds: patience },
  )
}
