// Conditions that only policies with a preset have: whether it has found what it is to back up, and whether that can be.
import type { Verdict } from '../core/conditions.ts'
import { isNotFound } from '../view/job-targets.ts'
import type { JobStrategyView } from '../view/view.ts'
import type { PolicyFacts } from './facts.ts'
import { commonReason } from './targets.ts'

/** Targets that are not found any more are told of by their own status: nobody could make them ready. */
export function presetVerdicts({ targets: all }: PolicyFacts, strategy: JobStrategyView): readonly Verdict[] {
  const { preset, unknown, passedOver } = strategy
  if (preset === undefined) return []
  const type = 'TargetsReady'
  if (unknown) return [{ type, status: 'Unknown', ...unknown }]
  const away = new Set(strategy.targets.filter(isNotFound).map(({ name }) => name))
  const targets = all.filter(({ name }) => !away.has(name))
  if (targets.length === 0) {
    const message = [
      `preset ${preset} finds no workload by the selector: there is no target to judge`,
      ...passedOver,
    ].join('; ')
    return [{ type, status: 'Unknown', reason: 'SelectorMatchedNothing', message }]
  }
  const unready = targets.filter(({ ready }) => !ready)
  if (unready.length === 0) {
    const some = targets.length === 1 ? 'the one target' : `all ${targets.length} targets`
    const message = [`${some} can be backed up`, ...passedOver].join('; ')
    return [{ type, status: 'True', reason: 'Ready', message }]
  }
  const message = unready.map(({ name, message: why }) => `${name}: ${why}`).join('; ')
  return [{ type, status: 'False', reason: commonReason(unready), message }]
}
