/** One page of a target's backups, for an operator whose Backup objects differ from the bucket (docs/design.md R7). */
import { catalogMessageLimit, type CatalogEntry } from '../../api/mover/message.ts'
import { recordSizes, triggerOf, type BackupRecord } from '../../api/record.ts'
import type { CatalogTask } from '../../api/mover/task.ts'
import { foreignText, readCatalogPage, splitByOwner } from '../../storage/bucket/catalog.ts'
import { listHolds } from '../../storage/bucket/holds.ts'
import { layoutOf } from '../../storage/bucket/layout.ts'
import { claimFolder } from '../../storage/bucket/ownership.ts'
import type { Report } from '../protocol/report.ts'
import { openStores } from '../stores.ts'

/** No page holds more; what does not fit into the message goes to the next. */
const mostEntries = 40

/** The cursor is the key of the last manifest that was looked at. */
export async function runCatalog(task: CatalogTask, report: Report, now: number, signal: AbortSignal) {
  report.update({ phase: 'probing' })
  const { quick: store } = await openStores(task, report.log)
  const layout = layoutOf({ prefix: task.backend.prefix, namespace: task.owner.namespace, policy: task.owner.policy })
  await claimFolder(store, layout, task.owner, now, signal)
  // Without the holds there is no page: the operator would take a held run for one that is not.
  const holds = await listHolds(store, layout, signal)
  const { runs, next } = await readCatalogPage(store, layout, task.target, {
    after: task.cursor,
    limit: mostEntries,
    signal,
  })
  const { foreign } = splitByOwner(runs, task.owner)
  let page = runs
  const done = () => ({
    ...report.message,
    phase: 'done' as const,
    finishedAt: Date.now(),
    catalog: {
      entries: page.flatMap(run => (run.record && !foreign.includes(run) ? [entryOf(run.record, holds)] : [])),
      next: page.length < runs.length ? page.at(-1)?.key : next,
    },
  })
  for (const { key, problem } of page) if (problem) report.warn('ManifestUnreadable', `${key}: ${problem}`)
  if (foreign.length > 0) report.warn('ForeignBackups', foreignText(foreign))
  while (page.length > 1 && Buffer.byteLength(JSON.stringify(done())) > catalogMessageLimit) page = page.slice(0, -1)
  report.update(done(), catalogMessageLimit)
}

function entryOf(record: BackupRecord, holds: ReadonlySet<string>): CatalogEntry {
  return {
    run: record.run,
    slot: Date.parse(record.slot),
    startedAt: Date.parse(record.startedAt),
    finishedAt: Date.parse(record.finishedAt),
    ...recordSizes(record),
    sha256: record.artifacts[0]?.sha256,
    ...(record.suspect ? { suspect: true as const } : {}),
    ...(record.sizeCheck === 'unchecked' ? { unchecked: true as const } : {}),
    ...(triggerOf(record) === 'on-demand' ? { trigger: 'on-demand' as const } : {}),
    ...(holds.has(record.run) ? { held: true as const } : {}),
  }
}
