// The chart's ValidatingAdmissionPolicy on what Backups tell of, on a real API server (docs/design.md R34): who may say of a Backup that it is
// of a slot of the schedule, or of a run of the bucket.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { eventually } from '../../../dev/eventually.ts'
import { installChart, releaseName, releaseNamespace } from '../../chart/chart.ts'
import { answer, kubectlAs, type Kubectl } from '../control-plane/account.ts'
import { startControlPlane, type ControlPlane } from '../control-plane/control-plane.ts'

const slot = '2026-01-02T02:00:00Z'
const dryRun = ['-n', 'shop', 'create', '--dry-run=server', '-f', '-']
const refused =
  /denied request: spec\.slot is the operator's: leave it out, and the Backup runs now; .* admissionPolicies\.restoreAccounts/

const run = 'backup.dev/run'
const refusedRun =
  /denied request: the annotation backup\.dev\/run is the operator's: .* admissionPolicies\.restoreAccounts/

let plane: ControlPlane
let operator: Kubectl
let restorer: Kubectl

before(async () => {
  plane = await startControlPlane()
  await installChart(plane, ['admissionPolicies.restoreAccounts=["system:serviceaccount:velero:velero"]'])
  for (const namespace of ['shop', 'velero']) await plane.kubectl(['create', 'namespace', namespace])
  await plane.kubectl(['-n', 'velero', 'create', 'serviceaccount', 'velero'])
  const binding = ['clusterrolebinding', 'velero', '--clusterrole=cluster-admin', '--serviceaccount=velero:velero']
  await plane.kubectl(['create', ...binding])
  operator = await kubectlAs(plane, releaseNamespace, releaseName)
  restorer = await kubectlAs(plane, 'velero', 'velero')
  // Policies reach the API server's admission a moment after they are stored.
  await eventually(
    'the policy to stand',
    async () => refused.test(await answer(plane.kubectl, dryRun, backup({ slot }))),
    {
      seconds: 20,
    },
  )
})
after(() => plane.stop())

function backup(spec: object, annotations: Readonly<Record<string, string>> = {}) {
  const metadata = { name: 'backup-postgres-dump-29456703', annotations }
  return { apiVersion: 'backup.dev/v1alpha1', kind: 'Backup', metadata, spec: { policy: 'postgres-dump', ...spec } }
}

test('F79: a person may not create a Backup with a slot, not even an administrator, and may create one without', async () => {
  assert.match(await answer(plane.kubectl, dryRun, backup({ slot })), refused)
  await plane.kubectl(dryRun, { input: JSON.stringify(backup({})) })
  await plane.kubectl(dryRun, { input: JSON.stringify(backup({ target: 'command' })) })
})

test('F79: the operator may, and so may the accounts that the chart names', async () => {
  for (const kubectl of [operator, restorer]) {
    const said = await eventually(
      'the account’s rights to count',
      async () => await kubectl(dryRun, { input: JSON.stringify(backup({ slot })) }),
      { seconds: 20 },
    )
    assert.match(said, /created \(server dry run\)/)
  }
})

test('F79: what stands with its slot may be labelled and annotated by everybody who may do that', async () => {
  await restorer(['-n', 'shop', 'create', '-f', '-'], { input: JSON.stringify(backup({ slot })) })
  await plane.kubectl(['-n', 'shop', 'annotate', 'bk', backup({}).metadata.name, 'backup.dev/hold=true'])
})

test('F79: nor may a person say of a Backup which run of the bucket it tells of, at once or later; the operator and those accounts may', async () => {
  const { name } = backup({}).metadata
  assert.match(await answer(plane.kubectl, dryRun, backup({}, { [run]: name })), refusedRun)
  const annotate = (value: string) => ['-n', 'shop', 'annotate', '--overwrite', 'bk', name, value]
  assert.match(await answer(plane.kubectl, annotate(`${run}=${name}`)), refusedRun)
  for (const kubectl of [operator, restorer]) {
    const told = { ...backup({}, { [run]: name }), metadata: { name: 'told', annotations: { [run]: 'told' } } }
    assert.match(await kubectl(dryRun, { input: JSON.stringify(told) }), /created \(server dry run\)/)
  }
  await restorer(annotate(`${run}=${name}`))
  assert.match(await answer(plane.kubectl, annotate(`${run}=another`)), refusedRun)
  await plane.kubectl(annotate('backup.dev/hold=false'))
  await plane.kubectl(annotate(`${run}-`))
})
