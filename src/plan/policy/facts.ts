// What planning has found out about a policy, for its status.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { StartStatus, StoreStatus } from '../../api/kinds/backup-policy-status.ts'
import type { MoverWarning } from '../../api/mover/message.ts'
import type { CatalogPlan } from '../history/catalog.ts'
import type { Refusals } from '../core/actions.ts'
import type { Lowering, Numbers } from '../history/numbers.ts'
import type { TargetHistory } from '../history/verdicts.ts'
import type { JobStrategyView, SnapshotStrategyView } from '../view/view.ts'
import type { DryRun } from '../view/world.ts'
import type { CronJobWarning } from './cron-job-warnings.ts'
import type { PolicySchedule, UnreadableSchedule } from './schedule.ts'
import type { SlotBook } from './slots.ts'
import type { Target } from './targets.ts'

export type PolicyFacts = {
  readonly policy: BackupPolicy
  readonly strategy: JobStrategyView | SnapshotStrategyView
  readonly targets: readonly Target[]
  readonly clock: PolicySchedule | UnreadableSchedule
  readonly since: Date
  /** What the clock of the API server says. */
  readonly serverTime: Date | undefined
  readonly book: SlotBook
  readonly next: Date | undefined
  readonly histories: readonly TargetHistory[]
  /** What the status is to remember of the numbers of the spec; undefined while nobody can say what was kept. */
  readonly numbers: Numbers | undefined
  readonly lowerings: readonly Lowering[]
  readonly store: StoreStatus | undefined
  /** Of the CronJobs whose Jobs are believed, newest first. */
  readonly cronJobUIDs: readonly string[]
  /** Targets of which this pass has made the CronJob, or brought it to what it should be: no cache shows that yet. */
  readonly cronJobsWritten: ReadonlySet<string>
  /** Of each target whether what it runs can be started. */
  readonly starts: ReadonlyMap<string, StartStatus>
  /** Of targets why their CronJob cannot be ours. */
  readonly namesTaken: ReadonlyMap<string, string>
  /** Targets whose schedule waits until it was seen what an adopted folder has of them. */
  readonly adopting: ReadonlySet<string>
  /** Of each target the digest that our objects are known to agree with. */
  readonly digests: ReadonlyMap<string, string | undefined>
  /** Up to which slot each target of a preset is accounted for. */
  readonly marks: ReadonlyMap<string, Date>
  /** What the newest run that committed warned of; undefined where no such run is still to be seen. */
  readonly warnings: readonly MoverWarning[] | undefined
  /** What is wrong with the list of the bucket. */
  readonly catalogTrouble: CatalogPlan['trouble']
  /** Whether the snapshot CRDs are installed. */
  readonly snapshotApi: boolean
  /** What the API server says of the next run. */
  readonly dryRun: DryRun | undefined
  /** What the CronJob controller warns of. */
  readonly cronJobWarning: CronJobWarning | undefined
  /** What the API server refuses, and was not done. */
  readonly refused: Refusals
}
