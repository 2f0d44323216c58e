// Everything that planning one Restore looks at, as it was gathered, and its Jobs in the shape in which they are judged.
import type { Backup } from '../../api/kinds/backup.ts'
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { Restore } from '../../api/kinds/restore.ts'
import type { Job, JobEvent, Pod } from '../../api/kubernetes.ts'
import { resolveJobName, restoreJobName } from '../../api/names.ts'
import type { Settings } from '../../resources/settings.ts'
import { isControlledBy, jobUIDOf } from '../view/chain.ts'
import { byCreation, type JobView } from '../view/view.ts'
import type { FoundWorkloads } from '../view/world.ts'

export type RestoreWorld = {
  readonly namespace: string
  readonly name: string
  readonly settings: Settings
  /** Undefined: there is no such Restore (any more). */
  readonly restore: Restore | undefined
  /** The Backup that `source.backup` names. */
  readonly backup: Backup | undefined
  /** The policy that `source.policy` names, or that Backup. */
  readonly policy: BackupPolicy | undefined
  /** What the preset of that policy finds now; undefined: nobody can say, it has none, or the Restore does not need it. */
  readonly workloads: FoundWorkloads | undefined
  /** Jobs that carry the label of the Restore, their pods and warnings. */
  readonly jobs: readonly Job[]
  readonly pods: readonly Pod[]
  readonly jobEvents: readonly JobEvent[]
}

export type RestoreStep = 'resolve' | 'restore'

/** The Job of a step: by its name, and by the Restore that controls it (docs/design.md R27). */
export function jobOfStep(world: RestoreWorld, restore: Restore, step: RestoreStep): JobView | undefined {
  const name = jobNameOf(restore, step)
  const job = world.jobs.find(each => each.metadata.name === name && isControlledBy(each, restore))
  if (!job || job.metadata.deletionTimestamp) return undefined
  const pods = world.pods.filter(pod => jobUIDOf(pod) === job.metadata.uid).toSorted(byCreation)
  return {
    job,
    pods,
    warnings: world.jobEvents.filter(({ involvedObject }) => involvedObject.uid === job.metadata.uid),
  }
}

export function jobNameOf({ metadata: { name, uid = '' } }: Restore, step: RestoreStep): string {
  return step === 'resolve' ? resolveJobName(name, uid) : restoreJobName(name, uid)
}
