// F75, R26, R33: the quota on Jobs is full of Jobs that the operator itself keeps for good.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DryRuns } from '../../controllers/policy/dry-run.ts'
import type { Client } from '../../runtime/client/client.ts'
import { ApiError } from '../../runtime/client/errors.ts'
import { FakeClock } from '../../runtime/fake-clock.ts'
import { cronJobName } from '../../api/names.ts'
import { toyCaches } from '../../../test/histories/toy/caches.ts'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  complete,
  completed,
  failed,
  jobFailed,
  jobOfSlot,
  policy,
  scheduled,
  settings,
  stamp,
  startable,
  usableStore,
  world,
} from '../../../test/plan/world.ts'
import type { JobEvent } from '../../api/kubernetes.ts'

test('F75: a quota that is full of Jobs that we keep is no quota that comes and goes: Ready tells', async () => {
  const [good, bad, third] = [at('02:00'), at('+1d 02:00'), at('+2d 02:00')]
  const now = at('+2d 02:05')
  const [store, start] = [usableStore(at('+2d 00:00')), startable(at('+2d 00:00'))]
  const of = policy({}, { status: { store, start, accountedUntil: stamp(bad), scheduleSince: stamp(at('00:00')) } })
  const [goodJob, badJob] = [
    jobOfSlot(good, { status: complete(good, at('02:01')) }),
    jobOfSlot(bad, { status: jobFailed(bad, at('+1d 02:01')) }),
  ]
  const backups = [
    scheduled(good, { status: completed(goodJob.metadata.name, at('02:01'), { startTime: stamp(good) }) }),
    scheduled(bad, { status: failed(badJob.metadata.name, at('+1d 02:01'), { startTime: stamp(bad) }) }),
  ]
  const jobs = [goodJob, badJob]

  // The quota plugin, as isFullOfOurs quotes it.
  const words =
    'jobs.batch "x" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=2, limited: count/jobs.batch=2'
  const client = {
    create: async () => {
      throw new ApiError({ request: 'POST', status: 403, reason: 'Forbidden', message: words })
    },
    replace: async (_: unknown, object: unknown) => object,
  } as unknown as Client
  const caches = toyCaches(client)
  caches.jobs.replace(jobs)
  const base = world(of, { backups, jobs })
  const cronJob = base.cronJob && { ...base.cronJob, status: { lastScheduleTime: stamp(bad) } }
  const dryRuns = new DryRuns({ client, caches }, settings, new FakeClock(now))
  const event: JobEvent = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'e', namespace: 'shop' },
    involvedObject: { kind: 'CronJob', namespace: 'shop', name: cronJobName('nightly'), uid: cronJob?.metadata.uid },
    reason: 'FailedCreate',
    type: 'Warning',
    message: `Error creating job: ${words}`,
    lastTimestamp: stamp(third),
  }
  const dryRun = await dryRuns.ask(of, cronJob, third, new AbortController().signal)
  const { actions } = planPolicy({ ...base, cronJob, cronJobEvents: [event], dryRun }, now)
  const ready = only(actions, 'status BackupPolicy')[0]?.status.conditions?.find(({ type }) => type === 'Ready')
  const room = only(actions, 'delete Job').map(({ name }) => name)
  assert.ok(
    room.length > 0 || ready?.status !== 'True',
    `no Job goes to make room (${room.length}), and Ready=${ready?.status}: "${ready?.message}"`,
  )
})
