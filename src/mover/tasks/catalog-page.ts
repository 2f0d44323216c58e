/** One page of a target's backups, for an operator whose Backup objects differ from the bucket (docs/design.md R7). */
import { catalogMessageLimit, type CatalogEntry } from '../../api/mover/message.ts'
import { recordSizes, type BackupRecord } from '../../api/record.ts'
import type { CatalogTask } from '../../api/mover/task.ts'
import { foreignText, readCatalogPage, splitByOwner, type CatalogRun } from '../../storage/bucket/catalog.ts'
import { listHolds } from '../../storage/bucket/holds.ts'
import { layoutOf, type Layout } from '../../storage/bucket/layout.ts'
import { claimFolder } from '../../storage/bucket/ownership.ts'
import { listData, stateOf } from '../../storage/bucket/segments.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { isStoreError, type StoreError } from '../../storage/store-error.ts'
import type { Report } from '../protocol/report.ts'
import { openStores } from '../stores.ts'

/** No page holds more; what does not fit into the message goes to the next. */
const mostEntries = 40

/** The cursor is the key of the last manifest that was looked at. */
export async function runCatalog(task: CatalogTask, report: Report, now: number, signal: AbortSignal) {
  report.update({ phase: 'probing' })
  const { quick: store } = await openStores(task, report.log)
  const layout = layoutOf({ prefix: task.backend.prefix, namespace: task.owner.namespace, policy: task.owner.policy })
  const { formerly } = await claimFolder(store, layout, task, now, signal)
  // Without the holds there is no page: the operator would take a held run for one that is not.
  const holds = await listHolds(store, layout, signal)
  const { runs, next } = await readCatalogPage(store, layout, task.target, {
    after: task.cursor,
    limit: mostEntries,
    signal,
  })
  const { own, foreign } = splitByOwner(runs, task.owner, formerly)
  const unproven = await unprovenRuns(store, layout, own, report, signal)
  let page = runs
  const done = () => ({
    ...report.message,
    phase: 'done' as const,
    finishedAt: Date.now(),
    catalog: {
      entries: page.flatMap(run =>
        run.record && !foreign.includes(run) ? [entryOf(run.record, holds, unproven)] : [],
      ),
      next: page.length < runs.length ? page.at(-1)?.key : next,
    },
  })
  for (const { key, problem } of page) if (problem) report.warn('ManifestUnreadable', `${key}: ${problem}`)
  if (foreign.length > 0) report.warn('ForeignBackups', foreignText(foreign))
  while (page.length > 1 && Buffer.byteLength(JSON.stringify(done())) > catalogMessageLimit) page = page.slice(0, -1)
  report.update(done(), catalogMessageLimit)
}

/**
 * Those whose data nobody sees: a manifest may stand without, where the mover that found that out could not delete it (F59). Where `data/`
 * may not be listed each object is looked at; whoever may not list hears of what is gone as of what he may not see, so that such an answer
 * keeps no page back.
 * @throws StoreError where the answer may be another one later: a whole backup would count as unproven, and its list as read
 */
async function unprovenRuns(
  store: ObjectStore,
  layout: Layout,
  runs: readonly CatalogRun[],
  report: Report,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const listed = await listData(store, layout, signal).catch((error: unknown) => {
    if (isStoreError(error, 'AccessDenied')) return new Map<string, never>()
    throw error
  })
  const unproven = new Set<string>()
  for (const { run, record } of runs) {
    const data = record && (await stateOf(store, layout, listed, record, signal, isLasting))
    if (data !== 'missing' && data !== 'unknown') continue
    report.log.warn({ run, data }, 'the data of a backup are not whole')
    unproven.add(run)
  }
  // What was not looked at because the pod ends is not unseen: no page is told then.
  signal.throwIfAborted()
  return unproven
}

/** Only somebody who acts can change it. */
function isLasting({ class: kind }: StoreError): boolean {
  return kind === 'user'
}

function entryOf(record: BackupRecord, holds: ReadonlySet<string>, unproven: ReadonlySet<string>): CatalogEntry {
  return {
    run: record.run,
    slot: Date.parse(record.slot),
    startedAt: Date.parse(record.startedAt),
    finishedAt: Date.parse(record.finishedAt),
    ...recordSizes(record),
    sha256: record.artifacts[0]?.sha256,
    ...(record.suspect ? { suspect: true as const } : {}),
    ...(record.sizeCheck === 'unchecked' ? { unchecked: true as const } : {}),
    ...(record.trigger === 'on-demand' ? { trigger: 'on-demand' as const } : {}),
    ...(holds.has(record.run) ? { held: true as const } : {}),
    ...(unproven.has(record.run) ? { unproven: true as const } : {}),
  }
}
