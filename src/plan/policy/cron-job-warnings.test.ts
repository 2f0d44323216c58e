import assert from 'node:assert/strict'
import { test } from 'node:test'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import { at, jobOfSlot, policy, scheduled, stamp, world } from '../../../test/plan/world.ts'
import type { JobEvent } from '../../api/kubernetes.ts'
import { cronJobName } from '../../api/names.ts'
import type { PolicyWorld } from '../view/world.ts'
import { lastRefusal } from './cron-job-warnings.ts'

const name = cronJobName('nightly')

function warning(reason: string, time: Date, message = 'its words'): JobEvent {
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${name}.${reason}`, namespace: 'shop' },
    involvedObject: { kind: 'CronJob', name },
    type: 'Warning',
    reason,
    message,
    lastTimestamp: stamp(time),
  }
}

/** What the policy says at 02:05, five minutes after the slot. */
function told(cronJobEvents: readonly JobEvent[], more: Partial<PolicyWorld> = {}) {
  const [written] = only(
    planPolicy(world(policy(), { cronJobEvents, ...more }), at('02:05')).actions,
    'status BackupPolicy',
  )
  const conditions = written?.status.conditions ?? []
  const warned = conditions.find(({ type }) => type === 'CronJobWarned')
  const ready = conditions.find(({ type }) => type === 'Ready')
  return { ready: ready?.reason, message: ready?.message ?? '', warned: warned?.message }
}

const refused = warning('FailedCreate', at('02:01'), 'Error creating job: exceeded quota: q')
const unready = 'Probing'

test('F75: a CronJob whose controller is refused a Job makes the policy not Ready, with the words', () => {
  const { ready, message, warned } = told([refused])
  assert.equal(ready, 'JobsNotStarted')
  assert.match(
    message,
    /CronJob backup-nightly starts no Job: FailedCreate: Error creating job: exceeded quota: q; its controller tries/,
  )
  assert.equal(warned, undefined)
})

const over: readonly (readonly [what: string, more: Partial<PolicyWorld>])[] = [
  [
    'a Job was started after it',
    { jobs: [jobOfSlot(at('02:00'), { metadata: { creationTimestamp: stamp(at('02:02')) } })] },
  ],
  [
    'a run began after it whose Job is recorded and gone',
    { backups: [scheduled(at('02:00'), { status: { phase: 'Completed', startTime: stamp(at('02:02')) } })] },
  ],
]
for (const [what, more] of over)
  test(`F75: a failure of the CronJob is over when ${what}`, () => {
    const { ready, warned } = told([refused], more)
    assert.notEqual(ready, 'JobsNotStarted')
    assert.equal(warned, undefined)
  })

test('F23, F75: what a wrong clock has dated ahead was not started after the failure', () => {
  const ahead = stamp(at('+365d 02:00'))
  const metadata = { creationTimestamp: ahead }
  const of = { status: { phase: 'Completed', startTime: ahead }, metadata } as const
  for (const more of [{ backups: [scheduled(at('01:00'), of)] }, { jobs: [jobOfSlot(at('01:00'), { metadata })] }])
    assert.equal(told([refused], more).ready, 'JobsNotStarted')
})

test('F23, F75: a run that began after the failure ends it also where the clock of the operator is behind', () => {
  const metadata = { creationTimestamp: stamp(at('03:02')) }
  const late = warning('FailedCreate', at('03:01'))
  const jobs = [jobOfSlot(at('03:00'), { metadata })]
  assert.equal(told([late], { jobs, serverTime: at('03:05') }).warned, undefined)
  assert.notEqual(told([late], { jobs, serverTime: at('03:05') }).ready, 'JobsNotStarted')
})

test('F75: one that the API server does not repeat when it is asked since is only warned of', () => {
  const { ready, warned } = told([refused], { dryRun: { is: 'accepted', at: at('02:02') } })
  assert.equal(ready, unready)
  assert.match(warned ?? '', /the CronJob controller says of CronJob backup-nightly: FailedCreate/)
  const schedule = warning('UnknownTimeZone', at('02:01'))
  assert.equal(told([schedule], { dryRun: { is: 'accepted', at: at('02:02') } }).ready, 'JobsNotStarted')
})

test('F75: what does not keep Jobs from starting is warned of, and missed slots are counted elsewhere', () => {
  const { ready, warned } = told([warning('UnexpectedJob', at('02:01')), warning('TooManyMissedTimes', at('02:02'))])
  assert.equal(ready, unready)
  assert.match(warned ?? '', /TooManyMissedTimes: its words/)
  assert.equal(told([warning('MissSchedule', at('02:01'))]).warned, undefined)
})

test('F75: the newest refusal of a Job is the reason to ask the API server again', () => {
  assert.deepEqual(
    lastRefusal([refused, warning('FailedCreate', at('02:03')), warning('UnexpectedJob', at('02:04'))]),
    at('02:03'),
  )
  assert.equal(lastRefusal([warning('UnexpectedJob', at('02:04'))]), undefined)
})
