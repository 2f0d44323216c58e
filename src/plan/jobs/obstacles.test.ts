import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judge, only, planPolicy } from '../../../test/plan/planned.ts'
import { at, jobOfSlot, pod, policy, running, scheduled, world } from '../../../test/plan/world.ts'
import type { Job, Pod } from '../../api/kubernetes.ts'
import { lostAt } from './verdict.ts'

const now = at('02:05')
const going = jobOfSlot(at('02:00'), { status: { active: 1 } })
const suspended = jobOfSlot(at('02:00'), { spec: { suspend: true } })
const pending = (of: Job, attempt: number) => pod(of, attempt, { status: { phase: 'Pending' } })
const disrupted = (of: Job, attempt: number, message: string) =>
  pod(of, attempt, {
    status: {
      phase: 'Failed',
      conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI', message }],
    },
  })
const outOfDisk = (of: Job, attempt: number) =>
  pod(of, attempt, { status: { phase: 'Failed', reason: 'Evicted', message: 'the node was low on disk' } })

test('F90: a run whose pods are evicted again and again says how often, and why the last time', () => {
  const pods = [1, 2, 3, 4, 5].map(attempt => outOfDisk(going, attempt))
  const { phase, reason, message, attempts } = judge(going, [...pods, pending(going, 6)], [], undefined, now)
  assert.deepEqual([phase, reason, attempts], ['Pending', 'Evicted', 6])
  assert.equal(
    message,
    'its pods were evicted 5 times, the last time because: the node was low on disk; attempt 6 waits to start',
  )
  const between = judge(jobOfSlot(at('02:00')), pods, [], undefined, now)
  assert.match(between.message, /evicted 5 times.*attempt 6 waits to start/)
})

test('F90: attempts whose pods are gone by now stay counted', () => {
  let before:
    | { readonly reason: string; readonly message: string; readonly attempts: number; readonly pod?: string }
    | undefined
  const seen: readonly Pod[][] = [
    [],
    [pending(going, 1)],
    [disrupted(going, 1, 'drained')],
    [],
    [pending(going, 2)],
    [pending(going, 2)],
    [],
    [pending(going, 3)],
  ]
  for (const pods of seen) before = judge(going, pods, [], before, now)
  assert.equal(before?.attempts, 3)
  assert.equal(before?.message, 'its pods were evicted 2 times; attempt 3 waits to start')
  const run = judge(going, [pod(going, 3)], [], before, now)
  assert.deepEqual([run.phase, run.message], ['Running', 'the backup is being made, attempt 3'])
})

test('F90: attempts that failed by themselves are not called evicted', () => {
  const job = jobOfSlot(at('02:00'), { status: { active: 1, failed: 1 } })
  const first = pod(job, 1, { status: { phase: 'Failed', containerStatuses: [running('dump')] } })
  assert.equal(judge(job, [first, pending(job, 2)], [], undefined, now).reason, 'PodPending')
  const early = jobOfSlot(at('02:00'), { status: { active: 1 } })
  assert.equal(
    judge(early, [first, pending(early, 2)], [], undefined, now).reason,
    'PodPending',
    'its Job has not counted it yet',
  )
  const both = judge(job, [first, disrupted(job, 2, 'drained'), pending(job, 3)], [], undefined, now)
  assert.match(both.message, /evicted once, the last time because: drained; attempt 3 waits/)
})

test('F90: pods that the end of their Job takes were not evicted: what kept them stays said', () => {
  const conditions = [{ type: 'FailureTarget', status: 'True', reason: 'DeadlineExceeded' }]
  const ended = jobOfSlot(at('02:00'), { status: { conditions } })
  const before = { reason: 'PodUnschedulable', message: 'no node can take the pod: no cpu', attempts: 1 }
  for (const pods of [[], [disrupted(ended, 1, 'PodGC: terminating pod that was never scheduled')]]) {
    const { phase, reason, message } = judge(ended, pods, [], { ...before, pod: pods[0]?.metadata.name }, now)
    assert.deepEqual([phase, reason, message], ['Pending', before.reason, before.message])
  }
})

test('F90: what keeps the next pod from starting is said first', () => {
  const unschedulable = pod(going, 2, {
    status: {
      phase: 'Pending',
      conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: 'no cpu' }],
    },
  })
  const { reason, message } = judge(going, [outOfDisk(going, 1), unschedulable], [], undefined, now)
  assert.equal(reason, 'PodUnschedulable')
  assert.match(message, /^no node can take the pod: no cpu; before that, its pods were evicted once/)
})

test('F90: a Job that somebody has suspended says so, and whose queue it is in', () => {
  const { phase, reason, message } = judge(suspended, [], [], undefined, now)
  assert.deepEqual([phase, reason], ['Pending', 'JobSuspended'])
  assert.match(message, /is suspended by a queue controller or a person; it goes on when its spec\.suspend is false/)
  const { metadata } = suspended
  const queued = {
    ...suspended,
    metadata: { ...metadata, labels: { ...metadata.labels, 'kueue.x-k8s.io/queue-name': 'night' } },
  }
  assert.match(judge(queued, [], [], undefined, now).message, /by Kueue, for its queue night/)
})

test('F90: one that stays suspended until its deadline failed for that reason', () => {
  const end = lostAt(suspended)
  assert.ok(end)
  const { phase, reason } = judge(suspended, [], [], undefined, end)
  assert.deepEqual([phase, reason], ['Failed', 'JobSuspended'])
})

test('F90: a Backup has the number of its attempts and the pod of the newest', () => {
  const seen = world(policy(), {
    backups: [scheduled(at('02:00'))],
    jobs: [going],
    pods: [outOfDisk(going, 1), pending(going, 2)],
  })
  const [written] = only(planPolicy(seen, now).actions, 'status Backup')
  assert.deepEqual([written?.status.attempts, written?.status.pod], [2, pending(going, 2).metadata.name])
})
