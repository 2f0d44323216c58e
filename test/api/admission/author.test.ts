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
