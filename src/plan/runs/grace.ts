import type { Backup } from '../../api/kinds/backup.ts'
import type { Readiness } from '../view/selection.ts'
import { addSeconds, latest, timeOf } from '../../schedule/times.ts'

/** A pipeline may create a Backup a little before what it needs: its policy, or the CRDs of snapshots. Seconds. */
const graceSeconds = 60

/** A claim that is applied with the Backup gets its labels and its volume in its own time. Seconds. */
const claimGraceSeconds = 300

/** Until when a Backup waits for what it needs. */
export function graceEnd({ metadata }: Backup, now: Date): Date {
  return addSeconds(timeOf(metadata.creationTimestamp) ?? now, graceSeconds)
}

/**
 * Until when a Backup waits for the snapshot API: as long again as it would wait for it when it is new, since it may be away for a moment
 * long after the Backup was made.
 * @param awaySince when it went
 */
export function apiGraceEnd(backup: Backup, awaySince: Date | undefined, now: Date): Date {
  const grace = addSeconds(awaySince ?? now, graceSeconds)
  return latest(graceEnd(backup, now), grace) ?? grace
}

/** Until when a Backup that a person asked for waits for a claim, or for its volume, or for a workload. The next slot of a schedule comes anyway. */
export function claimGraceEnd({ metadata, spec }: Backup, now: Date): Date {
  return spec.slot === undefined ? addSeconds(timeOf(metadata.creationTimestamp) ?? now, claimGraceSeconds) : now
}

/** What whoever installs the snapshot API brings a moment after it: the classes, and the volumes of claims that are made from snapshots. */
const comesWithApi: ReadonlySet<string> = new Set(['NoSnapshotClass', 'SnapshotClassNotFound', 'PVCPending'])

/**
 * Until when a claim that is not ready may be so because the snapshot API has only just come back.
 * @param backSince when it came back; undefined where it was never away, and nothing more is to be expected of it
 * @returns undefined where the reason is another
 */
export function backGraceEnd(readiness: Readiness | undefined, backSince: Date | undefined): Date | undefined {
  if (!backSince || !readiness || readiness.ready || !comesWithApi.has(readiness.reason)) return undefined
  return addSeconds(backSince, graceSeconds)
}
