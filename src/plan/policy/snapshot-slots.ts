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
import type { SnapshotStrategyView, View } from '../view/view.ts'
import { bySlot } from './early-slot.ts'
import { canBeMade, missedFor, owedTo, rememberOpen, type Unmade } from './unmade.ts'

/** Left to begin in, before the deadline of a slot. Workers may be busy, and the API server slow. */
const spareSeconds = 10

/**
 * A due slot makes one Backup per selected claim; its name is the lock that makes it happen once, also after a crash between two of
 * them. A claim whose earlier scheduled run is not cut yet is skipped, and one of which many snapshots are cut and not ready.
 * @param ended Backups that this very plan judges as ended: whether that is written yet must not decide about a slot.
 */
export function planSnapshotSlots(
  view: Pick<View, 'namespace' | 'runs' | 'snapshots' | 'snapshotApi' | 'snapshotApiBackSince' | 'serverTime'>,
  policy: BackupPolicy,
  { targets }: SnapshotStrategyView,
  clock: PolicySchedule,
  since: Date,
  before: SlotBook,
  now: Date,
  ended: ReadonlySet<string>,
): SlotPlan {
  const { namespace, runs, snapshots, snapshotApi, snapshotApiBackSince } = view
  const { startingDeadlineSeconds, suspend } = policy.spec
  const { schedule, timeZone, rule } = clock
  const known = knownOf(bySlot(view, clock, now), policy, targets, before)
  const { recorded, begun, taken, runOf, lackingOf } = known
  let book = closeEdited(before, known, since)
  if (suspend) return { groups: [], book, next: undefined, closes: undefined }
  const slots = planSlots({
    schedule,
    timeZone,
    rule,
    lastAccounted: book.accountedUntil,
    notBefore: since,
    now,
    startingDeadlineSeconds,
  })
  if (slots.missed) {
    const from = latest(book.accountedUntil, since) ?? since
    book = countLate(book, known, clock, { from, to: slots.missed.newest })
  }
  const { due, next } = slots
  if (!due) return { groups: [], book, next, closes: undefined }
  // Without the snapshot API the slot stays open until its deadline: the CRDs may come.
  const closes = addSeconds(due, startingDeadlineSeconds + 1)
  if (!snapshotApi) return { groups: [], book: rememberOpen(book, due), next, closes }
  const able = targets.filter(canBeMade)
  // It has waited for the snapshot API, and waits for what comes with it: where some can begin, the others have that moment only.
  const grace = latest(...targets.map(({ readiness }) => backGraceEnd(readiness, snapshotApiBackSince)))
  if (grace && due < grace) {
    const from = latest(due, snapshotApiBackSince) ?? due
    const until = able.length === 0 ? closes : othersUntil(grace, from, addSeconds(due, startingDeadlineSeconds))
    if (now < until) return { groups: [], book: rememberOpen(book, due), next, closes: until }
  }
  const lacking = lackingOf(due)
  const missing = able
    .map(target => ({ target, name: runOf(target.name, due) }))
    .filter(({ name }) => recorded.get(name) !== due.getTime() && !taken.has(name))
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
  const free = missing.filter(({ target: { name } }) => !uncut.has(name) && !isCrowded(snapshots, name, policy, now))
  // What may still get its Backup is not lost: it is made now, or it is skipped.
  const lost = lacking.targets.filter(name => !missing.some(({ target }) => target.name === name))
  const hasNone = able.length === 0 && !begun.has(due.getTime())
  const outcome = lost.length > 0 || hasNone ? 'missed' : free.length < missing.length ? 'skipped' : undefined
  const open = { book, lacking, groupOf: (target: string) => recording(runOf(target, due)) }
  const closed = missedFor(advanceTo(book, due), { slot: due, targets: lost })
  const made = free.map(({ name, target }) => {
    const object = scheduledBackup(namespace, policy.metadata.name, name, target.name, due)
    return { target, object, record: alone(recording(name), { do: 'create', object, cost: 'this run has no Backup' }) }
  })
  return {
    groups: made.map(({ record }) => record),
    // Only for a Backup that was not there before: one that a cache had not shown may have ended, and its snapshot be gone.
    starts: made.flatMap(({ target, object, record }) =>
      snapshotStart(object, target, now).map(start => ({
        ...start,
        needs: [{ group: record.name, was: 'made' } as const],
      })),
    ),
    book: outcome ? counted(closed, outcome, 1, due) : closed,
    ifTaken: counted(closed, 'missed', 1, due),
    open,
    next,
    closes: undefined,
  }
}

/** What the Backups and the status say of slots. */
type Known = {
  /** The slots of the Backups, by their names, and the slots themselves. */
  readonly recorded: ReadonlyMap<string, number>
  readonly begun: ReadonlySet<number>
  /** Names of runs under which there is a Backup of another night. */
  readonly taken: ReadonlySet<string>
  readonly runOf: (target: string, slot: Date) => string
  readonly lackingOf: (slot: Date) => Unmade
}

function knownOf(
  { ran, tooEarly }: ReturnType<typeof bySlot>,
  { metadata, status }: BackupPolicy,
  targets: SnapshotStrategyView['targets'],
  before: SlotBook,
): Known {
  const recorded = slotsByName(ran)
  const runOf = (target: string, slot: Date) => slotRunName(metadata.name, target, slot)
  const lacks = (slot: Date) => (target: string) => recorded.get(runOf(target, slot)) !== slot.getTime()
  return {
    recorded,
    begun: new Set(recorded.values()),
    taken: new Set(tooEarly.map(each => each.metadata.name)),
    runOf,
    lackingOf: slot => ({ slot, targets: owedTo(slot, before, targets, status).filter(lacks(slot)) }),
  }
}

/** Nothing fires any more for a slot that an edit has found open. */
function closeEdited(book: SlotBook, { begun, lackingOf }: Known, since: Date): SlotBook {
  const open = timeOf(book.counts.unmade?.slot)
  if (!open || open > since) return book
  const lacking = lackingOf(open)
  const closed = missedFor(advanceTo(book, open), lacking)
  return begun.has(open.getTime()) && lacking.targets.length === 0 ? closed : counted(closed, 'missed', 1, open)
}

/** Counts the slots that passed: of each that has Backups the other claims may have missed it. */
function countLate(
  book: SlotBook,
  { begun, lackingOf }: Known,
  clock: PolicySchedule,
  range: { readonly from: Date; readonly to: Date },
): SlotBook {
  const open = timeOf(book.counts.unmade?.slot)
  const half = [...begun.union(new Set(open ? [open.getTime()] : []))]
    .toSorted((a, b) => a - b)
    .map(ms => new Date(ms))
    .filter(slot => slot > range.from && slot <= range.to)
    .map(lackingOf)
    .filter(({ targets }) => targets.length > 0)
  const whole = begun.difference(new Set(half.map(({ slot }) => slot.getTime())))
  return missedFor(countUnrun(book, clock, range, [], whole), half.at(-1))
}

/**
 * Until when those that can begin wait for the others, from that time on: a pass is never begun to the millisecond, and at the deadline the
 * slot would be missed for all.
 */
function othersUntil(grace: Date, from: Date, deadline: Date): Date {
  const leftSeconds = (deadline.getTime() - from.getTime()) / 1000
  return earliest(grace, addSeconds(deadline, -Math.min(spareSeconds, leftSeconds / 2))) ?? grace
}
