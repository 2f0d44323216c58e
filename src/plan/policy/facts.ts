// What planning has found out about a policy, for its status.
import type { StoreStatus } from '../../api/kinds/backup-policy-status.ts'
import type { MoverMessage } from '../../api/mover/message.ts'
import type { TargetHistory } from '../history/history.ts'
import type { PolicySchedule, UnreadableSchedule } from './schedule.ts'
import type { SlotBook } from './slots.ts'

export type PolicyFacts = {
  readonly clock: PolicySchedule | UnreadableSchedule
  readonly since: Date
  readonly book: SlotBook
  readonly next: Date | undefined
  readonly histories: readonly TargetHistory[]
  readonly store: StoreStatus | undefined
  /** Why the CronJob cannot be ours. */
  readonly nameTaken: string | undefined
  readonly digest: string | undefined
  /** The newest committed message of a mover. */
  readonly said: MoverMessage | undefined
}
