// An on-demand Backup of strategy snapshot that names no target: its children, and what becomes of them (docs/design.md R9).
import { isFinal, type BackupPhase } from '../../api/kinds/backup-phases.ts'
import type { Backup } from '../../api/kinds/backup.ts'
import type { Reason } from '../../api/conditions.ts'
import { childBackup } from '../../resources/backup-objects.ts'
import type { Group } from '../core/actions.ts'
import { failure, planStatus, type BackupPlan } from './status.ts'
import type { RunView } from '../view/view.ts'

/**
 * It is its only target, or it has a child for each and shows the worst of them.
 * @param names of all targets of the policy
 */
export function planTargets({ backup, children }: RunView, names: readonly string[], now: Date): BackupPlan {
  if (backup.status?.reason !== 'Children') {
    const [only, ...others] = names
    if (only === undefined)
      return planStatus(
        backup,
        failure('SelectorMatchedNothing', 'the selector of the policy matches no PersistentVolumeClaim'),
        now,
        'snapshot',
      )
    if (others.length === 0 && children.length === 0)
      return planStatus(
        backup,
        { phase: 'Pending', reason: 'SnapshotPending', message: `about to snapshot ${only}`, target: only },
        now,
      )
    // The status is written after the children, so that a crash between two of them is seen and the rest is created.
    const message = `one Backup for each of ${names.join(', ')}`
    const plan = planStatus(backup, { phase: 'Pending', reason: 'Children', message }, now)
    const existing = new Set(children.map(({ spec }) => spec.target))
    const create = names
      .filter(target => !existing.has(target))
      .map((target): Group => {
        const object = childBackup(backup, target)
        return { name: `child/${object.metadata.name}`, run: backup, actions: [{ do: 'create', object }] }
      })
    const needs = create.map(({ name }) => ({ group: name, was: 'done' }) as const)
    return { groups: [...create, ...plan.groups.map(group => ({ ...group, needs }))] }
  }
  const left = children.filter(({ status }) => !isFinal(status?.phase))
  if (left.length > 0)
    return planStatus(
      backup,
      {
        phase: 'Running',
        reason: 'Children',
        message: `${children.length - left.length} of ${children.length} targets are done`,
      },
      now,
    )
  const failed = children.filter(({ status }) => status?.phase === 'Failed' || status?.phase === 'Skipped')
  const phase: BackupPhase = failed.length > 0 || children.length === 0 ? 'Failed' : 'Completed'
  const each = failed.map(({ spec, status }) => `${spec.target}: ${status?.reason}`).join('; ')
  const message =
    phase === 'Completed'
      ? `all ${children.length} targets are complete`
      : children.length === 0
        ? 'the Backups of its targets were deleted before they had ended'
        : `${failed.length} of ${children.length} targets failed: ${each}`
  return planStatus(
    backup,
    { phase, reason: phase === 'Completed' ? 'Completed' : commonFailure(children, failed), message },
    now,
  )
}

/** Where all targets failed for one reason, that is the reason of the whole. */
function commonFailure(children: readonly Backup[], failed: readonly Backup[]): Reason {
  const [reason, ...others] = new Set(failed.map(({ status }) => status?.reason))
  const one = reason !== undefined && others.length === 0 && failed.length === children.length
  return one ? (reason as Reason) : 'PartiallyFailed'
}
