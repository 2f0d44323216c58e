// What the API server is asked about before the first night (docs/design.md R26): the CronJob as it would be written, and the Job of a run.
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { CronJob, Job } from '../../api/kubernetes.ts'
import { dryRunJob } from '../../resources/jobs.ts'
import type { Settings } from '../../resources/settings.ts'
import { jobTargets, type JobTarget } from '../view/job-targets.ts'
import { isOf } from '../view/owners.ts'
import { brought, desiredCronJob } from './cron-job.ts'

export type DryRunQuestion = {
  /** `replace`: over what stands. Undefined where what stands is none of this policy's, which other checks tell. */
  readonly cronJob: { readonly do: 'create' | 'replace'; readonly object: CronJob } | undefined
  readonly job: Job
}

/**
 * Undefined where there is nothing to run, or no schedule that can be read.
 * @param target the policy's explicit command, unless it has a preset
 */
export function dryRunQuestion(
  policy: BackupPolicy,
  current: CronJob | undefined,
  settings: Settings,
  target: JobTarget | undefined = jobTargets(policy, undefined)[0],
): DryRunQuestion | undefined {
  if (!target || !('source' in target)) return undefined
  const desired = desiredCronJob(policy, target, { held: [], accepted: [] }, settings)
  return desired && { cronJob: cronJobQuestion(policy, current, desired), job: dryRunJob(policy, desired) }
}

function cronJobQuestion(
  policy: BackupPolicy,
  current: CronJob | undefined,
  desired: CronJob,
): DryRunQuestion['cronJob'] {
  if (!current) return { do: 'create', object: desired }
  const isMine = current.metadata.ownerReferences?.every(({ uid }) => uid === policy.metadata.uid) ?? true
  if (!isMine || !isOf(current, policy.metadata.name) || current.metadata.deletionTimestamp) return undefined
  return { do: 'replace', object: brought(current, desired) }
}

/**
 * Whether a quota on Jobs is full of none but ours that are going on, and end: that says nothing about the next run. The words are those of the
 * quota plugin, and name only what is exceeded: `exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=10, limited:
 * count/jobs.batch=10`. Source: kubernetes staging/src/k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go `checkRequest`.
 * @param ours how many Jobs of ours are going on in the namespace; some that have ended stay
 */
export function isFullOfOurs(words: string, ours: number): boolean {
  const [, requested = '', used = '', limited = ''] =
    /exceeded quota: [^,]*, requested: (.*), used: (.*), limited: (.*)$/.exec(words) ?? []
  const numberOf = (text: string) => Number(/^count\/jobs\.batch=(\d+)$/.exec(text)?.[1])
  return numberOf(used) <= ours && numberOf(requested) <= numberOf(limited)
}
