// Whether the clock of a CronJob is set before it is written (docs/design.md R4). That takes every slot until now from runs that wait for an
// earlier one, so that it is done only for a write that will be made, and not again with each try (F77).
import type { CronJob } from '../../api/kubernetes.ts'
import { sameClock } from '../../plan/policy/cron-job-difference.ts'
import { refusesDryRun } from '../../runtime/client/errors.ts'
import type { WriteOptions } from '../../runtime/client/requests.ts'
import { cronJobs } from './resources.ts'
import type { Reach } from './caches.ts'
import type { PutBack } from './put-back.ts'

/**
 * Asks the API server by a dry run. Where a webhook leaves the times that the CronJob has, nothing can fire for the past.
 * @throws what the write would be refused with
 */
export async function isClockToBeSet(
  { client, caches }: Reach,
  wanted: CronJob,
  putBack: Pick<PutBack, 'isChanged' | 'isClockSet'>,
  { signal }: Pick<WriteOptions, 'signal'>,
): Promise<boolean> {
  const { namespace = '', name } = wanted.metadata
  const standing = caches.cronJobs.get(namespace, name)
  if (!standing) return true
  try {
    const written = await client.replace<CronJob>(cronJobs, wanted, { signal, dryRun: true })
    return !putBack.isClockSet && !sameClock(written, standing)
  } catch (error) {
    // Whoever changes or refuses it takes part in no dry run, and is still there.
    if (refusesDryRun(error)) return !putBack.isClockSet && !putBack.isChanged
    throw error
  }
}
