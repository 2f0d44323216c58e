// A CronJob that somebody changes after we wrote it. A person's edit is put back at once; another controller would change it again, and the two
// would write against each other without a pause, so that every further time within half an hour waits for longer (F77). One that is deleted is
// made at once, some times: while it is away nothing runs. Its clock, put back, is put ahead at once by a controller whose clock is ahead (F23).
import type { CronJob } from '../../api/kubernetes.ts'
import { annotation } from '../../api/labels.ts'
import { cronJobClockGroup, cronJobGroup } from '../../plan/policy/cron-job.ts'
import { cronJobDifferences } from '../../plan/policy/cron-job-difference.ts'
import type { Group, Refusal } from '../../plan/core/actions.ts'
import { isGroup } from '../../plan/view/per-target.ts'
import { addSeconds } from '../../schedule/times.ts'

const firstWaitSeconds = 60
const longestWaitSeconds = 600

/** So often in half an hour one that this process made is made again at once; then a minute after the last time. */
const madeAtOnce = 3

/** Whoever has left it alone for so long begins anew. */
const quietSeconds = 1800

/** One that had to wait stands once it has stood for so long. */
const standsSeconds = 300

/** Why the CronJob had to wait, and until when that is told although it was written. */
type Doubt = { readonly refusal: Refusal; readonly from: Date; readonly until: Date }

/** What was written of the CronJobs of one policy, by the names of their groups: each target has its own. */
export class PutBacks {
  readonly #byGroup = new Map<string, PutBack>()

  /** @param group that writes the CronJob, or puts its clock back */
  of(group: string): PutBack {
    const key = isGroup(cronJobClockGroup, group) ? group.replace(cronJobClockGroup, cronJobGroup) : group
    const known = this.#byGroup.get(key) ?? new PutBack()
    this.#byGroup.set(key, known)
    return known
  }

  /** Of all CronJobs but those that this plan writes. */
  stand(groups: readonly Group[]): void {
    const written = new Set(groups.filter(cronJobOf).map(({ name }) => name))
    for (const [group, each] of this.#byGroup) if (!written.has(group)) each.stands()
  }

  /** By their groups. */
  doubts(now: Date): ReadonlyMap<string, Doubt> {
    return new Map(
      [...this.#byGroup].flatMap(([group, each]) => {
        const doubt = each.doubt(now)
        return doubt ? [[group, doubt] as const] : []
      }),
    )
  }

  forget(): void {
    for (const each of this.#byGroup.values()) each.forget()
  }
}

/** What was written of the CronJob of one target, as long as the process lives and the policy does not change. */
export class PutBack {
  #written: string | undefined
  readonly #last = new Map<Trouble, { readonly at: Date; readonly times: number }>()
  #isChanged = false
  #isClockSet = false
  #doubt: Doubt | undefined

  /** Whether what was written last was changed as it was written: the next time may be no better. */
  get isChanged(): boolean {
    return this.#isChanged
  }

  /**
   * Whether its clock was set for a write that was not made. Slots since then are those of the policy as it is: what runs one of them late does not
   * run it for the past.
   */
  get isClockSet(): boolean {
    return this.#isClockSet
  }

  /** Until when what would be written waits; undefined where it is new, or was left alone for long enough. */
  waitsUntil(wanted: CronJob, now: Date): Date | undefined {
    return stateOf(wanted) === this.#written ? this.#until(troubleOf(wanted), now) : undefined
  }

  /** Until when its clock is not put back once more. */
  clockWaitsUntil(now: Date): Date | undefined {
    return this.#until('ahead', now)
  }

  /** It is not written before that time. */
  waits(refusal: Refusal, now: Date, until: Date): void {
    this.#doubt = { refusal, from: now, until: addSeconds(until, standsSeconds) }
  }

  /** That it stands would be told with each try, and be wrong a moment later: no alert would ever last long enough. */
  doubt(now: Date): Doubt | undefined {
    const doubt = this.#doubt
    return doubt && doubt.from <= now && now < doubt.until ? doubt : undefined
  }

  /** It stands as it should: for the first time, or put back. */
  wrote(cronJob: CronJob, now: Date): void {
    const state = stateOf(cronJob)
    if (state === this.#written) this.#count(troubleOf(cronJob), now)
    this.#written = state
    this.#isChanged = false
    this.#isClockSet = false
    this.#standsSince(now)
  }

  /** Its clock was put back. */
  putClockBack(now: Date): void {
    this.#count('ahead', now)
    this.#standsSince(now)
  }

  /** It was changed as it was written. */
  changed(): void {
    this.#isChanged = true
    this.#isClockSet = false
  }

  /** Right before it is to be written. */
  clockSet(): void {
    this.#isClockSet = true
  }

  /** Nothing is to be written: the next time is of its own. */
  stands(): void {
    this.#isClockSet = false
  }

  forget(): void {
    this.#written = undefined
    this.#isChanged = false
    this.#isClockSet = false
    this.#doubt = undefined
    this.#last.clear()
  }

  #until(trouble: Trouble, now: Date): Date | undefined {
    const last = this.#recent(trouble, now)
    const until = last && addSeconds(last.at, waitSeconds(trouble, last.times))
    return until && now < until ? until : undefined
  }

  #count(trouble: Trouble, now: Date): void {
    const { times } = this.#recent(trouble, now) ?? { times: 0 }
    this.#last.set(trouble, { at: now, times: times + 1 })
  }

  #standsSince(now: Date): void {
    const doubt = this.doubt(now)
    if (doubt) this.#doubt = { ...doubt, until: addSeconds(now, standsSeconds) }
  }

  /** A clock that was put back makes nobody wait for longer. */
  #recent(trouble: Trouble, now: Date): { readonly at: Date; readonly times: number } | undefined {
    const last = this.#last.get(trouble)
    return last && last.at <= now && now < addSeconds(last.at, quietSeconds) ? last : undefined
  }
}

type Trouble = 'deleted' | 'changed' | 'ahead'

/** What is to be made has no UID yet. */
function troubleOf({ metadata }: CronJob): 'deleted' | 'changed' {
  return metadata.uid === undefined ? 'deleted' : 'changed'
}

function waitSeconds(trouble: Trouble, times: number): number {
  if (trouble === 'deleted') return times < madeAtOnce ? 0 : firstWaitSeconds
  return Math.min(longestWaitSeconds, firstWaitSeconds * 2 ** (times - 1))
}

/** The CronJob that a group brings to what it should be. */
export function cronJobOf({ actions }: Group): CronJob | undefined {
  const written = actions.flatMap(action => (action.do === 'create' || action.do === 'replace' ? action.object : []))
  return written.find((object): object is CronJob => object.kind === 'CronJob')
}

/** Why it is not put back now. @param current as it stands */
export function changedAgain(current: CronJob | undefined, wanted: CronJob): Refusal {
  if (troubleOf(wanted) === 'deleted') return deletedAgain(wanted)
  const fields = (current && cronJobDifferences(current, wanted).join(', ')) || 'its owner or its annotations'
  return changed(wanted, 'another controller', fields, 'again after it is put back')
}

function deletedAgain({ metadata: { name } }: CronJob): Refusal {
  const words = `CronJob ${name} does not stay, and while it is away no scheduled run starts: somebody, or another controller, deletes it again after it is made`
  return { action: 'create', kind: 'CronJob', name, words, passing: false, withheld: 'CronJobChanged' }
}

/** Why its clock is not put back now. */
export function aheadAgain(name: string): Refusal {
  const words = `CronJob ${name} says again that it was last scheduled in the future, after that was put back: the clock of its controller is ahead, and its runs do not start when the schedule says`
  return { action: 'patch-status', kind: 'CronJob', name, words, passing: false, withheld: 'CronJobChanged' }
}

/** Why it is not written again at once: what is changed as it is written would be so again. Undefined where it stands as it was written. */
export function changedAtOnce(written: CronJob, wanted: CronJob): Refusal | undefined {
  const fields = cronJobDifferences(written, wanted)
  return fields.length === 0
    ? undefined
    : changed(wanted, 'a mutating webhook', fields.join(', '), 'whenever it is written')
}

function changed({ metadata: { name } }: CronJob, who: string, fields: string, when: string): Refusal {
  const words = `CronJob ${name} does not stay as the policy says: something in the cluster, ${who} perhaps, changes ${fields} ${when}`
  return { action: 'replace', kind: 'CronJob', name, words, passing: false, withheld: 'CronJobChanged' }
}

function stateOf({ metadata }: CronJob): string | undefined {
  return metadata.annotations?.[annotation.desiredState]
}
