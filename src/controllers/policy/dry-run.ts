// Asks the API server what it would say to a run, without making one (docs/design.md R26): on each change of a policy's spec, after a
// refusal again, and of all policies together so seldom that it does not weigh.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { CronJob, Job } from '../../api/kubernetes.ts'
import { dryRunQuestion, isFullOfOurs, type DryRunQuestion } from '../../plan/policy/dry-run.ts'
import { isFinished } from '../../plan/jobs/verdict.ts'
import type { JobTarget } from '../../plan/view/job-targets.ts'
import type { DryRun, DryRunRefusal } from '../../plan/view/world.ts'
import { stateHash } from '../../resources/desired-state.ts'
import type { Settings } from '../../resources/settings.ts'
import { earliest } from '../../schedule/times.ts'
import type { Clock } from '../../runtime/clock.ts'
import { ApiError, ConnectionError, isDenied, refusesDryRun, ResponseError } from '../../runtime/client/errors.ts'
import { keyOf } from '../../runtime/client/resource.ts'
import type { Reach } from '../shared/caches.ts'
import { cronJobs, jobs } from '../shared/resources.ts'

/** A question is at most two requests, and there are at most five of them a second in a line. */
const questionMs = 400
/** A namespace whose last question took longer is a slow one; no server that is well takes so long of its own accord. */
const slowMs = 2_000
/** A webhook that hangs keeps one worker for so long; longer than webhooks have to answer by default. */
const patienceMs = 15_000
/** Where nothing was said: 5, 10, 20, … seconds. After a refusal: 1, 2, 4, 8, 10, 10, … minutes. */
const firstDelayMs = { unsaid: 5_000, refused: 60_000 } as const
const longestDelayMs = 600_000

type Said = 'accepted' | 'unsaid' | DryRunRefusal

/** `cronJobAccepted`: what is unsaid is about the Job. */
type Answer = { readonly said: Said; readonly cronJobAccepted?: true }

/** What was refused of an object. `hash`: of all that the policy decides about it. */
type Standing = { readonly refusal: DryRunRefusal; readonly hash: string }

/** What was said of one generation of a policy. */
type Known = Answer & {
  readonly of: string
  /** The last refusal, perhaps of an earlier generation, while nobody has said that it is over. */
  readonly standing: Standing | undefined
  /** When. */
  readonly at: Date
  /** How often it was asked about and not accepted. */
  readonly times: number
  /** Monotonic: until then it is not asked again; what is accepted, only where a Job was refused since. */
  readonly untilMs: number
  /** Where its turn is then. */
  readonly turnIn: Line | undefined
}

/** Of policies, each with its turn. Whoever waits for an answer keeps a worker: of each line there is never more than one. */
class Line {
  isAsking = false
  /** Monotonic: when the next question may be put. */
  #nextMs = -Infinity

  takeTurn(earliestMs: number): number {
    const turnMs = Math.max(earliestMs, this.#nextMs)
    this.#nextMs = turnMs + questionMs
    return turnMs
  }
}

/** Memory alone holds what was said: after a restart every policy is asked about once more, each in its turn. */
export class DryRuns {
  readonly #reach: Reach
  readonly #settings: Settings
  readonly #clock: Clock
  readonly #known = new Map<string, Known>()
  readonly #quick = new Line()
  /** Of all slow namespaces together: they wait for each other, and nobody else waits for them (S19). */
  readonly #slow = new Line()
  readonly #slowNamespaces = new Set<string>()

  constructor(reach: Reach, settings: Settings, clock: Clock) {
    this.#reach = reach
    this.#settings = settings
    this.#clock = clock
  }

  /**
   * @param current whatever has the name of the target's CronJob
   * @param refusedAt when the CronJob controller was last refused a Job, which is a reason to ask again
   * @param target of a preset; without one, what the policy states
   * @returns undefined where there is nothing to ask about.
   * @throws ApiError 401 that is not admission's, FencedError, and what the signal aborted.
   */
  async ask(
    policy: BackupPolicy,
    current: CronJob | undefined,
    refusedAt: Date | undefined,
    signal: AbortSignal,
    target?: JobTarget,
  ): Promise<DryRun | undefined> {
    const key = target ? `${keyOf(policy)} ${target.name}` : keyOf(policy)
    const { uid, generation } = policy.metadata
    // What a preset has inferred changes without the policy.
    const of = target ? `${uid}/${generation}/${stateHash(target)}` : `${uid}/${generation}`
    const [now, nowMs] = [this.#clock.now(), this.#clock.monotonic()]
    const before = this.#known.get(key)
    const known: Known =
      before?.of === of
        ? before
        : { of, said: 'unsaid', standing: before?.standing, at: now, times: 0, ...turnOf(before, nowMs) }
    const isOpen = known.said !== 'accepted' || (refusedAt !== undefined && refusedAt > known.at)
    if (!isOpen || nowMs < known.untilMs) return this.#told(known, isOpen)
    const question = dryRunQuestion(policy, current, this.#settings, target)
    if (!question) return undefined
    const { namespace = '' } = policy.metadata
    const line = this.#lineOf(namespace)
    const isFree = !line.isAsking
    const turnMs = isFree && known.turnIn === line ? nowMs : line.takeTurn(isFree ? nowMs : nowMs + questionMs)
    const standing = known.standing && stillOf(question, known.standing)
    if (turnMs > nowMs) return this.#keep(key, { ...known, standing, untilMs: turnMs, turnIn: line })
    const answer = await this.#putInTime(question, namespace, signal)
    const { said } = answer
    const first = firstDelayMs[said === 'unsaid' ? 'unsaid' : 'refused']
    const times = said === 'accepted' ? 0 : known.times + 1
    const untilMs = this.#clock.monotonic() + Math.min(longestDelayMs, first * 2 ** Math.max(0, times - 1))
    return this.#keep(key, {
      ...answer,
      of,
      standing: standingAfter(question, standing, answer),
      at: now,
      times,
      untilMs,
      turnIn: undefined,
    })
  }

  forget(key: string): void {
    for (const each of this.#known.keys()) if (each === key || each.startsWith(`${key} `)) this.#known.delete(each)
  }

  #lineOf(namespace: string): Line {
    return this.#slowNamespaces.has(namespace) ? this.#slow : this.#quick
  }

  #keep(key: string, known: Known): DryRun {
    this.#known.set(key, known)
    return this.#told(known, known.turnIn !== undefined)
  }

  #told({ said, cronJobAccepted, standing, at, untilMs }: Known, isOpen: boolean): DryRun {
    if (said === 'accepted' && !isOpen) return { is: said, at }
    const againAt = new Date(this.#clock.now().getTime() + Math.max(0, untilMs - this.#clock.monotonic()))
    if (said === 'accepted') return { is: said, at, againAt }
    if (said !== 'unsaid') return { is: 'refused', refusal: said, againAt }
    return {
      is: said,
      againAt,
      ...(standing ? { stands: standing.refusal } : {}),
      ...(cronJobAccepted ? { cronJobAccepted } : {}),
    }
  }

  async #putInTime(question: DryRunQuestion, namespace: string, signal: AbortSignal): Promise<Answer> {
    const line = this.#lineOf(namespace)
    const start = this.#clock.monotonic()
    const late = new AbortController()
    const cancel = this.#clock.timer(patienceMs, () => late.abort(new Error('the API server takes too long')))
    line.isAsking = true
    try {
      return await this.#put(question, signal, late.signal)
    } finally {
      line.isAsking = false
      cancel()
      if (this.#clock.monotonic() - start > slowMs) this.#slowNamespaces.add(namespace)
      else this.#slowNamespaces.delete(namespace)
    }
  }

  /** @param late what has no answer when it aborts has none at all */
  async #put({ cronJob, job }: DryRunQuestion, signal: AbortSignal, late: AbortSignal): Promise<Answer> {
    const { client } = this.#reach
    const options = { signal: AbortSignal.any([signal, late]), dryRun: true, attempts: 1 }
    if (cronJob) {
      const { object } = cronJob
      const trial =
        cronJob.do === 'create' ? client.create(cronJobs, object, options) : client.replace(cronJobs, object, options)
      const said = this.#saidOf('CronJob', object, await failureOf(trial, late))
      if (said !== 'accepted') return { said }
    }
    const said = this.#saidOf('Job', job, await failureOf(client.create(jobs, job, options), late))
    return { said, ...(cronJob && said === 'unsaid' ? { cronJobAccepted: true } : {}) }
  }

  #saidOf(kind: DryRunRefusal['kind'], { metadata }: CronJob | Job, failure: Failure | undefined): Said {
    if (!failure) return 'accepted'
    if (!(failure instanceof ApiError)) return 'unsaid'
    const words = failure.detail || failure.message
    // The rest has no objection.
    if (refusesDryRun(failure)) return 'accepted'
    if (silent.has(failure.status) && !isDenied(failure)) return 'unsaid'
    const isOurs = (each: Job) => each.metadata.namespace === metadata.namespace && !isFinished(each)
    const ours = this.#reach.caches.jobs.list().filter(isOurs).length
    return isFullOfOurs(words, ours) ? 'accepted' : { kind, name: metadata.name, words }
  }
}

/** What is said of several targets: a refusal of any is one of the policy, and what is unsaid of any is unsaid. */
export function ofAllTargets(said: readonly DryRun[]): DryRun | undefined {
  const refused = said.find(({ is }) => is === 'refused')
  if (refused) return refused
  const unsaid = said.find(each => each.is === 'unsaid' && each.stands) ?? said.find(({ is }) => is === 'unsaid')
  if (unsaid?.is === 'unsaid') {
    const { againAt, stands } = unsaid
    const soonest = earliest(againAt, ...said.map(each => each.againAt)) ?? againAt
    return { is: 'unsaid', againAt: soonest, ...(stands ? { stands } : {}) }
  }
  const accepted = said.flatMap(each => (each.is === 'accepted' ? [each] : []))
  const at = earliest(...accepted.map(each => each.at))
  const againAt = earliest(...accepted.map(each => each.againAt))
  return at && { is: 'accepted', at, ...(againAt ? { againAt } : {}) }
}

/** Nothing about the object: it is not as the cache has it, the server is not there, or has too much to do. A dead webhook is a 500. */
const silent: ReadonlySet<number> = new Set([404, 409, 429, 502, 503, 504])

/** An edit keeps its place in the line: one that took another each time would never have it, and each that it left would be lost to all. */
function turnOf(before: Known | undefined, nowMs: number): Pick<Known, 'untilMs' | 'turnIn'> {
  return before?.turnIn ? { untilMs: before.untilMs, turnIn: before.turnIn } : { untilMs: nowMs, turnIn: undefined }
}

/** Undefined where the policy was edited so that it is another object. */
function stillOf(question: DryRunQuestion, standing: Standing): Standing | undefined {
  return hashOf(question, standing.refusal.kind) === standing.hash ? standing : undefined
}

function standingAfter(
  question: DryRunQuestion,
  before: Standing | undefined,
  { said, cronJobAccepted }: Answer,
): Standing | undefined {
  if (said === 'accepted') return undefined
  if (said !== 'unsaid') return { refusal: said, hash: hashOf(question, said.kind) }
  return cronJobAccepted && before?.refusal.kind === 'CronJob' ? undefined : before
}

function hashOf({ cronJob, job }: DryRunQuestion, kind: DryRunRefusal['kind']): string {
  return stateHash(kind === 'Job' ? job : cronJob?.object.spec)
}

type Failure = ApiError | ConnectionError | ResponseError | 'late'

async function failureOf(trial: Promise<unknown>, late: AbortSignal): Promise<Failure | undefined> {
  try {
    await trial
    return undefined
  } catch (error) {
    if (late.aborted && error === late.reason) return 'late'
    if (error instanceof ApiError && (isDenied(error) || error.status !== 401)) return error
    if (error instanceof ConnectionError || error instanceof ResponseError) return error
    throw error
  }
}
