/** After the commit: retention of the target, and what killed attempts left behind. Nothing here fails the backup. */
import { runsDigest } from '../../api/mover/runs-digest.ts'
import type { BackupTask } from '../../api/mover/task.ts'
import type { KeptRuns } from '../../api/mover/message.ts'
import type { MoverWarningReason } from '../../api/mover/reasons.ts'
import { keepingOfTask } from '../../plan/history/numbers.ts'
import {
  countsWithData,
  inOnePass,
  planRetention,
  type Going,
  type RetentionOptions,
  type RetentionRun,
  type RunData,
} from '../../plan/history/retention.ts'
import { judgeSizes } from '../../plan/history/sizes.ts'
import { isAhead } from '../../schedule/times.ts'
import {
  deleteBackup,
  foreignText,
  splitByOwner,
  type CatalogRun,
  type Deletion,
} from '../../storage/bucket/catalog.ts'
import { listHolds } from '../../storage/bucket/holds.ts'
import type { Layout } from '../../storage/bucket/layout.ts'
import { confirmsReadable, listData, stateOf } from '../../storage/bucket/segments.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { persevere } from '../../storage/bucket/persevere.ts'
import { isStoreError } from '../../storage/store-error.ts'
import { sweep } from '../../storage/bucket/sweep.ts'
import type { Report } from '../protocol/report.ts'
import { sizedRun } from './size-check.ts'

export type RetentionTask = Pick<
  BackupTask,
  | 'owner'
  | 'retention'
  | 'retentionChanged'
  | 'onDemandRetention'
  | 'onDemandRetentionChanged'
  | 'held'
  | 'accepted'
  | 'maxDeletes'
>

export interface PruningOptions {
  readonly task: RetentionTask
  /** The run that was just committed. */
  readonly run: string
  readonly store: ObjectStore
  readonly layout: Layout
  /** All runs of the target that the folder has, this one among them. */
  readonly runs: readonly CatalogRun[]
  /** Since when the folder is this policy's, ms since the epoch. */
  readonly adoptedAt: number | undefined
  /** Ids of the clusters from which it was taken over. */
  readonly formerly: readonly string[]
  /** ms since the epoch. */
  readonly now: number
  readonly report: Report
  readonly signal: AbortSignal
}

/**
 * Deletes what the policy no longer keeps, and reports what is left. Before anything goes, the data of what stays are looked at. What others
 * have in the folder is none of its business.
 * @throws the first refusal, after all else was tried.
 */
export async function applyRetention(options: PruningOptions): Promise<void> {
  const { own, foreign } = splitByOwner(options.runs, options.task.owner, options.formerly)
  if (foreign.length > 0) options.report.warn('ForeignBackups', foreignText(foreign))
  await pruneOwn({ ...options, runs: own })
}

/** `runs`: only those of the task's owner. */
async function pruneOwn(options: PruningOptions): Promise<void> {
  const { store, layout, runs, report, signal } = options
  const deleted: string[] = []
  const tellKept = () => report.update({ kept: summary(runs.filter(({ run }) => !deleted.includes(run))), deleted })
  tellKept()
  const unreadable = runs.filter(({ problem }) => problem !== undefined)
  if (unreadable[0]) {
    const { key, problem } = unreadable[0]
    report.warn('ManifestUnreadable', `${unreadable.length} cannot be read; the first is ${key}: ${problem}`)
  }
  const judged = judgedRuns(options)
  const numbers = numbersOf(options)
  const { deleteNow, deleteLater } = planRetention(judged, numbers)
  if (numbers.maxDeletes === 0 && deleteLater > 0) return report.warn('RetentionPaused', tooManyHeld)
  if (deleteNow.length === 0) return tellStop(report, judged, numbers)
  const stop = adoptionStop(options)
  if (stop !== undefined) {
    report.warn('RetentionPaused', stop)
    return
  }
  const held = new Set([...numbers.held, ...(await listHolds(store, layout, signal))])
  const seen = await lookAtData(options, judged)
  const plan = planRetention(seen, { ...numbers, held })
  tellStop(report, seen, { ...numbers, held })
  const stays = new Set<string>()
  const remove = async ({ id, message: why }: Going) => {
    const backup = runs.find(({ run }) => run === id)
    if (!backup?.record) return
    let outcome: Deletion | undefined
    try {
      outcome = await deleteBackup(store, layout, { key: backup.key, record: backup.record }, options.now, signal)
      report.log.info({ run: id, why, outcome }, 'retention is done with a backup')
    } finally {
      const manifest = await lookFor(store, backup.key, signal)
      // Also when its data could not be deleted: without its manifest, which goes first, it is no backup any more.
      if (manifest === 'gone') deleted.push(id)
      // A store may show for a while what it has deleted.
      if (manifest === 'there' && outcome !== 'deleted') stays.add(id)
      tellKept()
    }
  }
  await persevere(inOnePass(plan.goes, numbers, stays), remove, signal)
}

const tooManyHeld =
  'more backups are to be held than a run can be told of, and their holds are not in the bucket yet (condition Held of the Backups); nothing is pruned until they are'

/** Aborts and deletes what attempts of jobs that are over left behind. */
export async function sweepLeftovers(
  options: Pick<PruningOptions, 'store' | 'layout' | 'report' | 'signal' | 'now'>,
): Promise<void> {
  const { store, layout, report, now, signal } = options
  const swept = await sweep(store, layout, now, signal)
  if (swept.abortedUploads + swept.deletedObjects > 0)
    report.log.info({ ...swept }, 'removed what killed attempts left')
}

/** Runs one of the two; what goes wrong becomes a warning. */
export async function withoutFailing(report: Report, what: string, work: () => Promise<void>): Promise<boolean> {
  try {
    await work()
    return true
  } catch (error) {
    warnOf(report, what, error)
    return false
  }
}

export function warnOf(report: Report, what: string, error: unknown) {
  const reason: MoverWarningReason = isStoreError(error, 'AccessDenied') ? 'RetentionBlocked' : 'RetentionIncomplete'
  report.warn(reason, `${what}: ${error instanceof Error ? error.message : String(error)}`)
}

/**
 * The sizes are judged anew: what an earlier run could not compare is compared now. The run that was just made is the newest, and never
 * ahead: where its slot seems to be, the clock of this node may be behind.
 */
function judgedRuns({ task, run: justMade, runs, now }: PruningOptions): readonly RetentionRun[] {
  const sizes = judgeSizes(runs.map(run => sizedRun(run, task.accepted)))
  return runs.map(({ run, slot, record }) => ({
    id: run,
    slot,
    good: record !== undefined,
    suspect: sizes.get(run) === 'suspect',
    unchecked: sizes.get(run) === 'unchecked',
    ahead: run !== justMade && isAhead(slot, new Date(now)),
    trigger: record?.trigger,
  }))
}

/**
 * The task is as old as the run: what somebody took back while it went on is not in it. And a run never deletes itself, whatever clock has
 * dated the others.
 */
function numbersOf({ task, run, runs, now }: PruningOptions) {
  const ends = runs.flatMap(({ run: id, record }) => (record && id !== run ? [new Date(record.finishedAt)] : []))
  const began = Date.parse(runs.find(({ run: id }) => id === run)?.record?.startedAt ?? '')
  const asked = new Date(began < now ? began : now)
  const numbers = keepingOfTask(task, ends, asked, new Date(now))
  return { ...numbers, held: [...numbers.held, run] }
}

/**
 * Why nothing may go: a policy that has just come to a folder has not shown that it can make a backup there, and its numbers may be
 * another's. One run of its own before this one shows it.
 */
function adoptionStop({ task, run, runs, adoptedAt }: PruningOptions): string | undefined {
  if (adoptedAt === undefined) {
    return "the mark of the folder does not tell since when it is this policy's, and cannot be written; nothing is pruned"
  }
  const own = runs.some(
    ({ run: id, record }) =>
      record &&
      id !== run &&
      record.owner.policyUid === task.owner.policyUid &&
      Date.parse(record.startedAt) >= adoptedAt,
  )
  if (own) return undefined
  return `the folder is this policy's since ${new Date(adoptedAt).toISOString()}; nothing is pruned before its second backup there`
}

/** The data of all runs by the list; of the newest that count by a look at each, down to the first that can be read at once. */
async function lookAtData(
  { store, layout, runs, report, signal }: PruningOptions,
  judged: readonly RetentionRun[],
): Promise<readonly RetentionRun[]> {
  const listed = await listData(store, layout, signal)
  const backups = new Map(runs.map(({ run, key, record }) => [run, { key, record }]))
  const seen = new Map<string, RunData>()
  let confirmed = false
  for (const each of [...judged].sort((a, b) => b.slot.getTime() - a.slot.getTime())) {
    const { id } = each
    const { key = '', record } = backups.get(id) ?? {}
    if (!record) continue
    let data: RunData = await stateOf(store, layout, listed, record, signal)
    if (data === 'whole' && !confirmed && countsWithData(each)) {
      confirmed = await confirmsReadable(store, layout, listed, { key, record }, signal)
      data = confirmed ? 'confirmed' : 'unknown'
    }
    if (data === 'missing' || data === 'unknown')
      report.log.warn({ run: id, data }, 'the data of a backup are not whole')
    seen.set(id, data)
  }
  return judged.map(run => ({ ...run, data: seen.get(run.id) }))
}

function tellStop(report: Report, runs: readonly RetentionRun[], options: RetentionOptions) {
  const { verdicts } = planRetention(runs, options)
  const stopped = verdicts.find(({ reason }) => reason === 'PruningStopped' || reason === 'NewestReadable')
  if (stopped) report.warn('RetentionPaused', stopped.message)
}

/** `runs` in the order of their slots. */
function summary(runs: readonly CatalogRun[]): KeptRuns {
  return {
    count: runs.length,
    newest: runs.at(-1)?.run,
    oldest: runs[0]?.run,
    digest: runsDigest(runs.map(({ run }) => run)),
  }
}

/** When the store cannot say, the manifest is not told as gone, so that the operator reads the catalog; and it takes a place of this pass. */
async function lookFor(store: ObjectStore, key: string, signal: AbortSignal): Promise<'there' | 'gone' | 'unknown'> {
  try {
    const stream = await store.read(key, { signal })
    stream.destroy()
    return 'there'
  } catch (error) {
    return isStoreError(error, 'NotFound') ? 'gone' : 'unknown'
  }
}
