// The CronJob controller, as far as it matters here (kubernetes pkg/controller/cronjob/cronjob_controllerv2.go).
import assert from 'node:assert/strict'
import type { CronJob, Job } from '../../../src/api/kubernetes.ts'
import { annotation } from '../../../src/api/labels.ts'
import { parseSchedule } from '../../../src/schedule/parse.ts'
import { nextSlot, summarizeSlots } from '../../../src/schedule/schedule.ts'
import { addSeconds, earliest, latest, timeOf } from '../../../src/schedule/times.ts'
import { jobNameOfSlot, stamp } from '../../plan/world.ts'
import type { ToyApiServer } from './api-server.ts'

const outcomes = ['Complete', 'Failed'] as const
/** Of each outcome, as the operator asks for it. */
const historyLimit = 10

export class ToyCronController {
  readonly #server: ToyApiServer
  /** Whether it runs. */
  up = true
  /** Of each CronJob its clock, and when somebody last wrote what may make the controller fire for the past. */
  readonly #clocks = new Map<string, { readonly clock: string; readonly changed: Date }>()
  /** Jobs that fell out of the CronJob's history. */
  readonly forgotten: string[] = []

  constructor(server: ToyApiServer) {
    this.#server = server
  }

  #cronJobs(): readonly CronJob[] {
    return this.#server
      .all('cronjobs')
      .filter(({ metadata }) => metadata.ownerReferences && !metadata.deletionTimestamp)
      .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  }

  /** When it next makes a Job by itself. */
  nextSlot(): Date | undefined {
    if (!this.up) return undefined
    const active = this.#cronJobs().filter(({ spec }) => !spec.suspend)
    return earliest(
      ...active.map(({ spec: { schedule, timeZone = 'Etc/UTC' } }) =>
        nextSlot(parseSchedule(schedule), timeZone, this.#server.now, 'cronjob'),
      ),
    )
  }

  /** What it does each time that it looks. */
  sync(): void {
    for (const cronJob of this.#cronJobs()) this.#syncOne(cronJob)
  }

  #syncOne(cronJob: CronJob): void {
    const { name, uid = '', creationTimestamp } = cronJob.metadata
    const { schedule, timeZone = 'Etc/UTC', suspend, startingDeadlineSeconds } = cronJob.spec
    const clock = [uid, schedule, timeZone, suspend, startingDeadlineSeconds].join()
    const known = this.#clocks.get(name)
    const { changed } = known?.clock === clock ? known : { changed: this.#server.now }
    this.#clocks.set(name, { clock, changed })
    if (!this.up || suspend) return
    const { now } = this.#server
    const own = this.#server
      .all('jobs')
      .filter(({ metadata }) => metadata.ownerReferences?.some(owner => owner.uid === uid))
    this.#cleanHistory(own)
    const lastTime = timeOf(cronJob.status?.lastScheduleTime ?? creationTimestamp) ?? now
    const deadline = startingDeadlineSeconds === undefined ? undefined : addSeconds(now, -startingDeadlineSeconds)
    const from = latest(lastTime, deadline) ?? now
    const slot = summarizeSlots(parseSchedule(schedule), timeZone, { from, to: now }, 'cronjob')?.newest
    if (!slot) return
    if (own.some(job => !isOver(job))) return
    assert.ok(
      slot > changed,
      `the CronJob fired at ${stamp(now)} for ${stamp(slot)}, after its schedule was changed at ${stamp(changed)}`,
    )
    const jobName = jobNameOfSlot(name, slot)
    if (!this.#server.get('jobs', jobName)) {
      const { metadata, spec } = cronJob.spec.jobTemplate
      this.#server.create('jobs', {
        apiVersion: 'batch/v1',
        kind: 'Job',
        metadata: {
          ...metadata,
          name: jobName,
          annotations: { ...metadata?.annotations, [annotation.cronJobSlot]: stamp(slot) },
          ownerReferences: [{ apiVersion: 'batch/v1', kind: 'CronJob', name, uid, controller: true }],
        },
        spec,
      })
    }
    this.#server.update('cronjobs', name, current => ({
      ...current,
      status: { ...current.status, lastScheduleTime: stamp(slot) },
    }))
  }

  #cleanHistory(own: readonly Job[]): void {
    for (const kind of outcomes)
      for (const { metadata } of newestFirst(own, kind).slice(historyLimit)) {
        this.forgotten.push(metadata.name)
        this.#server.delete('jobs', metadata.name)
      }
  }

  /** The Jobs that ended alike, where as many are kept as may be. */
  fullHistories(): readonly (readonly Job[])[] {
    const own = this.#server.all('jobs').filter(({ metadata }) => metadata.ownerReferences?.some(isCronJob))
    const byCronJob = Map.groupBy(own, ({ metadata }) => metadata.ownerReferences?.find(isCronJob)?.name)
    return [...byCronJob.values()]
      .flatMap(some => outcomes.map(kind => newestFirst(some, kind)))
      .filter(kept => kept.length >= historyLimit)
  }
}

function isCronJob({ kind }: { readonly kind: string }): boolean {
  return kind === 'CronJob'
}

function newestFirst(jobs: readonly Job[], outcome: (typeof outcomes)[number]): readonly Job[] {
  return jobs.filter(job => hasCondition(job, outcome)).toSorted((a, b) => (a.metadata.name < b.metadata.name ? 1 : -1))
}

export function isOver(job: Job): boolean {
  return hasCondition(job, 'Complete') || hasCondition(job, 'Failed')
}

function hasCondition(job: Job, type: string): boolean {
  return job.status?.conditions?.some(condition => condition.type === type && condition.status === 'True') ?? false
}
