// The clock of the snapshot strategy: which slot starts now, for which claims, and which slots passed without a run.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { isFinal } from '../../api/kinds/backup-phases.ts'
import { slotRunName } from '../../api/names.ts'
import type { PolicySchedule } from './schedule.ts'
import { planSlots } from '../../schedule/schedule.ts'
import { advanceTo, counted, countUnrun, type SlotBook, type SlotPlan } from './slots.ts'
import { addSeconds, earliest, latest, timeOf } from '../../schedule/times.ts'
import { scheduledBackup } from '../../resources/backup-objects.ts'
import { alone } from '../core/actions.ts'
import { isCrowded } from '../runs/busy.ts'
import { snapshotStart } from '../runs/snapshot.ts'
import { backGraceEnd } from '../runs/grace.ts'
import { limitsOf, progressOf } from '../runs/snapshot-limits.ts'
import { recording } from '../history/clean-up.ts'
import { slotsByName } from '../view/owners.ts'
import type { ClaimTarget, SnapshotStrategyView, View } from '../view/view.ts'
import { isOwed, settled, unmadeOf } from './unmade.ts'

/** Left to begin in, before the deadline of a slot. Workers may be busy, and the API server slow. */
const spareSeconds = 10

/**
 * A due slot makes one Backup per selected claim; its name is the lock that makes it happen once, also after a crash between two of
 * them. A claim whose earlier scheduled run is not cut yet is skipped, and one of which many snapshots are cut and not ready.
 * @param ended Backups that this very plan judges as ended: whether that is written yet must not decide about a slot.
 */
export function planSnapshotSlots(
  {
    namespace,
    runs,
    snapshots,
    snapshotApi,
    snapshotApiBackSince,
  }: Pick<View, 'namespace' | 'runs' | 'snapshots' | 'snapshotApi' | 'snapshotApiBackSince'>,
  policy: BackupPolicy,
  { targets }: SnapshotStrategyView,
  clock: PolicySchedule,
  since: Date,
  before: SlotBook,
  now: Date,
  ended: ReadonlySet<string>,
): SlotPlan {
  const { startingDeadlineSeconds, suspend } = policy.spec
  const { schedule, timeZone, rule } = clock
  const slots = planSlots({
    schedule,
    timeZone,
    rule,
    lastAccounted: before.accountedUntil,
    notBefore: since,
    now,
    startingDeadlineSeconds,
  })
  if (suspend) return { groups: [], book: before, next: undefined, closes: undefined }
  const unmade = unmadeOf(before, policy.metadata.name, targets, runs)
  let book = before
  if (slots.missed) {
    const range = { from: latest(before.accountedUntil, since) ?? since, to: slots.missed.newest }
    const late = unmade && unmade.slot > range.from && unmade.slot <= range.to ? unmade : undefined
    const ran = recordedSlots(runs).difference(new Set(late?.targets.length ? [late.slot.getTime()] : []))
    book = countUnrun(late ? settled(book, late) : book, clock, range, [], ran)
  }
  const { due, next } = slots
  if (!due) return { groups: [], book, next, closes: undefined }
  // Without the snapshot API the slot stays open until its deadline: the CRDs may come.
  const closes = addSeconds(due, startingDeadlineSeconds + 1)
  if (!snapshotApi) return { groups: [], book, next, closes }
  // What cannot be snapshotted is a fact of the policy (TargetsReady), and no run that fails night after night.
  const able = targets.filter(({ readiness }) => readiness?.ready || readiness?.passing)
  // It has waited for the snapshot API, and waits for what comes with it: where some can begin, the others have that moment only.
  const grace = latest(...targets.map(({ readiness }) => backGraceEnd(readiness, snapshotApiBackSince)))
  if (grace && due < grace) {
    const from = latest(due, snapshotApiBackSince) ?? due
    const until = able.length === 0 ? closes : othersUntil(grace, from, addSeconds(due, startingDeadlineSeconds))
    if (now < until) return { groups: [], book, next, closes: until }
  }
  // What is to get its Backup now is not lost yet.
  const lost = unmade?.slot.getTime() === due.getTime() ? without(unmade.targets, able) : []
  const recorded = slotsByName(runs.map(({ backup }) => backup))
  const open = { slot: due, isBegun: [...recorded.values()].includes(due.getTime()), book }
  book = advanceTo(settled(book, { slot: due, targets: lost }), due)
  const missed = counted(book, 'missed', 1, due)
  if (able.length === 0) {
    // It may have begun when there was something to snapshot, and the book not know it yet.
    const hasBegun = open.isBegun && lost.length === 0
    return { groups: [], book: hasBegun ? book : missed, next, closes: undefined }
  }
  if (lost.length > 0) book = missed

  const limits = limitsOf(policy)
  const uncut = new Set(
    runs
      .filter(({ backup }) => backup.spec.slot && !isFinal(backup.status?.phase) && !ended.has(backup.metadata.name))
      // Of one that is being deleted nothing starts any more, and somebody's finalizer may keep it for ever.
      .filter(({ backup, snapshot }) =>
        snapshot ? progressOf(snapshot.snapshot, limits, now).is === 'uncut' : !backup.metadata.deletionTimestamp,
      )
      .map(({ backup }) => backup.spec.target),
  )
  const wanted = able.map(target => ({ target, name: slotRunName(policy.metadata.name, target.name, due) }))
  const missing = wanted.filter(({ name }) => recorded.get(name) !== due.getTime())
  const free = missing.filter(({ target: { name } }) => !uncut.has(name) && !isCrowded(snapshots, name, policy, now))
  if (free.length < missing.length) book = counted(book, 'skipped', 1, due)
  const begun = free.map(({ name, target }) => {
    const object = scheduledBackup(namespace, policy.metadata.name, name, target.name, due)
    return { target, object, record: alone(recording(name), { do: 'create', object, cost: 'this run has no Backup' }) }
  })
  const owed = new Map(
    begun.flatMap(({ target, record }) => (isOwed(target, policy.status, due) ? [[record.name, target.name]] : [])),
  )
  return {
    groups: begun.map(({ record }) => record),
    // Only for a Backup that was not there before: one that a cache had not shown may have ended, and its snapshot be gone.
    starts: begun.flatMap(({ target, object, record }) =>
      snapshotStart(object, target, now).map(start => ({
        ...start,
        needs: [{ group: record.name, was: 'made' } as const],
      })),
    ),
    book,
    ifTaken: missed,
    open: { ...open, owed },
    next,
    closes: undefined,
  }
}

/**
 * Until when those that can begin wait for the others, from that time on: a pass is never begun to the millisecond, and at the deadline the
 * slot would be missed for all.
 */
function othersUntil(grace: Date, from: Date, deadline: Date): Date {
  const leftSeconds = (deadline.getTime() - from.getTime()) / 1000
  return earliest(grace, addSeconds(deadline, -Math.min(spareSeconds, leftSeconds / 2))) ?? grace
}

function without(names: readonly string[], targets: readonly ClaimTarget[]): readonly string[] {
  return names.filter(name => !targets.some(target => target.name === name))
}

/** The slots that have a Backup. */
function recordedSlots(runs: View['runs']): ReadonlySet<number> {
  return new Set(runs.flatMap(({ backup }) => timeOf(backup.spec.slot)?.getTime() ?? []))
}
