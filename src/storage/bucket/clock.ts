/** What time it is, where a clock that is ahead would remove what others still need. */
import type { ObjectHead } from '../object-store.ts'

/** Of the two clocks, in ms since the epoch, the one that is behind; a store that tells no time leaves the node's. */
export function timeOf(now: number, { answeredAt = now }: Pick<ObjectHead, 'answeredAt'>): number {
  return Math.min(now, answeredAt)
}
