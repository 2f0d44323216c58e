// The clock of the snapshot strategy: which slot starts now, for which claims, and which slots passed without a run.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { isFinal } from '../../api/kinds/backup.ts'
import { slotRunName } from '../../api/names.ts'
import type { PolicySchedule } from './schedule.ts'
import { planSlots } from '../../schedule/schedule.ts'
import { advanceTo, counted, countMissed, type SlotBook, type SlotPlan } from './slots.ts'
import { addSeconds, latest, timeOf } from '../../schedule/times.ts'
import { scheduledBackup } from '../../resources/backup-objects.ts'
import { alone } from '../core/actions.ts'
import { recording } from '../history/clean-up.ts'
import type { SnapshotStrategyView, View } from '../view/view.ts'

/**
 * A due slot makes one Backup per selected claim; its name is the lock that makes it happen once, also after a crash between two of
 * them. A claim whose earlier scheduled run still goes on is skipped.
 * @param ended Backups that this very plan judges as ended: whether that is written yet must not decide about a slot.
 */
export function planSnapshotSlots(
  { namespace, runs, snapshotApi }: Pick<View, 'namespace' | 'runs' | 'snapshotApi'>,
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
  let book = before
  if (slots.missed) {
    const range = { from: latest(before.accountedUntil, since) ?? since, to: slots.missed.newest }
    const recorded = runs.flatMap(({ backup }) => timeOf(backup.spec.slot) ?? [])
    book = countMissed(book, clock, range, recorded)
  }
  const { due, next } = slots
  if (!due) return { groups: [], book, next, closes: undefined }
  // Without the snapshot API the slot stays open until its deadline: the CRDs may come.
  if (!snapshotApi) return { groups: [], book, next, closes: addSeconds(due, startingDeadlineSeconds + 1) }
  book = advanceTo(book, due)
  if (targets.length === 0) return { groups: [], book: counted(book, 'missed', 1, due), next, closes: undefined }

  const backups = runs.map(({ backup }) => backup)
  const names = new Set(backups.map(({ metadata }) => metadata.name))
  const busy = new Set(
    backups
      .filter(({ metadata, spec, status }) => spec.slot && !isFinal(status?.phase) && !ended.has(metadata.name))
      .map(({ spec }) => spec.target),
  )
  const wanted = targets.map(({ name: target }) => ({ target, name: slotRunName(policy.metadata.name, target, due) }))
  const missing = wanted.filter(({ name }) => !names.has(name))
  const free = missing.filter(({ target }) => !busy.has(target))
  if (free.length < missing.length) book = counted(book, 'skipped', 1, due)
  return {
    groups: free.map(({ name, target }) => {
      const object = scheduledBackup(namespace, policy.metadata.name, name, target, due)
      return alone(recording(name), { do: 'create', object, cost: 'this run has no Backup' })
    }),
    book,
    next,
    closes: undefined,
  }
}
