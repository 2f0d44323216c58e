// What people say about a Backup by annotating it.
import type { Backup } from '../../api/kinds/backup.ts'
import type { Condition, VolumeSnapshot } from '../../api/kubernetes.ts'
import { annotation, label } from '../../api/labels.ts'
import type { Marks } from '../../resources/jobs.ts'
import { runJobName } from '../view/owners.ts'

/** A task has room for so many names; it is written into the CronJob. */
const mostNames = 1000

/**
 * Runs that the mover must treat in a special way; they travel in its task (docs/design.md R7, R14). Where more are held by the task alone than
 * it has room for nothing is pruned; one that is not told as accepted only stops pruning.
 */
export function marksOf(backups: readonly Backup[]): Marks {
  // Also by the run that it is to have: its status may be refused, or about to be written, and its data be there.
  const names = (some: readonly Backup[]) => some.map(backup => backup.status?.run ?? runJobName(backup))
  const held = backups.filter(backup => isHeld(backup) && !backup.status?.snapshot)
  const urgent = Map.groupBy(held, urgencyOf)
  const told = new Set([0, 1, 2].flatMap(each => urgent.get(each) ?? []).slice(0, mostNames))
  return {
    held: names(held.filter(each => told.has(each))),
    accepted: names(backups.filter(isAccepted)).slice(0, mostNames),
    ...((urgent.get(0)?.length ?? 0) > mostNames ? { maxDeletes: 0 } : {}),
  }
}

/** How much the mover must be told of it: 0 where nothing else holds it, 1 where it never ran, 2 where the bucket holds it. */
function urgencyOf(backup: Backup): number {
  const { status, reason } = heldCondition(backup) ?? {}
  if (status === 'True' && reason === 'Held') return 2
  // A failed one may have its manifest all the same.
  return backup.status?.phase === 'Skipped' ? 1 : 0
}

/**
 * Its data are to be kept: somebody asks for it, or asked and never took it back. What holds is in the bucket, or on the snapshot; an annotation
 * that is gone says nothing.
 * @param backup undefined, here and below: of a snapshot whose Backup somebody has deleted
 * @param parent `parentOf` in view/owners.ts, here and below: what people say of a Backup over several targets they say of each of them. What
 * lies in a bucket has none
 */
export function isHeld(backup: Backup | undefined, parent?: Backup): boolean {
  if (asksForHold(backup, parent)) return true
  return !isReleased(backup, parent) && [backup, parent].some(each => each && heldCondition(each)?.status === 'True')
}

/** Somebody asks that its data be kept. */
export function asksForHold(backup: Backup | undefined, parent?: Backup): boolean {
  return sayOfHold([backup, parent], 'true')
}

function sayOfHold(some: readonly (Backup | undefined)[], value: 'true' | 'false'): boolean {
  return some.some(each => each?.metadata.annotations?.[annotation.hold] === value)
}

/** What is known of its hold. */
export function heldCondition({ status }: Backup): Condition | undefined {
  return status?.conditions?.find(({ type }) => type === 'Held')
}

/**
 * Somebody took the hold back, and nobody asks for it. A missing annotation says nothing: it goes with the object, and others restore objects
 * without it.
 */
export function isReleased(backup: Backup | undefined, parent?: Backup): boolean {
  return !asksForHold(backup, parent) && sayOfHold([backup, parent], 'false')
}

/** Somebody has looked at a backup that shrank, and takes it for good. */
export function isAccepted({ metadata }: Backup): boolean {
  return metadata.annotations?.[annotation.accepted] === 'true'
}

/** The hold is with the data: it is there when the Backup object, which people annotate, is gone or came back without it. */
export function isHeldSnapshot({ metadata }: VolumeSnapshot): boolean {
  return metadata.labels?.[label.hold] === 'true'
}

/**
 * Whether the run of this snapshot goes on without its policy. The plan and the last look both ask this: if they differed, the verdict would be
 * put off for ever.
 */
export function staysWithoutPolicy(snapshot: VolumeSnapshot, backup: Backup, parent: Backup | undefined): boolean {
  const { metadata, status } = snapshot
  if (metadata.deletionTimestamp) return false
  return status?.readyToUse === true || isHeld(backup, parent) || isHeldSnapshot(snapshot)
}
