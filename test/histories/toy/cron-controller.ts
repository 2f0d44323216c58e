// The CronJob controller, as far as it matters here (kubernetes pkg/controller/cronjob/cronjob_controllerv2.go).
import assert from 'node:assert/strict'
import type { CronJob, Job } from '../../../src/api/kubernetes.ts'
import { annotation } from '../../../src/api/labels.ts'
import { parseSchedule } from '../../../src/schedule/parse.ts'
import { nextSlot, summarizeSlots } from '../../../src/schedule/schedule.ts'
import { addSeconds, latest, timeOf } from '../../../src/schedule/times.ts'
import { jobNameOfSlot, stamp } from '../../plan/world.ts'
import type { ToyApiServer } from './api-server.ts'

const outcomes = ['Complete', 'Failed'] as const
/** Of each outcome, as the operator asks for it. */
const historyLimit = 10

export class ToyCronController {
  readonly #server: ToyApiServer
  /** Whether it runs. */
  up = true
  /** When somebody last wrote what may make the CronJob controller fire for the past. */
  #clockChanged: Date | undefined
  #clock: string | undefined
  /** Jobs that fell out of the CronJob's history. */
  readonly forgotten: string[] = []

  constructor(server: ToyApiServer) {
    this.#server = server
  }

  #cronJob(): CronJob | undefined {
    const [cronJob] = this.#server.all('cronjobs').filter(({ metadata }) => metadata.ownerReferences)
    return cronJob?.metadata.deletionTimestamp ? undefined : cronJob
  }

  /** When it next makes a Job by itself. */
  nextSlot(): Date | undefined {
    const cronJob = this.#cronJob()
    if (!cronJob || !this.up || cronJob.spec.suspend) return undefined
    const { schedule, timeZone = 'Etc/UTC' } = cronJob.spec
    return nextSlot(parseSchedule(schedule), timeZone, this.#server.now, 'cronjob')
  }

  /** What it does each time that it looks. */
  sync(): void {
    const cronJob = this.#cronJob()
    if (!cronJob) return
    const { name, uid = '', creationTimestamp } = cronJob.metadata
    const { schedule, timeZone = 'Etc/UTC', suspend, startingDeadlineSeconds } = cronJob.spec
    const clock = [uid, schedule, timeZone, suspend, startingDeadlineSeconds].join()
    if (clock !== this.#clock) [this.#clock, this.#clockChanged] = [clock, this.#server.now]
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
      !this.#clockChanged || slot > this.#clockChanged,
      `the CronJob fired at ${stamp(now)} for ${stamp(slot)}, after its schedule was changed at ${stamp(this.#clockChanged ?? now)}`,
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
          annotations: { [annotation.cronJobSlot]: stamp(slot) },
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
    return outcomes.map(kind => newestFirst(own, kind)).filter(kept => kept.length >= historyLimit)
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
