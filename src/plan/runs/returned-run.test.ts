// An on-demand Backup of strategy job that came back with its status and another UID while its run was going on.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { plan } from '../../../test/plan/backup-plan.ts'
import { only, planBackup } from '../../../test/plan/planned.ts'
import { at, backup, jobOfBackup, pod, policy, stamp, world } from '../../../test/plan/world.ts'

const now = at('02:30')
const before = jobOfBackup(backup('now'), { status: { startTime: stamp(at('02:00')), active: 1 } })
const run = before.metadata.name
const returned = backup('now', {
  metadata: { uid: 'another' },
  status: { phase: 'Running', target: 'command', run, jobUID: before.metadata.uid },
})

test('its Job is followed, by the name and UID that its status tells', () => {
  const { status } = plan(world(policy(), { jobs: [before], pods: [pod(before, 1)] }), returned, now)
  assert.deepEqual([status?.phase, status?.run], ['Running', run])
})

test('the list of the bucket tells what became of it', () => {
  const time = at('02:00').getTime()
  const entry = { run, slot: time, startedAt: time, finishedAt: time, bytes: 10, storedBytes: 5 }
  const { actions } = planBackup(world(policy()), returned, { entries: new Map([[run, entry]]), open: true }, now)
  const [written] = only(actions, 'status Backup')
  assert.deepEqual([written?.status.phase, written?.status.run], ['Completed', run])
})
