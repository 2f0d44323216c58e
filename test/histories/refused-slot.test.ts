// Starts of slots that a dead webhook refuses for a day, told on the toy cluster (R34).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addSeconds } from '../../src/schedule/times.ts'
import { stamp } from '../plan/world.ts'
import { tellingWithReplicas } from './toy/replicas.ts'

test('R34: slots whose starts a dead webhook refuses for a day have failed, each at its deadline, and none is cut when it is back', async () => {
  const startingDeadlineSeconds = 3600
  const { telling, operators } = tellingWithReplicas({
    spec: { strategy: 'snapshot', schedule: '0 */6 * * *', timeZone: 'Etc/UTC', retention: 3, startingDeadlineSeconds },
    fates: { jobs: ['commits'], snapshots: ['ready at once'] },
  })
  const { server } = telling
  operators.refuse({ kind: 'create volumesnapshots', answer: 500, times: Number.POSITIVE_INFINITY })
  await telling.tell([{ do: 'wait', seconds: 25 * 3600 }])
  operators.allowAllBut([])
  const back = stamp(server.now)
  await telling.tell([{ do: 'wait', seconds: 12 * 3600 }])
  const late = server
    .all('backups')
    .filter(({ metadata, spec }) => (spec.slot ?? '') < back && (metadata.creationTimestamp ?? '') < back)
  assert.equal(late.length, 2 * 4, 'no slot was skipped for an earlier one that could not start')
  for (const { metadata, spec, status } of late) {
    assert.deepEqual([status?.phase, status?.reason], ['Failed', 'CreationRefused'], metadata.name)
    assert.equal(status?.completionTime, stamp(addSeconds(new Date(spec.slot ?? ''), startingDeadlineSeconds)))
    assert.equal(server.get('volumesnapshots', metadata.name), undefined)
  }
  assert.equal(server.all('volumesnapshots').length, 2 * 2)
})
