// Carries out a plan, group after group: the only place that creates, changes or deletes anything.
// Every write is either a create under a fixed name or guarded by uid or resourceVersion, so that doing it twice, or from an old
// view of the world, does nothing wrong (F28, F31). What is refused, or never answered, stops its group and those that need it, and nothing
// else (F71); so does a verdict that is put off because the API server knows more.
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Restore } from '../../api/kinds/restore.ts'
import type { CronJob } from '../../api/kubernetes.ts'
import {
  askedConclusion,
  type Action,
  type Group,
  type Plan,
  type Refusal,
  type Refusals,
  type Unless,
  type Written,
  type WrittenKind,
} from '../../plan/core/actions.ts'
import { failure, planNotStarted, planRefused, refusedUntil } from '../../plan/runs/status.ts'
import { refusedReasons } from '../../plan/policy/refusals.ts'
import { cronJobClockGroup } from '../../plan/policy/cron-job.ts'
import { isGroup } from '../../plan/view/per-target.ts'
import { addSeconds, earliest } from '../../schedule/times.ts'
import type { Client } from '../../runtime/client/client.ts'
import type { Clock } from '../../runtime/clock.ts'
import {
  ApiError,
  ConnectionError,
  isAlreadyExists,
  isDenied,
  isNotFound,
  ResponseError,
  WaitError,
} from '../../runtime/client/errors.ts'
import type { EventRecorder } from '../../runtime/events.ts'
import type { Log } from '../../runtime/log.ts'
import type { Resource } from '../../runtime/client/resource.ts'
import type { Store } from '../../runtime/cache/store.ts'
import { isSame, takenMessage } from './adoption.ts'
import { named } from './asked.ts'
import type { Caches } from './caches.ts'
import { isClockToBeSet } from './cron-job-clock.ts'
import { aheadAgain, changedAgain, changedAtOnce, cronJobOf, type PutBack } from './put-back.ts'
import { lookLast, type Asked } from '../policy/look-before-deletion.ts'
import { isThere } from '../policy/look-before-verdict.ts'
import { saysMore } from '../restore/look-before-verdict.ts'
import type { BackupMetrics } from '../metrics/metrics.ts'
import { writeOf, type RefusalMemory } from './refusals.ts'
import { backupPolicies, backups, cronJobs, jobs, restores, snapshots } from './resources.ts'

/** After so long the watch has told what a write, or the look before it, found out first. */
const watchMs = 1000

/** What is put off again and again waits for longer each time: no plan may see what the look saw, and each look costs the API server a list. */
const longestPutOffMs = 60_000

/**
 * No action takes longer, its looks and repetitions included; the API server gives itself 34 s for a write (see `answerMs` in
 * `runtime/client/connections.ts`).
 */
const actionMs = 40_000

/** A refusal that took longer is put last like a write that is not answered: a webhook that fails after 10 to 30 s, in each pass, for each object. */
const slowMs = 5_000

/** After so long a pass begins nothing more but its conclusion. */
const beginMs = 60_000

/** A pass takes no longer: what it began last, and its conclusion. */
export const longestPassMs = beginMs + 2 * actionMs

/** The name of a conclusion that needs no answer. */
const conclusionGroup = 'conclude'

/** How soon a plan is made again where something was left, because writes of its kind are slow or not answered, or its status is refused. Seconds. */
const leftSeconds = 30

export type ApplyContext = {
  readonly client: Client
  readonly caches: Caches
  readonly events: EventRecorder
  readonly metrics: Pick<BackupMetrics, 'observe' | 'observeRestore'>
  readonly clock: Clock
}

/** Whom a plan is for: a policy, or a Restore. */
export type Owner = { readonly namespace: string; readonly name: string } & (
  | { readonly policy: BackupPolicy | undefined; readonly restore?: never }
  | { readonly restore: Restore | undefined; readonly of: 'Restore' }
)

/** The object itself, while there is one. */
function objectOf(owner: Owner): BackupPolicy | Restore | undefined {
  return 'of' in owner ? owner.restore : owner.policy
}

const resources: Readonly<Record<WrittenKind, Resource>> = {
  Backup: backups,
  BackupPolicy: backupPolicies,
  CronJob: cronJobs,
  Job: jobs,
  Restore: restores,
  VolumeSnapshot: snapshots,
}

/**
 * What became of a group. `made`: and nothing that it creates was there before. `ended`: it had nothing more to do. `taken`: a stranger has
 * a name that it needs. `put-off`: the API server knows more than it rests on, and the next plan will; or it was not `begun`. `until`: it is not to be tried before.
 */
type Outcome =
  | { readonly is: 'done'; readonly made: boolean }
  | { readonly is: 'ended' }
  | { readonly is: 'taken' }
  | { readonly is: 'put-off'; readonly error: WaitError; readonly begun: boolean }
  | { readonly is: 'refused'; readonly refusal: Refusal; readonly error: ApiError | ConnectionError | ResponseError }
  | { readonly is: 'withheld'; readonly refusal: Refusal; readonly until?: Date }

/**
 * Does what can be done, then writes the policy's status, which tells what could not. A write that is refused slowly, or not answered, costs
 * time: what makes writes of its kind comes last, and no other of the kind is tried in this pass.
 * @returns `retryAt`: when to try again what was refused; `wakeAt`: when to plan anew without being woken, for that or by the plan.
 * @throws WaitError at the end, when the API server knows more than a group rests on, or the pass took too long for all of it. ApiError 401
 * and 409 that are not admission's, FencedError, ConnectionError where the API server is not reached: the rest is left to the next plan.
 */
export async function applyPlan(
  context: ApplyContext,
  owner: Owner,
  plan: Plan,
  memory: RefusalMemory,
  log: Log,
  signal: AbortSignal,
): Promise<{ readonly retryAt: Date | undefined; readonly wakeAt: Date | undefined }> {
  const pass = new Pass(context, owner, log, signal)
  const now = context.clock.now()
  memory.begin(objectOf(owner))
  memory.putBacks.stand(plan.groups)
  const planned = new Set(plan.groups.map(({ name }) => name))
  const done = new Map<string, { readonly made: boolean }>()
  const refused = new Map<string, Refusal>()
  const taken = new Set<string>()
  const verdicts: (Date | undefined)[] = []
  const told = new Set<string>()
  const putOff = new Map<string, Extract<Outcome, { readonly is: 'put-off' }>>()
  /** Kinds of writes that were slow, or not answered, in this pass, and the groups that were not tried for it. */
  const slow = new Set<string>()
  const left = new Set<string>()
  const shares = new Shares()
  async function attempt(group: Group, untilMs = pass.beginUntilMs): Promise<void> {
    const known = memory.standing(group.name, now, group.run && failsAt(group.name))
    // What was refused of another write says nothing of these: a CronJob that may not be changed, and is gone by now, is made.
    const standing = known && writesOf(group).includes(writeOf(known)) ? known : undefined
    if (!standing && (shares.isSpent(group) || writesOf(group).some(write => slow.has(write)))) return leave(group)
    const cronJob = cronJobOf(group)
    const isClock = isGroup(cronJobClockGroup, group.name)
    const putBack = cronJob || isClock ? memory.putBacks.of(group.name) : undefined
    const outcome = standing ? undefined : (contested(group) ?? (await pass.carryOut(group, untilMs, putBack)))
    if (outcome) shares.spend(group, outcome)
    if (outcome?.is === 'done') {
      done.set(group.name, outcome)
      if (cronJob) putBack?.wrote(cronJob, context.clock.now())
      else if (isClock) putBack?.putClockBack(context.clock.now())
    }
    if (outcome?.is === 'withheld') {
      // One that is not tried says nothing of webhooks: people edit, too.
      if (outcome.until) putBack?.waits(outcome.refusal, context.clock.now(), outcome.until)
      else if (cronJob) putBack?.changed()
    }
    if (outcome?.is === 'taken') taken.add(group.name)
    if (outcome?.is === 'put-off') putOff.set(group.name, outcome)
    if (outcome && outcome.is !== 'refused' && outcome.is !== 'withheld') return
    if (outcome?.is === 'refused') {
      log.warn({ group: group.name, err: outcome.error }, 'a write was not carried out')
      if (outcome.error instanceof ConnectionError && outcome.error.unsent) throw outcome.error
      if (outcome.refusal.slow) slow.add(writeOf(outcome.refusal))
    }
    if (outcome)
      memory.remember(group.name, outcome.refusal, leastSeconds(outcome, context.clock.now()), context.clock.now())
    const refusal = outcome?.refusal ?? standing
    if (!refusal) return
    refused.set(group.name, refusal)
    if (!standing) pass.tell(refusal)
    // One that stands for several says what was refused first: the words of each in turn would change its status in every pass.
    if (!group.run || told.has(group.run.metadata.name)) return
    told.add(group.run.metadata.name)
    const telling = pass.tellingOf(group, group.run, refusal, memory.refusedSince(group.name))
    if (telling) await attempt(telling)
    verdicts.push(failsAt(group.name))
  }
  /** When the run fails that cannot start, if nothing changes; undefined where nothing was said about it. */
  function failsAt(group: string): Date | undefined {
    const since = memory.refusedSince(group)
    return since && refusedUntil(since)
  }
  /** Before anything of the group is done: what sets the clock of the CronJob would skip a slot, and nothing follow it. */
  function contested(group: Group): Outcome | undefined {
    const cronJob = cronJobOf(group)
    if (isGroup(cronJobClockGroup, group.name)) {
      const until = memory.putBacks.of(group.name).clockWaitsUntil(context.clock.now())
      return until && { is: 'withheld', refusal: aheadAgain(clockedBy(group)), until }
    }
    const until = cronJob && memory.putBacks.of(group.name).waitsUntil(cronJob, context.clock.now())
    if (!until) return undefined
    const current = context.caches.cronJobs.get(owner.namespace, cronJob.metadata.name)
    return { is: 'withheld', refusal: changedAgain(current, cronJob), until }
  }
  function leave({ name }: Group): void {
    const known = memory.known(name)
    if (known) refused.set(name, known)
    else left.add(name)
  }

  const before = memory.slow()
  const late = new Map<string, Group>()
  for (const group of plan.groups) {
    const waits = (group.needs ?? []).some(need => late.has(need.group))
    if (waits || writesOf(group).some(write => before.has(write) || slow.has(write))) late.set(group.name, group)
    else if (isNeeded(group, planned, done, refused)) await attempt(group)
  }
  for (const group of inTurn([...late.values()], memory))
    if (isNeeded(group, planned, done, refused)) await attempt(group)
  // Refused, it waits like any other: an error would make the next slot wait with it.
  const undone = { taken, putOff: new Set([...putOff.keys(), ...left]) }
  const doubts = memory.putBacks.doubts(context.clock.now())
  const doubted = [...doubts].map(([group, { refusal }]) => [group, refusal] as const)
  const toldRefused = doubted.length > 0 ? new Map([...doubted, ...refused]) : refused
  const conclude = async (actions: readonly Action[]) => {
    if (actions.length > 0) await attempt({ name: concluding(actions), actions }, Number.POSITIVE_INFINITY)
  }
  await conclude(plan.conclude(toldRefused, undone))
  // Where nobody can be asked about a verdict, that one alone is of before.
  if (refused.has(askedConclusion)) await conclude(plan.conclude(new Map([...toldRefused, ...refused]), undone))
  const retryAt = earliest(memory.settle(refused), ...verdicts.filter(time => time && time > now))
  const leftAt = left.size > 0 ? addSeconds(context.clock.now(), leftSeconds) : undefined
  const waitsMs = [...putOff].map(([group, { error, begun }]) =>
    begun ? error.afterMs * 2 ** memory.timesPutOff(group) : error.afterMs,
  )
  memory.settlePutOff([...putOff].flatMap(([group, { begun }]) => (begun ? [group] : [])))
  // Only now: one run of which more is known keeps no other from being planned and told (F71).
  const [first] = putOff.values()
  if (first) {
    const until = earliest(plan.wakeAt, retryAt, leftAt)
    const untilMs = until ? until.getTime() - context.clock.now().getTime() : longestPutOffMs
    throw new WaitError(Math.max(watchMs, Math.min(longestPutOffMs, untilMs, ...waitsMs)), first.error.message, {
      cause: first.error,
    })
  }
  // A plan that wants to be made again at once builds on its status, which is not there: it would be made again, and again. It may have
  // other times, too, which its first hides.
  const isUnwritten = refused.has(conclusionGroup) || refused.has(askedConclusion)
  const atOnce = isUnwritten && plan.wakeAt !== undefined && plan.wakeAt <= now
  return {
    retryAt,
    wakeAt: earliest(
      atOnce ? addSeconds(now, leftSeconds) : plan.wakeAt,
      retryAt,
      leftAt,
      ...[...doubts.values()].map(({ until }) => until),
    ),
  }
}

/** The name of the CronJob whose clock a group puts back. */
function clockedBy({ actions }: Group): string {
  return actions.flatMap(action => (action.do === 'patch-status' ? [action.name] : []))[0] ?? ''
}

/** What the looks of one are refused says nothing of the write of the other. */
function concluding(actions: readonly Action[]): string {
  return actions.some(action => action.do === 'write-status' && action.unless) ? askedConclusion : conclusionGroup
}

/** How much of what groups share a pass has used. */
class Shares {
  readonly #done = new Map<string, number>()
  readonly #failed = new Map<string, number>()

  isSpent({ share }: Group): boolean {
    if (!share) return false
    const { of, most, mostFailures } = share
    return (this.#done.get(of) ?? 0) >= most || (this.#failed.get(of) ?? 0) >= mostFailures
  }

  /** What a server that fails was asked to do it may have done, or do later. */
  spend({ share }: Group, outcome: Outcome): void {
    if (!share) return
    const used =
      outcome.is === 'done' || (outcome.is === 'refused' && outcome.refusal.passing) ? this.#done : this.#failed
    used.set(share.of, (used.get(share.of) ?? 0) + 1)
  }
}

/** Whoever was tried longest ago comes first, and nobody before what he needs: where many are slow, each has its turn. */
function inTurn(groups: readonly Group[], memory: RefusalMemory): readonly Group[] {
  const tried = new Map<string, number>()
  const triedMs = (group: string) => tried.get(group) ?? 0
  for (const { name, needs = [] } of groups)
    tried.set(name, Math.max(memory.triedAt(name)?.getTime() ?? 0, ...needs.map(({ group }) => triedMs(group))))
  return groups.toSorted((a, b) => triedMs(a.name) - triedMs(b.name))
}

function writesOf({ actions }: Group): readonly string[] {
  return actions.flatMap(action => {
    if (action.do === 'event') return []
    return [writeOf({ action: action.do, kind: subjectOf(action).kind })]
  })
}

function isNeeded(
  { needs = [] }: Group,
  planned: ReadonlySet<string>,
  done: ReadonlyMap<string, { readonly made: boolean }>,
  refused: Refusals,
): boolean {
  return needs.every(({ group, was }) => {
    if (was === 'refused') return refused.has(group)
    if (was === 'undone') return planned.has(group) && !done.has(group)
    if (was === 'made') return done.get(group)?.made === true
    return done.has(group) || !planned.has(group)
  })
}

/** How long it is not to be tried again, whatever is remembered of it. */
function leastSeconds(outcome: Extract<Outcome, { readonly refusal: Refusal }>, now: Date): number {
  if (outcome.is === 'withheld') return outcome.until ? (outcome.until.getTime() - now.getTime()) / 1000 : 0
  return (outcome.error instanceof ApiError && outcome.error.retryAfterSeconds) || 0
}

/**
 * Undefined for what stops the whole pass: an account that is not known, a view of the world that is old, a lease that is lost.
 * @param tookMs the action
 */
function refusalOf(
  action: Action,
  error: unknown,
  tookMs: number,
): Extract<Outcome, { readonly is: 'refused' }> | undefined {
  if (action.do === 'event') return undefined
  const lost = error instanceof ConnectionError || error instanceof ResponseError
  if (!lost && !(error instanceof ApiError && (isDenied(error) || ![401, 409].includes(error.status)))) return undefined
  const { kind, name } = subjectOf(action)
  const slow = lost || tookMs > slowMs ? ({ slow: true } as const) : {}
  // A server that fails, or has too much to do, or does not serve the kind for a moment, says nothing about the object.
  const passing = lost || error.status === 429 || error.status >= 500 || isNotFound(error)
  const words = (error instanceof ApiError && error.detail) || error.message
  return { is: 'refused', refusal: { action: action.do, kind, name, words, passing, ...slow }, error }
}

function subjectOf(action: Exclude<Action, { readonly do: 'event' }>): {
  readonly kind: WrittenKind
  readonly name: string
} {
  if (!('object' in action)) return action
  const { kind, metadata } = action.object
  return { kind: kind as WrittenKind, name: metadata.name }
}

/** What an action ends with that took too long: the API server may still carry it out. */
function unansweredError(action: Action): ConnectionError {
  const request = action.do === 'event' ? action.do : `${action.do} ${subjectOf(action).kind} ${subjectOf(action).name}`
  return new ConnectionError(request, { cause: new Error(`none within ${actionMs / 1000} s`), unsent: false })
}

/** What earlier writes of a group have left, by kind and name. */
type Left = Map<string, Written>

/** What was to be deleted is needed still, or what was written is not what stands. */
class Withheld extends Error {
  override readonly name = 'Withheld'
  readonly refusal: Refusal

  constructor(refusal: Refusal) {
    super(refusal.words)
    this.refusal = refusal
  }
}

/** One pass over a plan. */
class Pass {
  readonly #context: ApplyContext
  readonly #owner: Owner
  readonly #log: Log
  readonly #signal: AbortSignal
  readonly #asked: Asked = new Map()
  /** Monotonic. */
  readonly beginUntilMs: number

  constructor(context: ApplyContext, owner: Owner, log: Log, signal: AbortSignal) {
    this.#context = context
    this.#owner = owner
    this.#log = log
    this.#signal = signal
    this.beginUntilMs = context.clock.monotonic() + beginMs
  }

  /**
   * @param untilMs monotonic: after that no action is begun, and the group is put off
   * @param putBack what became of the CronJob, where it writes one
   */
  async carryOut(group: Group, untilMs: number, putBack: PutBack | undefined): Promise<Outcome> {
    const { clock } = this.#context
    const left: Left = new Map()
    let made = true
    for (const action of group.actions) {
      this.#signal.throwIfAborted()
      if (clock.monotonic() > untilMs)
        return {
          is: 'put-off',
          error: new WaitError(watchMs, 'the API server is slow, the rest is planned anew'),
          begun: false,
        }
      const begunMs = clock.monotonic()
      const late = new AbortController()
      // What a dry run is refused is the write that it stands for.
      let tried = action
      const cancel = clock.timer(actionMs, () => late.abort(unansweredError(tried)))
      try {
        const signal = AbortSignal.any([this.#signal, late.signal])
        const clocked = action.do === 'patch-status' ? cronJobOf(group) : undefined
        if (clocked && putBack) {
          tried = { do: 'replace', object: clocked }
          if (!(await isClockToBeSet(this.#context, clocked, putBack, { signal }))) continue
          tried = action
        }
        const outcome = await this.take(action, left, signal, group.run)
        if (outcome === 'ended' || outcome === 'taken') return { is: outcome }
        if (outcome === 'adopted') made = false
        if (clocked) putBack?.clockSet()
      } catch (error) {
        const outcome = refusalOf(tried, error, clock.monotonic() - begunMs)
        if (outcome) return outcome
        if (error instanceof Withheld) return { is: 'withheld', refusal: error.refusal }
        if (error instanceof WaitError) return { is: 'put-off', error, begun: true }
        throw error
      } finally {
        cancel()
      }
    }
    return { is: 'done', made }
  }

  /** @returns `ended` or `taken` when the rest of the group is not to be done, `adopted` where what is created was there before. */
  async take(
    action: Action,
    left: Left,
    signal: AbortSignal,
    run?: Backup,
  ): Promise<'done' | 'adopted' | 'ended' | 'taken'> {
    const { client, caches, events } = this.#context
    const { namespace } = this.#owner
    switch (action.do) {
      case 'create': {
        const created = await this.#create(action.object, run, signal)
        if (created === 'taken') await this.#tellTaken(action.object, run, action.cost, signal)
        return created
      }
      case 'replace': {
        const { object } = action
        const { kind, name } = subjectOf(action)
        const before = left.get(`${kind}/${name}`)
        const { resourceVersion } = (before ?? object).metadata
        // As the earlier write left it: the resourceVersion refuses to overwrite what nobody has seen.
        const status = before && 'status' in before ? { status: before.status } : {}
        const seen = { ...object, ...status, metadata: { ...object.metadata, resourceVersion } } as Written
        const written = await client.replace<Written>(resources[kind], seen, { signal })
        cacheOf(caches, kind).offer(written)
        this.#log.info({ kind, name }, 'changed')
        const changed = kind === 'CronJob' ? changedAtOnce(written as CronJob, seen as CronJob) : undefined
        if (changed) throw new Withheld(changed)
        return 'done'
      }
      case 'patch-status': {
        const { kind, name, uid, status } = action
        const body = { metadata: { uid }, status }
        const options = { signal, subresource: 'status' }
        const patch = { kind: 'merge', body } as const
        const patched = await client.patch<Written>(resources[kind], namespace, name, patch, options)
        if (!patched) return 'done'
        left.set(`${kind}/${name}`, patched)
        cacheOf(caches, kind).offer(patched)
        return 'done'
      }
      case 'write-status':
        await this.#writeStatus(action, signal)
        return 'done'
      case 'delete':
        return (await this.#delete(action, signal)) ? 'done' : 'ended'
      case 'label': {
        const { kind, name, uid, labels } = action
        const patch = { kind: 'merge', body: { metadata: { uid, labels } } } as const
        try {
          const patched = await client.patch<Written>(resources[kind], namespace, name, patch, { signal })
          cacheOf(caches, kind).offer(patched)
        } catch (error) {
          // It was deleted meanwhile, and needs no label any more.
          if (isNotFound(error)) return 'ended'
          throw error
        }
        this.#log.info({ kind, name, labels }, 'labelled')
        return 'done'
      }
      case 'event':
        events.record(action.about, action)
        return 'done'
    }
  }

  /** Tells people what is refused, when it is. */
  tell({ action, kind, name, words, withheld }: Refusal): void {
    const about = objectOf(this.#owner)
    if (!about) return
    if (withheld) {
      const type = withheld === 'CronJobChanged' ? 'Warning' : 'Normal'
      return this.#context.events.record(about, { type, reason: withheld, message: words })
    }
    const message = `the API server refuses ${kind} ${name}: ${words}`
    this.#context.events.record(about, { type: 'Warning', reason: refusedReasons[action], message })
  }

  /** A run that cannot start says so itself, and fails in the end. Undefined where it does already. */
  tellingOf({ actions }: Group, planned: Backup, refusal: Refusal, since: Date | undefined): Group | undefined {
    const start = actions.findLast(action => action.do === 'create')?.object
    const run = this.#asMade(planned)
    const [told] = planRefused(run, start, refusal, since, this.#context.clock.now()).groups
    return told && { ...told, name: `tell/${run.metadata.name}` }
  }

  /** One that this very pass has made is not what was planned: it has an identity by now. */
  #asMade(run: Backup): Backup {
    const { namespace, name, uid } = run.metadata
    return (uid === undefined && this.#context.caches.backups.get(namespace, name)) || run
  }

  /** `taken` when a stranger has the name. An object of ours that is already there is adopted: names are locks. */
  async #create(
    object: Written,
    planned: Backup | undefined,
    signal: AbortSignal,
  ): Promise<'done' | 'adopted' | 'taken'> {
    const { client, caches } = this.#context
    const kind = object.kind as WrittenKind
    const cache = cacheOf(caches, kind)
    try {
      cache.offer(await client.create<Written>(resources[kind], object, { signal }))
      this.#log.info({ kind, name: object.metadata.name }, 'created')
      return 'done'
    } catch (error) {
      if (!isAlreadyExists(error)) throw error
    }
    const { namespace, name } = object.metadata
    const existing = await client.get<Written>(resources[kind], namespace, name, { signal })
    if (!existing) throw new WaitError(watchMs, `${kind} ${name} was there, and is gone a moment later`)
    if (!isSame(existing, object, planned && this.#asMade(planned))) return 'taken'
    cache.offer(existing)
    return 'adopted'
  }

  /** The run fails where a stranger has the name; of what the policy needs people are told at what cost. */
  async #tellTaken(
    object: Written,
    planned: Backup | undefined,
    cost: string | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const run = planned && this.#asMade(planned)
    const { events, clock } = this.#context
    const message = cost === undefined ? takenMessage(object) : `${takenMessage(object)}: without ours, ${cost}`
    const about = run ?? objectOf(this.#owner)
    if (about) events.record(about, { type: 'Warning', reason: 'NameTaken', message })
    if (!run) return
    const { groups } = planNotStarted(run, object, failure('NameTaken', message), clock.now())
    for (const action of groups.flatMap(({ actions }) => actions))
      if (action.do === 'write-status') await this.#writeStatus(action, signal)
  }

  /**
   * What was true when the plan was made is asked of the API server once more, and what is deleted is what was just read.
   * @returns false when it is not to go after all: the caches will tell why, and the next plan knows.
   * @throws Withheld when somebody needs it who is in no cache.
   */
  async #delete(action: Extract<Action, { readonly do: 'delete' }>, signal: AbortSignal): Promise<boolean> {
    const { client, caches } = this.#context
    const { kind, name, uid, because, provided } = action
    const look = provided && (await lookLast({ client, caches }, this.#owner, action, provided, this.#asked, signal))
    if (look?.is === 'stays') return false
    if (look?.is === 'needed') {
      const refusal = {
        action: 'delete',
        kind,
        name,
        words: look.words,
        passing: false,
        withheld: look.reason,
      } as const
      throw new Withheld(refusal)
    }
    const deleted = await client.delete(resources[kind], this.#owner.namespace, name, {
      uid,
      resourceVersion: look?.resourceVersion ?? action.resourceVersion,
      propagationPolicy: 'Background',
      signal,
    })
    if (deleted) this.#log.info({ kind, name, because }, 'deleted')
    return true
  }

  /** Counted only once it is written: a conflict means that somebody else has seen more, and the next plan decides anew. */
  async #writeStatus(action: Extract<Action, { readonly do: 'write-status' }>, signal: AbortSignal): Promise<void> {
    const { caches, metrics } = this.#context
    const { object, outcome, restored, unless } = action
    const { kind, name } = subjectOf(action)
    const standing = caches.backups.get(this.#owner.namespace, name)
    await this.#askOnceMore(unless, object.kind === 'Backup' && standing ? standing : object, signal)
    const before = standing?.status?.phase
    cacheOf(caches, kind).offer(await this.#replaceStatus(resources[kind], object, signal))
    if (object.kind === 'Backup') {
      const { phase, reason } = (object as Backup).status ?? {}
      if (phase !== before) this.#log.info({ backup: name, phase, reason }, 'Backup changed its phase')
    }
    if (restored) this.#log.info({ restore: name, phase: restored.phase }, 'Restore ended')
    if (outcome) metrics.observe({ namespace: this.#owner.namespace, policy: this.#owner.name, ...outcome })
    if (restored) metrics.observeRestore({ namespace: this.#owner.namespace, ...restored })
  }

  /** @throws WaitError when the API server knows more than the verdict rests on. */
  async #askOnceMore(
    unless: Unless | undefined,
    about: Backup | BackupPolicy | Restore,
    signal: AbortSignal,
  ): Promise<void> {
    if (!unless) return
    const isMoreKnown =
      about.kind === 'Restore'
        ? await saysMore(this.#context, about as Restore, unless, signal)
        : await isThere(this.#context, this.#owner, unless, about as Backup | BackupPolicy, signal)
    if (!isMoreKnown) return
    throw new WaitError(watchMs, `a cache was behind (${unless.kind} ${unless.name}), planning anew`)
  }

  /**
   * @throws WaitError when the object was deleted meanwhile: the cache will hear of it, and nobody needs to. ApiError 404 where it is there: its
   * status is not served (a CRD without the subresource answers that with the name of the object), and perhaps never will be.
   */
  async #replaceStatus<T extends Written>(resource: Resource, object: T, signal: AbortSignal): Promise<T> {
    const { client } = this.#context
    const { name, uid } = object.metadata
    try {
      return await client.replace<T>(resource, object, { signal, subresource: 'status' })
    } catch (error) {
      if (!isNotFound(error)) throw error
      const there = await named<T>(client, resource, this.#owner.namespace, name, signal)
      if (there && there.metadata.uid === uid) throw error
      throw new WaitError(watchMs, `${resource.kind} ${name} was deleted meanwhile`, { cause: error })
    }
  }
}

/** Where what was written is kept until the watch tells of it. */
function cacheOf(caches: Caches, kind: WrittenKind): Pick<Store<Written>, 'offer'> {
  const stores = {
    Backup: caches.backups,
    BackupPolicy: caches.policies,
    CronJob: caches.cronJobs,
    Job: caches.jobs,
    Restore: caches.restores,
    VolumeSnapshot: caches.snapshots,
  } as const
  return stores[kind]
}
