// Which time it is, where our own clock and that of the API server do not agree (F23). Neither is known to be right, so that what depends on
// it waits until both say so.
import { isAhead } from '../../schedule/times.ts'
import type { View } from '../view/view.ts'

/** For what seems to be still to come: the clock by which it is nearest, because the other may be behind. */
export function latestPresent({ serverTime }: Pick<View, 'serverTime'>, now: Date): Date {
  return serverTime && isAhead(serverTime, now) ? serverTime : now
}

/** For what seems to be over: the clock by which it is least so, because the other may be ahead. */
export function earliestPresent({ serverTime }: Pick<View, 'serverTime'>, now: Date): Date {
  return serverTime && isAhead(now, serverTime) ? serverTime : now
}
