// An on-demand Backup over several targets that names none: its children, and what becomes of them (docs/design.md R9).
import { isFinal, type BackupPhase } from '../../api/kinds/backup-phases.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { Reason } from '../../api/conditions.ts'
import { childBackup } from '../../resources/backup-objects.ts'
import type { Group } from '../core/actions.ts'
import { failure, planStatus, type BackupPlan } from './status.ts'
import type { RunView } from '../view/view.ts'

/** How targets of a strategy are told of. */
type TargetWords = {
  readonly strategy: 'job' | 'snapshot'
  /** What the selector matches. */
  readonly what: string
  /** What is about to be done with the only one, and its reason. */
  readonly about: string
  readonly reason: Reason
}

const ofClaims: TargetWords = {
  strategy: 'snapshot',
  what: 'PersistentVolumeClaim',
  about: 'snapshot',
  reason: 'SnapshotPending',
}

/**
 * It is its only target, or it has a child for each and shows the worst of them.
 * @param names of all targets of the policy
 */
export function planTargets(
  { backup, children }: RunView,
  names: readonly string[],
  now: Date,
  { strategy, what, about, reason }: TargetWords = ofClaims,
): BackupPlan {
  if (backup.status?.reason !== 'Children') {
    const [only, ...others] = names
    if (only === undefined)
      return planStatus(
        backup,
        failure('SelectorMatchedNothing', `the selector of the policy matches no ${what}`),
        now,
        strategy,
      )
    if (others.length === 0 && children.length === 0)
      return planStatus(backup, { phase: 'Pending', reason, message: `about to ${about} ${only}`, target: only }, now)
    // The status is written after the children, so that a crash between two of them is seen and the rest is created.
    const existing = new Set(targetsOf(children))
    const targets = [...new Set([...names, ...existing])]
    const message = `one Backup for each of ${targets.join(', ')}`
    const plan = planStatus(backup, { phase: 'Pending', reason: 'Children', message, targets }, now)
    const create = names
      .filter(target => !existing.has(target))
      .map((target): Group => {
        const object = childBackup(backup, target)
        return { name: `child/${object.metadata.name}`, run: backup, actions: [{ do: 'create', object }] }
      })
    const needs = create.map(({ name }) => ({ group: name, was: 'done' }) as const)
    return { groups: [...create, ...plan.groups.map(group => ({ ...group, needs }))] }
  }
  // One that an older version has begun does not tell.
  const targets = backup.status.targets ?? targetsOf(children)
  // A finalizer may keep one for ever that somebody has deleted.
  const standing = children.filter(({ metadata }) => !metadata.deletionTimestamp)
  const left = standing.filter(({ status }) => !isFinal(status?.phase))
  if (left.length > 0)
    return planStatus(
      backup,
      {
        phase: 'Running',
        reason: 'Children',
        message: `${targets.length - left.length} of ${targets.length} targets are done`,
        targets,
      },
      now,
    )
  const failed = standing.filter(({ status }) => status?.phase === 'Failed' || status?.phase === 'Skipped')
  const without = standing.filter(({ status }) => status?.phase === 'Deleting')
  const present = new Set(targetsOf(standing))
  // What became of them nobody can tell any more: somebody has deleted their objects, since we leave them alone.
  const missing = targets.filter(target => !present.has(target))
  const bad = failed.length + without.length + missing.length
  const phase: BackupPhase = bad > 0 || targets.length === 0 ? 'Failed' : 'Completed'
  const each = [
    ...failed.map(({ spec, status }) => `${spec.target}: ${status?.reason}`),
    ...without.map(({ spec }) => `${spec.target}: its data were deleted before all had ended`),
    ...missing.map(target => `${target}: its Backup was deleted before all had ended`),
  ].join('; ')
  const message =
    phase === 'Completed'
      ? `all ${targets.length} targets are complete`
      : targets.length === 0
        ? 'the Backups of its targets were deleted before they had ended'
        : `${bad} of ${targets.length} targets failed: ${each}`
  return planStatus(
    backup,
    { phase, reason: phase === 'Completed' ? 'Completed' : commonFailure(targets, failed), message, targets },
    now,
  )
}

/** Where all targets failed for one reason, that is the reason of the whole. */
function commonFailure(targets: readonly string[], failed: readonly Backup[]): Reason {
  const [reason, ...others] = new Set(failed.map(({ status }) => status?.reason))
  const one = reason !== undefined && others.length === 0 && failed.length === targets.length
  return one ? (reason as Reason) : 'PartiallyFailed'
}

function targetsOf(children: readonly Backup[]): string[] {
  return children.flatMap(({ spec }) => spec.target ?? [])
}
