import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import {
  at,
  complete,
  ended,
  failedCreate,
  jobFailed,
  jobOfSlot,
  pod,
  running,
  saying,
  stamp,
  waiting,
} from '../../../test/plan/world.ts'
import type { Job, JobEvent, Pod } from '../../api/kubernetes.ts'
import { exitCodeOf, moverReasons, type MoverReason } from '../../api/mover/reasons.ts'
import { moverPaths } from '../../api/mover/pod.ts'
import type { LastWords } from './obstacles.ts'
import { judge } from '../../../test/plan/planned.ts'
import { lostAt } from './verdict.ts'
import { addSeconds } from '../../schedule/times.ts'

const start = at('02:00')
const end = at('02:10')
const going = jobOfSlot(start)
const over = jobOfSlot(start, { status: jobFailed(start, end) })
const done = jobOfSlot(start, { status: complete(start, end) })

const committed = { phase: 'committed', run: going.metadata.name, finishedAt: end.getTime(), bytes: 10 } as const
const failing = (reason: MoverReason, sourceStatus?: number) =>
  saying({ phase: 'failed', reason, message: `told: ${reason}`, sourceStatus }, exitCodeOf(reason))
const dead = (of: Job, ...containerStatuses: NonNullable<NonNullable<Pod['status']>['containerStatuses']>) =>
  pod(of, 1, { status: { phase: 'Failed', containerStatuses } })

const startedAt = at('02:01').getTime()
const nth = (attempt: number, ...containerStatuses: NonNullable<NonNullable<Pod['status']>['containerStatuses']>) =>
  pod(over, attempt, {
    metadata: { creationTimestamp: stamp(addSeconds(start, attempt * 60)) },
    status: { phase: 'Failed', containerStatuses },
  })
/** It, or another, wrote a manifest of an attempt that began at `startedAt`. */
const killedBehindCommit = (attempt: number) => nth(attempt, ended('dump', 0), saying({ ...committed, startedAt }, 137))
const disproving = (attempt: number, reason: MoverReason) =>
  nth(attempt, ended('dump', 0), saying({ phase: 'failed', reason, message: 'taken back', disproved: startedAt }, 20))

/** A pod beside whose containers one of others runs that never ends. */
const meshed = (...ours: NonNullable<NonNullable<Pod['status']>['containerStatuses']>) =>
  pod(going, 1, { status: { phase: 'Running', containerStatuses: [...ours, running('mesh-proxy')] } })

/** A row: what is seen, and what becomes of the run. */
type Row = readonly [
  what: string,
  seen: {
    readonly job: Job
    readonly pods?: readonly Pod[]
    readonly events?: readonly JobEvent[]
    readonly before?: LastWords
    readonly now?: Date
  },
  phase: string,
  reason: string,
  message?: RegExp,
]

const rows: readonly Row[] = [
  // data-path.md, section 4: what ends what
  [
    'a command that exits with 3 fails with its status',
    { job: over, pods: [dead(over, ended('dump', 3, { message: 'no such table' }), failing('SourceExit', 3))] },
    'Failed',
    'SourceExit',
    /told: SourceExit/,
  ],
  [
    'a command that is killed',
    { job: over, pods: [dead(over, ended('dump', 137), failing('SourceSignalled', 137))] },
    'Failed',
    'SourceSignalled',
  ],
  [
    'a command that is out of memory, as cgroup v1 ends it: one process',
    { job: over, pods: [dead(over, ended('dump', 137, { reason: 'OOMKilled' }), failing('SourceSignalled', 137))] },
    'Failed',
    'OOMKilled',
    /limits\.memory/,
  ],
  [
    'a container that is out of memory, as cgroup v2 ends it: all of it',
    { job: over, pods: [dead(over, ended('dump', 137, { reason: 'OOMKilled' }), failing('SourceKilled'))] },
    'Failed',
    'OOMKilled',
  ],
  [
    'a container that died without a status',
    { job: over, pods: [dead(over, ended('dump', 137), failing('SourceKilled'))] },
    'Failed',
    'SourceKilled',
  ],
  [
    'a mover that was killed and had not got far',
    {
      job: over,
      pods: [dead(over, ended('dump', 75), saying({ phase: 'receiving', bytes: 5 }, 137))],
    },
    'Failed',
    'MoverDied',
    /exit code 137/,
  ],
  [
    'a mover that is out of memory is our fault',
    { job: over, pods: [dead(over, ended('dump', 75), ended('mover', 137, { reason: 'OOMKilled' }))] },
    'Failed',
    'OOMKilled',
    /defect/,
  ],
  ...(
    [
      'StoreUnavailable',
      'EndpointUnreachable',
      'AccessDenied',
      'BucketNotFound',
      'EmptyOutput',
      'CommandNotFound',
      'WritersRemain',
      'SourceStalled',
      'Protocol',
      'RunExists',
    ] as const satisfies MoverReason[]
  ).map((reason): Row => [
    `what the mover says is the reason: ${reason}`,
    { job: over, pods: [dead(over, ended('dump', 75), failing(reason))] },
    'Failed',
    reason,
  ]),
  [
    'a pod that was evicted',
    { job: over, pods: [pod(over, 1, { status: { phase: 'Failed', reason: 'Evicted', message: 'low on disk' } })] },
    'Failed',
    'Evicted',
    /low on disk/,
  ],
  [
    'a pod that reached its own deadline',
    { job: over, pods: [pod(over, 1, { status: { phase: 'Failed', reason: 'DeadlineExceeded' } })] },
    'Failed',
    'DeadlineExceeded',
    /21600 s/,
  ],
  [
    "the Job's deadline, after which its pod is gone",
    { job: jobOfSlot(start, { status: jobFailed(start, end, { reason: 'DeadlineExceeded' }) }) },
    'Failed',
    'DeadlineExceeded',
    /65400 s/,
  ],
  [
    'a deadline is explained by what was seen before it',
    {
      job: jobOfSlot(start, { status: jobFailed(start, end, { reason: 'DeadlineExceeded' }) }),
      before: { reason: 'PodUnschedulable', message: 'so it was' },
    },
    'Failed',
    'PodUnschedulable',
    /before a pod could be made; before that, so it was/,
  ],
  [
    'what kept a pod until its deadline is remembered while the Job goes on',
    {
      job: going,
      pods: [dead(going, ended('dump', 137, { reason: 'ContainerStatusUnknown' }), failing('Terminated'))],
      before: { reason: 'ImagePullFailed', message: 'so it was' },
    },
    'Pending',
    'ImagePullFailed',
    /^so it was$/,
  ],
  [
    'what kept a pod until its deadline is the reason, also where the kubelet knows no end of the container',
    {
      job: jobOfSlot(start, { status: jobFailed(start, end) }),
      pods: [
        pod(going, 1, {
          status: {
            phase: 'Failed',
            reason: 'DeadlineExceeded',
            startTime: stamp(start),
            containerStatuses: [
              ended('dump', 137, { reason: 'ContainerStatusUnknown', startedAt: null, finishedAt: null }),
              failing('Terminated'),
            ],
          },
        }),
      ],
      before: { reason: 'ImagePullFailed', message: 'so it was' },
    },
    'Failed',
    'ImagePullFailed',
  ],
  [
    'what no obstacle came before is not remembered',
    { job: going, pods: [dead(going, failing('Terminated'))], before: { reason: 'Running', message: 'it ran' } },
    'Pending',
    'PodPending',
  ],
  [
    'a Job that failed and has no pod to say why',
    { job: jobOfSlot(start, { status: jobFailed(start, end, { message: 'backoff limit reached' }) }) },
    'Failed',
    'JobFailed',
    /backoff limit reached/,
  ],
  // R1: the commit decides
  [
    'a committed message is success, though the pod failed after it',
    { job: over, pods: [dead(over, ended('dump', 137), saying(committed, 137))] },
    'Completed',
    'Completed',
  ],
  [
    'a committed message is success, though the Job reached its deadline',
    {
      job: jobOfSlot(start, { status: jobFailed(start, end, { reason: 'DeadlineExceeded' }) }),
      pods: [dead(over, ended('dump', 0), saying(committed))],
    },
    'Completed',
    'Completed',
  ],
  [
    'a committed message is success before the Job has ended',
    { job: going, pods: [pod(going, 1, { status: { containerStatuses: [running('dump'), saying(committed)] } })] },
    'Completed',
    'Completed',
  ],
  [
    'an earlier attempt that committed is success, though a later one failed',
    {
      job: over,
      pods: [
        dead(over, ended('dump', 0), saying(committed, 137)),
        pod(over, 2, {
          metadata: { creationTimestamp: stamp(at('02:09')) },
          status: { phase: 'Failed', containerStatuses: [ended('dump', 75), failing('RunExists')] },
        }),
      ],
    },
    'Completed',
    'Completed',
  ],
  [
    'F59: an earlier attempt that committed has no backup where a later one has disproved its manifest',
    { job: over, pods: [killedBehindCommit(1), disproving(2, 'DataLost')] },
    'Failed',
    'DataLost',
  ],
  [
    'F59: a later attempt that committed has no backup where an earlier one, whose machine slept, has disproved its manifest',
    { job: over, pods: [disproving(1, 'AttemptExpired'), killedBehindCommit(2)] },
    'Failed',
    'MoverDied',
  ],
  [
    'F59: data that a later attempt has lost before a manifest of its own take back nothing that an earlier one has committed',
    {
      job: over,
      pods: [
        killedBehindCommit(1),
        pod(over, 2, {
          metadata: { creationTimestamp: stamp(at('02:09')) },
          status: { phase: 'Failed', containerStatuses: [ended('dump', 0), failing('DataLost')] },
        }),
      ],
    },
    'Completed',
    'Completed',
  ],
  [
    'F59: an attempt that commits anew after one manifest was disproved has made a backup',
    {
      job: done,
      pods: [
        disproving(1, 'DataLost'),
        pod(done, 2, {
          metadata: { creationTimestamp: stamp(at('02:09')) },
          status: {
            phase: 'Succeeded',
            containerStatuses: [ended('dump', 0), saying({ ...committed, startedAt: at('02:09').getTime() })],
          },
        }),
      ],
    },
    'Completed',
    'Completed',
    /^the backup is complete$/,
  ],
  ['a complete Job is success, though its pod is gone', { job: done }, 'Completed', 'Completed', /sizes are not known/],
  [
    'a complete Job is success, though the last words of its mover were lost',
    {
      job: done,
      pods: [pod(done, 1, { status: { phase: 'Succeeded', containerStatuses: [saying({ phase: 'committing' })] } })],
    },
    'Completed',
    'Completed',
  ],
  [
    'a Job whose controller has decided is not failed before its pods have ended: the mover may still commit',
    {
      job: jobOfSlot(start, { status: { ...jobFailed(start, end, { type: 'FailureTarget' }), active: 1 } }),
      pods: [pod(going, 1)],
    },
    'Running',
    'Running',
  ],
  // what a failed attempt means for the run
  [
    'a failed attempt is not the run: the next one is on its way',
    { job: going, pods: [dead(going, ended('dump', 75), failing('StoreUnavailable'))] },
    'Pending',
    'PodPending',
  ],
  [
    'the second attempt runs',
    {
      job: going,
      pods: [
        dead(going, ended('dump', 75), failing('StoreUnavailable')),
        pod(going, 2, { metadata: { creationTimestamp: stamp(at('02:05')) } }),
      ],
    },
    'Running',
    'Running',
    /attempt 2; the attempt before failed \(StoreUnavailable: told: StoreUnavailable\)/,
  ],
  [
    'a mover that failed while the image of the command is still pulled waits: the command will see it and end',
    {
      job: going,
      pods: [
        pod(going, 1, {
          status: {
            phase: 'Pending',
            containerStatuses: [waiting('dump', 'ContainerCreating'), failing('StoreUnavailable')],
          },
        }),
      ],
      now: at('02:20'),
    },
    'Pending',
    'PodPending',
  ],
  [
    'an attempt whose command can never start ends the run after half a minute',
    {
      job: going,
      pods: [
        pod(going, 1, {
          status: {
            phase: 'Pending',
            containerStatuses: [waiting('dump', 'ContainerCreating'), failing('SourceNotStarted')],
          },
        }),
      ],
      now: at('02:10:30'),
    },
    'Failed',
    'SourceNotStarted',
  ],
  [
    'an image that cannot be pulled explains why the command did not start',
    {
      job: going,
      pods: [
        pod(going, 1, {
          status: {
            phase: 'Pending',
            containerStatuses: [waiting('dump', 'ImagePullBackOff', 'not found'), failing('SourceNotStarted')],
          },
        }),
      ],
      now: at('02:10:30'),
    },
    'Failed',
    'ImagePullFailed',
    /not found/,
  ],
  [
    'F76: an attempt that has failed, in a pod that a container of others keeps from ending, ends the run after half a minute',
    { job: going, pods: [meshed(ended('dump', 3), failing('SourceExit', 3))], now: at('02:10:30') },
    'Failed',
    'SourceExit',
  ],
  [
    'F76: it has that long to end by itself',
    { job: going, pods: [meshed(ended('dump', 3), failing('SourceExit', 3))], now: at('02:10:29') },
    'Running',
    'Running',
  ],
  [
    'F76: a mover that has failed waits for the command, which sees it, whatever others run beside them',
    { job: going, pods: [meshed(running('dump'), failing('SourceExit', 3))], now: at('02:20') },
    'Running',
    'Running',
  ],
  [
    'F76: a task that is done is done, though its pod goes on',
    { job: going, pods: [meshed(saying({ phase: 'done', finishedAt: end.getTime() }))], now: at('02:10:30') },
    'Completed',
    'Completed',
    /the task is done/,
  ],
  // what Kubernetes hides
  [
    'an image that cannot be pulled is told at once',
    {
      job: going,
      pods: [
        pod(going, 1, {
          status: {
            phase: 'Pending',
            containerStatuses: [waiting('dump', 'ErrImagePull', 'pull https://u:secret@reg/x')],
          },
        }),
      ],
      now: at('02:01'),
    },
    'Pending',
    'ImagePullFailed',
    /^the image of container dump cannot be pulled \(ErrImagePull\): pull https:\/\/u:[^s]*@reg\/x$/,
  ],
  [
    'an image that cannot be pulled for five minutes fails the run',
    {
      job: going,
      pods: [pod(going, 1, { status: { phase: 'Pending', containerStatuses: [waiting('dump', 'ImagePullBackOff')] } })],
      now: at('02:05'),
    },
    'Failed',
    'ImagePullFailed',
  ],
  [
    'the five minutes of an image begin when its pod has a node',
    {
      job: going,
      pods: [
        pod(going, 1, {
          status: {
            phase: 'Pending',
            conditions: [{ type: 'PodScheduled', status: 'True', lastTransitionTime: stamp(at('02:04')) }],
            containerStatuses: [waiting('dump', 'ImagePullBackOff')],
          },
        }),
      ],
      now: at('02:05'),
    },
    'Pending',
    'ImagePullFailed',
  ],
  [
    'a missing Secret of the command',
    {
      job: going,
      pods: [
        pod(going, 1, {
          status: {
            phase: 'Pending',
            containerStatuses: [waiting('dump', 'CreateContainerConfigError', 'secret "pg" not found')],
          },
        }),
      ],
      now: at('02:01'),
    },
    'Pending',
    'ContainerConfigError',
    /secret "pg" not found/,
  ],
  [
    'a pod that no node can take waits for as long as the Job may',
    {
      job: going,
      pods: [
        pod(going, 1, {
          status: {
            phase: 'Pending',
            conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/3 nodes' }],
          },
        }),
      ],
      now: at('09:00'),
    },
    'Pending',
    'PodUnschedulable',
    /0\/3 nodes/,
  ],
  [
    'a quota that refuses the pod',
    {
      job: going,
      events: [failedCreate(going, 'pods "x" is forbidden: exceeded quota: small', start)],
      now: at('09:00'),
    },
    'Pending',
    'QuotaExceeded',
  ],
  [
    'a quota that wants limits',
    { job: going, events: [failedCreate(going, 'failed quota: q: must specify limits.memory for: dump', start)] },
    'Pending',
    'QuotaExceeded',
  ],
  [
    'pod security that refuses the pod fails the run after five minutes',
    { job: going, events: [failedCreate(going, 'violates PodSecurity "restricted:latest"', start)], now: at('02:05') },
    'Failed',
    'PodSecurityRejected',
  ],
  [
    'another refusal is told in its own words',
    { job: going, events: [failedCreate(going, 'admission webhook said no', start)] },
    'Pending',
    'PodCreationFailed',
    /webhook said no/,
  ],
  [
    'a warning about another Job says nothing about this one',
    { job: going, events: [failedCreate(jobOfSlot(at('01:00')), 'exceeded quota', start)] },
    'Pending',
    'PodPending',
  ],
  // the ordinary way
  ['a Job without a pod waits', { job: going }, 'Pending', 'PodPending'],
  ['a running pod runs', { job: going, pods: [pod(going, 1)] }, 'Running', 'Running'],
  [
    'a Job that has not ended ten minutes after its deadline is lost with its node',
    { job: going, pods: [pod(going, 1)], now: new Date(start.getTime() + (65_400 + 600) * 1000) },
    'Failed',
    'DeadlineExceeded',
    /node is probably lost/,
  ],
]

suite('a run is judged by what is seen of its Job:', () => {
  for (const [what, { job, pods = [], events = [], before, now = end }, phase, reason, message] of rows)
    test(what, () => {
      const run = judge(job, pods, events, before, now)
      assert.deepEqual([run.phase, run.reason], [phase, reason])
      if (message) assert.match(run.message, message)
      assert.deepEqual(judge(job, pods.toReversed(), events, before, now), run, 'the order of the pods counts')
      if (run.wakeAt) assert.ok(run.wakeAt > now, 'it would be looked at again at once')
    })
})

test('a Job that can hang is looked at again when it is lost', () => {
  const run = judge(going, [pod(going, 1)], [], undefined, end)
  assert.deepEqual(run.wakeAt, lostAt(going))
})

test('what the command wrote to its standard error is kept without what looks like a secret', () => {
  const text = 'connecting to postgres://app:hunter2@db/shop\nfatal: no such table'
  const failed = dead(over, ended('dump', 3, { message: text }), failing('SourceExit', 3))
  const { stderr = '', exitCode } = judge(over, [failed], [], undefined, end)
  assert.equal(exitCode, 3)
  assert.match(stderr, /fatal: no such table/)
  assert.doesNotMatch(stderr, /hunter2/)
})

test('F89: lines of our own helpers are not the last words of the command', () => {
  const wordsOf = (message: string) =>
    judge(over, [dead(over, ended('dump', 75, { message }), failing('AccessDenied'))], [], undefined, end).stderr
  assert.equal(wordsOf('backup-init: the mover is gone\n'), undefined)
  assert.equal(wordsOf('pg_dump: no\nbackup-init: told to stop (SIGTERM)\nKilled\n'), 'pg_dump: no\nKilled\n')
  const shells = `backup-artifact: pg_dmup: command not found in PATH\n${moverPaths.shared}/artifact: line 39: ${moverPaths.shared}/missing/pg_dmup: not found\n`
  assert.equal(wordsOf(shells), undefined)
})

test('of a run that its deadline ended the status is kept which the command ended with before, not that of the kubelet', () => {
  const seconds = over.spec.template.spec.activeDeadlineSeconds ?? 0
  const ends = addSeconds(start, seconds)
  for (const [finished, status, kept] of [
    [addSeconds(ends, -1), 3, 3],
    [ends, 143, undefined],
    [addSeconds(ends, 5), 143, undefined],
  ] as const) {
    const dump = ended('dump', status, { message: 'last words', finishedAt: stamp(finished) })
    const containerStatuses = [dump, failing('SourceSignalled', status)]
    const seen = { phase: 'Failed', reason: 'DeadlineExceeded', startTime: stamp(start), containerStatuses } as const
    const run = judge(over, [pod(over, 1, { status: seen })], [], undefined, end)
    assert.deepEqual([run.reason, run.exitCode, run.stderr], ['DeadlineExceeded', kept, 'last words'])
  }
})

test('a message of a mover is believed only from the pods of the Job itself', () => {
  const stranger = jobOfSlot(at('03:00'))
  const run = judge(
    going,
    [pod(stranger, 1, { status: { containerStatuses: [saying(committed)] } })],
    [],
    undefined,
    end,
  )
  assert.equal(run.phase, 'Pending')
})

test('the end of a run is when it was committed, or when the Job failed', () => {
  const finishedAt = at('02:07').getTime()
  const good = judge(
    done,
    [pod(done, 1, { status: { containerStatuses: [saying({ ...committed, finishedAt })] } })],
    [],
    undefined,
    end,
  )
  assert.deepEqual(good.endTime, at('02:07'))
  assert.deepEqual(judge(over, [], [], undefined, at('04:00')).endTime, end)
})

test('every reason of a mover fails a Job that has no retry left with that very reason', () => {
  for (const reason of Object.keys(moverReasons) as MoverReason[]) {
    const run = judge(over, [dead(over, ended('dump', 75), failing(reason))], [], undefined, end)
    assert.deepEqual([run.phase, run.reason], ['Failed', reason])
  }
})
