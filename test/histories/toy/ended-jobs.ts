// What becomes of the Jobs that the CronJob controller starts, where a story is not about how they run.
import type { Job } from '../../../src/api/kubernetes.ts'
import { stamp } from '../../plan/world.ts'
import type { ToyApiServer } from './api-server.ts'

/** Ends those that have not ended yet, in the second in which they began. @returns all that are there */
export function endJobsOfSlots(
  server: ToyApiServer,
  now: Date,
  type: 'Complete' | 'Failed' = 'Complete',
): readonly Job[] {
  const jobs = server.all('jobs').filter(isOfSlot)
  const time = stamp(now)
  const conditions = [{ type, status: 'True', lastTransitionTime: time }] as const
  const status = { startTime: time, ...(type === 'Complete' ? { completionTime: time } : {}), conditions }
  for (const job of jobs.filter(each => !each.status?.conditions))
    server.update('jobs', job.metadata.name, each => ({ ...each, status }))
  return jobs
}

function isOfSlot({ metadata }: Job): boolean {
  return metadata.ownerReferences?.some(({ kind }) => kind === 'CronJob') ?? false
}
