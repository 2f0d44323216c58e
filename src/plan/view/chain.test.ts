import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  backup,
  complete,
  completed,
  controlledBy,
  ended,
  job,
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
import type { Job, KubernetesObject, OwnerReference, Pod } from '../../api/kubernetes.ts'
import { annotation, label, policyLabels } from '../../api/labels.ts'
import type { MoverMessage } from '../../api/mover/message.ts'
import { runsDigest } from '../../api/mover/runs-digest.ts'
import { catalogJobName, cronJobName, onDemandJobName, probeJobName } from '../../api/names.ts'
import { stateHash, storeLocation } from '../../resources/desired-state.ts'
import { planPolicy as plan } from '../policy/policy.ts'
import { scheduleHash } from '../policy/schedule.ts'
import { chainOf } from './chain.ts'
import { viewOf } from './view.ts'
import type { PolicyWorld } from './world.ts'

const now = at('12:00')
const accounted = { scheduleSince: stamp(at('00:00')), accountedUntil: stamp(at('04:00')) }
const made = policy({}, { status: { ...accounted, scheduleHash: scheduleHash(policy()) } })
const { backend } = made.spec
const cronJob = world(made).cronJob ?? assert.fail()
const slots = [at('01:00'), at('02:00'), at('03:00')] as const
const [good, lost, going] = slots.map(slot => jobOfSlot(slot)) as [Job, Job, Job]

/** A good Backup, one whose Job is gone, one whose Job goes on, one that is asked for, and one over two targets. */
const honest: PolicyWorld = world(made, {
  backups: [
    scheduled(slots[0], { status: completed(good.metadata.name, at('01:10')) }),
    scheduled(slots[1], {
      status: { phase: 'Running', startTime: stamp(slots[1]), run: lost.metadata.name, jobUID: lost.metadata.uid },
    }),
    scheduled(slots[2]),
    backup('asked', { metadata: { creationTimestamp: stamp(at('11:59')) } }),
  ],
  jobs: [going],
  pods: [pod(going, 1)],
})
const asked = honest.backups.at(-1) ?? assert.fail()
const runs = [good, lost, going].map(({ metadata }) => metadata.name)
const hash = stateHash(backend)
const page = { entries: [], next: undefined } as const

/** All that an opponent would have us believe. */
const lie = (run: string): MoverMessage => ({
  phase: 'committed',
  run,
  finishedAt: now.getTime(),
  bytes: 1,
  storedBytes: 1,
  manifest: 'm',
  deleted: runs,
  kept: { count: 0, digest: runsDigest([]) },
  catalog: page,
  probe: { conditionalPut: true, canList: true, canDelete: true },
})

function planned(seen: PolicyWorld) {
  const { groups, conclude, wakeAt } = plan(seen, now)
  return { groups, told: conclude(new Map()), wakeAt }
}

const withForged = (jobs: readonly Job[], pods: readonly Pod[]): PolicyWorld => ({
  ...honest,
  jobs: [...jobs, ...honest.jobs],
  pods: [...pods, ...honest.pods],
})

/** What a Job can be taken for, by its name and its label. */
const parts = [
  ['the Job of a run that was lost', 'run', lost.metadata.name],
  ['a Job of a slot that was not recorded', 'run', jobOfSlot(at('11:00')).metadata.name],
  ['the Job of a run that is asked for', 'run', onDemandJobName('nightly', asked.metadata.uid ?? '')],
  ['the probe', 'probe', probeJobName('nightly', made.metadata.uid ?? '', hash, 0)],
  ['a page of the catalog', 'catalog', catalogJobName('nightly', lost.metadata.name, '')],
] as const

const annotations = {
  [annotation.cronJobSlot]: stamp(at('11:00')),
  ...(backend ? { [annotation.store]: storeLocation(backend) } : {}),
}
const states: readonly Job['status'][] = [
  { startTime: stamp(at('11:00')), active: 1 },
  complete(at('11:00'), at('11:10')),
  jobFailed(at('11:00'), at('11:10')),
  // Long lost.
  { startTime: '2025-12-01T00:00:00Z', active: 1 },
]

const ownersOfJobs: readonly (readonly [string, readonly OwnerReference[]])[] = [
  ['nobody', []],
  ['a CronJob of our name with another UID', [{ ...controlledBy(cronJob), uid: 'other' }]],
  ['our CronJob, which does not control it', [{ ...controlledBy(cronJob), controller: false }]],
  ['our CronJob, which does not say so', [{ ...controlledBy(cronJob), controller: undefined }]],
  ['our CronJob as something of another API', [{ ...controlledBy(cronJob), apiVersion: 'example.com/v1' }]],
  ['something of another kind with the UID of our CronJob', [{ ...controlledBy(cronJob), kind: 'Job' }]],
  ['the CronJob of another policy', [{ ...controlledBy(cronJob), name: cronJobName('other'), uid: 'of-other' }]],
  ['a policy of our name with another UID', [{ ...controlledBy(made), uid: 'other' }]],
  ['our policy, which does not control it', [{ ...controlledBy(made), controller: false }]],
  [
    'our policy, beside another controller',
    [
      { ...controlledBy(made), controller: false },
      { ...controlledBy(cronJob), uid: 'other' },
    ],
  ],
]

suite('no Job is believed, followed or deleted that has our labels and names, and is controlled by', () => {
  for (const [who, ownerReferences] of ownersOfJobs)
    test(`${who} (F74)`, () => {
      for (const [what, role, name] of parts)
        for (const status of states) {
          const metadata = {
            annotations,
            ownerReferences,
            uid: 'forged',
          }
          const forged = job(name, role, { metadata, status })
          const said = pod(forged, 1, { status: { phase: 'Succeeded', containerStatuses: [saying(lie(name))] } })
          assert.deepEqual(planned(withForged([forged], [said])), planned(honest), `${what} ${JSON.stringify(status)}`)
        }
    })
})

suite('no pod is believed that has all our labels and names, and is controlled by', () => {
  const ours = controlledBy(going)
  for (const [who, ownerReferences] of [
    ['nobody', []],
    ['a Job of our name with another UID', [{ ...ours, uid: 'other' }]],
    ['our Job, which does not control it', [{ ...ours, controller: false }]],
    ['our Job, which does not say so', [{ ...ours, controller: undefined }]],
    ['our Job as something of another API', [{ ...ours, apiVersion: 'example.com/v1' }]],
    ['something of another kind with the UID of our Job', [{ ...ours, kind: 'ReplicaSet' }]],
    [
      'another controller, beside our Job',
      [
        { ...ours, kind: 'Pod', uid: 'other' },
        { ...ours, controller: false },
      ],
    ],
  ] as const)
    test(`${who} (F74)`, () => {
      for (const each of [good, lost, going]) {
        const status = { phase: 'Succeeded', containerStatuses: [saying(lie(each.metadata.name))] } as const
        const said = pod(each, 2, { metadata: { ownerReferences }, status })
        assert.deepEqual(planned(withForged([], [said])), planned(honest), each.metadata.name)
      }
    })
})

test('what our own chain says is believed: the lies above would be told, if it were one of them (F74)', () => {
  const status = { phase: 'Succeeded', containerStatuses: [saying(lie(lost.metadata.name))] } as const
  const { actions } = planPolicy(withForged([], [pod(lost, 1, { status })]), now)
  const told = only(actions, 'status Backup').map(({ backup: { metadata }, status: { phase } }) => [
    metadata.name,
    phase,
  ])
  assert.ok(told.some(([name, phase]) => name === lost.metadata.name && phase === 'Completed'))
})

test('a run whose Job went before its UID was recorded is lost, whatever pods have its name (F74)', () => {
  const unrecorded = scheduled(slots[1], { status: { phase: 'Running', startTime: stamp(slots[1]) } })
  const status = { phase: 'Succeeded', containerStatuses: [saying(lie(lost.metadata.name))] } as const
  const seen = world(made, { backups: [unrecorded], pods: [pod(lost, 1, { status })] })
  const [written] = only(planPolicy(seen, now).actions, 'status Backup')
  assert.deepEqual([written?.status.phase, written?.status.reason], ['Failed', 'JobDeleted'])
})

test('the UID of its Job is in the status of a run as soon as it is seen, and stays when the Job goes (F74)', () => {
  const first = planPolicy(world(made, { backups: [scheduled(slots[2])], jobs: [going], pods: [pod(going, 1)] }), now)
  const [seen] = only(first.actions, 'status Backup')
  assert.equal(seen?.status.jobUID, going.metadata.uid)
  const left = world(made, { backups: [{ ...seen.backup, status: seen.status }], pods: [pod(going, 1)] })
  const [waiting] = only(planPolicy(left, now).actions, 'status Backup')
  assert.deepEqual([waiting?.status.reason, waiting?.status.jobUID], ['JobDeleted', going.metadata.uid])
})

test('a CronJob that was made anew is another one, and the Jobs of both are ours (F74)', () => {
  const again = { ...cronJob, metadata: { ...cronJob.metadata, uid: 'again' } }
  const [first] = only(planPolicy(world(made), now).actions, 'status BackupPolicy')
  assert.deepEqual(first?.status.cronJobUIDs, [cronJob.metadata.uid])
  const remembers = policy({}, { status: first.status })
  const [second] = only(planPolicy(world(remembers, { cronJob: again }), now).actions, 'status BackupPolicy')
  assert.deepEqual(second?.status.cronJobUIDs, ['again', cronJob.metadata.uid])

  const newer = jobOfSlot(at('11:00'), { metadata: { ownerReferences: [controlledBy(again)] } })
  const jobs = [going, newer]
  const believed = (of: typeof made, standing: PolicyWorld['cronJob']) =>
    viewOf(world(of, { cronJob: standing, jobs })).runJobs.map(each => each.job)
  assert.deepEqual(believed(policy({}, { status: second.status }), undefined), jobs)
  assert.deepEqual(believed(made, again), [newer], 'nobody knows of the earlier one')
  assert.deepEqual(believed(policy({}, { metadata: { uid: 'a new policy of this name' } }), again), [])
})

test('of the CronJobs that a policy has had the newest five are remembered', () => {
  const status = { cronJobUIDs: ['5', '4', '3', '2', '1'] }
  const { cronJobUIDs } = chainOf(world(policy({}, { status })))
  assert.deepEqual(cronJobUIDs, [cronJob.metadata.uid, '5', '4', '3', '2'])
})

test('a Job that somebody orphaned is still that of the Backup which recorded it (F74)', () => {
  const orphan = { ...going, metadata: { ...going.metadata, ownerReferences: [] } }
  const knows = scheduled(slots[2], { status: { phase: 'Running', jobUID: going.metadata.uid } })
  for (const [backups, is] of [
    [[knows], 'ours'],
    [[scheduled(slots[2])], 'strange'],
  ] as const)
    assert.equal(chainOf(world(made, { backups })).standingOf(orphan), is)
})

test('the Job of a Backup that was deleted is waited for, and nothing that it says is believed (F74)', () => {
  const deleted = backup('deleted', { metadata: { uid: 'uid-of-deleted' } })
  const leaving = jobOfBackup(deleted, { status: { startTime: stamp(at('11:50')), active: 1 } })
  const pods = [pod(leaving, 1, { status: { phase: 'Running', containerStatuses: [running('mover')] } })]
  const view = viewOf(world(made, { backups: [asked], jobs: [leaving], pods }))
  assert.deepEqual([view.leaving.map(each => each.job), view.runJobs, view.pods], [[leaving], [], []])
  const misnamed = { ...leaving, metadata: { ...leaving.metadata, name: 'backup-nightly-0123456789' } }
  assert.deepEqual(viewOf(world(made, { jobs: [misnamed] })).leaving, [], 'it is not named for any such Backup')
})

test('no Backup tells of a run that goes on because an annotation names it: that is for what came back from the bucket (F74)', () => {
  const own = jobOfBackup(asked, { status: { startTime: stamp(at('11:59')), active: 1 } })
  for (const [run, teller] of [
    [own, asked],
    [going, scheduled(slots[2])],
  ] as const) {
    const metadata = { annotations: { [annotation.run]: run.metadata.name } }
    const claiming = [backup('x', { metadata }), backup(run.metadata.name, { metadata })]
    const backups = [teller, ...claiming.filter(({ metadata: { name } }) => name !== teller.metadata.name)]
    const seen = world(made, { backups, jobs: [run], pods: [pod(run, 1)] })
    const telling = viewOf(seen).runs.filter(({ job: of }) => of)
    assert.deepEqual(
      telling.map(each => each.backup),
      [teller],
    )
    const [written] = only(planPolicy(seen, now).actions, 'status Backup').filter(
      ({ object }) => object.metadata.name === 'x',
    )
    assert.equal(written?.status.reason, 'Overlapping', 'to the operator it is a request like any other')
  }
})

test('a child is only the Backup that the parent controls: others change no verdict (F74)', () => {
  const parent = backup('all', { status: { phase: 'Running', reason: 'Children' } })
  const child = backup('all-data', { metadata: { ownerReferences: [controlledBy(parent)] } })
  const claims = backup('x', { metadata: { ownerReferences: [{ ...controlledBy(parent), controller: false }] } })
  const [view] = viewOf(world(made, { backups: [parent, child, claims] })).runs
  assert.deepEqual(view?.children, [child])
})

test('whatever Jobs and pods have our labels, without our chain the plan is the same, and is made in bounded time (F74)', () => {
  const real: readonly KubernetesObject[] = [made, cronJob, going, good, lost, asked, ...honest.pods]
  const uid = fc.constantFrom(...real.map(({ metadata }) => metadata.uid ?? ''), 'other', '')
  const owner = fc.record(
    {
      apiVersion: fc.constantFrom('batch/v1', 'backup.dev/v1alpha1', 'v1', 'apps/v1', ''),
      kind: fc.constantFrom('CronJob', 'Job', 'BackupPolicy', 'Backup', 'Pod', 'ReplicaSet', ''),
      name: fc.constantFrom(...real.map(({ metadata }) => metadata.name), ''),
      uid,
      controller: fc.boolean(),
    },
    { requiredKeys: ['apiVersion', 'kind', 'name', 'uid'] },
  )
  const isChain = ({ apiVersion, kind, uid: of, controller }: OwnerReference) =>
    controller === true &&
    real.some(each => each.metadata.uid === of && each.kind === kind && each.apiVersion === apiVersion)
  const owners = fc.array(
    owner.filter(each => !isChain(each)),
    { maxLength: 3 },
  )
  const text = fc.oneof(fc.string(), fc.constantFrom('', ...runs, '2026-01-05T11:00:00Z', 'Complete', 'Failed'))
  const name = fc.oneof(
    fc.constantFrom(...parts.map(([, , each]) => each), 'backup-nightly-0123456789'),
    fc.stringMatching(/^[a-z][a-z0-9-]{0,40}[a-z0-9]$/),
  )
  const labels = fc.record(
    {
      [label.role]: fc.constantFrom('run', 'probe', 'catalog', 'hold', ''),
      [label.target]: fc.constantFrom('command', 'data', ''),
      'batch.kubernetes.io/job-name': name,
      'batch.kubernetes.io/controller-uid': uid,
    },
    { requiredKeys: [] },
  )
  const metadata = fc
    .record({ name, uid: fc.uuid(), labels, ownerReferences: fc.option(owners, { nil: undefined }) })
    .map(each => ({
      ...each,
      namespace: 'shop',
      creationTimestamp: stamp(at('11:00')),
      labels: { ...policyLabels('nightly'), ...each.labels },
    }))
  const condition = fc.record({ type: text, status: fc.constantFrom('True', 'False', ''), lastTransitionTime: text })
  const jobStatus = fc.record(
    { startTime: text, completionTime: text, active: fc.integer(), conditions: fc.array(condition, { maxLength: 3 }) },
    { requiredKeys: [] },
  )
  const words = fc.oneof(fc.string(), fc.json(), fc.constantFrom(...runs.map(run => JSON.stringify(lie(run)))))
  const container = fc
    .tuple(fc.constantFrom('mover', 'dump', 'istio-proxy'), fc.integer(), words)
    .map(([of, exitCode, message]) => ended(of, exitCode, { message }))
  const podStatus = fc.record(
    {
      phase: fc.constantFrom('Pending' as const, 'Running' as const, 'Succeeded' as const, 'Failed' as const),
      containerStatuses: fc.array(container, { maxLength: 3 }),
    },
    { requiredKeys: [] },
  )
  const jobs = fc.array(
    fc
      .tuple(metadata, fc.option(jobStatus, { nil: undefined }))
      .map(([of, status]) => ({ ...job('x', 'run'), metadata: of, status })),
    { maxLength: 6 },
  )
  const pods = fc.array(
    fc
      .tuple(metadata, fc.option(podStatus, { nil: undefined }))
      .map(([of, status]): Pod => ({ apiVersion: 'v1', kind: 'Pod', metadata: of, status })),
    { maxLength: 6 },
  )
  const expected = planned(honest)
  fc.assert(
    fc.property(jobs, pods, (someJobs, somePods) => {
      const begin = performance.now()
      const found = planned(withForged(someJobs, somePods))
      assert.ok(performance.now() - begin < 2000)
      assert.deepEqual(found, expected)
    }),
    { numRuns: 500 },
  )
})
