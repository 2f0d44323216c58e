// The preset that a policy with strategy job names, read in one place.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { PresetName } from '../../api/kinds/backup-policy-job.ts'

/** Undefined: the policy states its command, or has another strategy. */
export function presetOf({ spec: { strategy } }: Pick<BackupPolicy, 'spec'>): PresetName | undefined {
  return strategy.type === 'job' ? strategy.job?.preset : undefined
}
