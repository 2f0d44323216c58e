// Whether the list of the bucket can be trusted, as the last reading of it found.
import type { Reason } from '../../api/conditions.ts'
import type { Verdict } from '../core/conditions.ts'
import { canHave } from '../view/folder.ts'
import type { PolicyFacts } from './facts.ts'

const otherTargets = 'OtherTargets' satisfies Reason

export function catalogVerdicts(facts: PolicyFacts): readonly Verdict[] {
  const { policy, strategy, catalogTrouble } = facts
  if (strategy.type !== 'job') return []
  const others = othersThere(facts)
  if (catalogTrouble === undefined) return others
  if (catalogTrouble !== 'as-before') return [{ type: 'CatalogIncomplete', status: 'True', ...catalogTrouble }]
  const before = policy.status?.conditions?.find(({ type }) => type === 'CatalogIncomplete')
  if (before?.status !== 'True' || before.reason === otherTargets) return others
  return [{ type: 'CatalogIncomplete', status: 'True', reason: before.reason as Reason, message: before.message }]
}

/** Backups of targets that this policy cannot have, made under another strategy: nothing here counts, shows or deletes them. */
function othersThere({ policy, store }: PolicyFacts): readonly Verdict[] {
  const others = store?.folder?.filter(({ target }) => !canHave(policy, target)) ?? []
  if (others.length === 0) return []
  const names = others.map(({ target, count }) => `${target} (${count})`).join(', ')
  const message = `the folder has backups of targets that this policy cannot have, made under another strategy: ${names}. They have no Backup here and are not pruned; a Restore from the bucket reads them by spec.source.target`
  return [{ type: 'CatalogIncomplete', status: 'True', reason: otherTargets, message }]
}
