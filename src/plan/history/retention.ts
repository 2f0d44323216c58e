/**
 * Retention: which backups of ONE target stay, which go, and why. The mover (which deletes), the policy status and the
 * command line all use this function, so that they never disagree.
 *
 * The rule: the newest N runs that count (good, not suspect, compared, with their data) are kept, and everything good that is older
 * than those goes. Scheduled and on-demand runs are counted apart. Whatever the input, the newest good run stays; where somebody
 * looked at the data, so does the newest one that was seen to be readable at once; where it is known when runs were made, so does the one
 * that was made last. A run is never old, only superseded. One that is dated in the future tells of a clock that was wrong, and not of
 * fresh data: it supersedes nothing.
 */
import { slowDeletesPerHour, type Previous } from './lowering.ts'

/** What a look at the data of a run found. */
export type RunData =
  /** All segments are there and can be read at once: two answers of the store that do not depend on each other say so. Of a snapshot: it is ready. */
  | 'confirmed'
  /** All segments are there at their sizes, by one answer. */
  | 'whole'
  /** All are there; at least one must be brought back from an archive first. */
  | 'archived'
  /** A segment is not there, or has another size; a snapshot that was ready is so no more. */
  | 'missing'
  /** Of a snapshot: another one has its name by now, whose data are of another time. It is whoever's made it, and no retention deletes it. */
  | 'replaced'
  /** The store did not tell. */
  | 'unknown'

/** What asked for a run. */
export type RunTrigger = 'scheduled' | 'on-demand'

/** One run of a target, as the catalog of the bucket or the Backup objects show it. */
export interface RetentionRun {
  /** Unique among the runs of the target. */
  readonly id: string
  /** The Backup that tells of it, where that has another name. */
  readonly backup?: string
  /** Which volume it is of, where a target has had several: what a new one holds replaces nothing of an older one. */
  readonly volume?: string
  /** What orders runs: the scheduled slot, or the creation time of an on-demand run. */
  readonly slot: Date
  /** The moment of the data, which orders runs of one slot; where that is equal, too, the id does. Default: the slot. */
  readonly taken?: Date
  /** When its data were asked for, by the clock of the API server, which no record can change. Absent: nobody can tell. */
  readonly made?: Date
  /** Completed and restorable as far as is known. Failed, running and unready runs are not good. */
  readonly good: boolean
  /** Shrank far below its predecessor and nobody has accepted that yet (R14). False once accepted. */
  readonly suspect?: boolean
  /** Its size could not be compared with any other (R24). */
  readonly unchecked?: boolean
  /** Its slot is still to come (`isAhead`). */
  readonly ahead?: boolean
  /** A snapshot that no Backup tells of: what anybody can make must not push out what the operator made. */
  readonly untold?: boolean
  /** Somebody asked that this run be kept. A hold does not change what counts. */
  readonly held?: boolean
  /** Name of the Backup over several targets that it is a part of, while that goes on: without this one it would not be complete. */
  readonly part?: string
  /** Default: scheduled. */
  readonly trigger?: RunTrigger
  /** Absent where nobody looked: the operator has no credentials. */
  readonly data?: RunData
}

/** Why a run stays or goes. */
export type RetentionReason =
  /** Stays: one of the newest N good runs. */
  | 'WithinRetention'
  /** Stays: retention is done with it, but it is held. */
  | 'Held'
  /** Stays for now: retention is done with it, but the Backup over several targets that it is a part of goes on. */
  | 'PartOfUnfinished'
  /** Stays: retention is done with it, but none of its target was made later, whatever slots the others are of. */
  | 'MadeLast'
  /** Stays: suspect, so that it does not count; it goes when N good runs are newer than it. */
  | 'Suspect'
  /** Stays: its size was compared with nothing, so that it does not count. */
  | 'Unchecked'
  /** Stays: it is dated in the future, so that it does not count until then. */
  | 'DatedAhead'
  /** Stays: its data are not all there, so that it does not count. */
  | 'DataMissing'
  /** Stays for now: retention is done with it, but a run that it would keep is suspect, unchecked or not whole. */
  | 'PruningStopped'
  /** Stays: no newer backup that counts was seen to be readable at once. */
  | 'NewestReadable'
  /** Stays, because it is none of retention's business: not a good run; it neither counts nor pushes a good one out. */
  | 'NotCounted'
  /** Goes in this pass. */
  | 'BeyondRetention'
  /** Goes in a later pass: this one has reached its number of deletions. */
  | 'BeyondRetentionLater'

export interface RetentionVerdict {
  readonly id: string
  /** False: retention is done with it, and it is deleted in this pass or a later one. */
  readonly keep: boolean
  readonly reason: RetentionReason
  /** One sentence for people. */
  readonly message: string
}

export interface RetentionPlan {
  /** One verdict a run, newest run first. */
  readonly verdicts: readonly RetentionVerdict[]
  /** All that retention is done with, oldest first. */
  readonly goes: readonly Going[]
  /** The ids to delete in this pass, oldest first, where each of them can be deleted. */
  readonly deleteNow: readonly string[]
  /** How many more go in later passes. */
  readonly deleteLater: number
  /** The oldest of the runs that count, if any run counts. */
  readonly oldestKept: string | undefined
  /** What goes first: now, or when one more good scheduled run arrives. Undefined when nothing would. */
  readonly nextToGo: string | undefined
}

/** A run that retention is done with. */
export interface Going {
  readonly id: string
  /** Only a number that was lowered had kept it: it goes slowly. */
  readonly slow: boolean
  /** One sentence for people. */
  readonly message: string
}

/** How many runs of one trigger are kept. */
export interface Keeping {
  /** N of `spec.retention`, a whole number ≥ 1. */
  readonly keep: number
  /** A larger number that applied until lately: what only it had kept goes slowly (`lowering.ts`). */
  readonly previous?: Previous
}

export interface RetentionLimits {
  /** Most deletions a pass; the guard against a mass deletion by mistake. */
  readonly maxDeletes?: number
  /** Most deletions of this pass among what only `previous` had kept. */
  readonly slowDeletes?: number
}

export interface RetentionOptions extends Keeping, RetentionLimits {
  /** For on-demand runs. Default: as for scheduled ones. */
  readonly onDemand?: Keeping
  /** Ids of held runs, besides those that say so themselves. */
  readonly held?: Iterable<string>
}

export const mostDeletes = 20

/** So many that cannot be deleted are tried in a pass: they stand in the way of no other, and each costs time. */
export const mostFailures = 100

interface Judged {
  readonly run: RetentionRun
  readonly keeping: Keeping
  /** How many newer runs of its trigger count. */
  readonly newerCounted: number
  readonly held: boolean
}

/**
 * Judges the runs of one target, in any order. Those of different volumes are judged apart, as if they were of several targets: of an older
 * volume none comes any more, and the newest stay. How many go in a pass is counted together.
 *
 * Throws a RangeError, and so deletes nothing, where the input makes no sense: `keep` below 1, an invalid date, an id that
 * occurs twice (its double would push a good run out).
 */
export function planRetention(runs: readonly RetentionRun[], options: RetentionOptions): RetentionPlan {
  const { maxDeletes = mostDeletes, slowDeletes = slowDeletesPerHour, onDemand = options } = options
  for (const { keep } of [options, onDemand]) refuseKeep(keep)
  refuseLimit('maxDeletes', maxDeletes)
  refuseLimit('slowDeletes', slowDeletes)
  refuseAmbiguous(runs)

  const ordered = [...runs].sort(newestFirst)
  const volumes = [...Map.groupBy(ordered, ({ volume }) => volume).values()].map(each => judgeVolume(each, options))
  // The limits are of all volumes together: they guard against a mistake, which concerns the whole target.
  const goes = volumes
    .flatMap(volume => volume.goes)
    .sort((a, b) => newestFirst(b.run, a.run))
    .map(each => ({ id: each.run.id, slow: isSlow(each), message: deletedMessage(each) }))
  const deleteNow = [...inOnePass(goes, { maxDeletes, slowDeletes })].map(({ id }) => id)
  const pass: Pass = { now: new Set(deleteNow), maxDeletes, slowDeletes }
  const verdicts = new Map(
    volumes.flatMap(volume => volume.judged.map(each => [each.run.id, verdictOn(each, volume, pass)])),
  )
  // Only of the volume of the newest run more runs come.
  const [newest] = volumes
  return {
    verdicts: ordered.flatMap(({ id }) => verdicts.get(id) ?? []),
    goes,
    deleteNow,
    deleteLater: goes.length - deleteNow.length,
    oldestKept: newest?.judged.findLast(each => counts(each.run) && !isSuperseded(each))?.run.id,
    nextToGo: newest?.judged.findLast(each => goesWithOneMore(each) && !newest.stops[triggerOf(each.run)])?.run.id,
  }
}

/** What only the number of before keeps, of all volumes and both triggers, oldest first; also what something else keeps for now. */
export function slowRuns(runs: readonly RetentionRun[], options: RetentionOptions): readonly RetentionRun[] {
  const { onDemand = options } = options
  const volumes = Map.groupBy([...runs].sort(newestFirst), ({ volume }) => volume)
  return [...volumes.values()]
    .flatMap(each => judge(each, { scheduled: options, 'on-demand': onDemand }, new Set(options.held)))
    .filter(each => mayGoOnceEnded(each) && isSuperseded(each) && isSlow(each))
    .map(({ run }) => run)
    .sort((a, b) => newestFirst(b, a))
}

/** Whether retention is done with a run, whether it goes in this pass or in a later one. */
export function isDoneWith({ goes }: RetentionPlan, id: string): boolean {
  return goes.some(each => each.id === id)
}

/**
 * What is deleted in one pass, one after the other. The limits are of what went, or may have gone: one that cannot be deleted stands in the way
 * of no other.
 * @param stays ids that were found not to go; whoever deletes adds to it before he asks for the next one
 */
export function* inOnePass(
  goes: readonly Going[],
  { maxDeletes = mostDeletes, slowDeletes = slowDeletesPerHour }: RetentionLimits,
  stays: ReadonlySet<string> = new Set(),
): Iterable<Going> {
  let [places, slow, failures] = [maxDeletes, slowDeletes, mostFailures]
  for (const each of goes) {
    if (places <= 0 || failures <= 0) return
    if (each.slow && slow <= 0) continue
    yield each
    if (stays.has(each.id)) failures--
    else {
      places--
      if (each.slow) slow--
    }
  }
}

/** The runs of one volume. */
interface Volume {
  /** Newest first. */
  readonly judged: readonly Judged[]
  readonly stops: Readonly<Record<RunTrigger, string | undefined>>
  readonly unguarded: ReadonlySet<RetentionRun>
  readonly last: ReadonlySet<RetentionRun>
  /** What retention is done with, in this pass or a later one. */
  readonly goes: readonly Judged[]
}

function judgeVolume(ordered: readonly RetentionRun[], options: RetentionOptions): Volume {
  const { onDemand = options } = options
  const judged = judge(ordered, { scheduled: options, 'on-demand': onDemand }, new Set(options.held))
  const stops = { scheduled: stopOf(judged, 'scheduled'), 'on-demand': stopOf(judged, 'on-demand') }
  const unguarded = withoutGuard(ordered)
  const last = madeLast(ordered)
  const superseded = judged.filter(each => mayGo(each) && isSuperseded(each))
  const goes = superseded.filter(({ run }) => !stops[triggerOf(run)] && !unguarded.has(run) && !last.has(run))
  return { judged, stops, unguarded, last, goes }
}

interface Pass {
  /** Ids of what goes in it. */
  readonly now: ReadonlySet<string>
  readonly maxDeletes: number
  readonly slowDeletes: number
}

function verdictOn(each: Judged, { stops, unguarded, last }: Volume, pass: Pass): RetentionVerdict {
  const { run, held } = each
  const stay = (reason: RetentionReason, message: string) => ({ id: run.id, keep: true, reason, message })
  if (!run.good) return stay('NotCounted', 'not a good backup: retention neither counts nor deletes it')
  if (!isSuperseded(each)) return within(each)
  const why = superseding(each)
  if (held) return stay('Held', `kept: ${why}, but it is held`)
  if (run.part !== undefined)
    return stay('PartOfUnfinished', `kept for now: ${why}, but Backup ${run.part}, of which it is a part, goes on`)
  if (run.data === 'replaced') return stay('DataMissing', `kept: ${why}, but ${dataTrouble(run)}`)
  if (last.has(run)) return stay('MadeLast', `kept: ${why} by their slots, but it was made last`)
  const stop = stops[triggerOf(run)]
  if (stop !== undefined) return stay('PruningStopped', `kept for now: ${why}, but ${stop}`)
  if (unguarded.has(run)) {
    return stay('NewestReadable', `kept: ${why}, but none of them was seen to be whole and readable at once`)
  }
  if (pass.now.has(run.id)) return { id: run.id, keep: false, reason: 'BeyondRetention', message: deletedMessage(each) }
  const most = isSlow(each) ? Math.min(pass.maxDeletes, pass.slowDeletes) : pass.maxDeletes
  return {
    id: run.id,
    keep: false,
    reason: 'BeyondRetentionLater',
    message: `deleted in a later pass: ${why}, and a pass deletes at most ${most}`,
  }
}

function judge(
  ordered: readonly RetentionRun[],
  keeping: Readonly<Record<RunTrigger, Keeping>>,
  heldIds: ReadonlySet<string>,
): readonly Judged[] {
  const counted = { scheduled: 0, 'on-demand': 0 }
  return ordered.map(run => {
    const trigger = triggerOf(run)
    const newerCounted = counted[trigger]
    if (counts(run)) counted[trigger]++
    return { run, keeping: keeping[trigger], newerCounted, held: run.held === true || heldIds.has(run.id) }
  })
}

function triggerOf({ trigger = 'scheduled' }: RetentionRun): RunTrigger {
  return trigger
}

function isSuperseded({ run, newerCounted, keeping }: Judged): boolean {
  return newerCounted >= keepOf(run, keeping)
}

/** How many are kept of what is as old as this run. */
function keepOf({ slot }: RetentionRun, { keep, previous }: Keeping): number {
  const isKept = previous?.from && slot >= previous.from && slot < previous.before
  return isKept ? Math.max(keep, previous.keep) : keep
}

function goesWithOneMore(each: Judged): boolean {
  const { run, newerCounted, keeping } = each
  const more = triggerOf(run) === 'scheduled' ? 1 : 0
  return mayGo(each) && run.ahead !== true && newerCounted + more >= keepOf(run, keeping)
}

function mayGo(each: Judged): boolean {
  return each.run.part === undefined && mayGoOnceEnded(each)
}

/** Now, or once the Backup that it is a part of has ended. */
function mayGoOnceEnded({ run, held }: Judged): boolean {
  return run.good && !held && run.data !== 'replaced'
}

/** Only the number of before had kept it. */
function isSlow({ run, newerCounted, keeping: { previous } }: Judged): boolean {
  return previous !== undefined && newerCounted < previous.keep && run.slot < previous.before
}

function within({ run, newerCounted, keeping }: Judged): RetentionVerdict {
  const stay = (reason: RetentionReason, message: string) => ({ id: run.id, keep: true, reason, message })
  if (run.suspect === true) {
    return stay(
      'Suspect',
      'kept but not counted: it is far smaller than the good ones before; accept it, or take a good one',
    )
  }
  if (run.unchecked === true) {
    return stay('Unchecked', 'kept but not counted: its size was compared with no other; look at it and accept it')
  }
  if (!hasData(run)) return stay('DataMissing', `kept but not counted: ${dataTrouble(run)}`)
  if (run.ahead === true) {
    return stay(
      'DatedAhead',
      `kept but not counted before ${run.slot.toISOString()}: a clock that was ahead has dated it`,
    )
  }
  if (run.untold === true) return stay('NotCounted', 'kept but not counted: no Backup tells of it')
  return stay('WithinRetention', `kept: number ${newerCounted + 1} of the newest ${keepOf(run, keeping)} good backups`)
}

function counts(run: RetentionRun): boolean {
  return countsWithData(run) && hasData(run)
}

/** Whether it counts if its data are there. */
export function countsWithData(run: RetentionRun): boolean {
  return isTold(run) && run.suspect !== true && run.unchecked !== true
}

function isTold(run: RetentionRun): boolean {
  return run.good && run.ahead !== true && run.untold !== true
}

/** Whether its data are there, or nobody looked. */
export function hasData({ data }: RetentionRun): boolean {
  return data !== 'missing' && data !== 'replaced' && data !== 'unknown'
}

function dataTrouble({ data }: RetentionRun): string {
  if (data === 'replaced')
    return 'a snapshot that was cut at another time has its name by now; restore from another one, and find out who made it'
  return data === 'missing'
    ? 'its data are not all in the store; restore from another one, and find out who deletes there'
    : 'the store did not say whether its data are there'
}

function deletedMessage(each: Judged): string {
  return `deleted: ${superseding(each)}`
}

/** What people know it by. */
export function backupName({ id, backup = id }: RetentionRun): string {
  return backup
}

function superseding({ keeping: { keep } }: Judged): string {
  return keep === 1 ? '1 newer good backup exists' : `${keep} newer good backups exist`
}

/**
 * Why nothing of this trigger is deleted. The newest good run of all, when it is suspect: it may be the only fresh dump, or the good
 * old ones the only whole ones. A run among those to be kept that is unchecked or not whole: what it should replace may be needed.
 */
function stopOf(judged: readonly Judged[], trigger: RunTrigger): string | undefined {
  const newest = judged.find(({ run }) => isTold(run))?.run
  const until = 'nothing is deleted until it is accepted or a good one follows'
  if (newest?.suspect === true) return `the newest backup, ${backupName(newest)}, is suspect, and ${until}`
  const trouble = judged.find(
    each =>
      triggerOf(each.run) === trigger &&
      !isSuperseded(each) &&
      isTold(each.run) &&
      each.run.suspect !== true &&
      !counts(each.run),
  )?.run
  if (!trouble) return undefined
  return trouble.unchecked === true
    ? `the size of ${backupName(trouble)} was compared with no other, and ${until}`
    : `of ${backupName(trouble)}, ${dataTrouble(trouble)}`
}

/** Where data were looked at: the runs that no newer one guards, which counts and was seen to be readable at once. */
function withoutGuard(ordered: readonly RetentionRun[]): ReadonlySet<RetentionRun> {
  if (ordered.every(({ data }) => data === undefined)) return new Set()
  const guard = ordered.findIndex(run => run.data === 'confirmed' && counts(run))
  return new Set(guard === -1 ? ordered : ordered.slice(0, guard + 1))
}

/**
 * The good run that was made last; and, where no record tells of that one, so that anybody may have made it, the last one that a record tells
 * of. Runs of one second are told apart by their order.
 */
function madeLast(ordered: readonly RetentionRun[]): ReadonlySet<RetentionRun> {
  const made = ordered.filter(run => run.good && hasData(run) && run.made !== undefined)
  const latestFirst = made.toSorted((a, b) => (b.made?.getTime() ?? 0) - (a.made?.getTime() ?? 0))
  const last = [latestFirst[0], latestFirst.find(({ untold }) => untold !== true)]
  return new Set(last.filter(run => run !== undefined))
}

function newestFirst(a: RetentionRun, b: RetentionRun): number {
  const byTime = b.slot.getTime() - a.slot.getTime()
  if (byTime !== 0) return byTime
  const byData = (b.taken ?? b.slot).getTime() - (a.taken ?? a.slot).getTime()
  if (byData !== 0) return byData
  return a.id < b.id ? 1 : -1
}

function refuseKeep(keep: number): void {
  if (Number.isInteger(keep) && keep >= 1) return
  throw new RangeError(
    `retention must be a whole number of at least 1, not ${keep}: it would delete the last good backup`,
  )
}

function refuseLimit(name: string, limit: number): void {
  if (Number.isInteger(limit) && limit >= 0) return
  throw new RangeError(`${name} must be a whole number of at least 0, not ${limit}`)
}

function refuseAmbiguous(runs: readonly RetentionRun[]): void {
  const seen = new Set<string>()
  for (const { id, slot } of runs) {
    if (seen.has(id))
      throw new RangeError(`the run ${id} occurs twice, so that nothing is deleted: list every run once`)
    seen.add(id)
    if (Number.isNaN(slot.getTime()))
      throw new RangeError(`the run ${id} has no valid time, so that nothing is deleted`)
  }
}
