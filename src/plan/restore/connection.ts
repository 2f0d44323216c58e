// Where the database of a preset is that a Restore is to write to, and as whom.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { RestoreInto } from '../../api/kinds/restore.ts'
import type { Connection, Preset, ResolvedTarget } from '../../presets/preset.ts'
import { statedPassword, statedUser, tlsOf } from '../../presets/stated-connection.ts'
import { unknownTargets } from '../view/job-targets.ts'
import { presetOf } from '../view/preset.ts'
import type { FoundWorkloads } from '../view/world.ts'
import type { RestoreRefusal } from './command.ts'

/** A workload of the policy, or why nothing can be said of it. */
export type RestoreTarget = { readonly is: 'resolved'; readonly target: ResolvedTarget } | RestoreRefusal

/**
 * @param name of a target of the policy
 * @param found undefined: nobody can say
 */
export function restoreTarget(
  policy: BackupPolicy | undefined,
  name: string,
  found: FoundWorkloads | undefined,
): RestoreTarget {
  if (!policy || presetOf(policy) === undefined)
    return {
      is: 'refused',
      reason: 'TargetNotFound',
      message:
        'no policy with a preset says where the database is; create a Restore with into.server, into.credentials and into.image',
    }
  if (!found) return { is: 'awaited', ...unknownTargets }
  const target = found.targets.find(each => each.name === name)
  if (target?.is === 'resolved') return { is: 'resolved', target }
  if (target) {
    const [{ reason }] = target.problems
    const why = target.problems.map(({ message }) => message).join('; ')
    const message = `${why}; mend that in BackupPolicy ${policy.metadata.name}, or create a Restore with into.server, into.credentials and into.image`
    return { is: 'refused', reason, message }
  }
  const others = found.targets.map(each => each.name).join(', ') || 'none'
  const what = found.withoutPods.includes(name)
    ? `workload ${name} has no pod`
    : `there is no pod of a workload ${name}`
  const message = `${what} now, among those that BackupPolicy ${policy.metadata.name} selects (it finds ${others}); start it, or create a Restore with into.target, or with into.server, into.credentials and into.image`
  return { is: 'awaited', reason: 'TargetNotFound', message, isBounded: true }
}

/** As the administrator, unless the Restore says as whom: never as the user of the dump. */
export function connectionOf(
  { connection, administrator }: ResolvedTarget,
  into: RestoreInto,
): Connection | RestoreRefusal {
  const stated = credentialsOf(into)
  if (stated) return { ...connection, ...stated }
  if ('reason' in administrator)
    return {
      is: 'refused',
      reason: administrator.reason,
      message: `create a Restore with into.credentials: ${administrator.message}`,
    }
  return { ...connection, ...administrator }
}

/** Undefined: the Restore states no server. */
export function statedConnection(preset: Preset, into: RestoreInto): Connection | undefined {
  const credentials = credentialsOf(into)
  if (!into.server || !credentials) return undefined
  const { host, port = preset.port } = into.server
  return { host, port, tls: tlsOf(into.server), ...credentials }
}

function credentialsOf({ credentials }: RestoreInto) {
  const user = statedUser(credentials)
  return user && { user, password: statedPassword(credentials) ?? ({ is: 'none' } as const) }
}
