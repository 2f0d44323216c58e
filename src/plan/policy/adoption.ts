// The folder of a cluster that is gone is taken over (docs/design.md R11): its backups are shown first, and then new ones are made by schedule.
import { digestBefore, type CatalogPlan } from '../history/catalog.ts'
import { unreadOf } from '../view/folder.ts'
import type { JobStrategyView } from '../view/view.ts'
import type { Living } from './strategy-plan.ts'

/** With these the list cannot be read whole, ever: backups are worth more than a list. */
const hopeless: readonly (string | undefined)[] = ['CatalogRepeats', 'CatalogTooLong']

/**
 * Whether the CronJob of a target stays suspended, since nobody has seen yet what the folder has of it. Once that was read it never is again, so
 * that a `backend.adopt` that stays in the spec costs nothing.
 */
export function isAdopting(
  { policy, strategy }: Pick<Living<JobStrategyView>, 'policy' | 'strategy'>,
  target: string,
  { digest, trouble }: Pick<CatalogPlan, 'digest' | 'trouble'>,
): boolean {
  if (policy.spec.backend?.adopt === undefined || digest !== undefined || digestBefore(policy, target) !== undefined)
    return false
  const unread = unreadOf(policy, strategy.store?.hash)
  if (unread === undefined) return true
  if (!unread.some(each => each.target === target)) return false
  const before = policy.status?.conditions?.find(({ type }) => type === 'CatalogIncomplete')
  return !hopeless.includes(trouble === 'as-before' ? before?.reason : trouble?.reason)
}
