// How long a VolumeSnapshot may take: one limit until it is cut, when its data are of a fixed moment and the claim is free for the next one,
// and one until it is ready, because many storage systems copy for hours what they cut in a second (docs/design.md R31).
import { snapshotDefaults } from '../../api/kinds/snapshot-defaults.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation } from '../../api/labels.ts'
import { addSeconds, isAhead, latest, timeOf } from '../../schedule/times.ts'

/** So many snapshots of a claim may be cut and not ready at once; a storage system that is stuck is not given more. */
export const unreadyAtOnce = 3

export type Limits = { readonly cutSeconds: number; readonly readySeconds: number }

/** Without a policy, or where it has no block for snapshots, the defaults hold. */
export function limitsOf(policy: BackupPolicy | undefined): Limits {
  const { cutTimeoutSeconds, readyTimeoutSeconds } = policy?.spec.strategy.snapshot ?? snapshotDefaults
  // What is not cut cannot be ready either.
  return { cutSeconds: Math.min(cutTimeoutSeconds, readyTimeoutSeconds), readySeconds: readyTimeoutSeconds }
}

/**
 * What time has made of a snapshot. `uncut` and `unready` wait until their limit; then `not-cut`, and `not-ready` with an error, are given up,
 * while `slow` is cut and has no error: it is of no less worth for taking long.
 */
export type Progress =
  | { readonly is: 'ready' | 'slow' }
  | { readonly is: 'uncut' | 'unready'; readonly until: Date }
  | { readonly is: 'not-cut' | 'not-ready'; readonly limit: number }

export function progressOf({ metadata, status }: VolumeSnapshot, limits: Limits, now: Date): Progress {
  if (status?.readyToUse) return { is: 'ready' }
  const start = startOf(metadata, now)
  const cut = timeOf(status?.creationTime) !== undefined
  const limit = cut ? limits.readySeconds : limits.cutSeconds
  const until = addSeconds(start, limit)
  if (now < until) return { is: cut ? 'unready' : 'uncut', until }
  if (!cut) return { is: 'not-cut', limit }
  return status?.error?.message ? { is: 'not-ready', limit } : { is: 'slow' }
}

/** By the clock of the API server, or by the one that asked it, whichever is later and was not wrong: what is dated ahead would wait until then. */
function startOf({ creationTimestamp, annotations }: VolumeSnapshot['metadata'], now: Date): Date {
  const [made = now, asked] = [timeOf(creationTimestamp), timeOf(annotations?.[annotation.askedAt])]
  return latest(...[made, asked].filter(time => time && !isAhead(time, now))) ?? made
}
