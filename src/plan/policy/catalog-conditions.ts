// Whether the list of the bucket can be trusted, as the last reading of it found.
import type { Reason } from '../../api/conditions.ts'
import type { Verdict } from '../core/conditions.ts'
import type { PolicyFacts } from './facts.ts'

export function catalogVerdicts({ policy, strategy, catalogTrouble }: PolicyFacts): readonly Verdict[] {
  if (strategy.type !== 'job' || catalogTrouble === undefined) return []
  if (catalogTrouble !== 'as-before') return [{ type: 'CatalogIncomplete', status: 'True', ...catalogTrouble }]
  const before = policy.status?.conditions?.find(({ type }) => type === 'CatalogIncomplete')
  if (before?.status !== 'True') return []
  return [{ type: 'CatalogIncomplete', status: 'True', reason: before.reason as Reason, message: before.message }]
}
