// A slot of which some targets have got no Backup yet: the Backups of the others would hide for ever that it was missed for them. What is
// refused leaves nothing, so the status remembers them while the slot is open.
import type { BackupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import { slotRunName } from '../../api/names.ts'
import { rfc3339, timeOf } from '../../schedule/times.ts'
import type { ClaimTarget, RunView } from '../view/view.ts'
import { slotsByName } from '../view/owners.ts'
import { selectedNames } from './shown-targets.ts'
import type { SlotBook } from './slots.ts'

/** The schema has the same bound. */
const mostTold = 256

/** What a slot still lacks. */
export type Unmade = { readonly slot: Date; readonly targets: readonly string[] }

/** What lacks its Backup of a slot that has no outcome yet: of the remembered targets those that are still selected. */
export function unmadeOf(
  { accountedUntil, counts }: SlotBook,
  policy: string,
  targets: readonly ClaimTarget[],
  runs: readonly RunView[],
): Unmade | undefined {
  const slot = timeOf(counts.unmade?.slot)
  if (!slot || (accountedUntil && slot <= accountedUntil)) return undefined
  const recorded = slotsByName(runs.map(({ backup }) => backup))
  const selected = new Set(targets.map(({ name }) => name))
  const lacks = (name: string) => selected.has(name) && recorded.get(slotRunName(policy, name, slot)) !== slot.getTime()
  return { slot, targets: counts.unmade?.targets.filter(lacks) ?? [] }
}

/** Whether a slot is owed to a claim: it was there, and as far as anybody has told it was selected. */
export function isOwed({ name, claim }: ClaimTarget, status: BackupPolicyStatus | undefined, slot: Date): boolean {
  const made = timeOf(claim.metadata.creationTimestamp)
  return (made === undefined || made <= slot) && (selectedNames(status)?.includes(name) ?? true)
}

/** Remembers the first time what a slot lacks, also where that is nothing: what is selected later must not be added. */
export function rememberUnmade(book: SlotBook, { slot, targets }: Unmade): SlotBook {
  if (timeOf(book.counts.unmade?.slot)?.getTime() === slot.getTime()) return book
  return { ...book, counts: { ...book.counts, unmade: { slot: rfc3339(slot), targets: targets.slice(0, mostTold) } } }
}

/** The book once that slot has its outcome: nothing is to be remembered of it any more, but whom it was missed for is told. */
export function settled({ counts: { unmade: _, ...counts }, ...book }: SlotBook, missedFor: Unmade): SlotBook {
  return { ...book, counts, ...(missedFor.targets.length > 0 ? { missedFor } : {}) }
}
