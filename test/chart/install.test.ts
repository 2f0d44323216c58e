// The life of a release on a real API server: install, upgrade from the chart before, uninstall; and what its accounts may do (S1).
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { capture } from '../../dev/command.ts'
import { eventually } from '../../dev/eventually.ts'
import { goToolDirectory } from '../../dev/go-tools.ts'
import { repository } from '../../dev/paths.ts'
import type { BackupPolicy } from '../../src/api/kinds/backup-policy.ts'
import type { KubernetesObject } from '../../src/api/kubernetes.ts'
import { grants } from '../../src/controllers/shared/resources.ts'
import { backupCronJob, onDemandJob } from '../../src/resources/jobs.ts'
import { kubectlAs, type Kubectl } from '../api/control-plane/account.ts'
import { startControlPlane, type ControlPlane } from '../api/control-plane/control-plane.ts'
import { installChart, releaseName, releaseNamespace, renderChart, uninstallChart } from './chart.ts'

const chartPath = 'charts/backup-operator'

let plane: ControlPlane
let operator: Kubectl
before(async () => {
  plane = await startControlPlane({ controllerManager: true })
  const previous = await mkdtemp(join(tmpdir(), 'previous-chart-'))
  try {
    await installChart(plane, [], await previousChart(previous))
  } finally {
    await rm(previous, { recursive: true, force: true })
  }
  operator = await kubectlAs(plane, releaseNamespace, releaseName)
})
after(() => plane.stop())

/** The chart as the commit before the last change of it has it, or the last commit where the working tree has changed it since. */
async function previousChart(directory: string): Promise<string> {
  const git = (...args: readonly string[]) =>
    capture(['git', '-c', `safe.directory=${repository}`, '-C', repository, ...args], { env: process.env })
  const changed = (await git('status', '--porcelain', '--', chartPath)).trim() !== ''
  const commits = (await git('log', '-n', '2', '--format=%H', '--', chartPath)).trim().split('\n')
  const commit = commits[changed ? 0 : 1]
  if (!commit) throw new Error(`git knows no earlier ${chartPath}: this is a shallow clone; fetch its history`)
  const archive = join(directory, 'chart.tar')
  await git('archive', '--output', archive, commit, chartPath)
  await capture(['tar', '-xf', archive, '-C', directory], { env: process.env })
  return join(directory, chartPath)
}

/** A block of commands of docs/upgrade-and-remove.md, as it stands there. */
async function recipe(name: string): Promise<string> {
  const page = await readFile(join(repository, 'docs/upgrade-and-remove.md'), 'utf8')
  const block = new RegExp(`<!-- tested: ${name} -->\\n\`\`\`sh\\n(.*?)\`\`\``, 's').exec(page)?.[1]
  assert.ok(block, name)
  return block
}

/** Runs a recipe line by line, as a person would in a checkout of the project; the first line that fails ends it. */
async function inShell(commands: string): Promise<string> {
  const tools = [goToolDirectory('helm'), goToolDirectory('kubernetes'), '/usr/bin', '/bin']
  const env = { HOME: dirname(plane.kubeconfig), KUBECONFIG: plane.kubeconfig, PATH: tools.join(':') }
  return await capture(['bash', '-euo', 'pipefail', '-c', `cd '${repository}'\n${commands}`], { env })
}

test('an upgrade from the chart before keeps policies, and every object of the new chart is there', async () => {
  await plane.kubectl(['apply', '-f', join(repository, 'examples/sample-backuppolicy.yaml')])
  const uid = await plane.kubectl(['get', 'bp', 'sample', '-o', 'jsonpath={.metadata.uid}'])
  const upgrade = (await recipe('upgrade')).replace('<tag>', '0.2.0')
  assert.match(await inShell(upgrade), /^REVISION: 2$/m)
  assert.equal(await plane.kubectl(['get', 'bp', 'sample', '-o', 'jsonpath={.metadata.uid}']), uid)
  for (const object of await renderChart()) {
    const path = [object.kind, object.metadata.name, '-n', object.metadata.namespace ?? 'default']
    const stored = JSON.parse(await plane.kubectl(['get', ...path, '-o', 'json'])) as KubernetesObject
    assert.equal(stored.metadata.annotations?.['meta.helm.sh/release-name'], releaseName, path.join(' '))
  }
})

test('the API server finds nothing wrong with the types of the admission policies’ expressions', async () => {
  const checked = async () => {
    const { items } = JSON.parse(await plane.kubectl(['get', 'validatingadmissionpolicies', '-o', 'json'])) as {
      readonly items: readonly (KubernetesObject & {
        readonly metadata: { readonly generation: number }
        readonly status?: {
          readonly observedGeneration?: number
          readonly typeChecking?: { readonly expressionWarnings?: object }
        }
      })[]
    }
    const done =
      items.length === 5 && items.every(({ metadata, status }) => status?.observedGeneration === metadata.generation)
    return done ? items : undefined
  }
  const policies = await eventually('five policies to be checked', checked, { seconds: 20 })
  for (const { metadata, status } of policies) assert.deepEqual(status?.typeChecking, {}, metadata.name)
})

type Rule = {
  readonly apiGroups?: readonly string[]
  readonly resources?: readonly string[]
  readonly resourceNames?: readonly string[]
  readonly verbs: readonly string[]
}

/** kubectl looks through the CRDs before it creates a review, which these accounts may not. */
const unchecked = ['--validate=false']

/** All that a token may do with objects of a namespace, as the authorizer itself says: `group/resource[name] verb`. */
async function rightsIn(namespace: string, kubectl: Kubectl): Promise<readonly string[]> {
  const input = JSON.stringify({
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectRulesReview',
    spec: { namespace },
  })
  const answer = JSON.parse(await kubectl(['create', ...unchecked, '-o', 'json', '-f', '-'], { input })) as {
    readonly status: { readonly resourceRules: readonly Rule[]; readonly incomplete: boolean }
  }
  return answer.status.resourceRules.flatMap(flatten)
}

function flatten({ apiGroups = [], resources = [], resourceNames, verbs }: Rule): readonly string[] {
  const names = resourceNames ? `[${resourceNames.join()}]` : ''
  return apiGroups.flatMap(group =>
    resources.flatMap(resource => verbs.map(verb => `${group}/${resource}${names} ${verb}`)),
  )
}

test('S1: the operator’s token may do what the controllers declare, and nothing else', async () => {
  const declared = (own: boolean) =>
    grants
      .filter(({ ownNamespace }) => own || !ownNamespace)
      .flatMap(({ resource, subresource, resourceName, verbs }) =>
        flatten({
          apiGroups: [resource.group],
          resources: [subresource ? `${resource.plural}/${subresource}` : resource.plural],
          ...(resourceName ? { resourceNames: [resourceName] } : {}),
          verbs,
        }),
      )
      .toSorted()
  await plane.kubectl(['-n', releaseNamespace, 'create', 'serviceaccount', 'nobody'])
  const nobody = await kubectlAs(plane, releaseNamespace, 'nobody')
  for (const namespace of ['kube-system', releaseNamespace]) {
    const everybody = new Set(await rightsIn(namespace, nobody))
    const rights = (await rightsIn(namespace, operator)).filter(right => !everybody.has(right))
    assert.deepEqual(rights.toSorted(), declared(namespace === releaseNamespace))
  }
})

/** What an operator must never be able to do (S1), wherever. */
const never: readonly (readonly [group: string, resource: string, verbs: string])[] = [
  ['', 'secrets', 'get list watch create update patch delete'],
  ['', 'configmaps', 'get list watch create update'],
  ['', 'pods', 'create update patch delete'],
  ['', 'pods/exec', 'create get'],
  ['', 'pods/attach', 'create get'],
  ['', 'pods/portforward', 'create get'],
  ['', 'pods/ephemeralcontainers', 'update patch'],
  ['', 'pods/log', 'get'],
  ['', 'serviceaccounts', 'get create update impersonate'],
  ['', 'serviceaccounts/token', 'create'],
  ['', 'users', 'impersonate'],
  ['', 'groups', 'impersonate'],
  ['', 'namespaces', 'list watch create update patch delete'],
  ['', 'nodes', 'get update patch delete'],
  ['', 'nodes/proxy', 'get create'],
  ['', 'persistentvolumes', 'create update patch delete'],
  ['', 'persistentvolumeclaims', 'create update patch delete'],
  ['apps', 'deployments', 'get create update patch delete'],
  ['apps', 'daemonsets', 'create update patch'],
  ['batch', 'cronjobs', 'patch deletecollection'],
  ['batch', 'jobs', 'update patch deletecollection'],
  ['backup.dev', 'backuppolicies', 'create update patch delete deletecollection'],
  ['snapshot.storage.k8s.io', 'volumesnapshotcontents', 'create update patch delete'],
  ['rbac.authorization.k8s.io', 'roles', 'create update patch delete bind escalate'],
  ['rbac.authorization.k8s.io', 'rolebindings', 'create update patch delete'],
  ['rbac.authorization.k8s.io', 'clusterroles', 'create update patch delete bind escalate'],
  ['rbac.authorization.k8s.io', 'clusterrolebindings', 'create update patch delete'],
  ['apiextensions.k8s.io', 'customresourcedefinitions', 'create update patch delete'],
  ['admissionregistration.k8s.io', 'validatingadmissionpolicies', 'update patch delete'],
  ['admissionregistration.k8s.io', 'mutatingwebhookconfigurations', 'create update patch'],
  ['certificates.k8s.io', 'certificatesigningrequests', 'create'],
  ['*', '*', '*'],
]

test('S1: no Secret, no exec, no RBAC write, no impersonation, no node or volume write, no wildcard, in any namespace', async () => {
  const questions = [releaseNamespace, 'kube-system', 'default'].flatMap(namespace =>
    never.flatMap(([group, path, verbs]) => {
      const [resource, subresource] = path.split('/')
      return verbs.split(' ').map(verb => ({ namespace, group, resource, subresource, verb }))
    }),
  )
  const input = questions
    .map(resourceAttributes => ({
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes },
    }))
    .map(review => JSON.stringify(review))
    .join('\n---\n')
  const shown = ['-o', 'jsonpath={.status.allowed}{"\\n"}']
  const answers = (await operator(['create', ...unchecked, ...shown, '-f', '-'], { input })).trim().split('\n')
  assert.equal(answers.length, questions.length)
  assert.deepEqual(
    questions.filter((_, index) => answers[index] !== 'false'),
    [],
  )
})

test('who may view a namespace sees policies, backups and restores, who may edit it makes them, others neither', async () => {
  await plane.kubectl(['create', 'namespace', 'shop'])
  const account = async (role: string) => {
    const name = `${role}er`
    await plane.kubectl(['-n', 'shop', 'create', 'serviceaccount', name])
    await plane.kubectl([
      '-n',
      'shop',
      'create',
      'rolebinding',
      name,
      `--clusterrole=${role}`,
      `--serviceaccount=shop:${name}`,
    ])
    const kubectl = await kubectlAs(plane, 'shop', name)
    return async (verb: string, resource: string) => {
      // `auth can-i` exits with 1 for no, and says so on stdout only.
      const question = { namespace: 'shop', group: 'backup.dev', resource, verb }
      const review = { kind: 'SelfSubjectAccessReview', spec: { resourceAttributes: question } }
      const input = JSON.stringify({ apiVersion: 'authorization.k8s.io/v1', ...review })
      return (
        (await kubectl(['create', ...unchecked, '-o', 'jsonpath={.status.allowed}', '-f', '-'], { input })) === 'true'
      )
    }
  }
  const [viewer, editor] = [await account('view'), await account('edit')]
  for (const resource of ['backuppolicies', 'backups', 'restores']) {
    // The controller adds the rules to the cluster's roles a moment after the install.
    await eventually(`viewers to see ${resource}`, () => viewer('list', resource), { seconds: 20 })
    await eventually(`editors to make ${resource}`, () => editor('create', resource), { seconds: 20 })
    for (const verb of ['get', 'watch', 'update', 'patch', 'delete'])
      assert.ok(await editor(verb, resource), `${verb} ${resource}`)
    for (const verb of ['create', 'update', 'patch', 'delete'])
      assert.ok(!(await viewer(verb, resource)), `${verb} ${resource}`)
    assert.ok(!(await editor('update', `${resource}/status`)), 'status belongs to the operator')
  }
})

test('uninstalling leaves CRDs, policies and backups, and nothing else; installing again takes them over', async () => {
  await plane.kubectl(['create', '-f', join(repository, 'examples/backup-one-target.yaml')])
  const kept = await plane.kubectl(['get', 'bp,bk', '-o', 'name'])
  assert.match(kept, /backuppolicy.backup.dev\/sample\nbackup.backup.dev\/before-upgrade/)
  const ours = (await renderChart()).filter(({ kind }) => kind !== 'CustomResourceDefinition')
  const kinds = [...new Set(ours.map(({ kind }) => kind))].join(',')
  const owned = ['get', kinds, '-A', '-l', `app.kubernetes.io/instance=${releaseName}`, '-o', 'name']
  assert.equal((await plane.kubectl(owned)).trim().split('\n').length, ours.length)
  assert.match(
    await uninstallChart(plane),
    /These resources were kept.*backuppolicies\.backup\.dev.*backups\.backup\.dev.*restores\.backup\.dev/s,
  )
  await eventually('everything else to go', async () => (await plane.kubectl(owned)) === '', { seconds: 30 })
  assert.equal(await plane.kubectl(['get', 'bp,bk', '-o', 'name']), kept)
  await installChart(plane)
  assert.equal(await plane.kubectl(['get', 'bp,bk', '-o', 'name']), kept)
})

test('F96: uninstalling leaves the CronJobs and the Lease at work; the recipe of the page removes all but the backups', async () => {
  await plane.kubectl(['create', 'namespace', 'accounts'])
  const [policy] = await storedPolicies()
  assert.ok(policy)
  const settings = { image: 'registry.example.com/backup:1', imagePullSecrets: [], clusterId: 'test' }
  const marks = { held: [], accepted: [] }
  const { job } = policy.spec.strategy
  assert.ok(job)
  const backup = JSON.parse(
    await createIn('accounts', {
      apiVersion: 'backup.dev/v1alpha1',
      kind: 'Backup',
      metadata: { name: 'now' },
      spec: { policy: policy.metadata.name },
    }),
  ) as Parameters<typeof onDemandJob>[2]
  const { metadata, ...cronJob } = backupCronJob(policy, job, '0 2 31 12 *', marks, settings)
  await createIn('accounts', { ...cronJob, metadata })
  await createIn('accounts', onDemandJob(policy, job, backup, marks, settings))
  await createIn('accounts', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'store-ca' } })
  await createIn(releaseNamespace, {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'backup-operator' },
    spec: { holderIdentity: 'one', leaseDurationSeconds: 15 },
  })
  const atWork = async () => {
    const marked = ['get', 'cronjobs,jobs', '-A', '-l', 'app.kubernetes.io/managed-by=backup-operator', '-o', 'name']
    const lease = ['-n', releaseNamespace, 'get', 'lease', 'backup-operator', '--ignore-not-found', '-o', 'name']
    return `${await plane.kubectl(marked)}${await plane.kubectl(lease)}`.trim().split('\n').filter(Boolean)
  }
  assert.equal((await atWork()).length, 3)

  await uninstallChart(plane)
  assert.equal((await atWork()).length, 3, 'helm uninstall does not end them')
  await installChart(plane)

  await inShell(await recipe('remove'))
  assert.deepEqual(await atWork(), [])
  assert.equal(await plane.kubectl(['get', 'crd', '-o', 'name']), '')
  const kinds = 'namespaces,validatingadmissionpolicies,clusterroles,clusterrolebindings'
  await eventually(
    'nothing of the release to be left',
    async () => !/backup/.test(await plane.kubectl(['get', kinds, '-o', 'name'])),
    { seconds: 60 },
  )
  assert.match(await plane.kubectl(['-n', 'accounts', 'get', 'configmap', 'store-ca', '-o', 'name']), /store-ca/)
})

test('F96: after that it can be installed anew, and CRDs that another release left are taken over by the recipe', async () => {
  const notes = await installChart(plane)
  for (const line of (await recipe('remove')).trim().split('\n'))
    assert.ok(notes.includes(line), `helm says after it: ${line}`)
  await uninstallChart(plane)
  const another = await recipe('another release')
  await assert.rejects(inShell(another.replace(' --take-ownership', '')), /invalid ownership metadata/)
  assert.match(await inShell(another), /^STATUS: deployed$/m)
})

async function storedPolicies(): Promise<readonly BackupPolicy[]> {
  const file = join(repository, 'examples/job-postgres.yaml')
  await plane.kubectl(['-n', 'accounts', 'create', '-f', file])
  const { items } = JSON.parse(await plane.kubectl(['-n', 'accounts', 'get', 'bp', '-o', 'json'])) as {
    readonly items: readonly BackupPolicy[]
  }
  return items
}

async function createIn(namespace: string, object: object): Promise<string> {
  return await plane.kubectl(['-n', namespace, 'create', '-o', 'json', '-f', '-'], { input: JSON.stringify(object) })
}
