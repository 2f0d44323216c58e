// The clocks of both strategies, that of job on the real CronJob controller: what is changed never fires for a time before the change
// (F24), and whatever is deleted in mid-run ends well (F34).
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { kubectl } from '../dev/cluster-access.ts'
import { eventually } from '../dev/eventually.ts'
import type { Backup } from '../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../src/api/kinds/backup-policy.ts'
import { parseBackupRecord } from '../src/api/record.ts'
import type { CronJob, Job } from '../src/api/kubernetes.ts'
import * as resources from '../src/controllers/shared/resources.ts'
import { slotOfJob } from '../src/plan/view/owners.ts'
import { changeClocks, clocksBefore, everyMinute, nextMinute } from './clock-changes.ts'
import { cluster, patience, postgresImage } from './cluster.ts'
import { installMinio, installOperator } from './install.ts'
import { api, type Manifest, put } from './objects.ts'
import {
  backupEnd,
  backupStatus,
  jobPolicy,
  onDemand,
  patch,
  policyCondition,
  remove,
  run,
  runJobs,
  runPods,
  shell,
  storeNamespace,
} from './stack.ts'
import { removeClasses } from './snapshot-stack.ts'
import { snapshotClockStory } from './snapshot-clock.ts'
import { openStore, openUploads } from './store.ts'

const namespace = 'e2e-schedule'
const quick = shell('echo data')
const long = shell('echo beginning; sleep 86400')

after(removeClasses)

test('schedules that change, and runs that are interrupted', { concurrency: 8 }, async t => {
  await Promise.all([installOperator(), installMinio()])
  const store = await openStore()
  t.after(() => store.close())
  await Promise.all([store.removeAll(namespace), storeNamespace(t, namespace)])

  /** Nothing of a run is in the bucket, and no upload is open. */
  async function assertNothingIsLeft(policy: string, job: string) {
    const keys = await store.keys(`${namespace}/${policy}/`)
    const left = keys.filter(key => key.includes(job))
    assert.deepEqual([left, await openUploads(job)], [[], []])
  }

  /** Starts a run that does not end by itself, and waits until there is something of it in the bucket to clean up. */
  async function startLong(policy: string, backup = policy, command = long): Promise<string> {
    await put(jobPolicy(namespace, policy, command), onDemand(namespace, backup, policy))
    const { run: job = '' } = await backupStatus(namespace, backup, 'running', ({ phase }) => phase === 'Running')
    const isOpen = async () => (await openUploads(job)).length > 0
    await eventually('the upload to be open', isOpen, { seconds: patience })
    return job
  }

  const stories = [
    t.test('a new schedule, another time zone and a resume fire nothing retroactively; suspending stops', async () => {
      const before = clocksBefore()
      await put(
        jobPolicy(namespace, 'edited', quick, before.edited),
        jobPolicy(namespace, 'moved', quick, before.moved),
        jobPolicy(namespace, 'resumed', quick, before.resumed),
        jobPolicy(namespace, 'stopped', quick, { schedule: everyMinute }),
        foreignCronJob('control', { schedule: everyMinute, suspend: true }),
      )
      const changing = ['edited', 'moved', 'resumed'] as const
      const cronJobsExist = async () =>
        (await Promise.all([...changing, 'stopped'].map(cronJobOf))).every(cronJob => cronJob !== undefined)
      await eventually('the CronJobs', cronJobsExist, { seconds: patience })
      // A slot of all of them passes between their creation and the change.
      const passed = nextMinute()
      await eventually('the next minute', () => Date.now() > passed + 3000, { seconds: 65 })
      const slotsBefore = await Promise.all(changing.map(slotsOf))
      assert.deepEqual(slotsBefore, [[], [], []])

      const next = nextMinute()
      await Promise.all([
        changeClocks(namespace),
        patch(namespace, 'backuppolicy/stopped', { spec: { suspend: true } }),
        patch(namespace, 'cronjob/control', { spec: { suspend: false } }),
      ])
      const seconds = (next - Date.now()) / 1000 + patience
      await Promise.all(
        changing.map(name => eventually(`a run of ${name}`, async () => (await slotsOf(name)).length > 0, { seconds })),
      )
      const { items } = await api.list<Job>(resources.jobs, { namespace })
      const ofControl = items.filter(({ metadata }) => metadata.name.startsWith('control-')).map(slotOf)
      assert.ok(ofControl.includes(passed), 'a CronJob that is resumed without our care fires the slot that has passed')
      assert.deepEqual(await Promise.all(changing.map(slotsOf)), [[next], [next], [next]])
      const ofStopped = await slotsOf('stopped')
      assert.ok(
        ofStopped.includes(passed) && !ofStopped.includes(next),
        `${ofStopped.join()} ran of ${passed}, ${next}`,
      )

      await policyCondition(namespace, 'stopped', 'Ready', 'Suspended')
      assert.equal((await run(namespace, 'stopped')).phase, 'Completed')
    }),

    t.test(
      'so it is with the clock of snapshots: an edit, another time zone and a resume fire nothing retroactively',
      () => snapshotClockStory(namespace),
    ),

    t.test('a foreign CronJob with our name: NameTaken, told by an event, and it stays as it is', async () => {
      await put(foreignCronJob('backup-taken', { schedule: '0 0 29 2 *', suspend: false }))
      const before = await cronJobOf('taken')
      await put(jobPolicy(namespace, 'taken', quick))
      const ready = await policyCondition(namespace, 'taken', 'Ready', 'NameTaken')
      assert.equal(ready.status, 'False')
      assert.match(ready.message, /a CronJob named backup-taken exists and is not ours; rename or delete it/)
      const fields = 'reason=NameTaken,involvedObject.kind=BackupPolicy,involvedObject.name=taken'
      const events = () => kubectl(cluster, ['-n', namespace, 'get', 'events', '--field-selector', fields])
      const told = await eventually('the event', async () => /Warning +NameTaken .*/.exec(await events()), {
        seconds: patience,
      })
      assert.match(told[0], /a CronJob named backup-taken exists and is not ours; rename or delete it/)
      await remove(namespace, 'backuppolicy/taken')
      await eventually('the policy to go', async () => (await policyOf('taken')) === undefined, { seconds: patience })
      const after = await cronJobOf('taken')
      assert.deepEqual([after?.metadata.uid, after?.spec], [before?.metadata.uid, before?.spec])
    }),

    t.test(
      'a policy deleted in mid-run: PolicyDeleted, data stay; applied again it goes on in its folder',
      async () => {
        await put(jobPolicy(namespace, 'reborn', quick))
        const first = await run(namespace, 'reborn-1', 'reborn')
        assert.equal(first.phase, 'Completed')
        const job = await startLong('reborn', 'reborn-2')
        await remove(namespace, 'backuppolicy/reborn')
        const second = await backupEnd(namespace, 'reborn-2')
        assert.deepEqual([second.phase, second.reason], ['Failed', 'PolicyDeleted'])
        await isGone('reborn', job)
        assert.equal(await cronJobOf('reborn'), undefined)
        await assertNothingIsLeft('reborn', job)
        const kept = await store.keys(`${namespace}/reborn/`)
        assert.ok(kept.includes(first.manifest ?? ''))
        assert.equal((await backupOf('reborn-1'))?.status?.phase, 'Completed')

        await put(jobPolicy(namespace, 'reborn', quick))
        const third = await run(namespace, 'reborn-3', 'reborn')
        assert.equal(third.phase, 'Completed')
        const expected = [first.manifest ?? '', third.manifest ?? '']
        assert.deepEqual(await store.keys(`${namespace}/reborn/manifests/`), expected)
        await eventually(
          'the policy to count both',
          async () => (await policyOf('reborn'))?.status?.targets?.[0]?.kept === 2,
          { seconds: patience },
        )
      },
    ),

    t.test('deleting a running Backup cancels it, and the next one may be asked for at once', async () => {
      const job = await startLong('cancelled')
      await remove(namespace, 'backup/cancelled')
      await put(jobPolicy(namespace, 'cancelled', quick), onDemand(namespace, 'again', 'cancelled'))
      await isGone('cancelled', job)
      await assertNothingIsLeft('cancelled', job)
      const status = await backupEnd(namespace, 'again')
      assert.deepEqual([status.phase, status.reason], ['Completed', 'Completed'])
    }),

    t.test('a Job deleted in mid-run: JobDeleted, for good', async () => {
      const job = await startLong('jobless', 'jobless-1')
      await remove(namespace, `job/${job}`)
      const status = await backupEnd(namespace, 'jobless-1')
      assert.deepEqual([status.phase, status.reason], ['Failed', 'JobDeleted'])
      await isGone('jobless', job)
      await assertNothingIsLeft('jobless', job)
      await put(jobPolicy(namespace, 'jobless', quick))
      assert.equal((await run(namespace, 'jobless-2', 'jobless')).phase, 'Completed')
      assert.deepEqual((await backupOf('jobless-1'))?.status, status)
      assert.equal((await runJobs(namespace, 'jobless')).length, 1)
    }),

    t.test(
      'a Job deleted without its pod, which goes on: nobody hears it any more, and the next run finds what it committed',
      async () => {
        const untilTold = shell('echo beginning; until [ -e /tmp/end ]; do sleep 1; done')
        const job = await startLong('orphaned', 'orphaned', untilTold)
        const [pod] = await runPods(namespace, 'orphaned')
        const name = pod?.metadata.name ?? ''
        await kubectl(cluster, ['-n', namespace, 'delete', '--cascade=orphan', `job/${job}`])
        const lost = await backupEnd(namespace, 'orphaned')
        assert.deepEqual([lost.phase, lost.reason], ['Failed', 'JobDeleted'])
        const manifests = () => store.keys(`${namespace}/orphaned/manifests/`)
        await kubectl(cluster, ['-n', namespace, 'exec', name, '--container', 'dump', '--', 'touch', '/tmp/end'])
        await eventually('its manifest', async () => (await manifests()).length === 1, { seconds: patience })
        await patch(namespace, 'backuppolicy/orphaned', { spec: { strategy: { job: quick } } })
        assert.equal((await run(namespace, 'orphaned-2', 'orphaned')).phase, 'Completed')
        await eventually(
          'the run that was lost to be Completed',
          async () => {
            const { items } = await api.list<Backup>(resources.backups, { namespace })
            return items.some(({ status }) => status?.phase === 'Completed' && status.run === job)
          },
          { seconds: patience },
        )
      },
    ),

    t.test('a pod deleted when its manifest is written: Completed, and one backup', async () => {
      await put(jobPolicy(namespace, 'shot', quick), onDemand(namespace, 'shot'))
      const manifests = () => store.keys(`${namespace}/shot/manifests/`)
      await eventually('the manifest', async () => (await manifests()).length > 0, { seconds: patience, every: 20 })
      const pod = ['pod', '--selector', 'backup.dev/policy=shot,backup.dev/role=run']
      await kubectl(cluster, ['-n', namespace, 'delete', ...pod, '--force', '--grace-period=0', '--wait=false'])
      const status = await backupEnd(namespace, 'shot')
      assert.deepEqual([status.phase, status.reason], ['Completed', 'Completed'])
      const [manifest = '', ...others] = await manifests()
      assert.deepEqual(others, [])
      const { attempt } = parseBackupRecord((await store.get(manifest)).toString())
      const data = await store.keys(`${namespace}/shot/data/`)
      assert.deepEqual(
        data.map(key => key.includes(attempt)),
        [true],
      )
    }),

    t.test(
      'F81: two on-demand Backups at once: one runs, the other waits for it, or is Skipped where that is asked for',
      async () => {
        await put(
          jobPolicy(namespace, 'queue', quick),
          onDemand(namespace, 'queue-1', 'queue'),
          onDemand(namespace, 'queue-2', 'queue'),
          // It runs for as long as the operator may need to look at the other.
          jobPolicy(namespace, 'twice', shell('sleep 20; echo data'), { whenBusy: 'Skip' }),
          onDemand(namespace, 'twice-1', 'twice'),
          onDemand(namespace, 'twice-2', 'twice'),
        )
        const both = await Promise.all([backupEnd(namespace, 'twice-1'), backupEnd(namespace, 'twice-2')])
        const reasons = both.map(({ phase, reason }) => `${phase}/${reason}`)
        assert.deepEqual(new Set(reasons), new Set(['Completed/Completed', 'Skipped/Overlapping']))
        assert.equal((await store.keys(`${namespace}/twice/manifests/`)).length, 1)
        const queue = await Promise.all([backupEnd(namespace, 'queue-1'), backupEnd(namespace, 'queue-2')])
        assert.deepEqual(
          queue.map(({ phase }) => phase),
          ['Completed', 'Completed'],
        )
        assert.equal((await store.keys(`${namespace}/queue/manifests/`)).length, 2)
      },
    ),

    t.test('a Backup without its policy: PolicyNotFound at once, Failed after a minute', async () => {
      await put(onDemand(namespace, 'lonely', 'nobody'))
      const waiting = await backupStatus(namespace, 'lonely', 'seen', ({ phase }) => phase !== undefined)
      assert.deepEqual([waiting.phase, waiting.reason], ['Pending', 'PolicyNotFound'])
      const ended = await backupEnd(namespace, 'lonely')
      assert.deepEqual([ended.phase, ended.reason], ['Failed', 'PolicyNotFound'])
      assert.match(ended.message ?? '', /there is no BackupPolicy nobody in namespace e2e-schedule; create it/)
    }),
  ]
  await Promise.all(stories)
})

function policyOf(name: string): Promise<BackupPolicy | undefined> {
  return api.get<BackupPolicy>(resources.backupPolicies, namespace, name)
}

function backupOf(name: string): Promise<Backup | undefined> {
  return api.get<Backup>(resources.backups, namespace, name)
}

function cronJobOf(policy: string): Promise<CronJob | undefined> {
  return api.get<CronJob>(resources.cronJobs, namespace, `backup-${policy}`)
}

/** Waits until a Job and its pods are gone. */
async function isGone(policy: string, job: string): Promise<void> {
  const left = async () => {
    const jobs = (await runJobs(namespace, policy)).filter(({ metadata }) => metadata.name === job)
    const pods = (await runPods(namespace, policy)).filter(
      ({ metadata }) => metadata.labels?.['batch.kubernetes.io/job-name'] === job,
    )
    return jobs.length + pods.length
  }
  await eventually(`Job ${job} and its pods to be gone`, async () => (await left()) === 0, {
    seconds: patience,
  })
}

function slotOf(job: Job): number | undefined {
  return slotOfJob(job)?.getTime()
}

/** The slots that a policy's CronJob has run, in ms, sorted. */
async function slotsOf(policy: string): Promise<readonly number[]> {
  const slots = (await runJobs(namespace, policy)).flatMap(job => slotOf(job) ?? [])
  return slots.toSorted((a, b) => a - b)
}

/** A CronJob of somebody else; its Jobs do nothing. */
function foreignCronJob(name: string, clock: { readonly schedule: string; readonly suspend: boolean }): Manifest {
  const container = { name: 'main', image: postgresImage, imagePullPolicy: 'IfNotPresent', command: ['true'] }
  const template = { spec: { restartPolicy: 'Never', containers: [container] } }
  const metadata = { namespace, name }
  return { apiVersion: 'batch/v1', kind: 'CronJob', metadata, spec: { ...clock, jobTemplate: { spec: { template } } } }
}
