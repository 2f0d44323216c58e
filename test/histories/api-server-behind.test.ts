// The clock of the API server, and no other, is set back for an hour, or falls behind and stays so.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaitError } from '../../src/runtime/client/errors.ts'
import { addSeconds } from '../../src/schedule/times.ts'
import { at, policy, startable, usableStore } from '../plan/world.ts'
import { ToyApiServer } from './toy/api-server.ts'
import { ToyCronController } from './toy/cron-controller.ts'
import { endJobsOfSlots } from './toy/ended-jobs.ts'
import { ToyOperator } from './toy/operator.ts'

async function play(apiServerSeconds: number, forHours: number, fails = false, schedule = '30 * * * *') {
  const server = new ToyApiServer(at('01:00'))
  const { resourceVersion: _, ...metadata } = policy().metadata
  server.create('backuppolicies', { ...policy({ schedule, retention: 50 }), metadata })
  const found = { store: usableStore(at('00:30')), start: startable(at('00:30')) }
  server.update('backuppolicies', 'nightly', each => ({ ...each, status: found }))
  const cron = new ToyCronController(server)
  const told = new Set<string>()
  const operator = new ToyOperator(server, 'nightly', {
    onWrite: ({ verb, plural, name }) => void (verb === 'create' && plural === 'backups' && told.add(name)),
  })
  const names = new Set<string>()
  const [from, to, end] = [at('03:00'), addSeconds(at('03:00'), forHours * 3600), at('09:00')]
  for (let now = at('01:00'); now < end; now = addSeconds(now, 60)) {
    server.now = now
    server.ownTime = now >= from && now < to ? addSeconds(now, apiServerSeconds) : now
    cron.sync()
    const jobs = endJobsOfSlots(server, now, fails && now >= from && now < to ? 'Failed' : 'Complete')
    for (const { metadata } of jobs) names.add(metadata.name)
    for (let n = 0; n < 3; n++)
      await operator.pass().catch((error: unknown) => {
        if (!(error instanceof WaitError)) throw error
      })
  }
  const { status } = server.get('backuppolicies', 'nightly') ?? assert.fail()
  return {
    runs: names.size,
    untold: [...names].filter(name => !told.has(name)),
    missed: status?.slots?.missed ?? 0,
    ready: status?.conditions?.find(({ type }) => type === 'Ready')?.status,
  }
}

for (const [seconds, hours] of [
  [-7200, 1],
  [-7200, 6],
  [-2700, 6],
  [7200, 1],
  [7200, 6],
] as const)
  for (const fails of [false, true])
    test(`F23: runs that ${fails ? 'fail' : 'succeed'} while the clock of the API server is ${seconds} s off for ${hours} h have Backups, and none is missed`, async () => {
      const { untold, missed, ready } = await play(seconds, hours, fails)
      assert.deepEqual({ untold, missed }, { untold: [], missed: 0 }, `Ready ${ready}`)
    })
test('F23: every 5 minutes, six minutes behind for an hour: every run has its Backup', async () => {
  const { untold, missed, ready, runs } = await play(-360, 1, true, '*/5 * * * *')
  assert.deepEqual({ untold, missed }, { untold: [], missed: 0 }, `Ready ${ready}, ${runs} runs`)
})
