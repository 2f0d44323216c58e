// What the operator tells movers in their task, of scheduled runs and of those on demand.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { does, only, planPolicy } from '../../../test/plan/planned.ts'
import { at, backup, completed, policy, scheduled, stamp, world } from '../../../test/plan/world.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { JobSpec } from '../../api/kubernetes.ts'
import { annotation } from '../../api/labels.ts'
import { moverEnvironment } from '../../api/mover/pod.ts'
import { parseMoverTask, type BackupTask } from '../../api/mover/task.ts'
import { storeLocation } from '../../resources/desired-state.ts'

const now = at('12:00')
const store = storeLocation(policy().spec.backend ?? assert.fail())

function taskOf({ template }: JobSpec): BackupTask {
  const env = template.spec.containers.flatMap(container => container.env ?? [])
  const task = parseMoverTask(env.find(({ name }) => name === moverEnvironment.task)?.value ?? '')
  if (task.kind !== 'backup') assert.fail(`a ${task.kind} task`)
  return task
}

/** The tasks of the CronJob and of a Backup on demand. */
function tasks(of: BackupPolicy, backups: readonly Backup[], time = now): readonly BackupTask[] {
  const { actions } = planPolicy(world(of, { cronJob: undefined, backups: [...backups, backup('now')] }), time)
  const [cronJob] = only(actions, 'create CronJob')
  const [job] = only(actions, 'create run Job')
  assert.ok(cronJob && job, actions.map(does).join())
  return [taskOf(cronJob.object.spec.jobTemplate.spec), taskOf(job.object.spec)]
}

function stored(hour: number, status: Partial<Backup['status']>, accepted = false): Backup {
  const name = `run-${hour}`
  const annotations: Readonly<Record<string, string>> = accepted ? { [annotation.accepted]: 'true' } : {}
  const slot = at(`0${hour}:00`)
  return scheduled(slot, { name, status: completed(name, slot, { store, ...status }), metadata: { annotations } })
}

test('F64: a mover is told what a number was before, and since when it is another', () => {
  const since = stamp(at('11:30'))
  const number = (value: number, previous?: number) => ({ value, since, ...(previous ? { previous } : {}) })
  const of = (spec: object, retention: object, onDemandRetention: object) =>
    tasks(policy(spec, { status: { retention, onDemandRetention } as never }), []).map(task => [
      task.retention,
      task.retentionChanged,
      task.onDemandRetention,
      task.onDemandRetentionChanged,
    ])
  const changed = { previous: 70, since: at('11:30').getTime() }
  const lowered = [2, changed, 2, changed]
  assert.deepEqual(of({ retention: 2 }, number(2, 70), number(2, 70)), [lowered, lowered])
  const one = [2, undefined, 1, changed]
  assert.deepEqual(of({ retention: 2, onDemandRetention: 1 }, number(2), number(1, 70)), [one, one])
  const other = [2, changed, 2, undefined]
  assert.deepEqual(of({ retention: 2 }, number(2, 70), number(2)), [other, other], 'on demand it is no change')
  const none = [2, undefined, undefined, undefined]
  assert.deepEqual(of({ retention: 2 }, number(2), number(2)), [none, none])
  const justNow = { previous: 7, since: now.getTime() }
  assert.deepEqual(
    of({ retention: 2 }, number(7), number(7))[0],
    [2, justNow, 2, justNow],
    'in the pass that first sees it',
  )
})

test('F71: while a lowering cannot be remembered the task is the same in every pass of an hour, and no lower number applies too early', () => {
  const number = { value: 7, since: stamp(at('01:00')) }
  const of = policy({ retention: 2 }, { status: { retention: number, onDemandRetention: number } })
  const times = ['11:01', '11:30', '12:00'].map(text => tasks(of, [], at(text))[0]?.retentionChanged)
  const told = { previous: 7, since: at('12:00').getTime() }
  assert.deepEqual(times, [told, told, told])
})

test('F57: a mover is told the size that its run must not be far smaller than, of this very store, made coarse', () => {
  const hints = (...backups: readonly Backup[]) => tasks(policy(), backups).map(({ sizeHint }) => sizeHint)
  assert.deepEqual(hints(), [undefined, undefined])
  assert.deepEqual(hints(stored(1, { bytes: 5000 }), stored(2, { bytes: 3000 })), [4096, 4096], 'the largest')
  assert.deepEqual(hints(stored(1, { bytes: 5000 }), stored(2, { bytes: 9000, store: 'elsewhere' })), [4096, 4096])
  assert.deepEqual(hints(stored(1, { bytes: 5000 }), stored(2, { bytes: 90, suspect: true })), [4096, 4096])
  assert.deepEqual(hints(stored(1, { bytes: 5000 }), stored(2, { bytes: 90, suspect: true }, true)), [64, 64])
  assert.deepEqual(hints(stored(1, { bytes: 90, sizeCheck: 'unchecked' })), [undefined, undefined])
  assert.deepEqual(hints(stored(1, {})), [undefined, undefined], 'its words are lost')
})
