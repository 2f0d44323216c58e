import assert from 'node:assert/strict'
import { test } from 'node:test'
import { actionsOf, only, planCatalog, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  backup,
  complete,
  completed,
  ended,
  failed,
  jobFailed,
  jobOfBackup,
  jobOfSlot,
  pod,
  policy,
  running,
  saying,
  scheduled,
  stamp,
  world,
} from '../../../test/plan/world.ts'
import type { Backup, BackupStatus } from '../../api/kinds/backup.ts'
import type { CronJob, Job, Pod } from '../../api/kubernetes.ts'
import { annotation } from '../../api/labels.ts'
import { runsDigest } from '../../api/mover/runs-digest.ts'
import { storeLocation } from '../../resources/desired-state.ts'
import { viewOf } from '../view/view.ts'
import { nextRecorded, recordedJobs } from './recorded-jobs.ts'

const now = at('12:00')

type Recorded = { readonly backup: Backup; readonly job: Job; readonly pods: readonly Pod[] }

/** A scheduled run at this hour that is recorded as a Backup. */
function recorded(hour: number, phase: 'Completed' | 'Failed', more: Partial<Recorded> = {}): Recorded {
  const time = (minute: string) => at(`${String(hour).padStart(2, '0')}:${minute}`)
  const status = phase === 'Completed' ? complete(time('00'), time('10')) : jobFailed(time('00'), time('10'))
  const of = jobOfSlot(time('00'), { status })
  const { name } = of.metadata
  const told: BackupStatus = {
    ...(phase === 'Completed' ? completed(name, time('10')) : failed(name, time('10'))),
    startTime: stamp(time('00')),
  }
  const pods = [pod(of, 1, { status: { phase: 'Succeeded', containerStatuses: [ended('mover', 0)] } })]
  return { backup: scheduled(time('00'), { status: told }), job: of, pods, ...more }
}

function seen(some: readonly Recorded[], more: { readonly scheduled?: Date; readonly accounted?: Date } = {}) {
  const { scheduled: lastScheduleTime = at('11:00'), accounted = at('11:00') } = more
  const of = policy({}, { status: { accountedUntil: stamp(accounted) } })
  const around = world(of, {
    backups: some.map(each => each.backup),
    jobs: some.map(each => each.job),
    pods: some.flatMap(each => each.pods),
  })
  const cronJob = { ...around.cronJob, status: { lastScheduleTime: stamp(lastScheduleTime) } } as CronJob
  return { of, world: { ...around, cronJob } }
}

function gone(
  some: readonly Recorded[],
  more: Parameters<typeof seen>[1] & { readonly open?: boolean; readonly time?: Date } = {},
): readonly string[] {
  const { of, world: around } = seen(some, more)
  const groups = recordedJobs({ ...viewOf(around), policy: of }, more.open ?? false, more.time ?? now)
  return only(actionsOf(groups), 'delete Job').map(({ name, uid }) => {
    assert.ok(uid)
    return name
  })
}

const names = (...some: readonly Recorded[]) => some.map(each => each.job.metadata.name)

test('F75: of the recorded Jobs the newest success and a newer failure stay, and the others go', () => {
  const [a, b, c, d] = [
    recorded(1, 'Completed'),
    recorded(2, 'Failed'),
    recorded(3, 'Completed'),
    recorded(4, 'Failed'),
  ]
  const e = recorded(5, 'Failed')
  assert.deepEqual(gone([a, b, c, d, e]), names(a, b, d))
  assert.deepEqual(gone([c, e].toReversed()), [])
})

test('F75: a failed Job stays until the next success, and then goes, so that it alerts no longer', () => {
  const [failure, success] = [recorded(1, 'Failed'), recorded(2, 'Completed')]
  assert.deepEqual(gone([failure]), [])
  assert.deepEqual(gone([failure, success]), names(failure))
})

test('F75: the Job of a slot stays until its controller and our book know of the slot: its name keeps it from running twice', () => {
  const some = [recorded(1, 'Completed'), recorded(2, 'Completed')]
  const [first = ''] = names(...some)
  assert.deepEqual(gone(some, { scheduled: at('01:00'), accounted: at('01:00') }), [first])
  assert.deepEqual(gone(some, { scheduled: at('00:59') }), [])
  assert.deepEqual(gone(some, { accounted: at('00:59') }), [])
  const { of, world: around } = seen(some)
  const without = viewOf({ ...around, cronJob: undefined })
  assert.deepEqual(recordedJobs({ ...without, policy: of }, false, now), [], 'nobody can say')
})

test('F75: a Job goes only when its Backup is final, and not while a mover prunes', () => {
  const [first, newest] = [recorded(1, 'Completed'), recorded(2, 'Completed')]
  const going = { ...first, backup: { ...first.backup, status: { ...first.backup.status, phase: 'Running' as const } } }
  assert.deepEqual(gone([going, newest]), [])
  const pods = [pod(first.job, 1, { status: { phase: 'Running', containerStatuses: [running('mover')] } })]
  assert.deepEqual(gone([{ ...first, pods }, newest]), [])
  assert.deepEqual(gone([{ ...first, backup: backup('another') }, newest]), [])
})

test('F75: the Job of a run on demand goes in the same way', () => {
  const asked = backup('now')
  const of = jobOfBackup(asked, { status: complete(at('01:00'), at('01:10')) })
  const run = of.metadata.name
  const one = { backup: { ...asked, status: completed(run, at('01:10')) }, job: of, pods: [] }
  assert.deepEqual(gone([one, recorded(2, 'Completed')]), [run])
  assert.deepEqual(gone([one]), [])
})

/** Its mover has ended well, and another container of the pod never ends. */
function hanging(hour: number, mover: 'ended' | 'running' = 'ended'): Recorded {
  const one = recorded(hour, 'Completed')
  const of = { ...one.job, status: { startTime: one.job.metadata.creationTimestamp ?? '', active: 1 } }
  const last = saying({ phase: 'committed', run: of.metadata.name })
  const containerStatuses = [mover === 'ended' ? last : running('mover'), running('istio-proxy')]
  return { ...one, job: of, pods: [pod(of, 1, { status: { phase: 'Running', containerStatuses } })] }
}

test('F78: the Job of a Completed Backup that a sidecar keeps from ending goes, once the bucket was compared with its words', () => {
  const one = hanging(1)
  assert.deepEqual(gone([one]), names(one))
  assert.deepEqual(gone([one], { open: true, time: at('01:20') }), [])
  const { world: around } = seen([one])
  assert.deepEqual(nextRecorded(viewOf(around).runs, at('01:20')), at('01:25'))
  assert.deepEqual(gone([one], { open: true, time: at('01:25') }), names(one), 'a page may never be read')
  assert.ok(only(planPolicy(around, now).actions, 'delete Job').some(({ name }) => names(one).includes(name)))
})

test('F78: a Job whose mover has just ended does not hang yet: its controller and its other container take a moment', () => {
  const one = hanging(1)
  assert.deepEqual(gone([one], { time: at('01:10:59') }), [])
  const { world: around } = seen([one])
  assert.deepEqual(nextRecorded(viewOf(around).runs, at('01:10:01')), at('01:11'))
  assert.deepEqual(gone([one], { time: at('01:11') }), names(one))
})

test('F78: past its lost time the Job of a Completed Backup goes always, also from a lost node', () => {
  const one = hanging(1, 'running')
  const lost = new Date(at('01:00').getTime() + (65_400 + 600) * 1000)
  assert.deepEqual(gone([one], { time: new Date(lost.getTime() - 1) }), [])
  assert.deepEqual(gone([one], { time: lost, scheduled: at('00:00') }), names(one))
})

test('F76: the bucket is compared with our Backups though a sidecar keeps the Job from ending', () => {
  const one = hanging(1)
  const store = storeLocation(policy().spec.backend!)
  const of = { ...one.job, metadata: { ...one.job.metadata, annotations: { [annotation.store]: store } } }
  const kept = { count: 2, digest: runsDigest(['other']) }
  const containerStatuses = [saying({ phase: 'committed', run: of.metadata.name, kept }), running('istio-proxy')]
  const pods = [pod(of, 1, { status: { phase: 'Running', containerStatuses } })]
  const { world: around } = seen([{ ...one, job: of, pods }])
  assert.equal(only(planCatalog(around, now).actions, 'create catalog Job').length, 1)
})

test('F75: a slot that passed while a run went on is skipped, and not missed, also when the Job of that run is gone', () => {
  const one = recorded(1, 'Completed')
  const long = { ...one.backup, status: { ...one.backup.status, completionTime: stamp(at('03:30')) } }
  const of = policy(
    { schedule: '0 * * * *', startingDeadlineSeconds: 600 },
    {
      metadata: { creationTimestamp: stamp(at('00:00')) },
      status: { accountedUntil: stamp(at('01:00')), slots: { missed: 0, skipped: 0 } },
    },
  )
  const [told] = only(planPolicy(world(of, { backups: [long] }), at('03:40')).actions, 'status BackupPolicy')
  assert.deepEqual([told?.status.slots?.skipped, told?.status.slots?.missed], [2, 0])
})
