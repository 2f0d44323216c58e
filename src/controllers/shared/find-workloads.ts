// What the preset of a policy finds in a namespace. Pure.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import { presetOf } from '../../plan/view/preset.ts'
import { matches } from '../../plan/view/selection.ts'
import type { FoundWorkloads } from '../../plan/view/world.ts'
import { presets } from '../../presets/presets.ts'
import { findTargets } from '../../presets/targets.ts'
import { controllerOf, type PresetWorld } from '../../presets/workloads.ts'

/** @throws TypeError: the policy has no preset */
export function findWorkloads({ spec }: BackupPolicy, world: PresetWorld): FoundWorkloads {
  const { job } = spec.strategy
  const preset = presetOf({ spec })
  if (preset === undefined || !job) throw new TypeError('only a policy with a preset has workloads to find')
  const found = findTargets(presets[preset], job, world)
  const withPods = new Set(
    [...found.targets, ...found.passedOver.map(({ workload }) => workload)].map(({ name }) => name),
  )
  const asleep = [...world.statefulSets, ...world.deployments]
    .filter(({ spec: { template } }) => matches(spec.selector, template?.metadata?.labels))
    .map(({ metadata }) => controllerOf(metadata)?.name ?? metadata.name)
    .filter(name => !withPods.has(name))
  // A server that no pod runs is none of the cluster, unless its pods only are away.
  const targets = asleep.length > 0 ? found.targets.filter(({ workload }) => workload) : found.targets
  return { ...found, targets, withoutPods: [...new Set(asleep)].toSorted() }
}
