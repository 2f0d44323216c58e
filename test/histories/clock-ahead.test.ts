// The clock of the operator's node is wrong for a while, and the schedule is changed meanwhile; told on the toy cluster (F23).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiError } from '../../src/runtime/client/errors.ts'
import { addSeconds } from '../../src/schedule/times.ts'
import { at, policy, stamp } from '../plan/world.ts'
import { ToyApiServer, type Write } from './toy/api-server.ts'
import { ToyCronController } from './toy/cron-controller.ts'
import { ToyOperator } from './toy/operator.ts'

const hours = 26
const daySeconds = 86_400

type Wrong = {
  readonly seconds: number
  readonly isEdited?: boolean
  readonly onWrite?: (write: Write, body: object | undefined, now: Date) => void
}

/** From 02:00 on the clock is wrong for an hour; then it is put right, and the process restarted. All other clocks are right. */
async function play({ seconds, isEdited = true, onWrite = () => {} }: Wrong) {
  const server = new ToyApiServer(at('01:00'))
  const { resourceVersion: _, ...metadata } = policy().metadata
  server.create('backuppolicies', { ...policy({ schedule: '30 * * * *' }), metadata })
  const cron = new ToyCronController(server)
  const started = () =>
    new ToyOperator(server, 'nightly', { onWrite: (write, _before, body) => onWrite(write, body, server.now) })
  let operator = started()
  const runs: { readonly slot: string; readonly uid: string | undefined }[] = []
  for (let minute = 0; minute < hours * 60; minute += 5) {
    const now = addSeconds(at('01:00'), minute * 60)
    server.now = now
    server.ownTime = now
    cron.sync()
    const jobs = server
      .all('jobs')
      .filter(each => each.metadata.ownerReferences?.some(({ kind }) => kind === 'CronJob'))
    for (const { metadata, status } of jobs) {
      const { name, uid, creationTimestamp = '' } = metadata
      if (!runs.some(run => run.uid === uid)) runs.push({ slot: name, uid })
      if (status?.completionTime) continue
      const time = stamp(now)
      const conditions = [{ type: 'Complete', status: 'True', lastTransitionTime: time }] as const
      const ended = { startTime: creationTimestamp, completionTime: time, conditions }
      server.update('jobs', name, each => ({ ...each, status: ended }))
    }
    if (minute === 60 && isEdited)
      server.update('backuppolicies', 'nightly', each => ({
        ...each,
        metadata: { ...each.metadata, generation: 2 },
        spec: { ...each.spec, schedule: '0 * * * *' },
      }))
    if (minute >= 60 && minute < 120) server.now = addSeconds(now, seconds)
    if (minute === 120) operator = started()
    for (let n = 0; n < 3; n++) await operator.pass()
    server.now = now
  }
  const { conditions = [] } = server.get('backuppolicies', 'nightly')?.status ?? {}
  const ready = conditions.find(({ type }) => type === 'Ready')
  const slots = runs.map(({ slot }) => slot)
  return { slots, twice: slots.filter((slot, n) => slots.indexOf(slot) !== n), ready }
}

for (const [what, seconds, least] of [
  ['right', 0, 25],
  ['an hour ahead', 3600, 24],
  ['two days ahead', 2 * daySeconds, 24],
  ['a year ahead', 365 * daySeconds, 24],
] as const)
  test(`F23: runs go on, each once, after the schedule was changed while the operator's clock was ${what}`, async () => {
    const { slots, twice } = await play({ seconds })
    assert.ok(slots.length >= least, `${slots.length} runs in ${hours} hours`)
    assert.deepEqual(twice, [])
  })

for (const seconds of [-7200, -2 * daySeconds])
  test(`F23: no slot runs twice, and none is left out, where the operator's clock is ${-seconds / 3600} h behind for an hour`, async () => {
    let clockSet = 0
    const { slots, twice } = await play({
      seconds,
      isEdited: false,
      onWrite: ({ verb, plural }) => void (clockSet += verb === 'update' && plural === 'cronjobs' ? 1 : 0),
    })
    assert.deepEqual([slots.length, twice, clockSet], [hours, [], 0])
  })

test('F23: a clock of the CronJob that may not be put back is tried ever more seldom, and told', async () => {
  const triedAt: Date[] = []
  const message = 'admission webhook "status.example.com" denied the request: not you'
  const { ready } = await play({
    seconds: 2 * daySeconds,
    onWrite: ({ verb, plural }, body, now) => {
      if (verb !== 'update' || plural !== 'cronjobs' || 'spec' in (body ?? {}) || now < at('03:00')) return
      if (now > at('+1d 12:00')) return
      triedAt.push(now)
      throw new ApiError({ request: 'PATCH', status: 403, reason: 'Forbidden', message })
    },
  })
  assert.ok(triedAt.length > 10 && triedAt.length <= 6 * 24 + 6, `${triedAt.length} tries in a day`)
  assert.deepEqual([ready?.status, ready?.reason], ['False', 'CronJobRefused'])
})
