// Holds of backups in a bucket: people annotate the Backup, a Job writes the hold where the data are, and only then the Backup says that it is
// held (docs/design.md R28). The name of the Job is the lock: one for each run and direction.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { Reason } from '../../api/conditions.ts'
import type { Condition } from '../../api/kubernetes.ts'
import type { CatalogEntry } from '../../api/mover/message.ts'
import { annotation } from '../../api/labels.ts'
import { holdJobName, slotOfText } from '../../api/names.ts'
import { holdJob } from '../../resources/jobs.ts'
import { addSeconds, earliest, timeOf } from '../../schedule/times.ts'
import { alone, deletion, type Group } from '../core/actions.ts'
import type { Verdict } from '../core/conditions.ts'
import { unlessMoreIsSaid } from '../jobs/pods.ts'
import { judgeJob, type JobRun } from '../jobs/verdict.ts'
import { goesOn } from '../runs/job.ts'
import { asksForHold, heldCondition, isReleased } from '../runs/marks.ts'
import type { JobStrategyView, JobView, View } from '../view/view.ts'
import { backupsInStore, objectsInStore, type Told } from './verdicts.ts'

/** So many Jobs of one policy at once: somebody may annotate a thousand Backups in one command. */
const mostJobs = 3
/** How long after its end a Job that failed is tried again: as long as it has failed by then, within these bounds. Seconds. */
const retrySeconds = { least: 60, most: 600 } as const

export type HoldsPlan = {
  readonly groups: readonly Group[]
  /** By the name of the Backup. */
  readonly told: ReadonlyMap<string, Told>
  readonly wakeAt: Date | undefined
}

type HoldsView = Pick<View, 'runs' | 'holds' | 'settings'> & {
  readonly policy: BackupPolicy
  readonly strategy: JobStrategyView
}

/** @param entriesOf what the bucket holds of a target, where it was just read */
export function planStoredHolds(
  view: HoldsView,
  entriesOf: (target: string | undefined) => ReadonlyMap<string, CatalogEntry> | undefined,
  now: Date,
): HoldsPlan {
  const jobs = new Map(view.holds.map(each => [each.job.metadata.name, each]))
  const backups = backupsInStore(view.runs, view.strategy)
  const objects = Map.groupBy(objectsInStore(view.runs, view.strategy), ({ status }) => status?.run)
  const plans = backups.map(backup => ({
    backup,
    plan: planHold(view, backup, jobs, entriesOf(backup.status?.target), now),
  }))
  const used = new Set(plans.flatMap(({ plan }) => plan.jobs))
  // Of Backups that are gone: what was begun for them is not cut off.
  const stray = view.holds.filter(each => !goesOn(each, now) && !used.has(each.job.metadata.name)).flatMap(cleanUp)
  const running = view.holds.filter(each => goesOn(each, now)).length
  const starts = plans.flatMap(({ plan }) => plan.start ?? []).slice(0, Math.max(0, mostJobs - running))
  return {
    groups: [...plans.flatMap(({ plan }) => plan.groups), ...stray, ...starts],
    told: new Map([
      ...plans.flatMap(({ backup, plan }) => (plan.told ? [[backup.metadata.name, plan.told] as const] : [])),
      ...plans.flatMap(({ backup, plan }) => {
        const words = plan.told ?? known(backup)
        const same = copiesOf(backup, objects.get(backup.status?.run))
        return words ? same.map(({ metadata }) => [metadata.name, words] as const) : []
      }),
      ...elsewhere(view).map(({ metadata }) => [metadata.name, { verdict: isUnreachable }] as const),
    ]),
    wakeAt: earliest(...plans.map(({ plan }) => plan.wakeAt)),
  }
}

/** True: it is to be held; false: to be released. An annotation that is gone says neither. */
function wishOf(backup: Backup): boolean | undefined {
  return asksForHold(backup) ? true : isReleased(backup) ? false : undefined
}

/** Other objects of the same run that ask for the same: what becomes of the hold is as true of them. */
function copiesOf(backup: Backup, objects: readonly Backup[] = []): readonly Backup[] {
  const wish = wishOf(backup)
  return wish === undefined ? [] : objects.filter(each => each !== backup && wishOf(each) === wish)
}

/** What the Backup says of its hold already. */
function known(backup: Backup): Told | undefined {
  const said = heldCondition(backup)
  return said && { verdict: verdictOf(said) }
}

function verdictOf({ status, reason, message }: Condition): Verdict {
  return { type: 'Held', status, reason: reason as Reason, message }
}

/** Backups to be held in a store that the policy no longer names. */
function elsewhere({ runs, strategy }: HoldsView): readonly Backup[] {
  const here = new Set(objectsInStore(runs, strategy))
  const asked = runs.map(({ backup }) => backup).filter(backup => asksForHold(backup) && !here.has(backup))
  return asked.filter(
    backup => backup.status?.run !== undefined && !backup.status.snapshot && heldCondition(backup)?.status !== 'True',
  )
}

type HoldPlan = {
  readonly groups: readonly Group[]
  /** Names of the Jobs that were looked at. */
  readonly jobs: readonly string[]
  readonly start?: Group
  readonly told?: Told
  readonly wakeAt?: Date | undefined
}

function planHold(
  { policy, settings }: HoldsView,
  backup: Backup,
  byName: ReadonlyMap<string, JobView>,
  entries: ReadonlyMap<string, CatalogEntry> | undefined,
  now: Date,
): HoldPlan {
  const { run = '' } = backup.status ?? {}
  // Where nothing is asked any more what was begun is brought to its end, and nothing new is.
  const asked = wishOf(backup)
  const inBucket = entries?.get(run)?.held === true && asked !== false
  // Nearly all Backups at nearly all times; names are hashes, and every plan asks.
  if (asked === undefined && !inBucket && byName.size === 0) return { groups: [], jobs: [] }
  const nameOf = (held: boolean) => holdJobName(policy.metadata.name, run, held)
  const [holding, releasing] = [byName.get(nameOf(true)), byName.get(nameOf(false))]
  const jobs = [nameOf(true), nameOf(false)]
  if (inBucket && !isSettled(backup, true)) return { groups: [], jobs, told: { verdict: isHeldNow } }
  const wanted = asked ?? (holding ? true : releasing ? false : undefined)
  if (wanted === undefined) return { groups: [], jobs }
  const [current, opposite] = wanted ? [holding, releasing] : [releasing, holding]
  // Two at once would leave the hold as the slower one wants it, and one that stays would later be taken for the answer to another question.
  if (opposite) {
    const going = goesOn(opposite, now)
    const { wakeAt } = judgeJob(opposite, undefined, now)
    return { groups: going ? [] : cleanUp(opposite), jobs, told: { verdict: pending(backup, wanted) }, wakeAt }
  }
  if (isSettled(backup, wanted)) return { groups: current ? cleanUp(current) : [], jobs }
  if (!current) {
    const object = holdJob(policy, { run, slot: slotOfManifest(backup), held: wanted }, settings, backup.status?.target)
    const cost = wanted ? 'the backup is held by this cluster only' : 'the backup stays held'
    const start = alone(`hold-job/${backup.metadata.name}`, { do: 'create', object, cost })
    return { groups: [], jobs, start, told: { verdict: pending(backup, wanted) } }
  }
  const judged = judgeJob(current, undefined, now)
  if (judged.phase === 'Pending' || judged.phase === 'Running')
    return { groups: [], jobs, told: { verdict: pending(backup, wanted, judged) }, wakeAt: judged.wakeAt }
  if (judged.moverMessage?.hold?.held === wanted && judged.moverMessage.hold.run === run)
    return { groups: [], jobs, told: { verdict: wanted ? isHeldNow : isReleasedNow } }
  const verdict = failed(backup, wanted, judged)
  const again = againAt(backup, judged.endTime ?? now)
  const due = verdict.reason !== 'BackupNotFound' && now >= again
  const unless = unlessMoreIsSaid(current)
  return {
    groups: due ? cleanUp(current) : [],
    jobs,
    told: { verdict, ...(unless ? { unless } : {}) },
    wakeAt: again > now ? again : undefined,
  }
}

function cleanUp({ job }: JobView): readonly Group[] {
  const { name, deletionTimestamp } = job.metadata
  return deletionTimestamp ? [] : [alone(`clean/${name}`, deletion(job, 'what it found is known'))]
}

/** Whether the Backup says already what is wanted, or that it cannot be. */
function isSettled(backup: Backup, wanted: boolean): boolean {
  const { status, reason } = heldCondition(backup) ?? {}
  if (!wanted) return status === 'False' && reason === 'HoldReleased'
  return (status === 'True' && reason === 'Held') || (status === 'False' && reason === 'BackupNotFound')
}

const isHeldNow: Verdict = {
  type: 'Held',
  status: 'True',
  reason: 'Held',
  message: `the bucket holds it: no retention deletes it, whatever becomes of this object. Only the annotation ${annotation.hold}=false releases it`,
}

const isReleasedNow: Verdict = {
  type: 'Held',
  status: 'False',
  reason: 'HoldReleased',
  message: 'the hold was removed from the bucket: retention treats it like any other',
}

const isUnreachable: Verdict = {
  type: 'Held',
  status: 'False',
  reason: 'HoldUnreachable',
  message:
    'it lies in a store that the policy no longer names, and nothing of this policy reaches it or deletes there; set backend back to hold it',
}

/** What a Job found here before stands until something else is. */
function pending(backup: Backup, wanted: boolean, judged?: JobRun): Verdict {
  const before = heldCondition(backup)
  const stands = wanted
    ? before?.status === 'False' && before.reason !== 'HoldReleased' && before.reason !== 'HoldUnreachable'
    : before?.status === 'True'
  if (before && stands) return verdictOf(before)
  const message = wanted
    ? 'a Job writes the hold into the bucket; until then only the runs of this cluster know of it'
    : 'a Job removes the hold from the bucket; until then it is held'
  // What keeps its pod from starting; that it is on its way is nothing to tell.
  const obstacle =
    judged?.phase === 'Pending' && judged.reason !== 'PodPending' ? `. Its pod waits: ${judged.message}` : ''
  return { type: 'Held', status: 'Unknown', reason: 'HoldPending', message: `${message}${obstacle}` }
}

function failed(backup: Backup, wanted: boolean, { phase, reason, message }: JobRun): Verdict {
  const untold = phase === 'Completed'
  const why = untold ? 'its Job ended without saying what it found' : message
  if (reason === 'BackupNotFound')
    return { type: 'Held', status: 'False', reason, message: `it cannot be held: ${why}` }
  const what = wanted
    ? 'the hold is not in the bucket, and only the runs of this cluster leave the backup alone'
    : 'the hold could not be removed, and the backup may still be held'
  const before = heldCondition(backup)?.status
  const status = wanted ? 'False' : before === 'True' ? 'True' : 'Unknown'
  const next = 'It is tried again, at the latest after 10 minutes; mend what the message names'
  return { type: 'Held', status, reason: untold ? 'MoverDied' : reason, message: `${what}: ${why}. ${next}` }
}

/** After one minute at first, then ever later: the condition tells since when it fails. */
function againAt(backup: Backup, end: Date): Date {
  const since = timeOf(heldCondition(backup)?.lastTransitionTime) ?? end
  const failing = (end.getTime() - since.getTime()) / 1000
  return addSeconds(end, Math.min(retrySeconds.most, Math.max(retrySeconds.least, failing)))
}

/** The mover finds the manifest by its list where this is unknown: an on-demand Backup that came back does not tell its slot. */
function slotOfManifest({ spec, status }: Backup): Date | undefined {
  const [, text] = /\/(\d{8}T\d{6}Z)-[^/]*$/.exec(status?.manifest ?? '') ?? []
  return text === undefined ? timeOf(spec.slot) : slotOfText(text)
}
