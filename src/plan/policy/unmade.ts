// Whom a slot is owed to: the Backups of some claims would hide for ever that it was missed for the others. What is refused leaves nothing, and
// an edit of the schedule hides that there was a slot at all, so the status remembers both while the slot is open, also where it only waits.
import type { BackupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import { rfc3339, timeOf } from '../../schedule/times.ts'
import type { ClaimTarget } from '../view/view.ts'
import { selectedNames } from './shown-targets.ts'
import type { SlotBook } from './slots.ts'

/** The schema has the same bound. */
const mostTold = 256

/** What a slot lacks: the claims that it is owed to and that have no Backup of it. */
export type Unmade = { readonly slot: Date; readonly targets: readonly string[] }

/**
 * Whom a slot without outcome is owed to: of those that were remembered who is still selected. Where nothing was, because a crash came first, there
 * were too many, or the slot has waited, each that can be snapshotted, was there, and was selected as far as anybody has told.
 */
export function owedTo(
  slot: Date,
  book: SlotBook,
  targets: readonly ClaimTarget[],
  status: BackupPolicyStatus | undefined,
): readonly string[] {
  const first = isOpen(book, slot) ? book.counts.unmade?.targets : undefined
  const remembered = first && first.length < mostTold ? new Set(first) : undefined
  if (remembered) return targets.map(({ name }) => name).filter(name => remembered.has(name))
  const told = selectedNames(status)
  return targets
    .filter(target => canBeMade(target) && wasThere(target, slot) && (told?.includes(target.name) ?? true))
    .map(({ name }) => name)
}

/** What cannot be snapshotted is a fact of the policy (TargetsReady), and no run that fails night after night. */
export function canBeMade({ readiness }: ClaimTarget): boolean {
  return readiness === undefined || readiness.ready || readiness.passing === true
}

function wasThere({ claim }: ClaimTarget, slot: Date): boolean {
  const made = timeOf(claim.metadata.creationTimestamp)
  return made === undefined || made <= slot
}

/** Remembers of a slot that waits only that it is open: without the snapshot API nobody can say which claims could be snapshotted. */
export function rememberOpen(book: SlotBook, slot: Date): SlotBook {
  if (isOpen(book, slot)) return book
  return { ...book, counts: { ...book.counts, unmade: { slot: rfc3339(slot) } } }
}

/** Remembers the first time what a slot lacks, also where that is nothing: what is selected later must not be added. */
export function rememberUnmade(book: SlotBook, { slot, targets }: Unmade): SlotBook {
  if (isOpen(book, slot) && book.counts.unmade?.targets) return book
  return { ...book, counts: { ...book.counts, unmade: { slot: rfc3339(slot), targets: targets.slice(0, mostTold) } } }
}

function isOpen({ counts: { unmade } }: SlotBook, slot: Date): boolean {
  return timeOf(unmade?.slot)?.getTime() === slot.getTime()
}

/** Tells whom a slot that has its outcome now was missed for. */
export function missedFor(book: SlotBook, unmade: Unmade | undefined): SlotBook {
  return unmade && unmade.targets.length > 0 ? { ...book, missedFor: unmade } : book
}
