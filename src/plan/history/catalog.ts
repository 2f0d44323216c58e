// Keeps Backup objects and the bucket of one mind (docs/design.md R7): a mover tells the digest of what is kept; where our objects have
// another one, catalog Jobs read the list page by page. Only a whole list adds Backups, and only one that agrees with the digest removes any.
// Before the first run of a policy the probe of its store tells: what a cluster that is gone has left then appears, and nothing is removed.
import { isFinal } from '../../api/kinds/backup-phases.ts'
import type { Backup, BackupStatus } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Reason } from '../../api/conditions.ts'
import { annotation } from '../../api/labels.ts'
import { isCommitted, type CatalogEntry, type MoverMessage, type MoverWarning } from '../../api/mover/message.ts'
import { runsDigest } from '../../api/mover/runs-digest.ts'
import { returnedBackup, scheduledBackup } from '../../resources/backup-objects.ts'
import { alone, deletion, type Group } from '../core/actions.ts'
import type { CatalogKnowledge } from '../runs/run.ts'
import { asksForHold, heldCondition, isHeld } from '../runs/marks.ts'
import { backupsInStore } from './verdicts.ts'
import { readPages, type CatalogTrouble } from './catalog-pages.ts'
import { isBooked, recording } from './clean-up.ts'
import { haveMoversEnded, moverMessageOf } from '../jobs/pods.ts'
import { isFinished } from '../jobs/verdict.ts'
import { unreadOf } from '../view/folder.ts'
import { returnedRun, runJobName } from '../view/owners.ts'
import { timeOf } from '../../schedule/times.ts'
import { byCreation, type JobStrategyView, type RunView, type View } from '../view/view.ts'

export type CatalogPlan = CatalogKnowledge & {
  readonly groups: readonly Group[]
  /** The digest that our objects are known to agree with. */
  readonly digest: string | undefined
  /** The newest committed message of a mover that is still to be seen. */
  readonly message: MoverMessage | undefined
  /** What the newest run that committed warned of, whatever else its mover could say. */
  readonly warnings: readonly MoverWarning[] | undefined
  /** What is wrong with the list itself; `as-before`: nobody has looked again. */
  readonly trouble: CatalogTrouble | 'as-before' | undefined
  /** When to look again, if nothing changes. */
  readonly wakeAt?: Date
}

type CatalogView = Pick<View, 'namespace' | 'name' | 'settings' | 'runs' | 'runJobs' | 'leaving' | 'pages'> & {
  readonly policy: BackupPolicy
  readonly strategy: JobStrategyView
  /** The one that all of it is of. */
  readonly target: string
}

/** Of one target: each has a list of its own in the bucket. */
export function planCatalog(view: CatalogView, now: Date): CatalogPlan {
  const { policy, target } = view
  const before = digestBefore(policy, target)
  const committed = committedMessages(view)
  const message = committed.findLast(({ kept }) => kept !== undefined)
  const newest = committed.at(-1)
  const warnings = newest && (newest.warnings ?? [])
  const pages = view.pages.map(({ job }) => job).filter(({ metadata }) => !metadata.deletionTimestamp)
  const cleanUp = pages.map(job => alone(`clean/${job.metadata.name}`, deletion(job, 'the catalog was read')))
  const idle = { entries: undefined, open: false, message, warnings, trouble: 'as-before' } as const
  const told = toldBy(message) ?? (before === undefined ? toldByProbe(view) : undefined)
  if (!told) return { ...idle, groups: before === undefined ? [] : cleanUp, digest: before }
  if (before === told.digest) return { ...idle, groups: cleanUp, digest: before }
  const unread = { entries: undefined, open: true, message, warnings, digest: before, trouble: 'as-before' } as const
  if (!isQuiet(view, told.run)) return { ...unread, groups: [] }
  if (digestOfObjects(view) === told.digest)
    return { ...idle, groups: cleanUp, digest: told.digest, trouble: undefined }

  const read = readPages(view, told.reading, now)
  // Pages that were read for an earlier run's words are of no use any more.
  const old = pages
    .filter(({ metadata }) => !read.pages.has(metadata.name))
    .map(job => alone(`clean/${job.metadata.name}`, deletion(job, 'the catalog was read')))
  if (!read.entries) {
    const { groups, wakeAt, trouble = 'as-before' } = read
    return { ...unread, groups: [...old, ...groups], wakeAt, trouble }
  }
  const entries = new Map(read.entries.map(entry => [entry.run, entry]))
  // A list may be out of date, and the mover has just seen what this one lacks (F19). One that lacks what cannot be read does not agree either:
  // that is no entry, and yet a backup. The next run tells of what has really gone.
  const agrees = runsDigest(read.entries.map(({ run }) => run)) === told.digest
  const lost = agrees && told.run !== undefined ? lostBackups(view, entries, told.run, read.begun) : []
  const booked = lost.filter(backup => isBooked(backup, policy, now))
  const whole = new Map([...entries].filter(([, { unproven }]) => !unproven))
  const changes = differences(view, whole, booked)
  // The digest is settled when nothing is left to do; until then the pages stay, so that a crash reads them again.
  const settled = changes.length === 0 && booked.length === lost.length && !view.runs.some(run => isUntold(run, whole))
  return {
    groups: [...old, ...changes],
    digest: settled ? told.digest : before,
    entries,
    open: !settled,
    message,
    warnings,
    trouble: read.trouble,
  }
}

/** What somebody who has just listed the target's manifests says of them. */
type Told = {
  readonly digest: string
  /** What names the Jobs that read the list for it. */
  readonly reading: string
  /** The run that told. Undefined: the probe did, on whose word no Backup goes. */
  readonly run: string | undefined
}

function toldBy(message: MoverMessage | undefined): Told | undefined {
  const { kept, run } = message ?? {}
  return kept && run !== undefined ? { digest: kept.digest, reading: run, run } : undefined
}

function toldByProbe({ policy, strategy, target }: CatalogView): Told | undefined {
  const found = unreadOf(policy, strategy.store?.hash)?.find(each => each.target === target)
  return found && { digest: found.digest, reading: `folder/${target}/${found.digest}`, run: undefined }
}

/** What the objects were known to agree with. */
export function digestBefore({ status }: Pick<BackupPolicy, 'status'>, target: string): string | undefined {
  return status?.targets?.find(({ name }) => name === target)?.digest
}

/** Of the store as the policy names it now, in the order of their pods. */
function committedMessages({ runJobs, strategy }: Pick<CatalogView, 'runJobs' | 'strategy'>): readonly MoverMessage[] {
  const here = runJobs.filter(({ job }) => job.metadata.annotations?.[annotation.store] === strategy.store?.location)
  return here
    .flatMap(({ pods }) => pods)
    .toSorted(byCreation)
    .flatMap(pod => {
      const message = moverMessageOf(pod)
      return message && isCommitted(message) ? [message] : []
    })
}

/**
 * The list has what a Backup does not say yet: its status is being written, which may be refused. Without the list it would be lost: also a
 * Job that tells of it may go before that is written.
 */
function isUntold({ backup }: RunView, entries: ReadonlyMap<string, CatalogEntry>): boolean {
  const { metadata, status } = backup
  return !metadata.deletionTimestamp && !isFinal(status?.phase) && entries.has(runJobName(backup))
}

/**
 * The message's own Backup is judged, and no run could change the bucket meanwhile. One of which nothing is told yet holds the list up no
 * longer: its status may be refused for ever (F71), and the digest is not settled before it (`isUntold`).
 */
function isQuiet(
  { runs, runJobs, leaving }: Pick<View, 'runs' | 'runJobs' | 'leaving'>,
  run: string | undefined,
): boolean {
  // One whose Backup is final and whose movers have ended is only kept from ending by another container.
  const over = new Set(runs.flatMap(({ backup, job }) => (job && isFinal(backup.status?.phase) ? [job] : [])))
  const active = [...runJobs, ...leaving].some(
    each => !isFinished(each.job) && !(over.has(each) && haveMoversEnded(each)),
  )
  const backup = run === undefined ? undefined : runs.find(each => each.backup.status?.run === run)?.backup
  return !active && (backup === undefined || isFinal(backup.status?.phase))
}

function digestOfObjects({ runs, strategy }: Pick<CatalogView, 'runs' | 'strategy'>): string {
  return runsDigest(backupsInStore(runs, strategy).flatMap(({ status }) => status?.run ?? []))
}

/** Backups of which the bucket has nothing. */
function lostBackups(
  { runs, strategy }: CatalogView,
  entries: ReadonlyMap<string, CatalogEntry>,
  told: string,
  begun: Date | undefined,
): readonly Backup[] {
  // What somebody holds no list takes away, however whole it looks (F63).
  return backupsInStore(runs, strategy).filter(
    backup =>
      !isHeld(backup) &&
      backup.status?.run !== undefined &&
      !entries.has(backup.status.run) &&
      backup.status.run !== told &&
      !isLater(backup.status, begun),
  )
}

function differences(
  { namespace, name: policyName, runs, strategy, target }: CatalogView,
  entries: ReadonlyMap<string, CatalogEntry>,
  lost: readonly Backup[],
): readonly Group[] {
  const wrong = new Set(runs.filter(each => isRefuted(each, entries)).map(({ backup }) => backup))
  // Also by the run that it is to have: its status may be refused, or about to be written. But never by a name alone, which anybody may give.
  const known = new Set(
    runs
      .map(({ backup }) => backup)
      .filter(backup => !wrong.has(backup))
      .flatMap(backup => [runJobName(backup), backup.status?.run ?? '']),
  )
  const replaced = [...wrong].filter(backup => backup.spec.slot !== undefined || returnedRun(backup) !== undefined)
  const taken = new Set(replaced.map(({ metadata }) => metadata.name))
  const missing = [...entries.values()].filter(({ run }) => !known.has(run) && !taken.has(run))
  const { location } = strategy.store ?? {}
  const moved = location === undefined ? [] : runs.flatMap(({ backup }) => found(backup, entries, location))
  return [
    ...moved,
    ...missing.map(({ run, slot, trigger, held }) => {
      const made =
        trigger === 'on-demand'
          ? returnedBackup(namespace, policyName, run, target)
          : scheduledBackup(namespace, policyName, run, target, new Date(slot))
      // What holds it is in the bucket, and people see and change it by the annotation.
      const annotations = { ...made.metadata.annotations, [annotation.hold]: 'true' }
      const object = held ? { ...made, metadata: { ...made.metadata, annotations } } : made
      return alone(recording(run), { do: 'create', object, cost: 'this run has no Backup' })
    }),
    // Its successor takes the name: it is created once this one is gone. Only as it was seen: somebody might have put a hold on it.
    ...replaced.map(backup => {
      const { name, resourceVersion } = backup.metadata
      const because = 'its run was taken for failed, and the bucket has its manifest'
      const provided = { that: 'nobody-needs-it' } as const
      return alone(`clean/${name}`, deletion(backup, because, { resourceVersion, provided }))
    }),
    ...lost.map(backup =>
      alone(
        `clean/${backup.metadata.name}`,
        deletion(backup, `the bucket has no manifest of run ${backup.status?.run}`, {
          provided: { that: 'nobody-needs-it' },
        }),
      ),
    ),
  ]
}

/**
 * A Backup of another store whose run the list shows in this one: the store has another name by now, or its content was brought here. What
 * was held there and is not held here is asked for anew; where nobody asks any more it goes on telling of the store that holds it.
 */
function found(backup: Backup, entries: ReadonlyMap<string, CatalogEntry>, store: string): readonly Group[] {
  const { metadata, status } = backup
  const entry = entries.get(status?.run ?? '')
  if (!entry || metadata.deletionTimestamp || status?.phase !== 'Completed') return []
  if (status.snapshot || status.store === store) return []
  const isHeldThere = heldCondition(backup)?.status === 'True' && entry.held !== true
  if (isHeldThere && !asksForHold(backup)) return []
  const { conditions } = status
  const known = isHeldThere ? { conditions: conditions?.filter(({ type }) => type !== 'Held') } : {}
  const object = { ...backup, status: { ...status, ...known, store } }
  return [alone(`found/${metadata.name}`, { do: 'write-status', object })]
}

/** What a mover says of a manifest that it could not take back: that the list shows it proves nothing (F59). */
const provenLost: readonly string[] = ['DataLost', 'AttemptExpired'] satisfies readonly Reason[]

/**
 * A run whose Job went, with all that it had to say, was taken for failed, or for never begun, and yet it had committed. A final phase never
 * changes, so that another Backup has to tell of it; people's own Backups stay beside it. So does one that is held, which protects the data.
 */
function isRefuted({ backup, job }: RunView, entries: ReadonlyMap<string, CatalogEntry>): boolean {
  const { phase, reason = '' } = backup.status ?? {}
  const isRuledOut = (phase === 'Failed' && !provenLost.includes(reason)) || phase === 'Skipped'
  return isRuledOut && entries.has(runJobName(backup)) && !job && !isHeld(backup)
}

/** A run that ended after the reading began is in no page, and its words may be lost. */
function isLater({ completionTime }: BackupStatus, begun: Date | undefined): boolean {
  const end = timeOf(completionTime)
  return begun !== undefined && end !== undefined && end >= begun
}
