// Asks the API server what it would say to a run, without making one (docs/design.md R26): on each change of a policy's spec, after a
// refusal again, and of all policies together so seldom that it does not weigh.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { CronJob, Job } from '../../api/kubernetes.ts'
import { dryRunQuestion, isFullOfOurs, type DryRunQuestion } from '../../plan/policy/dry-run.ts'
import { isFinished } from '../../plan/jobs/verdict.ts'
import type { DryRun, DryRunRefusal } from '../../plan/view/world.ts'
import type { Settings } from '../../resources/settings.ts'
import type { Clock } from '../../runtime/clock.ts'
import { ApiError, ConnectionError, isDenied, ResponseError } from '../../runtime/client/errors.ts'
import { keyOf } from '../../runtime/client/resource.ts'
import type { Reach } from '../shared/caches.ts'
import { cronJobs, jobs } from '../shared/resources.ts'

/** A question is at most two requests, and there are at most five of them a second in all. */
const questionMs = 400
/** A webhook that hangs keeps one worker for so long; longer than webhooks have to answer by default. */
const patienceMs = 15_000
/** Where nothing was said: 5, 10, 20, … seconds. After a refusal: 1, 2, 4, 8, 10, 10, … minutes. */
const firstDelayMs = { unsaid: 5_000, refused: 60_000 } as const
const longestDelayMs = 600_000

type Said = 'accepted' | 'unsaid' | DryRunRefusal

/** What was said of one generation of a policy. */
type Known = {
  readonly of: string
  readonly said: Said
  /** When. */
  readonly at: Date
  /** How often it was asked about and not accepted. */
  readonly times: number
  /** Monotonic: until then it is not asked again; what is accepted, only where a Job was refused since. */
  readonly untilMs: number
  /** Its turn among all policies is then. */
  readonly hasTurn: boolean
}

/** Memory alone holds what was said: after a restart every policy is asked about once more, each in its turn. */
export class DryRuns {
  readonly #reach: Reach
  readonly #settings: Settings
  readonly #clock: Clock
  readonly #known = new Map<string, Known>()
  /** Monotonic: when the next question may be put. */
  #nextMs = -Infinity
  /** An answer is waited for. Whoever waits keeps a worker: there is never more than one. */
  #isAsking = false

  constructor(reach: Reach, settings: Settings, clock: Clock) {
    this.#reach = reach
    this.#settings = settings
    this.#clock = clock
  }

  /**
   * @param current whatever has the name of the policy's CronJob
   * @param refusedAt when the CronJob controller was last refused a Job, which is a reason to ask again
   * @returns undefined where there is nothing to ask about.
   * @throws ApiError 401 that is not admission's, FencedError, and what the signal aborted.
   */
  async ask(
    policy: BackupPolicy,
    current: CronJob | undefined,
    refusedAt: Date | undefined,
    signal: AbortSignal,
  ): Promise<DryRun | undefined> {
    const key = keyOf(policy)
    const of = `${policy.metadata.uid}/${policy.metadata.generation}`
    const [now, nowMs] = [this.#clock.now(), this.#clock.monotonic()]
    const before = this.#known.get(key)
    const known: Known =
      before?.of === of ? before : { of, said: 'unsaid', at: now, times: 0, untilMs: nowMs, hasTurn: false }
    const isOpen = known.said !== 'accepted' || (refusedAt !== undefined && refusedAt > known.at)
    if (!isOpen || nowMs < known.untilMs) return this.#told(known, isOpen)
    const question = dryRunQuestion(policy, current, this.#settings)
    if (!question) return undefined
    const isFree = !this.#isAsking
    const turnMs = isFree && known.hasTurn ? nowMs : this.#takeTurn(isFree ? nowMs : nowMs + firstDelayMs.unsaid)
    if (turnMs > nowMs) return this.#keep(key, { ...known, untilMs: turnMs, hasTurn: true })
    const said = await this.#putInTime(question, signal)
    const first = firstDelayMs[said === 'unsaid' ? 'unsaid' : 'refused']
    const times = said === 'accepted' ? 0 : known.times + 1
    const untilMs = this.#clock.monotonic() + Math.min(longestDelayMs, first * 2 ** Math.max(0, times - 1))
    return this.#keep(key, { of, said, at: now, times, untilMs, hasTurn: false })
  }

  forget(key: string): void {
    this.#known.delete(key)
  }

  #takeTurn(earliestMs: number): number {
    const turnMs = Math.max(earliestMs, this.#nextMs)
    this.#nextMs = turnMs + questionMs
    return turnMs
  }

  #keep(key: string, known: Known): DryRun {
    this.#known.set(key, known)
    return this.#told(known, known.hasTurn)
  }

  #told({ said, at, untilMs }: Known, isOpen: boolean): DryRun {
    if (said === 'accepted' && !isOpen) return { is: said, at }
    const againAt = new Date(this.#clock.now().getTime() + Math.max(0, untilMs - this.#clock.monotonic()))
    if (said === 'accepted') return { is: said, at, againAt }
    return said === 'unsaid' ? { is: said, againAt } : { is: 'refused', refusal: said, againAt }
  }

  async #putInTime(question: DryRunQuestion, signal: AbortSignal): Promise<Said> {
    const late = new AbortController()
    const cancel = this.#clock.timer(patienceMs, () => late.abort(new Error('the API server takes too long')))
    this.#isAsking = true
    try {
      return await this.#put(question, AbortSignal.any([signal, late.signal]))
    } catch (error) {
      if (error !== late.signal.reason) throw error
      return 'unsaid'
    } finally {
      this.#isAsking = false
      cancel()
    }
  }

  async #put({ cronJob, job }: DryRunQuestion, signal: AbortSignal): Promise<Said> {
    const { client } = this.#reach
    const options = { signal, dryRun: true, attempts: 1 }
    if (cronJob) {
      const { object } = cronJob
      const trial =
        cronJob.do === 'create' ? client.create(cronJobs, object, options) : client.replace(cronJobs, object, options)
      const said = this.#saidOf('CronJob', object, await failureOf(trial))
      if (said !== 'accepted') return said
    }
    return this.#saidOf('Job', job, await failureOf(client.create(jobs, job, options)))
  }

  #saidOf(kind: DryRunRefusal['kind'], { metadata }: CronJob | Job, failure: Failure | undefined): Said {
    if (!failure) return 'accepted'
    if (!(failure instanceof ApiError)) return 'unsaid'
    const words = failure.detail || failure.message
    // Whoever would have to be asked takes part in no dry run, and the rest has no objection.
    if (failure.status === 400 && words.includes('does not support dry run')) return 'accepted'
    if (silent.has(failure.status) && !isDenied(failure)) return 'unsaid'
    const isOurs = (each: Job) => each.metadata.namespace === metadata.namespace && !isFinished(each)
    const ours = this.#reach.caches.jobs.list().filter(isOurs).length
    return isFullOfOurs(words, ours) ? 'accepted' : { kind, name: metadata.name, words }
  }
}

/** Nothing about the object: it is not as the cache has it, the server is not there, or has too much to do. A dead webhook is a 500. */
const silent: ReadonlySet<number> = new Set([404, 409, 429, 502, 503, 504])

type Failure = ApiError | ConnectionError | ResponseError

async function failureOf(trial: Promise<unknown>): Promise<Failure | undefined> {
  try {
    await trial
    return undefined
  } catch (error) {
    if (error instanceof ApiError && (isDenied(error) || error.status !== 401)) return error
    if (error instanceof ConnectionError || error instanceof ResponseError) return error
    throw error
  }
}
