import assert from 'node:assert/strict'
import { test } from 'node:test'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  complete,
  completed,
  jobOfSlot,
  pod,
  policy,
  saying,
  scheduled,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { Backup } from '../../api/kinds/backup.ts'
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

test('F71: that deletions are refused is told also while a suspect backup stops all pruning', () => {
  const store = storeLocation(policy().spec.backend ?? assert.fail())
  const newest = scheduled(at('02:00'), {
    name: 'small',
    status: completed('run-of-small', at('02:10'), { store, bytes: 10, suspect: true }),
  })
  const refusal = {
    action: 'delete',
    kind: 'Backup',
    name: 'failed',
    words: 'nobody deletes here',
    passing: false,
  } as const
  const { actions } = planPolicy(world(policy(), { backups: [newest] }), now, new Map([['clean/failed', refusal]]))
  const [written] = only(actions, 'status BackupPolicy')
  const blocked = written?.status.conditions?.find(({ type }) => type === 'RetentionBlocked')
  assert.equal(blocked?.reason, 'Suspect')
  assert.match(
    blocked?.message ?? '',
    /Backup small, is far smaller .*; and the API server refuses to delete Backup failed.*nobody deletes here/,
  )
})

test('F57: a backup that was compared in size with none is told in its Backup and in the policy, which keeps what it would replace, until it is accepted', () => {
  const number = { value: 1, since: stamp(at('00:00')) }
  const status = { retention: number, onDemandRetention: number }
  const of = policy({ retention: 1 }, { status })
  const store = storeLocation(of.spec.backend ?? assert.fail())
  const run = jobOfSlot(at('02:00'), {
    status: complete(at('02:00'), at('02:10')),
    metadata: { annotations: { [annotation.store]: store } },
  })
  const { name } = run.metadata
  const message = { phase: 'committed', run: name, bytes: 10, storedBytes: 5, sizeCheck: 'unchecked' } as const
  const pods = [pod(run, 1, { status: { phase: 'Succeeded', containerStatuses: [saying(message)] } })]
  const [written] = only(
    planPolicy(world(of, { jobs: [run], pods, backups: [scheduled(at('02:00'))] }), now).actions,
    'status Backup',
  )
  assert.deepEqual([written?.status.phase, written?.status.sizeCheck], ['Completed', 'unchecked'])
  assert.match(written?.status.message ?? '', /its size could be compared with no other/)

  // The words of the older one are lost: there is nothing to compare with.
  const older = scheduled(at('01:00'), { name: 'older', status: completed('older', at('01:10'), { store }) })
  const oldest = scheduled(at('00:30'), { name: 'oldest', status: completed('run-of-oldest', at('00:40'), { store }) })
  const told = (newest: Backup) => {
    const { actions } = planPolicy(world(of, { backups: [oldest, older, newest] }), now)
    const [status] = only(actions, 'status BackupPolicy')
    const blocked = status?.status.conditions?.find(({ type }) => type === 'RetentionBlocked')
    return { kept: status?.status.kept, reason: blocked?.reason, message: blocked?.message ?? '' }
  }
  assert.ok(written)
  const newest = scheduled(at('02:00'), { status: written.status })
  const { kept, reason, message: words } = told(newest)
  assert.deepEqual([kept, reason], [2, 'RetentionPaused'], 'it does not count')
  assert.match(words, new RegExp(`Backup oldest is kept for now.*${name}.*backup.dev/accepted=true`))
  const accepted = { ...newest, metadata: { ...newest.metadata, annotations: { [annotation.accepted]: 'true' } } }
  assert.deepEqual([told(accepted).kept, told(accepted).reason], [3, undefined])
})
