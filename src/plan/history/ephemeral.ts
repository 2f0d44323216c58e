// Snapshots of claims that a pod owned, and that went with it: no newer one ever comes to push them out (docs/design.md R38). Age ends only
// these. A claim that somebody deleted by mistake keeps its snapshots by retention.
import { addSeconds, timeOf } from '../../schedule/times.ts'
import type { VolumeSnapshot } from '../../api/kubernetes.ts'
import { label } from '../../api/labels.ts'
import { alone, deletion, type Group } from '../core/actions.ts'
import { isHeld, isHeldSnapshot } from '../runs/marks.ts'
import { claimUIDOf, isGenuine } from '../view/owners.ts'
import type { SnapshotView, View } from '../view/view.ts'

/** Seconds: seven days. */
const longestAge = 7 * 24 * 3600

export function planExpired({ snapshots }: Pick<View, 'snapshots'>, now: Date): readonly Group[] {
  return snapshots.flatMap(({ snapshot, backup, parent, volume, liveClaim }): readonly Group[] => {
    const { metadata, spec } = snapshot
    const claim = spec.source.persistentVolumeClaimName
    if (!isOfEphemeral({ snapshot }) || claim === undefined) return []
    // The next pod of the name has made a claim of the name, which is another one. One that is unproven may be of any claim of the name.
    const uid = volume === claimUIDOf(snapshot) ? volume : undefined
    if (liveClaim !== undefined && (uid === undefined || liveClaim === uid)) return []
    if (metadata.deletionTimestamp || isHeldSnapshot(snapshot) || isHeld(backup, parent)) return []
    if (!isOld(snapshot, now)) return []
    const because = `it is older than 7 days, and the claim ${claim} that it is of went with its pod`
    const provided = { that: 'no-claim', claim, ...(uid === undefined ? {} : { uid }) } as const
    return [alone(`expire/${metadata.name}`, deletion(snapshot, because, { provided }))]
  })
}

/** The plan asks this by our clock, and the last look by that of the API server: age ends the last good one, too, and a clock may be wrong. */
export function isOld({ metadata }: VolumeSnapshot, now: Date): boolean {
  const made = timeOf(metadata.creationTimestamp)
  return made !== undefined && addSeconds(made, longestAge) <= now
}

/** As it was labelled when it was made: the claim, which would tell, is gone. */
function isOfEphemeral({ snapshot }: Pick<SnapshotView, 'snapshot'>): boolean {
  return snapshot.metadata.labels?.[label.ephemeral] === 'true' && isGenuine(snapshot)
}
