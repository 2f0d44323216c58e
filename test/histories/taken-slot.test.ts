// The name of a slot's run that a stranger has taken beforehand, told on the toy cluster (F27).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cronJobName, slotRunName } from '../../src/api/names.ts'
import { scheduledBackup, volumeSnapshot } from '../../src/resources/backup-objects.ts'
import { at, backup, jobNameOfSlot, stamp } from '../plan/world.ts'
import { tellingWithReplicas } from './toy/replicas.ts'

const slot = at('03:00')

/** Six slots, the third of which has its name taken by a Backup of these labels that nobody gave a slot. */
async function tell(strategy: 'job' | 'snapshot', name: string, more: Parameters<typeof backup>[1] = {}) {
  const { telling } = tellingWithReplicas({
    spec: { strategy, schedule: '0 * * * *', timeZone: 'Etc/UTC', retention: 9, startingDeadlineSeconds: 600 },
    fates: { jobs: ['commits'], snapshots: ['ready at once'] },
  })
  const { server } = telling
  const { resourceVersion: _, uid: _uid, ...metadata } = backup(name, more).metadata
  server.create('backups', { ...backup(name, more), metadata })
  await telling.tell([{ do: 'wait', seconds: 6 * 3600 }])
  const ran = server.all('backups').flatMap(({ spec, status }) => (status?.phase === 'Completed' && spec.slot) || [])
  return {
    ran: ran.map(text => text.slice(11, 16)).toSorted(),
    status: server.get('backuppolicies', 'nightly')?.status,
  }
}

for (const spec of [{ policy: 'nightly', target: 'data' }, { policy: 'another' }])
  test(`F27: a slot whose name a Backup of policy ${spec.policy} has counts as missed, and delays no other`, async () => {
    const { ran, status } = await tell('snapshot', slotRunName('nightly', 'data', slot), { spec })
    assert.deepEqual(status?.slots, { missed: 1, skipped: 0, lastMissed: stamp(slot) })
    const both = ['01:00', '02:00', '04:00', '05:00', '06:00'].flatMap(time => [time, time])
    assert.deepEqual(ran, [...both, '03:00'].toSorted(), 'its neighbour was backed up at that slot, too')
  })

test('F27: a VolumeSnapshot that was prepared under the name of a run makes no backup, and stays; the other slots run', async () => {
  const { telling } = tellingWithReplicas({
    spec: {
      strategy: 'snapshot',
      schedule: '0 * * * *',
      timeZone: 'Etc/UTC',
      retention: 2,
      startingDeadlineSeconds: 600,
    },
    fates: { jobs: ['commits'], snapshots: ['ready at once'] },
  })
  const { server } = telling
  const name = slotRunName('nightly', 'data', slot)
  const run = scheduledBackup('shop', 'nightly', name, 'data', slot)
  const { uid } = server.create(
    'volumesnapshots',
    volumeSnapshot(run, name, 'data', 'fast', stamp(server.now)),
  ).metadata
  await telling.tell([{ do: 'wait', seconds: 3.5 * 3600 }])
  const { status } = server.get('backups', name) ?? {}
  assert.deepEqual([status?.phase, status?.reason], ['Failed', 'NameTaken'])
  await telling.tell([{ do: 'wait', seconds: 3 * 3600 }])
  const good = server.all('backups').filter(each => each.spec.target === 'data' && each.status?.phase === 'Completed')
  assert.deepEqual(new Set(good.map(each => each.spec.slot?.slice(11, 16))), new Set(['05:00', '06:00']))
  assert.equal(server.get('volumesnapshots', name)?.metadata.uid, uid)
})

test('F27: the Job of a slot runs, and those after it, though a Backup without a slot has its name', async () => {
  const { ran, status } = await tell('job', jobNameOfSlot(cronJobName('nightly'), slot))
  assert.deepEqual(status?.slots, { missed: 0, skipped: 0 })
  assert.deepEqual(ran, ['01:00', '02:00', '04:00', '05:00', '06:00'])
})
