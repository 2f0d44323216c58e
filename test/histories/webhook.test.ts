// A webhook that changes the CronJob whenever it is written, told on the toy cluster (F77).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CronJob, KubernetesObject } from '../../src/api/kubernetes.ts'
import { addSeconds } from '../../src/schedule/times.ts'
import { at, policy, stamp } from '../plan/world.ts'
import { ToyApiServer } from './toy/api-server.ts'
import { ToyCronController } from './toy/cron-controller.ts'
import { ToyOperator } from './toy/operator.ts'

/** Makes everything of this kind so. */
function mutating(startingDeadlineSeconds: number) {
  return <T extends KubernetesObject>(object: T): T => {
    if (object.kind !== 'CronJob') return object
    const { spec } = object as unknown as CronJob
    return { ...object, spec: { ...spec, startingDeadlineSeconds } }
  }
}

test('F77: a slot that waits for a long run is run, though a webhook changes startingDeadlineSeconds at each try', async () => {
  const server = new ToyApiServer(at('01:30'))
  const { resourceVersion: _, ...metadata } = policy().metadata
  const hourly = policy({ schedule: '0 * * * *', startingDeadlineSeconds: 3600 })
  server.create('backuppolicies', { ...hourly, metadata })
  server.webhook = mutating(1800)
  const cron = new ToyCronController(server)
  const operator = new ToyOperator(server, 'nightly', { onWrite: () => {} })
  const started: string[] = []
  for (let minute = 0; minute < 120; minute++) {
    server.now = addSeconds(at('01:30'), minute * 60)
    cron.sync()
    for (let n = 0; n < 3; n++) await operator.pass()
    const runs = server
      .all('jobs')
      .filter(each => each.metadata.ownerReferences?.some(({ kind }) => kind === 'CronJob'))
    for (const { metadata, status } of runs) {
      const { name, creationTimestamp = '' } = metadata
      if (!started.includes(creationTimestamp)) started.push(creationTimestamp)
      // That of 02:00 ends at 03:10.
      const end = addSeconds(new Date(creationTimestamp), creationTimestamp === stamp(at('02:00')) ? 4200 : 300)
      if (status?.completionTime || server.now < end) continue
      const time = stamp(server.now)
      const conditions = [{ type: 'Complete', status: 'True', lastTransitionTime: time }] as const
      const ended = { startTime: creationTimestamp, completionTime: time, conditions }
      server.update('jobs', name, each => ({ ...each, status: ended }))
    }
  }
  assert.deepEqual(started, [stamp(at('02:00')), stamp(at('03:11'))])
})
