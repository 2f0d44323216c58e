/** After the commit: retention of the target, and what killed attempts left behind. Nothing here fails the backup. */
import { runsDigest, type BackupTask } from '../../api/mover/task.ts'
import type { KeptRuns } from '../../api/mover/message.ts'
import type { MoverWarningReason } from '../../api/mover/reasons.ts'
import { planRetention } from '../../plan/history/retention.ts'
import { deleteBackup, type CatalogRun } from '../../storage/bucket/catalog.ts'
import type { Layout } from '../../storage/bucket/layout.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { isStoreError } from '../../storage/store-error.ts'
import { sweep } from '../../storage/bucket/sweep.ts'
import type { Report } from '../protocol/report.ts'

export interface RetentionOptions {
  readonly task: Pick<BackupTask, 'retention' | 'held' | 'accepted' | 'maxDeletes'>
  readonly store: ObjectStore
  readonly layout: Layout
  /** All runs of the target, this one among them. */
  readonly runs: readonly CatalogRun[]
  readonly report: Report
  readonly signal: AbortSignal
}

/** Deletes what the policy no longer keeps, and reports what is left. */
export async function applyRetention(options: RetentionOptions): Promise<void> {
  const { task, store, layout, runs, report, signal } = options
  const plan = planRetention(
    runs.map(({ run, slot, record }) => ({
      id: run,
      slot,
      good: record !== undefined,
      suspect: record?.suspect === true && !task.accepted.includes(run),
    })),
    { keep: task.retention, held: task.held, maxDeletes: task.maxDeletes },
  )
  const stopped = plan.verdicts.find(({ reason }) => reason === 'PruningStopped')
  if (stopped) report.warn('RetentionPaused', stopped.message)
  const deleted: string[] = []
  report.update({ kept: summary(runs), deleted })
  for (const id of plan.deleteNow) {
    const backup = runs.find(({ run }) => run === id)
    if (!backup?.record) continue
    try {
      await deleteBackup(store, layout, { key: backup.key, record: backup.record }, signal)
    } finally {
      // Also when its data could not be deleted: without its manifest, which goes first, it is no backup any more.
      if (!(await stillThere(store, backup.key, signal))) deleted.push(id)
      report.update({ kept: summary(runs.filter(({ run }) => !deleted.includes(run))), deleted })
    }
    report.log.info({ run: id, why: plan.verdicts.find(verdict => verdict.id === id)?.message }, 'deleted a backup')
  }
}

/** Aborts and deletes what attempts of jobs that are over left behind. */
export async function sweepLeftovers(
  options: Pick<RetentionOptions, 'store' | 'layout' | 'report' | 'signal'> & { readonly now: number },
) {
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
    const reason: MoverWarningReason = isStoreError(error, 'AccessDenied') ? 'RetentionBlocked' : 'RetentionIncomplete'
    report.warn(reason, `${what}: ${error instanceof Error ? error.message : String(error)}`)
    return false
  }
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

/** When the store cannot say, the manifest counts as there: the operator then reads the catalog. */
async function stillThere(store: ObjectStore, key: string, signal: AbortSignal): Promise<boolean> {
  try {
    return (await store.head(key, signal)) !== undefined
  } catch {
    return true
  }
}
