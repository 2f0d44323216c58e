// What the probe of the store and the dry start of the command have in common: Jobs of which each attempt has its own, and places that all
// policies share.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { addSeconds } from '../../schedule/times.ts'
import { alone, deletion, type Group } from '../core/actions.ts'
import type { JobView } from '../view/view.ts'
import { ownSeconds, probeAsked } from './probe-times.ts'

/** At most so many at once in the whole cluster: a thousand policies may be applied at the same moment. */
const maxProbes = 10
/** How soon to look again for a free place: each policy after its own time, so that a thousand do not ask at once. Seconds. */
const placeSeconds = { least: 5, spread: 20 } as const

/** The Job of this attempt. Older ones have been read, and go: their result is in the status that named this attempt. */
export function attemptOf(
  jobs: readonly JobView[],
  name: string,
  because: string,
): { readonly current: JobView | undefined; readonly cleanUp: readonly Group[] } {
  const current = jobs.find(({ job }) => job.metadata.name === name)
  const old = jobs.filter(each => each !== current && !each.job.metadata.deletionTimestamp)
  return { current, cleanUp: old.map(({ job }) => alone(`clean/${job.metadata.name}`, deletion(job, because))) }
}

export type Turn = { readonly is: 'now' } | { readonly is: 'later'; readonly wakeAt: Date | undefined }

/**
 * Whether a trial is to begin.
 * @param asked what was answered last, of what a person asked for by annotation
 * @param again when it is due without being asked for; undefined: something else wakes us before that can be said
 */
export function turnOf(
  policy: BackupPolicy,
  asked: string | undefined,
  again: Date | undefined,
  probesRunning: number,
  now: Date,
): Turn {
  if (probeAsked(policy, asked) === undefined && (!again || now < again)) return { is: 'later', wakeAt: again }
  if (probesRunning < maxProbes) return { is: 'now' }
  return { is: 'later', wakeAt: addSeconds(now, placeSeconds.least + ownSeconds(policy, placeSeconds.spread)) }
}

/** What the status of a trial has room for. */
export function cut(message: string): string {
  return message.slice(0, 1024)
}
