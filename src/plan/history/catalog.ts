// Keeps Backup objects and the bucket of one mind (docs/design.md R7): a mover tells the digest of what is kept; where our objects have
// another one, catalog Jobs read the list page by page, and only a whole list adds or removes Backups.
import { isFinal, type Backup, type BackupStatus } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { annotation, label } from '../../api/labels.ts'
import { isCommitted, type CatalogEntry, type MoverMessage } from '../../api/mover/message.ts'
import { runsDigest } from '../../api/mover/task.ts'
import { catalogJobName, commandTarget } from '../../api/names.ts'
import type { Action } from '../core/actions.ts'
import type { CatalogKnowledge } from '../runs/run.ts'
import { backupsInStore, isHeld } from './history.ts'
import { byCreation, moverMessageOf } from '../jobs/pods.ts'
import { isFinished, judgeJob } from '../jobs/verdict.ts'
import { isRun, jobOf, runJobName } from '../view/lookup.ts'
import { addSeconds, timeOf } from '../../schedule/times.ts'
import type { PolicyWorld } from '../view/world.ts'

export type CatalogPlan = CatalogKnowledge & {
  readonly actions: readonly Action[]
  /** The digest that our objects are known to agree with. */
  readonly digest: string | undefined
  /** The newest committed message of a mover that is still to be seen. */
  readonly said: MoverMessage | undefined
  /** When to look again, if nothing changes. */
  readonly wakeAt?: Date
}

/** So long after it began a page that could not be read is asked for again, as a probe is at most. Seconds. */
const retrySeconds = 600

export function planCatalog(world: PolicyWorld, policy: BackupPolicy, now: Date): CatalogPlan {
  const before = policy.status?.targets?.find(({ name }) => name === commandTarget)?.digest
  const said = newestCommitted(world)
  const catalogJobs = world.jobs.filter(
    job => job.metadata.labels?.[label.role] === 'catalog' && !job.metadata.deletionTimestamp,
  )
  const cleanUp = catalogJobs.map((job): Action => ({
    do: 'delete-job',
    name: job.metadata.name,
    uid: job.metadata.uid ?? '',
    because: 'the catalog was read',
  }))
  const idle = { entries: undefined, open: false, said } as const
  const kept = said?.kept
  if (!kept || said.run === undefined) return { ...idle, actions: [], digest: before }
  if (before === kept.digest) return { ...idle, actions: cleanUp, digest: before }
  const unread = { entries: undefined, open: true, said, digest: before } as const
  if (!isQuiet(world, said.run)) return { ...unread, actions: [] }
  if (digestOfObjects(world) === kept.digest) return { ...idle, actions: cleanUp, digest: kept.digest }

  const read = readPages(world, policy, said.run, now)
  // Pages that were read for an earlier run's words are of no use any more.
  const old = cleanUp.filter(action => action.do === 'delete-job' && !read.pages.has(action.name))
  if (!read.entries) return { ...unread, actions: [...old, ...read.actions], wakeAt: read.wakeAt }
  const entries = new Map(read.entries.map(entry => [entry.run, entry]))
  const changes = differences(world, entries, said, read)
  // The digest is settled when nothing is left to do; until then the pages stay, so that a crash reads them again.
  const settled = changes.length === 0
  return { actions: [...old, ...changes], digest: settled ? kept.digest : before, entries, open: !settled, said }
}

function newestCommitted(world: PolicyWorld): MoverMessage | undefined {
  const here = new Set(
    world.jobs
      .filter(({ metadata }) => metadata.annotations?.[annotation.store] === world.storeLocation)
      .map(({ metadata }) => metadata.uid),
  )
  const pods = world.pods.filter(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => here.has(uid)))
  const messages = pods.toSorted(byCreation).flatMap(pod => {
    const message = moverMessageOf(pod)
    return message && isCommitted(message) && message.kept ? [message] : []
  })
  return messages.at(-1)
}

/** The message's own Backup is judged, and no run could change the bucket meanwhile. */
function isQuiet(world: PolicyWorld, run: string): boolean {
  const active = world.jobs.some(job => isRun(job) && !isFinished(job))
  const backup = world.backups.find(({ status }) => status?.run === run)
  return !active && (backup === undefined || isFinal(backup.status?.phase))
}

function digestOfObjects(world: PolicyWorld): string {
  return runsDigest(backupsInStore(world).flatMap(({ status }) => status?.run ?? []))
}

type Reading = {
  /** Names of the Jobs of the pages, read or to be read. */
  readonly pages: ReadonlySet<string>
  readonly begun: Date | undefined
  /** Some manifest of the bucket could not be read. */
  readonly unreadable: boolean
}

/** Follows the pages. */
function readPages(
  world: PolicyWorld,
  policy: BackupPolicy,
  run: string,
  now: Date,
): Reading & {
  readonly entries?: readonly CatalogEntry[]
  readonly actions: readonly Action[]
  readonly wakeAt?: Date
} {
  const entries: CatalogEntry[] = []
  const pages = new Set<string>()
  let unreadable = false
  let begun: Date | undefined
  let cursor: string | undefined
  for (;;) {
    const name = catalogJobName(policy.metadata.name, run, cursor ?? '')
    pages.add(name)
    const job = world.jobs.find(({ metadata }) => metadata.name === name)
    if (!job) return { pages, begun, unreadable, actions: [{ do: 'create-catalog-job', run, cursor }] }
    const page = judgeJob(job, world.pods, world.jobEvents, undefined, now)
    const catalog = page.phase === 'Completed' ? page.said?.catalog : undefined
    if (!catalog) {
      if (page.phase === 'Pending' || page.phase === 'Running')
        return { pages, begun, unreadable, actions: [], wakeAt: page.wakeAt }
      const again = addSeconds(page.startTime ?? now, retrySeconds)
      const due = now >= again
      const because = `the page could not be read and is asked for again: ${page.message}`
      const retry: readonly Action[] = due ? [{ do: 'delete-job', name, uid: job.metadata.uid ?? '', because }] : []
      return { pages, begun, unreadable, actions: retry, wakeAt: due ? undefined : again }
    }
    unreadable ||= page.said?.warnings?.some(({ reason }) => reason === 'ManifestUnreadable') ?? false
    begun ??= timeOf(job.metadata.creationTimestamp)
    entries.push(...catalog.entries)
    if (catalog.next === undefined) return { entries, pages, begun, unreadable, actions: [] }
    cursor = catalog.next
  }
}

function differences(
  world: PolicyWorld,
  entries: ReadonlyMap<string, CatalogEntry>,
  said: MoverMessage,
  { begun, unreadable }: Reading,
): readonly Action[] {
  const wrong = new Set(world.backups.filter(backup => isRefuted(world, backup, entries)))
  const known = new Set(
    world.backups
      .filter(backup => !wrong.has(backup))
      .flatMap(({ metadata, status }) => [metadata.name, status?.run ?? '']),
  )
  const replaced = [...wrong].filter(({ spec }) => spec.slot !== undefined)
  const taken = new Set(replaced.map(({ metadata }) => metadata.name))
  const missing = [...entries.values()].filter(({ run }) => !known.has(run) && !taken.has(run))
  // A manifest that this version cannot read is no entry, and yet a backup: then nothing is lost for certain.
  const lost = (unreadable ? [] : backupsInStore(world)).filter(
    ({ status }) =>
      status?.run !== undefined && !entries.has(status.run) && status.run !== said.run && !isLater(status, begun),
  )
  return [
    ...missing.map(({ run, slot }): Action => ({
      do: 'create-scheduled-backup',
      name: run,
      target: commandTarget,
      slot: new Date(slot),
    })),
    // Its successor takes the name: it is created once this one is gone.
    ...replaced.map(({ metadata }): Action => ({
      do: 'delete-backup',
      name: metadata.name,
      uid: metadata.uid ?? '',
      resourceVersion: metadata.resourceVersion,
      because: 'its run was taken for failed, and the bucket has its manifest',
    })),
    ...lost.map(({ metadata, status }): Action => ({
      do: 'delete-backup',
      name: metadata.name,
      uid: metadata.uid ?? '',
      because: `the bucket has no manifest of run ${status?.run}`,
    })),
  ]
}

/**
 * A run whose Job went, with all that it had to say, was taken for failed, and yet it had committed. A final phase never changes, so
 * that another Backup has to tell of it; people's own Backups stay beside it. So does one that is held, which protects the data.
 */
function isRefuted(world: PolicyWorld, backup: Backup, entries: ReadonlyMap<string, CatalogEntry>): boolean {
  const failed = backup.status?.phase === 'Failed' && entries.has(runJobName(backup))
  return failed && !jobOf(world, backup) && !isHeld(backup)
}

/** A run that ended after the reading began is in no page, and its words may be lost. */
function isLater({ completionTime }: BackupStatus, begun: Date | undefined): boolean {
  const end = timeOf(completionTime)
  return begun !== undefined && end !== undefined && end >= begun
}
