// The clocks of the API server, of the CronJob controller and of the operator do not agree for a while; told on the toy cluster (F23).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { overdueSeconds } from '../../src/plan/policy/overdue.ts'
import { addSeconds } from '../../src/schedule/times.ts'
import { at, policy } from '../plan/world.ts'
import { ToyApiServer } from './toy/api-server.ts'
import { ToyCronController } from './toy/cron-controller.ts'
import { endJobsOfSlots } from './toy/ended-jobs.ts'
import { ToyOperator } from './toy/operator.ts'

const hourSeconds = 3600
const daySeconds = 24 * hourSeconds

/** By how many seconds each clock is ahead, from 02:00 on, for how long. `fails`: what runs after that. */
type Wrong = {
  readonly controller?: number
  readonly operator?: number
  readonly apiServer?: number
  readonly forHours?: number
  readonly fails?: boolean
  /** The schedule is `0 * * * *` from then on, and it was `30 * * * *`. */
  readonly editedAt?: Date
}

async function play(wrong: Wrong, hours: number) {
  const { controller = 0, operator = 0, apiServer = 0, forHours = 1, fails = false, editedAt } = wrong
  const server = new ToyApiServer(at('01:00'))
  const { resourceVersion: _, ...metadata } = policy().metadata
  server.create('backuppolicies', { ...policy({ schedule: '30 * * * *', retention: 50 }), metadata })
  const cron = new ToyCronController(server)
  let putBack = 0
  const ready: string[] = []
  const told = new Set<string>()
  const process = new ToyOperator(server, 'nightly', {
    onWrite: ({ verb, plural, name }, _before, body) => {
      if (verb === 'update' && plural === 'cronjobs' && !('spec' in (body ?? {}))) putBack++
      if (verb === 'create' && plural === 'backups') told.add(name)
    },
  })
  const runs = new Map<string, string>()
  const [from, to] = [at('02:00'), addSeconds(at('02:00'), forHours * hourSeconds)]
  const end = addSeconds(at('01:00'), hours * hourSeconds)
  for (let now = at('01:00'); now < end; now = addSeconds(now, 300)) {
    const by = (seconds: number) => (now >= from && now < to ? addSeconds(now, seconds) : now)
    server.ownTime = by(apiServer)
    if (editedAt?.getTime() === now.getTime())
      server.update('backuppolicies', 'nightly', each => ({
        ...each,
        metadata: { ...each.metadata, generation: 2 },
        spec: { ...each.spec, schedule: '0 * * * *' },
      }))
    for (let n = 0; n < 4; n++) {
      server.now = by(controller)
      cron.sync()
      const jobs = endJobsOfSlots(server, now, fails && now >= to ? 'Failed' : 'Complete')
      for (const { metadata } of jobs) runs.set(metadata.uid ?? '', metadata.name)
      server.now = by(operator)
      await process.pass()
      const { conditions } = server.get('backuppolicies', 'nightly')?.status ?? {}
      const reason = conditions?.find(({ type }) => type === 'Ready')?.reason ?? ''
      if (ready.at(-1) !== reason) ready.push(reason)
    }
  }
  const names = [...runs.values()]
  const of = server.get('backuppolicies', 'nightly') ?? assert.fail()
  return {
    putBack,
    ready,
    runs: names.length,
    twice: names.filter((name, n) => names.indexOf(name) !== n),
    untold: names.filter(name => !told.has(name)),
    missed: of.status?.slots?.missed,
    last: of.status?.conditions?.find(({ type }) => type === 'LastBackupSucceeded')?.status,
    overdue: overdueSeconds(of, end),
  }
}

for (const [whose, wrong, begunEarly = 0] of [
  ['operator was two hours ahead', { operator: 2 * hourSeconds }],
  ['operator was 20 hours ahead', { operator: 20 * hourSeconds }],
  ['operator was a year ahead', { operator: 365 * daySeconds }],
  ['operator was two hours behind', { operator: -2 * hourSeconds }],
  // Which begins two slots of the evening in the night before, under the names that their own runs would need.
  ['CronJob controller was 20 hours ahead', { controller: 20 * hourSeconds }, 2],
] as const) {
  test(`F23: runs after the clock of the ${whose} have Backups, and no slot counts as missed that has one of its night`, async () => {
    const { untold, missed, twice } = await play(wrong, 26)
    assert.deepEqual({ untold, missed, twice }, { untold: [], missed: begunEarly, twice: [] })
  })

  test(`F23: runs that fail after the clock of the ${whose} are told`, async () => {
    const { untold, last } = await play({ ...wrong, fails: true }, 19)
    assert.deepEqual({ untold, last }, { untold: [], last: 'False' })
  })
}

for (const [what, seconds] of [
  ['two hours', 2 * hourSeconds],
  ['a year', 365 * daySeconds],
] as const)
  test(`F23: the schedule goes on after API server and controllers were ${what} ahead for an hour`, async () => {
    const { runs, overdue, twice } = await play({ controller: seconds, apiServer: seconds }, 26)
    assert.ok(runs >= 23, `${runs} runs in 26 h`)
    assert.deepEqual([overdue, twice], [0, []])
  })

test('F23: where the CronJob controller is an hour ahead all day, it and the operator do not write against each other without a pause', async () => {
  const { putBack, twice, ready } = await play({ controller: hourSeconds, forHours: 9 }, 11)
  assert.deepEqual(twice, [])
  const times = ready.filter(reason => reason === 'CronJobChanged').length
  assert.ok(times > 0 && times <= 2, `Ready says, one after the other: ${ready.join(', ')}`)
  assert.ok(putBack <= 6 * 9 + 3, `the clock of the CronJob was put back ${putBack} times in 9 hours`)
})

test('F23, F24: nothing fires for the past where the schedule is changed while the clock of the operator is half an hour behind', async () => {
  const { runs, twice } = await play({ operator: -hourSeconds / 2, editedAt: at('02:15') }, 3)
  assert.deepEqual([runs, twice], [2, []])
})
