// An operator whose lease was taken by another process: it must be gone before anybody could mistake it for the leader.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../../../dev/eventually.ts'
import type { KubernetesObject } from '../../../src/api/kubernetes.ts'
import { managerName } from '../../../src/api/labels.ts'
import { leases } from '../../../src/controllers/shared/resources.ts'
import { Client } from '../../../src/runtime/client/client.ts'
import { releaseNamespace } from '../../chart/chart.ts'
import { startControlPlane } from '../control-plane/control-plane.ts'
import { installOperatorChart, readLog, startOperator } from './operator.ts'

type Lease = KubernetesObject & { readonly spec?: { readonly holderIdentity?: string } }

test('an operator that has lost its lease ends within seconds, although its watches are open', async t => {
  const plane = await startControlPlane()
  t.after(() => plane.stop())
  const admin = new Client(plane.adminConfig)
  t.after(() => admin.close())
  await installOperatorChart(plane)
  const operator = await startOperator(plane, 'robbed')
  t.after(() => operator.kill())
  const holder = async () => (await admin.get<Lease>(leases, releaseNamespace, managerName))?.spec?.holderIdentity ?? ''
  await eventually('the operator to lead', async () => (await holder()).startsWith('robbed_'), { seconds: 20 })
  await eventually('it to watch', async () => (await readLog(operator)).includes('controller started'), { seconds: 20 })

  const taken = { spec: { holderIdentity: 'thief', leaseDurationSeconds: 3600 } }
  await admin.patch(leases, releaseNamespace, managerName, { kind: 'merge', body: taken })
  // A renewal every 2 s finds it out; the rest is closing.
  await eventually('the operator to end', () => !operator.running(), { seconds: 10 })
  assert.match(await readLog(operator), /the leader lease was lost/)
  assert.equal(await holder(), 'thief')
})
