// What the two strategies do in ways of their own, for the order of things in policy.ts.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Group } from '../core/actions.ts'
import type { CatalogPlan } from '../history/catalog.ts'
import type { HoldsPlan } from '../history/holds.ts'
import type { keepingOf, Numbers, RunsByTarget } from '../history/numbers.ts'
import type { TargetHistory } from '../history/verdicts.ts'
import type { BackupPlan } from '../runs/status.ts'
import type { View } from '../view/view.ts'
import type { CronJobWarning } from './cron-job-warnings.ts'
import type { DryStartPlan } from './dry-start.ts'
import type { PolicySchedule, UnreadableSchedule } from './schedule.ts'
import type { SlotBook, SlotPlan } from './slots.ts'
import type { ProbePlan } from './store-probe.ts'

/** What both strategies and the status build on. */
export type Basis = {
  readonly clock: PolicySchedule | UnreadableSchedule
  readonly since: Date
  /** The book of slots as the status has it. */
  readonly before: SlotBook
  /** What there is of each target, how many are kept of it now, and what retention says of each run. */
  readonly kept: RunsByTarget
  readonly numbers: Numbers
  readonly keeping: ReturnType<typeof keepingOf>
  readonly histories: readonly TargetHistory[]
}

export type Living<Strategy> = View & { readonly policy: BackupPolicy; readonly strategy: Strategy }

/** What the two strategies do in ways of their own. */
export type StrategyPlan = {
  readonly cronJob: readonly Group[]
  /** By target. */
  readonly namesTaken: ReadonlyMap<string, string>
  readonly probe?: ProbePlan
  /** Targets whose schedule waits until it was seen what an adopted folder has of them. */
  readonly adopting: ReadonlySet<string>
  readonly dryStarts: ReadonlyMap<string, DryStartPlan>
  /** By target. */
  readonly catalogs: ReadonlyMap<string, CatalogPlan>
  readonly holds?: HoldsPlan
  readonly cronJobWarnings: readonly CronJobWarning[]
  readonly unrecorded: ReadonlySet<string>
  readonly backups: readonly BackupPlan[]
  readonly schedules: readonly Schedule[]
}

/** `target` undefined: of the policy as a whole. `before`: the book that it was begun with. */
export type Schedule = {
  readonly target: string | undefined
  readonly before: SlotBook
  readonly plan: SlotPlan
}

/** Where no mover is started. */
export const noOrders = { held: [], accepted: [] }

/** Of a schedule that cannot be read. */
export function noSlots(book: SlotBook): SlotPlan {
  return { groups: [], book, next: undefined, closes: undefined }
}
