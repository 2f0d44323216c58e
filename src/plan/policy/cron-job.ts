// The CronJob of a policy with strategy job: keep it as it should be, record each of its Jobs, account for its slots (docs/design.md R3, R4, R6, R8).
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { CronJob, Job } from '../../api/kubernetes.ts'
import { annotation } from '../../api/labels.ts'
import { backupCronJob, type Marks } from '../../resources/jobs.ts'
import { scheduledBackup } from '../../resources/backup-objects.ts'
import type { Settings } from '../../resources/settings.ts'
import { alone, type Group } from '../core/actions.ts'
import { recording } from '../history/clean-up.ts'
import { trueCondition } from '../jobs/true-condition.ts'
import { conditionTime, isFinished } from '../jobs/verdict.ts'
import { clockOfChange, putClockBack } from './clock-ahead.ts'
import { cronJobDifferences, sameClock } from './cron-job-difference.ts'
import { bySlot } from './early-slot.ts'
import { lateJobSeconds, openSlots } from './open-slots.ts'
import { scheduleOf, type PolicySchedule } from './schedule.ts'
import { isControlledBy } from '../view/chain.ts'
import type { JobTarget } from '../view/job-targets.ts'
import { isOf, slotOfJob, slotsByName } from '../view/owners.ts'
import { ofTarget, type OneTarget } from '../view/per-target.ts'
import { nextSlot } from '../../schedule/schedule.ts'
import { counted, countUnrun, advanceTo, type SlotBook, type SlotPlan } from './slots.ts'
import { earliestPresent, latestPresent } from './two-clocks.ts'
import { addSeconds, isAhead, latest, rfc3339, timeOf } from '../../schedule/times.ts'
import type { JobTargetView, View } from '../view/view.ts'

export type NameTaken = { readonly taken: string }

/** The largest object by far, hashed whole: built again only where the spec of the policy, its target or a mark has changed. */
const built = new WeakMap<BackupPolicy['spec'], Map<string, { readonly from: string; readonly cronJob: CronJob }>>()

/**
 * What the CronJob of a target should be; undefined where it cannot be backed up and has none, or where no schedule can be read. One that stands
 * runs what it has run, when the policy says.
 * @param isHeldBack it starts nothing yet, whatever the policy says
 */
export function desiredCronJob(
  policy: BackupPolicy,
  target: JobTarget & { readonly cronJob?: CronJob | undefined },
  marks: Marks,
  settings: Settings,
  isHeldBack = false,
): CronJob | undefined {
  const { metadata } = policy
  const spec = isHeldBack ? heldBack(policy.spec) : policy.spec
  const clock = scheduleOf(policy, target.name)
  if ('problem' in clock) return undefined
  if (!('source' in target)) return target.cronJob && carriedOn(target.cronJob, spec, clock)
  const stated = target.source === policy.spec.strategy.job ? [] : [target.source]
  const from = JSON.stringify([metadata.namespace, metadata.name, metadata.uid, marks, settings, ...stated])
  const ofSpec = built.get(spec) ?? new Map<string, { readonly from: string; readonly cronJob: CronJob }>()
  const known = ofSpec.get(target.name)
  if (known?.from === from) return known.cronJob
  const cronJob = backupCronJob({ ...policy, spec }, target.source, clock.text, marks, settings, target.name)
  built.set(spec, ofSpec.set(target.name, { from, cronJob }))
  return cronJob
}

/** One object each, since what is built of it is known by that. */
const heldBackSpecs = new WeakMap<BackupPolicy['spec'], BackupPolicy['spec']>()

function heldBack(spec: BackupPolicy['spec']): BackupPolicy['spec'] {
  const made = heldBackSpecs.get(spec) ?? { ...spec, suspend: true }
  heldBackSpecs.set(spec, made)
  return made
}

/** As it stands, at the times of the policy. */
function carriedOn(current: CronJob, spec: BackupPolicy['spec'], { text }: PolicySchedule): CronJob {
  const { timeZone, suspend, startingDeadlineSeconds } = spec
  return { ...current, spec: { ...current.spec, schedule: text, timeZone, suspend, startingDeadlineSeconds } }
}

/** The name of the group that keeps the CronJob of an explicit command as it should be; those of other targets have their names: `ofTarget`. */
export const cronJobGroup = 'cron-job'

/** The name of the group that puts its clock back. */
export const cronJobClockGroup = 'cron-job-clock'

/**
 * Brings the CronJob to what it should be, or says that a stranger has its name.
 * @param view `cronJobUIDs`: of CronJobs that are, or were, this policy's. With another one its Jobs would be believed (docs/design.md R27).
 */
export function planCronJob(
  { name: target, cronJob: current }: Pick<JobTargetView, 'name' | 'cronJob'>,
  policy: BackupPolicy,
  view: Pick<View, 'cronJobUIDs' | 'runs' | 'runJobs' | 'serverTime'>,
  desired: CronJob,
  now: Date,
): readonly Group[] | NameTaken {
  const group = ofTarget(cronJobGroup, target)
  if (!current) return [alone(group, { do: 'create', object: desired, cost: 'no scheduled run starts' })]
  if (!isOf(current, policy.metadata.name))
    return {
      taken: `a CronJob named ${current.metadata.name} exists and is not ours; rename or delete it, or rename the policy`,
    }
  // Of an earlier policy of this name: the garbage collector is on its way.
  if (current.metadata.ownerReferences?.some(({ kind, uid }) => kind === 'BackupPolicy' && uid !== policy.metadata.uid))
    return []
  if (current.metadata.deletionTimestamp) return []
  const { name, uid = '' } = current.metadata
  if (!view.cronJobUIDs.includes(uid))
    return {
      taken: `CronJob ${name} has our labels and is none that this policy has made, and its Jobs are not counted; delete it, and ours is made at once`,
    }
  const wanted = desired.metadata.annotations?.[annotation.desiredState]
  const drifted = !sameClock(current, desired)
  const isOwned = isControlledBy(current, policy)
  const isOurs = isOwned && current.metadata.annotations?.[annotation.desiredState] === wanted
  const ahead = desired.spec.suspend ? [] : putClockBack(current, policy, view, now)
  // First of all: until then nothing runs, and it is no less needed where the change is refused.
  const putBack = ahead.length > 0 ? [alone(ofTarget(cronJobClockGroup, target), ...ahead)] : []
  if (isOurs && cronJobDifferences(current, desired).length === 0) return putBack
  // Its clock is set to now first, so that what is written next fires nothing for the past (docs/design.md R4).
  const status = { lastScheduleTime: rfc3339(clockOfChange(view, now)) }
  const setClock =
    drifted && !desired.spec.suspend ? [{ do: 'patch-status', kind: 'CronJob', name, uid, status } as const] : []
  const change = alone(group, ...setClock, { do: 'replace', object: brought(current, desired) })
  // Once it is put back it is another object, and changed with the next plan.
  return [...putBack, { ...change, needs: putBack.map(({ name }) => ({ group: name, was: 'refused' })) }]
}

/** Labels and annotations of others stay; the spec is ours alone. The resourceVersion refuses to overwrite what we have not seen. */
export function brought(current: CronJob, desired: CronJob): CronJob {
  const { metadata } = current
  return {
    ...current,
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, ...desired.metadata.labels },
      annotations: { ...metadata.annotations, ...desired.metadata.annotations },
      ownerReferences: desired.metadata.ownerReferences,
    },
    spec: desired.spec,
  }
}

/**
 * Records the Jobs that are newer than the book, and closes the book on slots that can no longer run.
 *
 * A Job of slot s is proof about all slots before s: the controller only ever starts the newest one. Jobs up to the book's mark
 * are never recorded again, so that a Backup that was pruned or deleted does not come back.
 * @param fresh those Jobs, as {@link unrecordedJobs} gives them
 *
 * `next`: the next slot. `closes`: when the next slot that has no Job yet gets its outcome.
 */
export function accountForJobs(
  view: Pick<OneTarget<View>, 'namespace' | 'target' | 'runs' | 'runJobs' | 'cronJob' | 'serverTime'>,
  policy: BackupPolicy,
  fresh: readonly SlotJob[],
  clock: PolicySchedule,
  since: Date,
  before: SlotBook,
  now: Date,
): SlotPlan {
  const intervals = [
    ...view.runJobs.map(({ job }) => ({
      from: timeOf(job.status?.startTime ?? job.metadata.creationTimestamp) ?? now,
      to: endOf(job, now),
    })),
    // Jobs that are recorded go, and their Backups tell when they ran.
    ...view.runs.flatMap(({ backup: { status }, job }) => {
      const [from, to] = [timeOf(status?.startTime), timeOf(status?.completionTime)]
      return !job && from && to ? [{ from, to }] : []
    }),
  ]
  const { ran, tooEarly } = bySlot(view, clock, now)
  const [recorded, taken] = [slotsByName(ran), slotsByName(tooEarly)]
  const slots = new Set(recorded.values())

  const groups: Group[] = []
  let book = before
  const remembered = rememberedFrom(view, fresh)
  // Slots before this that have no Job may have run: calling them missed would be a guess. Their backups come back from the bucket.
  for (const { job, slot, provesUntil } of fresh) {
    const to = new Date(provesUntil.getTime() - 1)
    const range = { from: latest(book.accountedUntil, since, remembered) ?? since, to }
    if (range.from < range.to) book = countUnrun(book, clock, range, intervals, slots)
    book = advanceTo(book, provesUntil)
    const { name } = job.metadata
    if (recorded.get(name) === slot.getTime()) continue
    if (taken.get(name) === slot.getTime()) {
      // Of this Job nobody will be told: that Backup has its name, and the bucket may have that run.
      book = counted(book, 'missed', 1, slot)
      continue
    }
    const object = scheduledBackup(view.namespace, policy.metadata.name, name, view.target, slot)
    groups.push(alone(recording(name), { do: 'create', object, cost: 'this run has no Backup' }))
  }
  if (policy.spec.suspend) return { groups, book, next: undefined, closes: undefined }
  const from = latest(book.accountedUntil, since) ?? since
  const { startingDeadlineSeconds } = policy.spec
  const marks = { recorded: book.accountedUntil ?? since, since: from }
  // Where our clock is ahead the CronJob still starts what would count as missed.
  const past = earliestPresent(view, now)
  const { closed, closes } = openSlots(view.cronJob, clock, startingDeadlineSeconds, marks, past)
  if (closed > from) book = countUnrun(book, clock, { from, to: closed }, intervals, slots)
  const next = nextSlot(clock.schedule, clock.timeZone, now, clock.rule)
  return { groups, book, next, closes: closes && addSeconds(closes, (now.getTime() - past.getTime()) / 1000) }
}

/**
 * Where the operator was down for so long that a CronJob's history is full of Jobs that it has not seen, older ones may have been
 * forgotten: the oldest that is left (docs/design.md R6). Each outcome has a history of its own. Where that oldest one got its Backup when it ran
 * the operator was there, and only its book was not written.
 * @param fresh Jobs that are not in the book yet, oldest first.
 */
function rememberedFrom(
  { cronJob, runs }: Pick<OneTarget<View>, 'cronJob' | 'runs'>,
  fresh: readonly SlotJob[],
): Date | undefined {
  const { successfulJobsHistoryLimit, failedJobsHistoryLimit } = cronJob?.spec ?? {}
  const wasSeen = ({ job: { metadata } }: SlotJob) => {
    const told = runs.find(({ backup }) => backup.metadata.name === metadata.name)?.backup
    const [made, started] = [told, { metadata }].map(each => timeOf(each?.metadata.creationTimestamp))
    return made !== undefined && started !== undefined && made <= addSeconds(started, lateJobSeconds)
  }
  const oldest = (outcome: 'Complete' | 'Failed', limit = Infinity) => {
    const kept = fresh.filter(({ job }) => conditionTime(job, outcome))
    const [first] = kept
    return first && kept.length >= limit && !wasSeen(first) ? first.provesUntil : undefined
  }
  return latest(oldest('Complete', successfulJobsHistoryLimit), oldest('Failed', failedJobsHistoryLimit))
}

/**
 * The Jobs of the CronJob that are yet to be recorded as Backups, with their slots, oldest first; none where the policy records none.
 * Of a Job of an earlier policy of this name, or one that is going already: what it made is told by the bucket alone.
 */
export function unrecordedJobs(
  policy: BackupPolicy,
  view: Pick<View, 'runJobs' | 'serverTime'>,
  { accountedUntil }: SlotBook,
  now: Date,
): readonly SlotJob[] {
  if (!recordsJobs(policy)) return []
  const present = latestPresent(view, now)
  const since = timeOf(policy.metadata.creationTimestamp)
  const fresh = view.runJobs.flatMap(({ job }) => {
    const slot = !job.metadata.deletionTimestamp && !isBefore(job, since) ? slotOfJob(job) : undefined
    if (!slot) return []
    const made = timeOf(job.metadata.creationTimestamp)
    // Where it is not ahead now, the API server was behind when it dated the Job.
    const provesUntil = made && isAhead(slot, made) && isAhead(slot, present) ? made : slot
    // One that the API server itself has dated ahead was recorded then, and the book knows nothing of it any more.
    const isNew = !isAhead(provesUntil, present) && (!accountedUntil || provesUntil > accountedUntil)
    return isNew ? [{ job, slot, provesUntil }] : []
  })
  return fresh.toSorted((a, b) => a.provesUntil.getTime() - b.provesUntil.getTime())
}

/**
 * `provesUntil`: slots before that get no Job any more. It is its slot; where the controller's clock was ahead when it made the Job, that moment:
 * when the clock is right again the slots until then run as ever (F23).
 */
export type SlotJob = { readonly job: Job; readonly slot: Date; readonly provesUntil: Date }

/** Not while it goes, after a change of its strategy, or with a schedule that nobody can read: see {@link accountForJobs} and who calls it. */
function recordsJobs(policy: BackupPolicy): boolean {
  const { metadata, spec } = policy
  return spec.strategy.type === 'job' && !metadata.deletionTimestamp && !('problem' in scheduleOf(policy))
}

function isBefore(job: Job, time: Date | undefined): boolean {
  const created = timeOf(job.metadata.creationTimestamp)
  return created !== undefined && time !== undefined && created < time
}

function endOf(job: Job, now: Date): Date | undefined {
  if (!isFinished(job)) return undefined
  const failed = trueCondition(job, 'Failed')
  return timeOf(job.status?.completionTime) ?? timeOf(failed?.lastTransitionTime) ?? now
}
