// What must come of every slot, and of everything that was begun, when a story is over.
import assert from 'node:assert/strict'
import { isFinal } from '../../../src/api/kinds/backup-phases.ts'
import type { Backup } from '../../../src/api/kinds/backup.ts'
import { snapshotDefaults } from '../../../src/api/kinds/snapshot-defaults.ts'
import { annotation } from '../../../src/api/labels.ts'
import { commandTarget } from '../../../src/api/names.ts'
import { isOfJob, targetOfRun } from '../../../src/plan/view/owners.ts'
import { isHeldSnapshot } from '../../../src/plan/runs/marks.ts'
import { scheduleOf } from '../../../src/plan/policy/schedule.ts'
import { slotsBetween } from '../../../src/schedule/schedule.ts'
import { addSeconds } from '../../../src/schedule/times.ts'
import { stamp } from '../../plan/world.ts'
import { name, type Telling } from './telling.ts'

/**
 * A Job's deadline, ten minutes for a lost node, an hour for the list of the bucket, and time to spare: after this a run has ended. A slow
 * snapshot has not: it may become ready still.
 */
export const longestRunSeconds = 9000

/**
 * Every slot ran, was missed or was skipped, exactly once.
 * @param unrecorded while Backups were refused: Jobs may have been forgotten before they could be recorded, and then nobody can tell
 */
export function checkSlots(
  telling: Telling,
  start: Date,
  until: Date,
  unrecorded?: { readonly from: Date; readonly to: Date },
): void {
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
  // Its slot is open for so long before the first one is refused.
  const openSeconds = policy.spec.startingDeadlineSeconds + 120
  const forgotten = closed.filter(
    slot =>
      unrecorded &&
      slot >= stamp(addSeconds(unrecorded.from, -openSeconds)) &&
      slot <= stamp(unrecorded.to) &&
      !recorded.has(slot),
  ).length
  assert.ok(ran + missed + skipped + unknown + forgotten >= closed.length, `a slot has no outcome: ${told}`)
  // A slot in which one claim was skipped and another was not is recorded and counted as skipped.
  const both = policy.spec.strategy.type === 'snapshot' ? ran : 0
  const outcomes = ran + missed + skipped + unseen - Math.min(both, skipped)
  assert.ok(outcomes <= closed.length, `a slot has two outcomes, or ran unseen and counts as missed: ${told}`)
}

/** The same of each workload of a preset, whose CronJobs are of one schedule, and whose outcomes are counted together. */
export function checkSlotsOfTargets(telling: Telling, start: Date, until: Date, targets: readonly string[]): void {
  const { server } = telling
  const policy = server.get('backuppolicies', name)
  assert.ok(policy)
  const { missed = 0, skipped = 0 } = policy.status?.slots ?? {}
  const counts = targets.map(target => {
    const clock = scheduleOf(policy, target)
    assert.ok(!('problem' in clock))
    const range = { from: start, to: server.now }
    const slots = slotsBetween(clock.schedule, clock.timeZone, range, clock.rule, 10_000).map(stamp)
    const mark = policy.status?.targets?.find(each => each.name === target)?.accountedUntil
    const isOpen = (slot: string) => mark === undefined || slot > mark
    assert.ok(!slots.some(slot => slot <= stamp(until) && isOpen(slot)), `slots of ${target} have no outcome: ${mark}`)
    const recorded = telling.recordedOf(target)
    for (const slot of recorded) assert.ok(slots.includes(slot), `${slot} is no slot of ${target}`)
    const closed = slots.filter(slot => !isOpen(slot))
    const { unknownBefore } = telling
    const isUnknown = (slot: string) => unknownBefore !== undefined && slot < stamp(unknownBefore)
    return {
      closed: closed.length,
      ran: closed.filter(slot => recorded.has(slot)).length,
      unknown: closed.filter(slot => isUnknown(slot) && !recorded.has(slot)).length,
    }
  })
  const sum = (of: (each: (typeof counts)[number]) => number) => counts.reduce((all, each) => all + of(each), 0)
  const [closed, ran, unknown, unseen] = [
    sum(each => each.closed),
    sum(each => each.ran),
    sum(each => each.unknown),
    telling.unseenJobs().length,
  ]
  const told = `${closed} slots, ${ran} recorded, ${missed} missed, ${skipped} skipped, ${unseen} ran unseen, ${unknown} unknown`
  assert.ok(ran + missed + skipped + unknown >= closed, `a slot has no outcome: ${told}`)
  assert.ok(ran + missed + skipped <= closed, `a slot has two outcomes, or ran unseen and counts as missed: ${told}`)
}

/** No run hangs, and nothing is left of runs that are over. */
export function checkEnds({ server, operator }: Telling): void {
  const backups = server.all('backups')
  // A snapshot that is cut, and whose policy has no limits for snapshots any more, has the usual ones.
  const isLimited = server.get('backuppolicies', name)?.spec.strategy.type === 'snapshot'
  const isCut = backups.some(({ status }) => !isFinal(status?.phase) && status?.takenTime !== undefined)
  const seconds = isCut && !isLimited ? snapshotDefaults.readyTimeoutSeconds : longestRunSeconds
  const longAgo = stamp(addSeconds(server.now, -seconds))
  // Of a snapshot nobody can tell while the API is away; a day later its run has failed.
  const isOutOfSight = (backup: Backup) =>
    !operator.snapshotApi && targetOfRun(backup) !== commandTarget && !isOfJob(backup)
  for (const backup of backups) {
    const { metadata, status } = backup
    assert.ok(
      isFinal(status?.phase) ||
        isOutOfSight(backup) ||
        isSlow(status, backups) ||
        (metadata.creationTimestamp ?? '') > longAgo,
      `Backup ${metadata.name} of ${metadata.creationTimestamp} still is ${status?.phase} ${status?.reason}: ${status?.message}`,
    )
  }
  for (const snapshot of server.all('volumesnapshots')) {
    const of = backups.find(({ metadata }) => metadata.name === snapshot.metadata.annotations?.[annotation.backup])
    assert.ok(
      snapshot.metadata.deletionTimestamp ||
        snapshot.status?.readyToUse ||
        // Somebody wants it all the same.
        isHeldSnapshot(snapshot) ||
        // That verdict says nothing of the snapshot.
        of?.status?.reason === 'SnapshotCRDsMissing' ||
        // Its Backup object was deleted, and it is slow.
        (!of && snapshot.status?.creationTime !== undefined) ||
        (of && !isFinal(of.status?.phase)),
      `VolumeSnapshot ${snapshot.metadata.name} is not ready and belongs to no run`,
    )
  }
  for (const { metadata, status } of server.all('jobs')) {
    const over = status?.conditions?.some(condition => ['Complete', 'Failed'].includes(condition.type))
    assert.ok(over || (metadata.creationTimestamp ?? '') > longAgo, `Job ${metadata.name} never ended`)
  }
}

/** It, or a child of it, waits for a slow snapshot. */
function isSlow(status: Backup['status'], backups: readonly Backup[]): boolean {
  const slow = (of: Backup['status']) => of?.reason === 'SnapshotSlow'
  return slow(status) || (status?.reason === 'Children' && backups.some(each => slow(each.status)))
}
