// Keeps Backup objects and the bucket of one mind (DESIGN R7): a mover tells the digest of what is kept; where our objects have
// another one, catalog Jobs read the list page by page, and only a whole list adds or removes Backups.
import type { BackupStatus } from '../api/backup.ts'
import type { BackupPolicy } from '../api/backup-policy.ts'
import { annotation, label } from '../api/labels.ts'
import { isCommitted, type CatalogEntry, type MoverMessage } from '../api/mover-message.ts'
import { runsDigest } from '../api/mover-task.ts'
import { catalogJobName, commandTarget } from '../api/names.ts'
import type { Action } from './actions.ts'
import { backupsInStore } from './history.ts'
import { isFinished, judgeJob, moverMessageOf } from './job-run.ts'
import { timeOf } from './times.ts'
import type { PolicyWorld } from './world.ts'

export type CatalogPlan = {
  readonly actions: readonly Action[]
  /** The digest that our objects are known to agree with. */
  readonly digest: string | undefined
  /** The whole list, once it is read. */
  readonly entries: ReadonlyMap<string, CatalogEntry> | undefined
  /** The newest committed message of a mover that is still to be seen. */
  readonly said: MoverMessage | undefined
}

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
  const idle = { entries: undefined, said } as const
  const kept = said?.kept
  if (!kept || said.run === undefined) return { ...idle, actions: [], digest: before }
  if (before === kept.digest) return { ...idle, actions: cleanUp, digest: before }
  if (!isQuiet(world, said.run)) return { ...idle, actions: [], digest: before }
  if (digestOfObjects(world) === kept.digest) return { ...idle, actions: cleanUp, digest: kept.digest }

  const read = readPages(world, policy, said.run, now)
  if (!read.entries) return { ...idle, actions: read.actions, digest: before }
  const entries = new Map(read.entries.map(entry => [entry.run, entry]))
  const actions = differences(world, entries, said, read.begun)
  // The digest is settled when nothing is left to do; until then the pages stay, so that a crash reads them again.
  return { actions, digest: actions.length === 0 ? kept.digest : before, entries, said }
}

function newestCommitted(world: PolicyWorld): MoverMessage | undefined {
  const here = new Set(
    world.jobs
      .filter(({ metadata }) => metadata.annotations?.[annotation.store] === world.storeLocation)
      .map(({ metadata }) => metadata.uid),
  )
  const messages = world.pods.flatMap(pod => {
    if (!pod.metadata.ownerReferences?.some(({ uid }) => here.has(uid))) return []
    const message = moverMessageOf(pod)
    return message && isCommitted(message) && message.kept ? [message] : []
  })
  return messages.toSorted((a, b) => (a.finishedAt ?? 0) - (b.finishedAt ?? 0)).at(-1)
}

/** The message's own Backup is written, and no run could change the bucket meanwhile. */
function isQuiet(world: PolicyWorld, run: string): boolean {
  const active = world.jobs.some(job => job.metadata.labels?.[label.role] === 'run' && !isFinished(job))
  const backup = world.backups.find(({ status }) => status?.run === run)
  return !active && (backup === undefined || backup.status?.phase === 'Completed')
}

function digestOfObjects(world: PolicyWorld): string {
  return runsDigest(backupsInStore(world).flatMap(({ status }) => status?.run ?? []))
}

/** Follows the pages; a page that failed ends the reading until the next run asks again. */
function readPages(
  world: PolicyWorld,
  policy: BackupPolicy,
  run: string,
  now: Date,
): { readonly entries?: readonly CatalogEntry[]; readonly begun?: Date; readonly actions: readonly Action[] } {
  const entries: CatalogEntry[] = []
  let begun: Date | undefined
  let cursor: string | undefined
  for (;;) {
    const name = catalogJobName(policy.metadata.name, run, cursor ?? '')
    const job = world.jobs.find(({ metadata }) => metadata.name === name)
    if (!job) return { actions: [{ do: 'create-catalog-job', run, cursor }] }
    const page = judgeJob(job, world.pods, world.jobEvents, undefined, now)
    const catalog = page.phase === 'Completed' ? page.said?.catalog : undefined
    if (!catalog) return { actions: [] }
    begun ??= timeOf(job.metadata.creationTimestamp)
    entries.push(...catalog.entries)
    if (catalog.next === undefined) return { entries, begun, actions: [] }
    cursor = catalog.next
  }
}

function differences(
  world: PolicyWorld,
  entries: ReadonlyMap<string, CatalogEntry>,
  said: MoverMessage,
  begun: Date | undefined,
): readonly Action[] {
  const known = new Set(world.backups.flatMap(({ metadata, status }) => [metadata.name, status?.run ?? '']))
  const missing = [...entries.values()].filter(({ run }) => !known.has(run))
  const lost = backupsInStore(world).filter(
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
    ...lost.map(({ metadata, status }): Action => ({
      do: 'delete-backup',
      name: metadata.name,
      uid: metadata.uid ?? '',
      because: `the bucket has no manifest of run ${status?.run}`,
    })),
  ]
}

/** A run that ended after the reading began is in no page, and its words may be lost. */
function isLater({ completionTime }: BackupStatus, begun: Date | undefined): boolean {
  const end = timeOf(completionTime)
  return begun !== undefined && end !== undefined && end >= begun
}
