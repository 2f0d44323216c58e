// Backups that outlive their policy say so: nobody prunes them any more (F93). A policy of the same name takes them up again.
import type { Backup } from '../../api/kinds/backup.ts'
import { alone, type Group } from '../core/actions.ts'
import { withCondition } from '../core/conditions.ts'
import type { RunView, View } from '../view/view.ts'

const type = 'PolicyGone'

/** Marks the backups of a policy that is not there (any more). */
export function markGone(runs: readonly RunView[], now: Date): readonly Group[] {
  return runs.flatMap(({ backup }): readonly Group[] => {
    const { metadata, spec, status } = backup
    if (status?.phase !== 'Completed' || metadata.deletionTimestamp || isMarked(backup)) return []
    const data = status.manifest
      ? `object ${status.manifest} and its data stay in the bucket`
      : 'its VolumeSnapshot stays'
    const message = `BackupPolicy ${spec.policy} is gone: nobody prunes this backup any more, and ${data} until somebody deletes them; a policy of that name, for the same backend, takes it up again`
    const gone = { type, status: 'True', reason: type, message } as const
    const conditions = withCondition(status.conditions, gone, metadata.generation, now)
    const object = { ...backup, status: { ...status, conditions } }
    return [alone(`gone/${metadata.name}`, { do: 'write-status', object })]
  })
}

/** Takes the marks away when the policy is there again; but for Backups of which `groups` write something else first. */
export function unmarkGone({ runs }: Pick<View, 'runs'>, groups: readonly Group[]): readonly Group[] {
  const marked = runs.map(({ backup }) => backup).filter(isMarked)
  if (marked.length === 0) return []
  const written = new Set(
    groups
      .flatMap(({ actions }) => actions)
      .flatMap(action => ('object' in action ? [action.object.metadata.name] : [])),
  )
  return marked.flatMap((backup): readonly Group[] => {
    const { metadata, status } = backup
    if (metadata.deletionTimestamp || written.has(metadata.name)) return []
    const conditions = status?.conditions?.filter(each => each.type !== type)
    const object = { ...backup, status: { ...status, conditions } }
    return [alone(`gone/${metadata.name}`, { do: 'write-status', object })]
  })
}

function isMarked({ status }: Backup): boolean {
  return status?.conditions?.some(condition => condition.type === type) ?? false
}
