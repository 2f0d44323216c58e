// One Backup: what it is waiting for, what has become of it, and what has to be done for it. A final phase never changes, except to Deleting.
import { isFinal, type Backup } from '../../api/kinds/backup.ts'
import type { Job } from '../../api/kubernetes.ts'
import type { CatalogEntry } from '../../api/mover/message.ts'
import { commandTarget } from '../../api/names.ts'
import type { Action } from '../core/actions.ts'
import { factsOfEntry, goesOn, planJobRun, planJobStart } from './job.ts'
import { planSnapshotRun, planSnapshotStart } from './snapshot.ts'
import { failure, planStatus, type BackupPlan } from './status.ts'
import { planTargets } from './children.ts'
import { graceEnd } from './grace.ts'
import { jobOf, runJobName, snapshotOf } from '../view/lookup.ts'
import type { PolicyWorld } from '../view/world.ts'

/** What is known of the bucket while a run is judged. */
export type CatalogKnowledge = {
  /** The whole list, where it was just read. */
  readonly entries: ReadonlyMap<string, CatalogEntry> | undefined
  /** The bucket is known to hold other runs than our objects tell: a run without a Job may be among them. */
  readonly open: boolean
}

export function planBackup(
  world: PolicyWorld,
  backup: Backup,
  catalog: CatalogKnowledge | undefined,
  now: Date,
): BackupPlan {
  if (backup.metadata.deletionTimestamp) return { actions: [] }
  if (isFinal(backup.status?.phase)) return { actions: [] }
  const entry = catalog?.entries?.get(runJobName(backup))
  const job = jobOf(world, backup)
  if (!job && entry) return planStatus(backup, factsOfEntry(entry, world.storeLocation, now), now)
  if (!world.policy || world.policy.metadata.deletionTimestamp) return planWithoutPolicy(world, backup, job, now)
  if (job) return planJobRun(world, backup, job, now)
  const snapshot = snapshotOf(world, backup)
  if (snapshot) return planSnapshotRun(world, world.policy, backup, snapshot, now)
  return isJobRun(world, backup)
    ? planJobStart(world, backup, catalog?.open === true, now)
    : planSnapshotStart(world, world.policy, backup, now)
}

/** By what the run is, where it has begun: the policy may have another strategy by now. */
function isJobRun({ policy, claims }: PolicyWorld, { spec, status }: Backup): boolean {
  if (policy?.spec.strategy.type === 'job') return true
  const ofCommand = spec.target === commandTarget || status?.target === commandTarget
  const begun = spec.slot !== undefined || status?.run !== undefined
  return ofCommand && begun && !claims.some(({ metadata }) => metadata.name === commandTarget)
}

/** What the run has already reached stands; what goes on is ended (docs/design.md R8). */
function planWithoutPolicy(world: PolicyWorld, backup: Backup, job: Job | undefined, now: Date): BackupPlan {
  const { policy, slot } = backup.spec
  if (backup.status?.reason === 'Children') return planTargets(world, backup, now)
  const snapshot = snapshotOf(world, backup)
  if (job && !goesOn(job, world, now)) return planJobRun(world, backup, job, now)
  if (snapshot?.status?.readyToUse && !snapshot.metadata.deletionTimestamp)
    return planSnapshotRun(world, undefined, backup, snapshot, now)
  const waits = backup.status?.reason === undefined || backup.status.reason === 'PolicyNotFound'
  if (slot !== undefined || job || snapshot || !waits) {
    const stop: Action[] = []
    if (job && !job.metadata.deletionTimestamp) {
      const { name, uid = '' } = job.metadata
      stop.push({ do: 'delete-job', name, uid, because: `its policy ${policy} was deleted` })
    }
    if (snapshot && !snapshot.metadata.deletionTimestamp) {
      const { name, uid = '', resourceVersion } = snapshot.metadata
      const because = `its policy ${policy} was deleted before it was ready`
      stop.push({ do: 'delete-snapshot', name, uid, resourceVersion, because })
    }
    const facts = failure('PolicyDeleted', `BackupPolicy ${policy} was deleted while this run was going on`)
    const plan = planStatus(backup, facts, now)
    return { ...plan, actions: [...stop, ...plan.actions] }
  }
  const until = graceEnd(backup, now)
  const message = `there is no BackupPolicy ${policy} in namespace ${world.namespace}`
  if (now >= until)
    return planStatus(backup, failure('PolicyNotFound', `${message}; create it, then create this Backup again`), now)
  return {
    ...planStatus(backup, { phase: 'Pending', reason: 'PolicyNotFound', message }, now),
    wakeAt: until,
  }
}
