// A run that failed before it began: no Job and no snapshot tells of it, so that its Backup and its policy must.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { slotRunName } from '../../src/api/names.ts'
import { scheduledBackup, volumeSnapshot } from '../../src/resources/backup-objects.ts'
import { at, stamp } from '../plan/world.ts'
import { tellingWithReplicas } from './toy/replicas.ts'

const day = 24 * 3600

/** The second night of a policy over two claims, whose first was good. */
function secondNight() {
  const { telling, operators } = tellingWithReplicas({
    spec: {
      strategy: 'snapshot',
      schedule: '0 2 * * *',
      timeZone: 'Etc/UTC',
      retention: 9,
      startingDeadlineSeconds: 3600,
    },
    fates: { jobs: ['commits'], snapshots: ['ready at once'] },
  })
  const { server } = telling
  return { telling, server, refuse: operators.refuse.bind(operators) }
}

async function failuresOf({ telling, server }: ReturnType<typeof secondNight>) {
  await telling.tell([{ do: 'wait', seconds: day - 3600 }])
  const failed = server.all('backups').filter(({ status }) => status?.phase === 'Failed')
  const conditions = server.get('backuppolicies', 'nightly')?.status?.conditions ?? []
  const last = conditions.find(({ type }) => type === 'LastBackupSucceeded')?.status
  return { last, failed: failed.map(({ status }) => `${status?.target}: ${status?.reason}`).toSorted() }
}

test('F71: a night whose snapshots the API server refuses for good is told by the policy, and each failed Backup names its target', async () => {
  const night = secondNight()
  await night.telling.tell([{ do: 'wait', seconds: day }])
  night.refuse({ kind: 'create volumesnapshots', answer: 403, times: Number.POSITIVE_INFINITY })
  assert.deepEqual(await failuresOf(night), {
    last: 'False',
    failed: ['data: CreationRefused', 'logs: CreationRefused'],
  })
})

test('F27: a night whose names a stranger has is told by the policy, and each failed Backup names its target', async () => {
  const night = secondNight()
  await night.telling.tell([{ do: 'wait', seconds: day }])
  const slot = at('+1d 02:00')
  for (const target of ['data', 'logs']) {
    const name = slotRunName('nightly', target, slot)
    const of = scheduledBackup('shop', 'nightly', name, target, slot)
    night.server.create('volumesnapshots', volumeSnapshot(of, name, 'data', 'fast', stamp(night.server.now)))
  }
  assert.deepEqual(await failuresOf(night), { last: 'False', failed: ['data: NameTaken', 'logs: NameTaken'] })
})
