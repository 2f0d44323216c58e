// What the API server refused, remembered for each owner of decisions, so that it is tried again ever more seldom and everything else goes on
// (docs/design.md R25). Memory alone holds it: after a restart all is tried at once.
import type { KubernetesObject } from '../../api/kubernetes.ts'
import type { Refusal, Refusals } from '../../plan/core/actions.ts'
import { PutBacks } from './put-back.ts'

/** `since`: of the refusals in a row that were about the object, the first; undefined where the last one was not. */
type Remembered = {
  readonly refusal: Refusal
  readonly times: number
  readonly at: Date
  readonly until: Date
  readonly since: Date | undefined
}

/** A refusal of what the object is, or of who writes it, lasts until somebody changes something; a failure of the server may pass. */
const firstDelaySeconds = { refused: 60, passing: 5 } as const
const longestDelaySeconds = 600

export class RefusalMemory {
  readonly #remembered = new Map<string, Remembered>()
  readonly #timesPutOff = new Map<string, number>()
  readonly putBacks = new PutBacks()
  #of: string | undefined

  /** A change of the spec, and an owner that was deleted and made anew, is a reason to try everything again at once. */
  begin(owner: KubernetesObject | undefined): void {
    const of = owner && `${owner.metadata.uid}/${owner.metadata.generation}`
    if (of !== this.#of) {
      this.#remembered.clear()
      this.#timesPutOff.clear()
      this.putBacks.forget()
    }
    this.#of = of
  }

  /**
   * What a group was refused, while it is too early to try it again.
   * @param dueAt when a verdict rests on it, which a try of before then does not bear out
   */
  standing(group: string, now: Date, dueAt?: Date): Refusal | undefined {
    const known = this.#remembered.get(group)
    if (known && dueAt && known.at < dueAt && dueAt <= now) return undefined
    // A clock that was put back does not make it stand for longer.
    return known && known.at <= now && now < known.until ? known.refusal : undefined
  }

  /** What a group was refused last, also where it may be tried again. */
  known(group: string): Refusal | undefined {
    return this.#remembered.get(group)?.refusal
  }

  /** When a group was refused last. */
  triedAt(group: string): Date | undefined {
    return this.#remembered.get(group)?.at
  }

  /** Since when a group is refused for what it is, and not because the server fails: at the earliest, since memory alone holds it. */
  refusedSince(group: string): Date | undefined {
    return this.#remembered.get(group)?.since
  }

  /** The kinds of writes, as {@link writeOf} names them, of which some were refused slowly, or not answered. */
  slow(): ReadonlySet<string> {
    const refusals = [...this.#remembered.values()].map(({ refusal }) => refusal)
    return new Set(refusals.filter(({ slow }) => slow).map(writeOf))
  }

  /** In how many passes in a row a group was put off because the API server knew more than the plan. */
  timesPutOff(group: string): number {
    return this.#timesPutOff.get(group) ?? 0
  }

  /** @param groups those that were put off in this pass; all others begin anew */
  settlePutOff(groups: readonly string[]): void {
    const times = groups.map(group => [group, this.timesPutOff(group) + 1] as const)
    this.#timesPutOff.clear()
    for (const [group, each] of times) this.#timesPutOff.set(group, each)
  }

  /** @param least how long the server asks to wait, in seconds; whoever says so may be a proxy, and asks for hours */
  remember(group: string, refusal: Refusal, least: number, now: Date): void {
    const { times = 0, since = now } = this.#remembered.get(group) ?? {}
    const first = firstDelaySeconds[refusal.passing ? 'passing' : 'refused']
    const seconds = Math.min(longestDelaySeconds, Math.max(least, first * 2 ** times))
    const until = new Date(now.getTime() + seconds * 1000)
    const sinceThen = refusal.passing ? undefined : since
    this.#remembered.set(group, { refusal, times: times + 1, at: now, until, since: sinceThen })
    if (refusal.slow) this.#wait(refusal, until)
  }

  /** Whatever of the same kind was slow waits as well: one attempt tells of all, and each costs a worker its time. */
  #wait(refusal: Refusal, until: Date): void {
    for (const [group, known] of this.#remembered)
      if (known.refusal.slow && writeOf(known.refusal) === writeOf(refusal) && known.until < until)
        this.#remembered.set(group, { ...known, until })
  }

  /** Forgets all but what still stands, and says when the first of it is to be tried again. */
  settle(refused: Refusals): Date | undefined {
    for (const group of this.#remembered.keys()) if (!refused.has(group)) this.#remembered.delete(group)
    const times = [...this.#remembered.values()].map(({ until }) => until.getTime())
    return times.length === 0 ? undefined : new Date(Math.min(...times))
  }
}

/** The kind of a write, which whatever swallows one swallows perhaps as a whole. */
export function writeOf({ action, kind }: Pick<Refusal, 'action' | 'kind'>): string {
  return `${action} ${kind}`
}
