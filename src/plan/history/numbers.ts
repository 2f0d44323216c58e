// How many backups of each target are kept now: the numbers of the spec, and what the status remembers of larger ones (docs/design.md R29).
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { RetentionChange } from '../../api/kinds/backup-policy-status.ts'
import type { BackupTask } from '../../api/mover/task.ts'
import { addSeconds, earliest, latest, rfc3339 } from '../../schedule/times.ts'
import {
  lowerAt,
  nextShare,
  remembered,
  retentionInForce,
  settingOf,
  shareEnd,
  slowDeletesNow,
  snapshotsInForce,
} from './lowering.ts'
import {
  backupName,
  hasData,
  planRetention,
  slowRuns,
  type Keeping,
  type RetentionOptions,
  type RetentionRun,
  type RunTrigger,
} from './retention.ts'

/** Good and other runs of each target. */
export type RunsByTarget = ReadonlyMap<string, readonly RetentionRun[]>

/** Scheduled and on-demand backups are counted apart (docs/design.md R30). */
export type Numbers = Readonly<Record<RunTrigger, RetentionChange>>

/** As far as they are known before a share of what goes slowly is planned. */
export function numbersOf({ spec, status }: BackupPolicy, runs: RunsByTarget, now: Date): Numbers {
  const onDemand = spec.onDemandRetention ?? spec.retention
  const found = (trigger: RunTrigger) =>
    Math.max(0, ...[...runs.values()].map(some => some.filter(isGood(trigger)).length))
  return {
    scheduled: remembered(status?.retention, spec.retention, found('scheduled'), now),
    'on-demand': remembered(status?.onDemandRetention, onDemand, found('on-demand'), now),
  }
}

/**
 * As the status should remember them from now on. Of snapshots a share is given up once an hour, of all volumes and both triggers of a target
 * together. What an earlier share could not delete counts in it again, so that what is late never comes on top. The larger number is
 * forgotten once no share is left, also if what is held were released, and what storage does not tell of were told; nothing seen at all is the
 * snapshot API away.
 */
export function withNextShare({ spec }: BackupPolicy, numbers: Numbers, runs: RunsByTarget, now: Date): Numbers {
  const times = [numbers.scheduled, numbers['on-demand']].flatMap(each => nextShare(each) ?? [])
  if (spec.strategy.type === 'job' || times.length === 0 || times.some(time => time > now)) return numbers
  const inForce = (number: RetentionChange) => retentionInForce(settingOf(number), now)
  const keeping = { ...inForce(numbers.scheduled), onDemand: inForce(numbers['on-demand']) }
  const seen = [...runs.values()].filter(some => some.length > 0)
  const slow = seen.map(some => slowRuns(some, keeping))
  const isOver = seen.length > 0 && seen.every(some => !shareEnd(slowRuns(some.map(atWorst), keeping)))
  const end = earliest(...slow.map(shareEnd)) ?? (isOver ? undefined : endOfAll(slow.flat()))
  if (!end && !isOver) return numbers
  const next = (number: RetentionChange): RetentionChange => {
    const { value, since } = number
    if (!nextShare(number)) return number
    return end ? { ...number, share: { before: rfc3339(end), since: rfc3339(now) } } : { value, since }
  }
  return { scheduled: next(numbers.scheduled), 'on-demand': next(numbers['on-demand']) }
}

function atWorst(run: RetentionRun): RetentionRun {
  return { ...run, held: false, ...(run.data === 'replaced' || hasData(run) ? {} : { data: 'whole' }) }
}

function endOfAll(slow: readonly RetentionRun[]): Date | undefined {
  const last = latest(...slow.map(({ slot }) => slot))
  return last && addSeconds(last, 1)
}

/**
 * What applies now. A share of snapshots is written down before it is taken, so that a crash between the two cannot take it twice.
 * @param numbers before the next share
 */
export function keepingOf(
  { spec }: BackupPolicy,
  numbers: Numbers,
  now: Date,
): Keeping & { readonly onDemand: Keeping } {
  const keeping = (number: RetentionChange): Keeping =>
    spec.strategy.type === 'job' ? retentionInForce(settingOf(number), now) : snapshotsInForce(number, now)
  return { ...keeping(numbers.scheduled), onDemand: keeping(numbers['on-demand']) }
}

/**
 * The same for a mover, from its task.
 * @param ends when the other runs of the target ended
 * @param asked when the run of the task began: its numbers are of then
 */
export function keepingOfTask(
  task: Pick<
    BackupTask,
    'retention' | 'retentionChanged' | 'onDemandRetention' | 'onDemandRetentionChanged' | 'held' | 'maxDeletes'
  >,
  ends: readonly Date[],
  asked: Date,
  now: Date,
): RetentionOptions & { readonly held: readonly string[] } {
  const inForce = (value: number, changed: BackupTask['retentionChanged']) =>
    retentionInForce({ value, ...(changed ? { changed: { ...changed, since: new Date(changed.since) } } : {}) }, asked)
  const { held, maxDeletes, onDemandRetention } = task
  const scheduled = inForce(task.retention, task.retentionChanged)
  const onDemand =
    onDemandRetention === undefined ? scheduled : inForce(onDemandRetention, task.onDemandRetentionChanged)
  return { ...scheduled, onDemand, held, maxDeletes, slowDeletes: slowDeletesNow(ends, now) }
}

/** A number that is lower than the one before, and what that costs. */
export type Lowering = {
  readonly trigger: RunTrigger
  readonly value: number
  readonly previous: number
  /** From when on the lower number applies. */
  readonly at: Date
  /** The Backups that go for it, of all targets. */
  readonly going: readonly string[]
}

/** The lowerings for which backups are still to go. */
export function lowerings(numbers: Numbers, runs: RunsByTarget, now: Date): readonly Lowering[] {
  const [scheduled, onDemand] = [numbers.scheduled, numbers['on-demand']]
  if (!lowerAt(scheduled) && !lowerAt(onDemand)) return []
  const lower = goers(runs, { keep: scheduled.value, onDemand: { keep: onDemand.value } })
  const larger = goers(runs, { keep: largest(scheduled), onDemand: { keep: largest(onDemand) } })
  return (['scheduled', 'on-demand'] as const).flatMap(trigger => {
    const { value, previous } = numbers[trigger]
    const at = lowerAt(numbers[trigger])
    if (previous === undefined || !at) return []
    const going = [...lower]
      .filter(run => !larger.has(run) && triggerOf(run) === trigger && (now < at || run.slot < at))
      .sort((a, b) => a.slot.getTime() - b.slot.getTime())
      .map(backupName)
    return going.length > 0 ? [{ trigger, value, previous, at, going }] : []
  })
}

function goers(runs: RunsByTarget, keeping: Parameters<typeof planRetention>[1]): ReadonlySet<RetentionRun> {
  return new Set(
    [...runs.values()].flatMap(some => {
      const gone = new Set(planRetention(some, keeping).verdicts.flatMap(({ id, keep }) => (keep ? [] : [id])))
      return some.filter(({ id }) => gone.has(id))
    }),
  )
}

function largest({ value, previous = 0 }: RetentionChange): number {
  return Math.max(value, previous)
}

function isGood(trigger: RunTrigger): (run: RetentionRun) => boolean {
  return run => run.good && triggerOf(run) === trigger
}

function triggerOf({ trigger = 'scheduled' }: RetentionRun): RunTrigger {
  return trigger
}
