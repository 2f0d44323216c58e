// From the annotation to the bucket: what people say of a Backup, what becomes of the Job, and what the Backup says then (F63).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { only, planPolicy } from '../../../test/plan/planned.ts'
import {
  at,
  backup,
  complete,
  completed,
  job,
  jobFailed,
  pod,
  policy,
  saying,
  scheduled,
  stamp,
  waiting,
  world,
} from '../../../test/plan/world.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { Condition, Job, Pod } from '../../api/kubernetes.ts'
import { annotation } from '../../api/labels.ts'
import type { MoverMessage } from '../../api/mover/message.ts'
import { moverEnvironment } from '../../api/mover/pod.ts'
import { parseMoverTask } from '../../api/mover/task.ts'
import { holdJobName } from '../../api/names.ts'
import { storeLocation } from '../../resources/desired-state.ts'

const now = at('12:00')
const store = storeLocation(policy().spec.backend ?? assert.fail())
const slot = at('02:00')

type Said = Pick<Condition, 'status' | 'reason'> & { readonly since?: Date }

function stored(hold: string | undefined, said?: Said, more: Partial<Backup['status']> = {}): Backup {
  const { name } = scheduled(slot).metadata
  const conditions: Condition[] = said
    ? [{ type: 'Held', message: 'said before', lastTransitionTime: stamp(said.since ?? at('11:00')), ...said }]
    : []
  const annotations: Readonly<Record<string, string>> = hold === undefined ? {} : { [annotation.hold]: hold }
  return scheduled(slot, {
    status: completed(name, at('02:10'), { store, bytes: 10, conditions, ...more }),
    metadata: { annotations },
  })
}

const nameOf = (of: Backup, held: boolean) => holdJobName('nightly', of.status?.run ?? '', held)

/** What the mover of a hold Job said at 11:58, or that it is going still. */
function jobOf(of: Backup, held: boolean, message?: MoverMessage): readonly [Job, Pod] {
  const start = at('11:57')
  const status = !message
    ? { startTime: stamp(start), active: 1 }
    : message.phase === 'done'
      ? complete(start, at('11:58'))
      : jobFailed(start, at('11:58'))
  const made = job(nameOf(of, held), 'hold', { status, spec: { activeDeadlineSeconds: 240 } })
  return [made, pod(made, 1, message ? { status: { phase: 'Succeeded', containerStatuses: [saying(message)] } } : {})]
}

function plan(of: Backup, ...jobs: readonly (readonly [Job, Pod])[]) {
  const seen = world(policy(), { backups: [of], jobs: jobs.map(([each]) => each), pods: jobs.map(([, each]) => each) })
  const { actions, wakeAt } = planPolicy(seen, now)
  const written = only(actions, 'status Backup')[0]
  return {
    starts: only(actions, 'create hold Job').map(({ object }) => object.metadata.name),
    deletes: only(actions, 'delete Job').map(({ name }) => name),
    held: written?.status.conditions?.find(({ type }) => type === 'Held'),
    unless: written?.unless,
    wakeAt,
  }
}

const done = (of: Backup, held: boolean): MoverMessage => ({ phase: 'done', hold: { run: of.status?.run ?? '', held } })
const refused: MoverMessage = { phase: 'failed', reason: 'AccessDenied', message: 'the store answers 403' }

test('F63: the annotation starts a Job that writes the hold of this run, and the Backup is not held yet', () => {
  const of = stored('true')
  const { starts, held } = plan(of)
  assert.deepEqual(starts, [nameOf(of, true)])
  assert.deepEqual([held?.status, held?.reason], ['Unknown', 'HoldPending'])
  const { actions } = planPolicy(world(policy(), { backups: [of] }), now)
  const [created] = only(actions, 'create hold Job')
  const env = created?.object.spec.template.spec.containers.flatMap(container => container.env ?? [])
  const task = parseMoverTask(env?.find(({ name }) => name === moverEnvironment.task)?.value ?? '')
  const { run } = of.status ?? {}
  assert.deepEqual(task.kind === 'hold' && [task.target, task.run, task.slot, task.held], [
    'command',
    run,
    slot.getTime(),
    true,
  ])
})

test('F63: only what the mover found in the bucket makes a Backup held, and its Job goes once that is written', () => {
  const of = stored('true')
  const found = plan(of, jobOf(of, true, done(of, true)))
  assert.deepEqual([found.held?.status, found.held?.reason, found.deletes], ['True', 'Held', []])
  const told = stored('true', { status: 'True', reason: 'Held' })
  const after = plan(told, jobOf(of, true, done(of, true)))
  assert.deepEqual([after.starts, after.deletes], [[], [nameOf(of, true)]])
  assert.deepEqual(plan(told).starts, [], 'and nothing is begun anew')
})

test('F63: each annotation, and each thing that was said before, has its Job or none', () => {
  const cases: readonly [hold: string | undefined, said: Said | undefined, start: boolean | undefined][] = [
    [undefined, undefined, undefined],
    ['yes', undefined, undefined],
    ['true', undefined, true],
    ['true', { status: 'Unknown', reason: 'HoldPending' }, true],
    ['true', { status: 'False', reason: 'AccessDenied' }, true],
    ['true', { status: 'False', reason: 'HoldReleased' }, true],
    ['true', { status: 'True', reason: 'AccessDenied' }, true],
    ['true', { status: 'True', reason: 'Held' }, undefined],
    ['true', { status: 'False', reason: 'BackupNotFound' }, undefined],
    [undefined, { status: 'True', reason: 'Held' }, undefined],
    ['false', { status: 'True', reason: 'Held' }, false],
    ['false', undefined, false],
    ['false', { status: 'False', reason: 'BackupNotFound' }, false],
    ['false', { status: 'False', reason: 'HoldReleased' }, undefined],
  ]
  for (const [hold, said, start] of cases) {
    const of = stored(hold, said)
    const expected = start === undefined ? [] : [nameOf(of, start)]
    assert.deepEqual(plan(of).starts, expected, `${hold} ${JSON.stringify(said)}`)
  }
})

test('F63: nothing is held before it is complete, or in a store that the policy no longer names', () => {
  assert.deepEqual(plan(stored('true', undefined, { phase: 'Failed' })).starts, [])
  const { starts, held } = plan(stored('true', undefined, { store: 'elsewhere' }))
  assert.deepEqual([starts, held?.status, held?.reason], [[], 'False', 'HoldUnreachable'])
})

test('F63: a backup is held though the endpoint of its store is spelled in another way by now', () => {
  const before = { ...(policy().spec.backend ?? assert.fail()), endpoint: 'http://minio.minio.svc:9000' }
  const of = stored('true', undefined, { store: storeLocation(before) })
  const held = (endpoint: string) => {
    const seen = world(policy({ backend: { ...before, endpoint } }), { backups: [of] })
    return only(planPolicy(seen, now).actions, 'create hold Job').length
  }
  assert.deepEqual([held('https://MinIO.minio.svc:9000/'), held('http://minio.minio.svc:9001')], [1, 0])
})

test('F63: a hold that failed is told with what to do, and tried again ever later', () => {
  const of = stored('true')
  const first = plan(of, jobOf(of, true, refused))
  assert.deepEqual([first.held?.status, first.held?.reason], ['False', 'AccessDenied'])
  assert.match(first.held?.message ?? '', /not in the bucket.*the store answers 403.*tried again.*mend what/)
  // It ended at 11:58, and first failed then: again a minute later.
  const failing = (since: Date) => stored('true', { status: 'False', reason: 'AccessDenied', since })
  assert.deepEqual(plan(failing(at('11:58')), jobOf(of, true, refused)).deletes, [nameOf(of, true)])
  const later = plan(failing(at('11:54')), jobOf(of, true, refused))
  assert.deepEqual([later.deletes, later.wakeAt], [[], at('12:02')])
  assert.deepEqual(plan(failing(at('08:00')), jobOf(of, true, refused)).wakeAt, at('12:08'))
})

test('F63: where there is nothing to hold any more, it is told, and not tried for ever', () => {
  const of = stored('true')
  const gone: MoverMessage = { phase: 'failed', reason: 'BackupNotFound', message: 'there is no manifests/x.json' }
  const found = plan(of, jobOf(of, true, gone))
  assert.deepEqual([found.held?.status, found.held?.reason, found.deletes], ['False', 'BackupNotFound', []])
  const after = plan(stored('true', { status: 'False', reason: 'BackupNotFound' }), jobOf(of, true, gone))
  assert.deepEqual([after.starts, after.deletes], [[], [nameOf(of, true)]])
})

test('F63: a Job that ended without words has held nothing, which is asked once more before it is said', () => {
  const of = stored('true')
  const [made] = jobOf(of, true, done(of, true))
  const { actions } = planPolicy(world(policy(), { backups: [of], jobs: [made] }), now)
  const [written] = only(actions, 'status Backup')
  const held = written?.status.conditions?.find(({ type }) => type === 'Held')
  assert.deepEqual([held?.status, held?.reason], ['False', 'MoverDied'])
  assert.deepEqual(written?.unless, { kind: 'newer-pods', name: made.metadata.name, uid: made.metadata.uid, seen: [] })
})

test('F63: false releases; while that goes on, or fails, what was held is held', () => {
  const of = stored('false', { status: 'True', reason: 'Held' })
  assert.equal(plan(of, jobOf(of, false)).held?.message, 'said before')
  const failed = plan(of, jobOf(of, false, refused))
  assert.deepEqual([failed.held?.status, failed.held?.reason], ['True', 'AccessDenied'])
  const released = plan(of, jobOf(of, false, done(of, false)))
  assert.deepEqual([released.held?.status, released.held?.reason], ['False', 'HoldReleased'])
})

test('F63: somebody who changes his mind waits for the Job before: two at once would leave what the slower one wants', () => {
  const of = stored('false', { status: 'Unknown', reason: 'HoldPending' })
  assert.deepEqual(plan(of, jobOf(of, true)).starts, [])
  const after = plan(of, jobOf(of, true, done(of, true)))
  assert.deepEqual([after.starts, after.deletes], [[], [nameOf(of, true)]])
  assert.deepEqual(plan(of).starts, [nameOf(of, false)], 'once it is gone')
})

test('F63: an annotation that is gone neither releases nor holds; what was begun for it is brought to its end', () => {
  const of = stored(undefined, { status: 'Unknown', reason: 'HoldPending' })
  assert.equal(plan(of, jobOf(of, true, done(of, true))).held?.status, 'True')
  assert.deepEqual(plan(of).starts, [])
})

test('F63: a thousand annotations at once start three Jobs, and the next when those have ended', () => {
  const of = [1, 2, 3, 4, 5].map(hour => {
    const name = `backup-nightly-${hour}000000`
    const status = completed(name, at('02:10'), { store, bytes: 10 })
    const made = scheduled(at(`0${hour}:00`), { name, status })
    return { ...made, metadata: { ...made.metadata, annotations: { [annotation.hold]: 'true' } } }
  })
  const running = of.slice(0, 2).map(each => jobOf(each, true))
  const start = (jobs: typeof running) =>
    only(
      planPolicy(
        world(policy(), { backups: of, jobs: jobs.map(([each]) => each), pods: jobs.map(([, each]) => each) }),
        now,
      ).actions,
      'create hold Job',
    ).length
  assert.deepEqual([start([]), start(running)], [3, 1])
})

test('F63: the Job of a Backup that was deleted is not cut off, and goes when it has ended', () => {
  const of = stored('true')
  const other = backup('other')
  assert.deepEqual(plan(other, jobOf(of, true)).deletes, [])
  assert.deepEqual(plan(other, jobOf(of, true, done(of, true))).deletes, [nameOf(of, true)])
})

test('F63: a Job whose pod cannot start says so in the Backup', () => {
  const of = stored('true')
  const [made] = jobOf(of, true)
  const stuck = pod(made, 1, {
    metadata: { creationTimestamp: stamp(at('11:57')) },
    status: { phase: 'Pending', containerStatuses: [waiting('mover', 'ImagePullBackOff', 'no such image')] },
  })
  assert.match(plan(of, [made, stuck]).held?.message ?? '', /a Job writes the hold.*Its pod waits: .*no such image/)
})

/** Another object that tells of the same run, as people make by copying one. */
function copied(of: Backup, hold: string | undefined, more: Partial<Backup['status']> = { conditions: [] }): Backup {
  const annotations: Readonly<Record<string, string>> = hold === undefined ? {} : { [annotation.hold]: hold }
  const metadata = { ...of.metadata, name: 'my-copy', uid: 'uid-of-copy', annotations }
  return { ...of, metadata, status: { ...(of.status ?? assert.fail()), ...more } }
}

/** What is begun for a Backup and its copy, whichever is seen first, and what is then said of the hold of each. */
function planBoth(backups: readonly [of: Backup, copy: Backup], ...jobs: readonly (readonly [Job, Pod])[]) {
  const plans = [backups, backups.toReversed()].map(some => {
    const objects = { jobs: jobs.map(([each]) => each), pods: jobs.map(([, each]) => each) }
    const { actions } = planPolicy(world(policy(), { backups: some, ...objects }), now)
    const written = new Map(only(actions, 'status Backup').map(each => [each.backup.metadata.name, each.status]))
    const held = backups.map(({ metadata, status }) =>
      (written.get(metadata.name) ?? status)?.conditions
        ?.filter(({ type }) => type === 'Held')
        .map(condition => `${condition.status} ${condition.reason}`)
        .join(),
    )
    return { starts: only(actions, 'create hold Job').map(({ object }) => object.metadata.name), held }
  })
  const [plan] = plans
  assert.deepEqual(plans, [plan, plan])
  return plan ?? assert.fail()
}

test('F63: a Backup and its copy that are both to be held are one hold, and both say what became of it', () => {
  const of = stored('true')
  const both = [of, copied(of, 'true')] as const
  const pending = 'Unknown HoldPending'
  assert.deepEqual(planBoth(both), { starts: [nameOf(of, true)], held: [pending, pending] })
  assert.deepEqual(planBoth(both, jobOf(of, true)), { starts: [], held: [pending, pending] })
  assert.deepEqual(planBoth(both, jobOf(of, true, done(of, true))).held, ['True Held', 'True Held'])
  assert.deepEqual(planBoth(both, jobOf(of, true, refused)).held, ['False AccessDenied', 'False AccessDenied'])
})

test('F63: a copy that is to be held is held once the first Backup is, also when that one is no longer annotated', () => {
  for (const hold of ['true', undefined]) {
    const of = stored(hold, { status: 'True', reason: 'Held' })
    const { held } = planBoth([of, copied(of, 'true')], jobOf(of, true, done(of, true)))
    assert.deepEqual(held, ['True Held', 'True Held'])
    if (hold) assert.deepEqual(planBoth([of, copied(of, 'true')]), { starts: [], held })
  }
})

test('F63: a hold is taken back by any of the Backups of a run, unless another one holds it', () => {
  const of = stored('false', { status: 'True', reason: 'Held' })
  const release = [nameOf(of, false)]
  assert.deepEqual(planBoth([of, copied(of, undefined)]).starts, release, 'a copy without annotation says nothing')
  assert.deepEqual(planBoth([of, copied(of, 'false', of.status)]).starts, release)
  const released = planBoth([of, copied(of, 'false', of.status)], jobOf(of, false, done(of, false)))
  assert.deepEqual(released.held, ['False HoldReleased', 'False HoldReleased'])
  assert.deepEqual(planBoth([of, copied(of, 'true')]).starts, [nameOf(of, true)])
  assert.deepEqual(planBoth([of, copied(of, undefined, of.status)]), { starts: [], held: ['True Held', 'True Held'] })
})

test('F63: of two Backups of a run in two stores the one that lies elsewhere cannot be held, and the other is', () => {
  const of = stored('true')
  const { starts, held } = planBoth([of, copied(of, 'true', { store: 'elsewhere', conditions: [] })])
  assert.deepEqual([starts, held], [[nameOf(of, true)], ['Unknown HoldPending', 'False HoldUnreachable']])
})
