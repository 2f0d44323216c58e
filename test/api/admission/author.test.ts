// The chart's ValidatingAdmissionPolicy on people, on a real API server (docs/design.md R22): what the author of a policy must be allowed to.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { parse } from 'yaml'
import { eventually } from '../../../dev/eventually.ts'
import { repository } from '../../../dev/paths.ts'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import { installChart } from '../../chart/chart.ts'
import { answer, kubectlAs, type Kubectl } from '../control-plane/account.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'

const jobExample = parse(await readFile(join(repository, 'examples/job-postgres.yaml'), 'utf8')) as BackupPolicy

let plane: ControlPlane
before(async () => {
  plane = await startControlPlane()
  await installChart(plane)
  await plane.kubectl(['create', 'namespace', 'shop'])
  const nobody = await authorWith('nobody', [])
  await eventually(
    'the policy on authors to stand',
    async () =>
      (await answer(nobody, ['-n', 'shop', 'create', '--dry-run=server', '-f', '-'], jobPolicy('early'))).includes(
        'denied request',
      ),
    { seconds: 20 },
  )
})
after(() => plane.stop())

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

test('the author of a Restore needs create on pods, and get on each Secret that it names', async () => {
  const create = ['-n', 'shop', 'create', '--dry-run=server', '-f', '-']
  const podless = await authorWith('podless-restorer', ['secrets'])
  assert.match(
    await answer(podless, create, restoreOf({})),
    /denied request: system:serviceaccount:shop:podless-restorer may not create pods in namespace shop, so a Restore of theirs cannot run a command there; grant create on pods$/m,
  )
  const restorer = await authorWith('restorer', ['secrets', 'pods'])
  await restorer(create, { input: JSON.stringify(restoreOf({})) })
  await restorer(create, { input: JSON.stringify(restoreOf(bucketOf('minio-creds'))) })
  const named = {
    bucket: bucketOf('foreign'),
    identities: { identities: { secretRef: 'foreign' } },
    'a variable': into({ env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'foreign', key: 'a' } } }] }),
    variables: into({ envFrom: [{ configMapRef: { name: 'x' } }, { secretRef: { name: 'foreign' } }] }),
    'a password': ofPreset({ passwordFrom: { secretKeyRef: { name: 'foreign', key: 'a' } } }),
    'a user': ofPreset({ user: undefined, userFrom: { secretKeyRef: { name: 'foreign', key: 'a' } } }),
    'a certificate': ofPreset({}, { secretName: 'foreign' }),
    'a key': ofPreset(
      {},
      {
        certFrom: { secretKeyRef: { name: 'minio-creds', key: 'a' } },
        keyFrom: { secretKeyRef: { name: 'foreign', key: 'a' } },
      },
    ),
    'pull secrets': into({ imagePullSecrets: [{ name: 'minio-creds' }, { name: 'foreign' }] }),
  }
  for (const [what, spec] of Object.entries(named))
    assert.match(
      await answer(restorer, create, restoreOf(spec)),
      /denied request: system:serviceaccount:shop:restorer may not get the Secret foreign that the Restore names, so a Restore of theirs cannot use it; grant get on that Secret in namespace shop$/m,
      what,
    )
})

test('a Restore may refer to Secrets eight times; for more its author must be allowed to get all of them', async () => {
  const create = ['-n', 'shop', 'create', '--dry-run=server', '-f', '-']
  const restorer = await authorWith('eager', ['secrets', 'pods'])
  const refersTo = (count: number) => {
    const valueFrom = { secretKeyRef: { name: 'minio-creds', key: 'a' } }
    return restoreOf(into({ env: Array.from({ length: count }, (_, index) => ({ name: `A${index}`, valueFrom })) }))
  }
  await restorer(create, { input: JSON.stringify(refersTo(8)) })
  assert.match(
    await answer(restorer, create, refersTo(9)),
    /may not get every Secret in namespace shop, which a Restore that refers to Secrets more than 8 times asks for/,
  )
  await plane.kubectl(['-n', 'shop', 'create', '-f', '-'], { input: JSON.stringify(restoreOf({})) })
  const nobody = await authorWith('labeller', [])
  await nobody(['-n', 'shop', 'label', 'rst', 'back', 'team=a'])
})

/** A Restore of the newest backup by a command, with more in its spec. */
function restoreOf(spec: object): object {
  const source = { policy: { name: 'by-entitled' } }
  return {
    apiVersion: 'backup.dev/v1alpha1',
    kind: 'Restore',
    metadata: { name: 'back' },
    spec: { source, ...into({}), ...spec },
  }
}

function into(more: object) {
  return { into: { image: 'postgres:17', args: ['pg_restore', '-d', 'shop'], ...more } }
}

/** Into a server that is stated, by a preset. */
function ofPreset(credentials: object, tls?: object) {
  return { into: { server: { host: 'db', tls }, credentials: { user: 'root', ...credentials } } }
}

function bucketOf(secretRef: string) {
  const backend = { type: 's3', bucket: 'backups', endpoint: 'http://minio:9000', secretRef }
  return { source: { bucket: { backend, namespace: 'shop', policy: 'shop', newest: true } } }
}

/** A ServiceAccount in `shop` that may write policies and Restores, get the Secret `minio-creds` or create pods: what is named. */
async function authorWith(name: string, rights: readonly ('secrets' | 'pods')[]): Promise<Kubectl> {
  const rules = [
    { apiGroups: ['backup.dev'], resources: ['backuppolicies', 'restores'], verbs: ['get', 'create', 'patch'] },
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
