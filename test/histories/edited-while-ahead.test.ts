// The clock of the API server is ahead for two days; those of the operator and of the CronJob controller are right. Somebody edits the schedule.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaitError } from '../../src/runtime/client/errors.ts'
import { addSeconds } from '../../src/schedule/times.ts'
import { at, policy, stamp, startable, usableStore } from '../plan/world.ts'
import { ToyApiServer } from './toy/api-server.ts'
import { ToyCronController } from './toy/cron-controller.ts'
import { endJobsOfSlots } from './toy/ended-jobs.ts'
import { ToyOperator } from './toy/operator.ts'

async function play(aheadSeconds: number, isEdited: boolean) {
  const server = new ToyApiServer(at('01:00'))
  server.ownTime = at('01:00')
  const { resourceVersion: _, ...metadata } = policy().metadata
  server.create('backuppolicies', { ...policy({ schedule: '30 * * * *', retention: 50 }), metadata })
  const found = { store: usableStore(at('00:30')), start: startable(at('00:30')) }
  server.update('backuppolicies', 'nightly', each => ({ ...each, status: found }))
  const cron = new ToyCronController(server)
  const operator = new ToyOperator(server, 'nightly', { onWrite: () => {} })
  const uids = new Set<string>()
  const started: string[] = []
  const ready = new Set<string>()
  const [from, end] = [at('02:00'), addSeconds(at('02:00'), 48 * 3600)]
  for (let now = at('01:00'); now < end; now = addSeconds(now, 300)) {
    server.now = now
    server.ownTime = now < from ? now : addSeconds(now, aheadSeconds)
    if (isEdited && now.getTime() === at('02:15').getTime())
      server.update('backuppolicies', 'nightly', each => ({
        ...each,
        metadata: { ...each.metadata, generation: 2 },
        spec: { ...each.spec, schedule: '0 * * * *' },
        status: { ...each.status, store: usableStore(now), start: startable(now) },
      }))
    cron.sync()
    for (const { metadata } of endJobsOfSlots(server, now)) {
      if (!uids.has(metadata.uid ?? '')) started.push(stamp(now))
      uids.add(metadata.uid ?? '')
    }
    for (let n = 0; n < 3; n++)
      await operator.pass().catch((error: unknown) => {
        if (!(error instanceof WaitError)) throw error
      })
    const { conditions } = server.get('backuppolicies', 'nightly')?.status ?? {}
    const is = conditions?.find(({ type }) => type === 'Ready')
    if (now > at('03:00')) ready.add(`${is?.status} ${is?.reason}`)
  }
  return {
    runs: started.length,
    after: started.filter(time => time > stamp(at('02:15'))),
    ready: [...ready],
    last: server.all('cronjobs')[0]?.status?.lastScheduleTime,
  }
}

for (const hours of [2, 20, 24 * 365])
  test(`F23: a schedule that is edited while the clock of the API server is ${hours} hours ahead goes on`, async () => {
    const plain = await play(hours * 3600, false)
    assert.ok(plain.runs >= 46, `without an edit ${plain.runs}`)
    const { after, runs, ready, last } = await play(hours * 3600, true)
    assert.ok(after.length >= 46, `${runs} runs, first after the edit ${after[0]}, ready ${ready.join()}, last ${last}`)
  })
