// The preset that a policy with strategy job names, read in one place.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'

/** Undefined: the policy states its command, or has another strategy. */
export function presetOf({ spec: { strategy } }: Pick<BackupPolicy, 'spec'>): string | undefined {
  const job: Readonly<Record<string, unknown>> = strategy.type === 'job' ? (strategy.job ?? {}) : {}
  const preset = job['preset']
  return typeof preset === 'string' ? preset : undefined
}
