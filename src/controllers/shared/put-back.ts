// A CronJob that somebody changes after we wrote it. A person's edit is put back at once; another controller would change it again, and the two
// would write against each other without a pause, so that every further time within half an hour waits for longer (F77).
import type { CronJob } from '../../api/kubernetes.ts'
import { annotation } from '../../api/labels.ts'
import { cronJobDifferences } from '../../plan/policy/cron-job-difference.ts'
import type { Group, Refusal } from '../../plan/core/actions.ts'
import { addSeconds } from '../../schedule/times.ts'

const firstWaitSeconds = 60
const longestWaitSeconds = 600

/** Whoever has left it alone for so long begins anew. */
const quietSeconds = 1800

/** What was written of the CronJob of one policy, as long as the process lives and the policy does not change. */
export class PutBack {
  #written: string | undefined
  #last: { readonly at: Date; readonly times: number } | undefined
  #isChanged = false

  /** Whether what was written last did not stick: the next time may be no better. */
  get isChanged(): boolean {
    return this.#isChanged
  }

  /** Until when what would be written waits; undefined where it is new, or was left alone for long enough. */
  waitsUntil(wanted: CronJob, now: Date): Date | undefined {
    const last = this.#recent(now)
    if (!last || stateOf(wanted) !== this.#written) return undefined
    const until = addSeconds(last.at, Math.min(longestWaitSeconds, firstWaitSeconds * 2 ** (last.times - 1)))
    return now < until ? until : undefined
  }

  /** It stands as it should: for the first time, or put back. */
  wrote(cronJob: CronJob, now: Date): void {
    const state = stateOf(cronJob)
    if (state === this.#written) this.#last = { at: now, times: (this.#recent(now)?.times ?? 0) + 1 }
    this.#written = state
    this.#isChanged = false
  }

  /** It does not stand as it was written. */
  changed(): void {
    this.#isChanged = true
  }

  forget(): void {
    this.#written = undefined
    this.#isChanged = false
    this.#last = undefined
  }

  /** A clock that was put back makes nobody wait for longer. */
  #recent(now: Date): { readonly at: Date; readonly times: number } | undefined {
    const last = this.#last
    return last && last.at <= now && now < addSeconds(last.at, quietSeconds) ? last : undefined
  }
}

/** The CronJob that a group brings to what it should be. */
export function cronJobOf({ actions }: Group): CronJob | undefined {
  const written = actions.flatMap(action => (action.do === 'create' || action.do === 'replace' ? action.object : []))
  return written.find((object): object is CronJob => object.kind === 'CronJob')
}

/** Why it is not put back now. @param current as it stands */
export function changedAgain(current: CronJob | undefined, wanted: CronJob): Refusal {
  const fields = (current && cronJobDifferences(current, wanted).join(', ')) || 'its owner or its annotations'
  return changed(wanted, 'another controller', fields, 'again after it is put back')
}

/** Why it is not written again at once: what is changed as it is written would be so again. Undefined where it stands as it was written. */
export function changedAtOnce(written: CronJob, wanted: CronJob): Refusal | undefined {
  const fields = cronJobDifferences(written, wanted)
  return fields.length === 0
    ? undefined
    : changed(wanted, 'a mutating webhook', fields.join(', '), 'whenever it is written')
}

function changed({ metadata: { name } }: CronJob, who: string, fields: string, when: string): Refusal {
  const words = `CronJob ${name} is not what the policy says: something in the cluster, ${who} perhaps, changes ${fields} ${when}`
  return { action: 'replace', kind: 'CronJob', name, words, passing: false, withheld: 'CronJobChanged' }
}

function stateOf({ metadata }: CronJob): string | undefined {
  return metadata.annotations?.[annotation.desiredState]
}
