// What keeps a run's pod from being made or from starting, on a real cluster: told within a minute while the run waits, ended by its
// deadline with that reason, gone without a trace with its Backup (F08).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kubectl } from '../dev/cluster-access.ts'
import { eventually } from '../dev/eventually.ts'
import type { BackupStatus } from '../src/api/kinds/backup.ts'
import { listed } from '../test/runner/long-list.ts'
import { cluster, patience } from './cluster.ts'
import { installMinio, installOperator } from './install.ts'
import { put } from './objects.ts'
import { changesPods } from './pod-changer.ts'
import {
  backupEnd,
  backupStatus,
  jobPolicy,
  onDemand,
  policyCondition,
  remove,
  run,
  runJobs,
  runPods,
  shell,
  storeNamespace,
} from './stack.ts'
import { assertNothingIsLeft, openStore } from './store.ts'

/** Within so many seconds a reason must be seen. */
const soon = 60

type Obstacle = {
  readonly name: string
  readonly what: string
  readonly job: Readonly<Record<string, unknown>>
  readonly reason: string
  readonly message: RegExp
  /** False: no container of the pod ever runs. The Job's own deadline ends such a run, ten minutes after that of its pods. */
  readonly moverRuns?: boolean
}

/** Pods that never get as far as the command: seen while the run is still waiting. */
const obstacles: readonly Obstacle[] = [
  {
    name: 'image',
    what: 'whose image does not exist',
    job: { image: 'localhost/no-such-image:1', args: ['pg_dump'] },
    reason: 'ImagePullFailed',
    message: /image of container dump cannot be pulled.*no-such-image/s,
  },
  {
    name: 'config',
    what: 'that needs a Secret that does not exist',
    job: {
      args: ['pg_dump'],
      env: [{ name: 'PGPASSWORD', valueFrom: { secretKeyRef: { name: 'nobody-made-it', key: 'password' } } }],
    },
    reason: 'ContainerConfigError',
    message: /container dump cannot start.*nobody-made-it/s,
  },
  {
    name: 'unschedulable',
    what: 'that asks for more than any node has',
    job: { args: ['pg_dump'], resources: { requests: { cpu: '1000' } } },
    reason: 'PodUnschedulable',
    message: /no node can take the pod.*cpu/s,
    moverRuns: false,
  },
]

test('runs that cannot start', { concurrency: 6 }, async t => {
  await Promise.all([installOperator(), installMinio()])
  const store = await openStore()
  t.after(() => store.close())
  const namespace = 'e2e-obstacles'
  await Promise.all([store.removeAll(namespace), storeNamespace(t, namespace)])

  // Those that mostly wait come first.
  const others = [
    t.test('a quota that refuses the pod: QuotaExceeded, and the run ends well once there is room', async s => {
      const place = await storeNamespace(s, 'e2e-obstacles-quota')
      await store.removeAll(place)
      const quota = { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { namespace: place, name: 'few' } }
      await put({ ...quota, spec: { hard: { pods: '0' } } })
      await eventually(
        'the quota to be in force',
        async () => await kubectl(cluster, ['-n', place, 'get', 'quota', 'few', '-o', 'jsonpath={.status.hard.pods}']),
        { seconds: patience },
      )
      await put(jobPolicy(place, 'crowded', shell('echo data')), onDemand(place, 'crowded'))
      const status = await backupStatus(place, 'crowded', 'refused', ({ reason }) => reason === 'QuotaExceeded', soon)
      assert.equal(status.phase, 'Pending')
      assert.match(status.message ?? '', /quota of the namespace refuses the pod: .*exceeded quota: few/s)
      await put({ ...quota, spec: { hard: { pods: '10' } } })
      assert.equal((await backupEnd(place, 'crowded', 120)).phase, 'Completed')
    }),

    t.test('a limit range that refuses the pod: PodCreationFailed with its words', async s => {
      const place = await storeNamespace(s, 'e2e-obstacles-limits')
      await store.removeAll(place)
      const spec = { limits: [{ type: 'Container', max: { memory: '8Mi' } }] }
      await put({ apiVersion: 'v1', kind: 'LimitRange', metadata: { namespace: place, name: 'small' }, spec })
      await put(jobPolicy(place, 'big', shell('echo data')), onDemand(place, 'big'))
      const status = await backupStatus(place, 'big', 'refused', ({ reason }) => reason === 'PodCreationFailed', soon)
      assert.equal(status.phase, 'Pending')
      assert.match(status.message ?? '', /maximum memory usage per Container is 8Mi/)
      assert.deepEqual(await store.keys(`${place}/`), [])
    }),

    t.test('a pod that pod security refuses: PodSecurityRejected, until nothing adds to it any more (F08)', async s => {
      const level = { 'pod-security.kubernetes.io/enforce': 'restricted' }
      const place = await storeNamespace(s, 'e2e-obstacles-security', level)
      await store.removeAll(place)
      // Ours pass `restricted` whatever a policy says, so that it takes somebody else to make one that does not.
      const changer = await changesPods(s, namespace, place)
      await put(jobPolicy(place, 'changed', shell('echo data')), onDemand(place, 'changed'))
      const refused = ({ reason }: BackupStatus) => reason === 'PodSecurityRejected'
      const status = await backupStatus(place, 'changed', 'refused', refused, soon)
      assert.equal(status.phase, 'Pending')
      assert.match(status.message ?? '', /violates PodSecurity "restricted:latest": .*hostNetwork=true/)
      const ready = await policyCondition(place, 'changed', 'Ready', 'PodSecurityRejected', soon)
      assert.equal(ready.status, 'Unknown')
      assert.deepEqual(await store.keys(`${place}/`), [])
      await changer.stop()
      assert.equal((await backupEnd(place, 'changed')).phase, 'Completed')
    }),
  ]

  const waiting = obstacles.map(({ name, what, job, reason, message, moverRuns = true }) =>
    t.test(`a command ${what}: ${reason}, and a cancelled run leaves nothing`, async () => {
      await put(jobPolicy(namespace, name, job))
      await put(onDemand(namespace, name))
      const status = await backupStatus(namespace, name, reason, seen => seen.reason === reason, soon)
      assert.equal(status.phase, 'Pending')
      assert.match(status.message ?? '', message)
      if (moverRuns) {
        // No upload is opened before the command's container says that it is there.
        const isThere = async () =>
          (await runPods(namespace, name)).some(({ status: pod }) =>
            pod?.containerStatuses?.some(({ name: container, state }) => container === 'mover' && state?.running),
          )
        await eventually('the mover to run, so that there is something to end', isThere, { seconds: patience })
      }
      await remove(namespace, `backup/${name}`)
      await eventually(
        'Job and pod to go with their Backup',
        async () => [...(await runJobs(namespace, name)), ...(await runPods(namespace, name))].length === 0,
        { seconds: patience },
      )
      await assertNothingIsLeft(store, namespace, name, status)
    }),
  )

  // Without a cluster: test/mover/source-faults.test.ts, src/plan/jobs/verdict.test.ts.
  const toTheEnd = obstacles.flatMap(each => (each.moverRuns === false ? [] : { ...each, long: true }))
  const bounded = listed(toTheEnd).map(({ name, what, job, reason, message }) =>
    t.test(`a command ${what}, to the end: Failed at its deadline, and ${reason} stays the reason`, async () => {
      const policy = `${name}-bounded`
      await put(jobPolicy(namespace, policy, job, { activeDeadlineSeconds: 30, backoffLimit: 0 }))
      const status = await run(namespace, policy)
      assert.deepEqual([status.phase, status.reason], ['Failed', reason])
      assert.match(status.message ?? '', message)
      await assertNothingIsLeft(store, namespace, policy, status)
    }),
  )

  await Promise.all([...others, ...waiting, ...bounded])
})
