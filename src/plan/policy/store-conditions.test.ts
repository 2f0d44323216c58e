import assert from 'node:assert/strict'
import { test } from 'node:test'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import { at, complete, jobOfSlot, pod, policy, saying, world } from '../../../test/plan/world.ts'
import { annotation } from '../../api/labels.ts'
import { moverWarnings } from '../../api/mover/reasons.ts'
import { storeLocation } from '../../resources/desired-state.ts'

const now = at('12:00')

for (const reason of moverWarnings)
  test(`F87: the warning ${reason} of a mover that could say nothing else reaches a condition of the policy`, () => {
    const of = policy()
    assert.ok(of.spec.backend)
    const annotations = { [annotation.store]: storeLocation(of.spec.backend) }
    const run = jobOfSlot(at('02:00'), { status: complete(at('02:00'), at('02:10')), metadata: { annotations } })
    const suspect = reason === 'Suspect' ? { suspect: true } : {}
    const message = {
      phase: 'committed',
      run: run.metadata.name,
      ...suspect,
      warnings: [{ reason, message: 'as the mover put it' }],
    } as const
    const pods = [pod(run, 1, { status: { phase: 'Succeeded', containerStatuses: [saying(message)] } })]
    const first = only(planPolicy(world(of, { jobs: [run], pods }), now).actions, 'create Backup')
    assert.equal(first.length, 1)
    const backups = first.map(({ object }) => ({ ...object, metadata: { ...object.metadata, uid: 'its' } }))
    const seen = world(of, { jobs: [run], pods, backups })
    const [written] = only(planPolicy(seen, now).actions, 'status Backup')
    assert.ok(written)
    const { actions } = planPolicy(world(of, { jobs: [run], pods, backups: [written.backup] }), now)
    const told = only(actions, 'status BackupPolicy')[0]?.status.conditions?.filter(
      ({ type, status }) =>
        status === 'True' && !['LastBackupSucceeded', 'TargetsSelected', 'Reconciling'].includes(type),
    )
    assert.equal(told?.length, 1, JSON.stringify(told))
  })
