// What holds for every history of a policy, told by random stories on a toy cluster: real caches, observer, plans and writes, with
// toys around them. `HISTORIES` says how many; a failure prints its seed and the shortest story that fails.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isFinal } from '../../src/api/kinds/backup.ts'
import { annotation } from '../../src/api/labels.ts'
import { scheduleOf } from '../../src/plan/policy/schedule.ts'
import { slotsBetween } from '../../src/schedule/schedule.ts'
import { addSeconds } from '../../src/schedule/times.ts'
import { calmStory, death, story } from './toy/stories.ts'
import { name, Telling } from './toy/telling.ts'
import { stamp } from '../plan/world.ts'

/** Of all three properties together. */
const histories = Number(process.env['HISTORIES'] ?? (process.env['TEST_LONG'] ? 100_000 : 2100))
/** `make test` tells the same stories every time, so that it fails for what was changed; `make test-long` and `SEED=<number>` tell others. */
const seed = process.env['SEED'] ?? (process.env['TEST_LONG'] ? undefined : '20261122')
const options = { numRuns: Math.ceil(histories / 3), ...(seed === undefined ? {} : { seed: Number(seed) }) }
/** A Job's deadline, ten minutes for a lost node, an hour for the list of the bucket, and time to spare: after this a run has ended. */
const longestRunSeconds = 9000
/** The long list takes hours. */
const limits = { timeout: 6 * 3_600_000 }

test(
  'a plan settles after any history, keeps final phases, ends every run, and never deletes a good backup that retention still needs',
  limits,
  () =>
    fc.assert(
      fc.asyncProperty(story, async told => {
        const telling = new Telling(told)
        await telling.tell(told.steps)
        await telling.end(longestRunSeconds)
        checkEnds(telling)
      }),
      options,
    ),
)

test('a crash between any two writes changes nothing: the same objects, no duplicate, no orphan', limits, () =>
  fc.assert(
    fc.asyncProperty(story, death, async (told, dies) => {
      const [lucky, unlucky] = [new Telling(told), new Telling(told, dies)]
      await lucky.tell(told.steps)
      await unlucky.tell(told.steps)
      assert.deepEqual(unlucky.server.dump(), lucky.server.dump())
      assert.deepEqual([...unlucky.kube.bucket.runs.keys()], [...lucky.kube.bucket.runs.keys()])
      assert.deepEqual(unlucky.recorded, lucky.recorded)
    }),
    options,
  ),
)

test('every slot has run, was missed or was skipped, exactly once, and what runs comes to an end', limits, () =>
  fc.assert(
    fc.asyncProperty(calmStory, async told => {
      const telling = new Telling(told)
      const start = telling.server.now
      await telling.tell(told.steps)
      const until = telling.server.now
      await telling.end(told.spec.startingDeadlineSeconds + longestRunSeconds + 100)
      checkSlots(telling, start, until)
      checkEnds(telling)
    }),
    options,
  ),
)

function checkSlots(telling: Telling, start: Date, until: Date): void {
  const { server, recorded } = telling
  const policy = server.get('backuppolicies', name)
  assert.ok(policy)
  const clock = scheduleOf(policy)
  assert.ok(!('problem' in clock))
  const mark = policy.status?.accountedUntil
  const { missed = 0, skipped = 0 } = policy.status?.slots ?? {}
  const slots = slotsBetween(clock.schedule, clock.timeZone, { from: start, to: server.now }, clock.rule, 10_000).map(
    stamp,
  )
  assert.ok(
    slots.every(slot => slot > stamp(until) || (mark !== undefined && slot <= mark)),
    `slots up to ${stamp(until)} have no outcome: the book goes to ${mark}`,
  )
  for (const slot of recorded) assert.ok(slots.includes(slot), `${slot} is no slot of the schedule`)
  const closed = slots.filter(slot => mark !== undefined && slot <= mark)
  const ran = closed.filter(slot => recorded.has(slot)).length
  // R6: of Jobs that the CronJob controller has forgotten nobody can tell; what is older than those that it kept may be one of them.
  const { unknownBefore } = telling
  const unseen = telling.unseenJobs().length
  const unknown = closed.filter(slot => unknownBefore && slot < stamp(unknownBefore) && !recorded.has(slot)).length
  const told = `${closed.length} slots, ${ran} recorded, ${missed} missed, ${skipped} skipped, ${unseen} ran unseen, ${unknown} unknown`
  assert.ok(ran + missed + skipped + unknown >= closed.length, `a slot has no outcome: ${told}`)
  // A slot in which one claim was skipped and another was not is recorded and counted as skipped.
  const both = policy.spec.strategy.type === 'snapshot' ? ran : 0
  const outcomes = ran + missed + skipped + unseen - Math.min(both, skipped)
  assert.ok(outcomes <= closed.length, `a slot has two outcomes, or ran unseen and counts as missed: ${told}`)
}

/** No run hangs, and nothing is left of runs that are over. */
function checkEnds({ server }: Telling): void {
  const backups = server.all('backups')
  const longAgo = stamp(addSeconds(server.now, -longestRunSeconds))
  for (const { metadata, status } of backups)
    assert.ok(
      isFinal(status?.phase) || (metadata.creationTimestamp ?? '') > longAgo,
      `Backup ${metadata.name} of ${metadata.creationTimestamp} still is ${status?.phase} ${status?.reason}: ${status?.message}`,
    )
  for (const snapshot of server.all('volumesnapshots')) {
    const of = backups.find(({ metadata }) => metadata.name === snapshot.metadata.annotations?.[annotation.backup])
    assert.ok(
      snapshot.metadata.deletionTimestamp || snapshot.status?.readyToUse || (of && !isFinal(of.status?.phase)),
      `VolumeSnapshot ${snapshot.metadata.name} is not ready and belongs to no run`,
    )
  }
  for (const { metadata, status } of server.all('jobs')) {
    const over = status?.conditions?.some(condition => ['Complete', 'Failed'].includes(condition.type))
    assert.ok(over || (metadata.creationTimestamp ?? '') > longAgo, `Job ${metadata.name} never ended`)
  }
}
