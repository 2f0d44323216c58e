// What a plan can ask for: a closed list. `controllers/apply.ts` is the only place that carries it out, in this order.
import type { Backup, BackupStatus } from '../../api/kinds/backup.ts'
import type { BackupPolicyStatus } from '../../api/kinds/backup-policy-status.ts'
import type { Reason } from '../../api/conditions.ts'
import type { CronJob } from '../../api/kubernetes.ts'

type Named = { readonly name: string; readonly uid: string }

export type Action =
  | { readonly do: 'create-cron-job' }
  /** Sets the CronJob's last schedule time to now, so that what is written next fires nothing retroactively (docs/design.md R4). */
  | ({ readonly do: 'rest-cron-job-clock' } & Named)
  | { readonly do: 'replace-cron-job'; readonly current: CronJob }
  | ({ readonly do: 'delete-cron-job'; readonly because: string } & Named)
  | { readonly do: 'create-run-job'; readonly backup: Backup }
  | { readonly do: 'create-probe-job'; readonly backendHash: string; readonly attempt: number }
  | { readonly do: 'create-catalog-job'; readonly run: string; readonly cursor: string | undefined }
  /** `unlessRecorded`: only if this plan could not create the Backups that it should. */
  | ({ readonly do: 'delete-job'; readonly because: string; readonly unlessRecorded?: true } & Named)
  | { readonly do: 'create-scheduled-backup'; readonly name: string; readonly target: string; readonly slot: Date }
  | { readonly do: 'create-child-backup'; readonly parent: Backup; readonly target: string }
  | {
      readonly do: 'write-backup-status'
      readonly backup: Backup
      readonly status: BackupStatus
      readonly outcome?: RunOutcome
      readonly unless?: Unless
    }
  /**
   * `unlessSnapshot`: only if this VolumeSnapshot is really gone; it is looked up once more before the Backup goes.
   * `resourceVersion`: only if it is as it was seen: somebody might have put a hold on it.
   */
  | ({
      readonly do: 'delete-backup'
      readonly because: string
      readonly unlessSnapshot?: string
      readonly resourceVersion?: string
    } & Named)
  | {
      readonly do: 'create-snapshot'
      readonly backup: Backup
      readonly name: string
      readonly claim: string
      readonly className: string
    }
  /**
   * `prune`: retention wants it gone; it is judged once more on what the API server says now, before it goes.
   * `resourceVersion`: only if it is as it was seen: it might have become ready.
   */
  | ({
      readonly do: 'delete-snapshot'
      readonly because: string
      readonly resourceVersion?: string
      readonly prune?: { readonly target: string; readonly keep: number }
    } & Named)
  | { readonly do: 'write-policy-status'; readonly status: BackupPolicyStatus; readonly unless?: Unless }
  | {
      readonly do: 'event'
      readonly about: 'policy' | Backup
      readonly type: 'Normal' | 'Warning'
      readonly reason: Reason
      readonly message: string
    }

/**
 * What is asked of the API server once more before a verdict is written, because the caches of several kinds are not of one moment:
 * whether this object is there after all (where it is a Job, also whether its pods say more than was known), or only the latter, or whether
 * the snapshot is ready by now. Then the rest of the plan, which may tell people of the verdict, is left to the next one.
 */
export type Unless = { readonly kind: 'job' | 'snapshot' | 'ready-snapshot' | 'newer-pods'; readonly name: string }

/** A run that has just become final, for the counters. */
export type RunOutcome = {
  readonly outcome: 'success' | 'failure'
  readonly seconds: number
  readonly strategy: 'job' | 'snapshot'
}

export type Plan = {
  readonly actions: readonly Action[]
  /** When to look again without being woken. */
  readonly wakeAt: Date | undefined
}
