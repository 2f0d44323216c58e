// Follows the pages of a catalog. What they hold was written by others: a store may answer every page with the same one, a manifest may
// name a run that is none of the policy's, and this is read in the loop that all policies share (docs/design.md R27).
import type { Reason } from '../../api/conditions.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { CatalogEntry } from '../../api/mover/message.ts'
import { catalogJobName, isRunOf } from '../../api/names.ts'
import { catalogJob } from '../../resources/jobs.ts'
import { addSeconds, isTime, timeOf } from '../../schedule/times.ts'
import { alone, deletion, type Group } from '../core/actions.ts'
import { judgeJob } from '../jobs/verdict.ts'
import { ofTarget } from '../view/per-target.ts'
import type { View } from '../view/view.ts'

/** So long after it began a page that could not be read is asked for again, as a probe is at most. Seconds. */
const retrySeconds = 600

/** Each is a Job and holds at least a dozen runs, so that this is far more than the most that retention may keep. */
const mostPages = 500

/** What is wrong with the list itself. */
export type CatalogTrouble = { readonly reason: Reason; readonly message: string }

export type Reading = {
  /** Names of the Jobs of the pages, read or to be read. */
  readonly pages: ReadonlySet<string>
  readonly begun: Date | undefined
  readonly trouble?: CatalogTrouble
  /** The whole list, once it is read. */
  readonly entries?: readonly CatalogEntry[]
  readonly groups: readonly Group[]
  readonly wakeAt?: Date
}

type PagesView = Pick<View, 'settings' | 'pages'> & { readonly policy: BackupPolicy; readonly target: string }

export function readPages({ policy, target, settings, pages: seen }: PagesView, run: string, now: Date): Reading {
  const byName = new Map(seen.map(view => [view.job.metadata.name, view]))
  const entries: CatalogEntry[] = []
  const foreign: string[] = []
  const pages = new Set<string>()
  let begun: Date | undefined
  let cursor: string | undefined
  for (;;) {
    const soFar = { pages, begun, ...told(foreign) }
    if (pages.size === mostPages) return { ...soFar, groups: [], trouble: tooLong }
    const name = catalogJobName(policy.metadata.name, run, cursor ?? '')
    pages.add(name)
    const view = byName.get(name)
    if (!view) {
      const cost = 'Backups are not compared with what the bucket holds'
      const object = catalogJob(policy, run, cursor, settings, target)
      return { ...soFar, groups: [alone(ofTarget('catalog', target), { do: 'create', object, cost })] }
    }
    const { job } = view
    const page = judgeJob(view, undefined, now)
    const catalog = page.phase === 'Completed' ? page.moverMessage?.catalog : undefined
    if (!catalog && (page.phase === 'Pending' || page.phase === 'Running'))
      return { ...soFar, groups: [], wakeAt: page.wakeAt }
    const repeats = catalog?.next !== undefined && catalog.next <= (cursor ?? '')
    if (!catalog || repeats) {
      const again = addSeconds(page.startTime ?? now, retrySeconds)
      const due = now >= again
      const why = repeats ? repeating.message : page.message
      const retry = due ? [alone(`clean/${name}`, deletion(job, `the page is asked for again: ${why}`))] : []
      const trouble = repeats ? { trouble: repeating } : {}
      return { ...soFar, ...trouble, groups: retry, wakeAt: due ? undefined : again }
    }
    begun ??= timeOf(job.metadata.creationTimestamp)
    for (const entry of catalog.entries) {
      if (isOwn(entry, policy.metadata.name, target)) entries.push(entry)
      else foreign.push(entry.run)
    }
    if (catalog.next === undefined) {
      return { pages, begun, ...told(foreign), entries, groups: [] }
    }
    cursor = catalog.next
  }
}

/** The name is one that a run of the target can have, and its times are times: it becomes the name and the slot of a Backup. */
function isOwn({ run, slot, startedAt, finishedAt }: CatalogEntry, policy: string, target: string): boolean {
  return isRunOf(run, policy, target) && [slot, startedAt, finishedAt].every(isTime)
}

const repeating: CatalogTrouble = {
  reason: 'CatalogRepeats',
  message:
    'the store answers the next page of the list with one that leads back: it ignores start-after. Backups are not compared with what the bucket holds; a page is asked for again every 10 minutes',
}

const tooLong: CatalogTrouble = {
  reason: 'CatalogTooLong',
  message: `the list of the bucket has more than ${mostPages} pages, and is not read any further. Backups are not compared with what the bucket holds`,
}

function told(foreign: readonly string[]): { readonly trouble?: CatalogTrouble } {
  const [first, ...others] = foreign
  if (first === undefined) return {}
  const more = others.length > 0 ? ` and ${others.length} more` : ''
  const message = `manifests in the folder of this policy are of no run of it, or have impossible times: ${JSON.stringify(first.slice(0, 63))}${more}. They get no Backup, and no Backup is taken for lost; find out who wrote them`
  return { trouble: { reason: 'CatalogForeign', message } }
}
