// What Kubernetes does around the operator, in memory: the CronJob controller, Jobs and their pods, snapshots, the garbage collector.
// What becomes of a run follows from its name alone, so that a crash of the operator changes no fate.
import assert from 'node:assert/strict'
import type { CronJob, Job, Pod, VolumeSnapshot } from '../../src/api/kubernetes.ts'
import { annotation, label } from '../../src/api/labels.ts'
import { encodeMoverMessage, catalogMessageLimit, type MoverMessage } from '../../src/api/mover-message.ts'
import { exitCodeOf, isPermanent, type MoverReason } from '../../src/api/mover-reasons.ts'
import { moverEnvironment, parseMoverTask } from '../../src/api/mover-task.ts'
import { nameHash, slotOfJobName } from '../../src/api/names.ts'
import { parseSchedule } from '../../src/plan/schedule-parse.ts'
import { nextSlot, summarizeSlots } from '../../src/plan/schedule.ts'
import { addSeconds, latest, timeOf } from '../../src/plan/times.ts'
import { ended, failedCreate, jobNameOfSlot, pod, running, saying, stamp, waiting } from '../world.ts'
import type { ToyApiServer } from './api-server.ts'
import { ToyBucket } from './bucket.ts'

/** What becomes of a run of strategy job. */
export const jobFates = [
  'commits',
  'commits slowly',
  'commits suspect',
  /** The pod is killed between the manifest and its end. */
  'commits and dies',
  /** The pod is gone before anybody has read its message. */
  'commits unseen',
  'commits at the second attempt',
  'exits',
  'is killed',
  'has no store',
  'says nothing',
  'has no image',
  'has no quota',
  'exceeds its deadline',
  'is lost with its node',
] as const
export type JobFate = (typeof jobFates)[number]

export const snapshotFates = ['ready at once', 'ready slowly', 'ready after errors', 'ready too late', 'never'] as const
export type SnapshotFate = (typeof snapshotFates)[number]

export type Fates = { readonly jobs: readonly JobFate[]; readonly snapshots: readonly SnapshotFate[] }

const outcomes = ['Complete', 'Failed'] as const
/** Of each outcome, as the operator asks for it. */
const historyLimit = 10

type Agenda = { readonly at: Date; readonly sequence: number; readonly happen: () => void }

export class ToyKube {
  readonly server: ToyApiServer
  readonly bucket = new ToyBucket()
  readonly #fates: Fates
  #agenda: Agenda[] = []
  #sequence = 0
  /** The CronJob controller runs. */
  cronUp = true
  /** When somebody last wrote what may make the CronJob controller fire for the past. */
  #clockChanged: Date | undefined
  #clock: string | undefined
  /** Jobs that fell out of the CronJob's history. */
  readonly forgotten: string[] = []

  constructor(server: ToyApiServer, fates: Fates) {
    this.server = server
    this.#fates = fates
  }

  /** When something happens next by itself. */
  next(): Date | undefined {
    const [first] = this.#agenda
    const slot = this.#nextSlot()
    return first && (!slot || first.at < slot) ? first.at : slot
  }

  /** Everything that is due now, until nothing is. */
  step(): void {
    for (;;) {
      this.#noticeNew()
      this.#syncCronJob()
      this.#noticeNew()
      const [first] = this.#agenda
      if (!first || first.at > this.server.now) break
      this.#agenda.shift()
      first.happen()
    }
    this.server.collectGarbage()
  }

  #after(seconds: number, happen: () => void): void {
    const item = { at: addSeconds(this.server.now, seconds), sequence: ++this.#sequence, happen }
    this.#agenda = [...this.#agenda, item].sort((a, b) => a.at.getTime() - b.at.getTime() || a.sequence - b.sequence)
  }

  readonly #noticed = new Set<string>()
  #noticeNew(): void {
    for (const job of this.server.all('jobs')) if (this.#isNew(job)) this.#startJob(job)
    for (const snapshot of this.server.all('volumesnapshots')) {
      if (this.#isNew(snapshot)) this.#startSnapshot(snapshot)
      const { name, uid, deletionTimestamp } = snapshot.metadata
      if (!deletionTimestamp || this.#noticed.has(`gone ${uid}`)) continue
      this.#noticed.add(`gone ${uid}`)
      this.#after(2, () => {
        if (this.server.get('volumesnapshots', name)?.metadata.uid === uid) this.server.remove('volumesnapshots', name)
      })
    }
  }

  #isNew({ metadata: { uid = '' } }: Job | VolumeSnapshot): boolean {
    if (this.#noticed.has(uid)) return false
    this.#noticed.add(uid)
    return true
  }

  // ── CronJobs (kubernetes pkg/controller/cronjob/cronjob_controllerv2.go)

  #cronJob(): CronJob | undefined {
    const [cronJob] = this.server.all('cronjobs').filter(({ metadata }) => metadata.ownerReferences)
    return cronJob?.metadata.deletionTimestamp ? undefined : cronJob
  }

  #nextSlot(): Date | undefined {
    const cronJob = this.#cronJob()
    if (!cronJob || !this.cronUp || cronJob.spec.suspend) return undefined
    const { schedule, timeZone = 'Etc/UTC' } = cronJob.spec
    return nextSlot(parseSchedule(schedule), timeZone, this.server.now, 'cronjob')
  }

  #syncCronJob(): void {
    const cronJob = this.#cronJob()
    if (!cronJob) return
    const { name, uid = '', creationTimestamp } = cronJob.metadata
    const { schedule, timeZone = 'Etc/UTC', suspend, startingDeadlineSeconds = 0 } = cronJob.spec
    const clock = [uid, schedule, timeZone, suspend, startingDeadlineSeconds].join()
    if (clock !== this.#clock) [this.#clock, this.#clockChanged] = [clock, this.server.now]
    if (!this.cronUp || suspend) return
    const { now } = this.server
    const own = this.server
      .all('jobs')
      .filter(({ metadata }) => metadata.ownerReferences?.some(owner => owner.uid === uid))
    this.#cleanHistory(own)
    const lastTime = timeOf(cronJob.status?.lastScheduleTime ?? creationTimestamp) ?? now
    const from = latest(lastTime, addSeconds(now, -startingDeadlineSeconds)) ?? now
    const slot = summarizeSlots(parseSchedule(schedule), timeZone, { from, to: now }, 'cronjob')?.newest
    if (!slot) return
    if (own.some(job => !isOver(job))) return
    assert.ok(
      !this.#clockChanged || slot > this.#clockChanged,
      `the CronJob fired at ${stamp(now)} for ${stamp(slot)}, after its schedule was changed at ${stamp(this.#clockChanged ?? now)}`,
    )
    const jobName = jobNameOfSlot(name, slot)
    if (!this.server.get('jobs', jobName)) {
      const { metadata, spec } = cronJob.spec.jobTemplate
      this.server.create('jobs', {
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
    this.server.update('cronjobs', name, current => ({
      ...current,
      status: { ...current.status, lastScheduleTime: stamp(slot) },
    }))
  }

  #cleanHistory(own: readonly Job[]): void {
    for (const kind of outcomes)
      for (const { metadata } of newestFirst(own, kind).slice(historyLimit)) {
        this.forgotten.push(metadata.name)
        this.server.delete('jobs', metadata.name)
      }
  }

  /** The Jobs of the CronJob that ended alike, where as many are kept as may be. */
  fullHistories(): readonly (readonly Job[])[] {
    const own = this.server.all('jobs').filter(({ metadata }) => metadata.ownerReferences?.some(isCronJob))
    return outcomes.map(kind => newestFirst(own, kind)).filter(kept => kept.length >= historyLimit)
  }

  // ── Jobs

  #startJob(job: Job): void {
    const { name } = job.metadata
    this.#setJob(job, { startTime: stamp(this.server.now), active: 1 })
    const role = job.metadata.labels?.[label.role]
    if (role !== 'run') {
      this.#pod(job, 1, { phase: 'Pending' })
      this.#after(5, () => this.#ifThere(job, () => this.#answer(job)))
      return
    }
    const fate = pick(this.#fates.jobs, name)
    const deadline = job.spec.activeDeadlineSeconds ?? 0
    if (fate === 'has no quota') {
      const event = failedCreate(job, 'pods "x" is forbidden: exceeded quota: small', this.server.now)
      this.server.create('events', { ...event, metadata: { name: `${name}.warning` } })
    } else if (fate === 'has no image') {
      this.#pod(job, 1, {
        phase: 'Pending',
        containerStatuses: [waiting('dump', 'ImagePullBackOff'), running('mover')],
      })
    } else this.#attempt(job, 1, fate)
    this.#after(deadline, () =>
      this.#ifThere(job, current => {
        if (isOver(current)) return
        if (fate === 'is lost with its node') return this.#fail(current, 'DeadlineExceeded', 'FailureTarget')
        for (const { metadata } of this.#podsOf(current))
          if (this.server.get('pods', metadata.name)?.status?.phase !== 'Failed')
            this.server.delete('pods', metadata.name)
        this.#fail(current, 'DeadlineExceeded')
      }),
    )
  }

  #attempt(job: Job, attempt: number, fate: JobFate): void {
    this.#pod(job, attempt, { phase: 'Pending' })
    this.#after(3, () => this.#ifThere(job, () => this.#setPod(job, attempt, runningPod)))
    const seconds = fate === 'commits slowly' ? 1500 : 30
    if (fate === 'exceeds its deadline' || fate === 'is lost with its node') return
    this.#after(seconds, () => this.#ifThere(job, current => this.#end(current, attempt, fate)))
  }

  #end(job: Job, attempt: number, fate: JobFate): void {
    const { backoffLimit = 0 } = job.spec
    const retry = () => {
      if (attempt > backoffLimit) this.#fail(job, 'BackoffLimitExceeded')
      else
        this.#after(10, () => this.#ifThere(job, current => isOver(current) || this.#attempt(job, attempt + 1, fate)))
    }
    const failing = (reason: MoverReason, sourceStatus?: number) => {
      const message = { phase: 'failed', reason, message: `because of ${reason}`, sourceStatus } as const
      const exit = exitCodeOf(reason)
      this.#setPod(job, attempt, { phase: 'Failed', containerStatuses: [ended('dump', 75), saying(message, exit)] })
      if (isPermanent(reason)) this.#fail(job, 'PodFailurePolicy')
      else retry()
    }
    if (!this.bucket.usable || fate === 'has no store') return failing('EndpointUnreachable')
    if (fate === 'exits') return failing('SourceExit', 3)
    if (fate === 'is killed') return failing('SourceKilled')
    if (fate === 'commits at the second attempt' && attempt === 1) return failing('StoreUnavailable')
    if (fate === 'says nothing') {
      this.#setPod(job, attempt, { phase: 'Failed', containerStatuses: [ended('dump', 75), ended('mover', 137)] })
      return retry()
    }
    const message = this.#commit(job, fate === 'commits suspect')
    if (!message) return failing('RunExists')
    const text = encodeMoverMessage(message)
    if (fate === 'commits and dies') {
      const containerStatuses = [ended('dump', 137), ended('mover', 137, { message: text })]
      this.#setPod(job, attempt, { phase: 'Failed', containerStatuses })
      this.#fail(job, 'BackoffLimitExceeded')
      return
    }
    const containerStatuses = [ended('dump', 0), ended('mover', 0, { message: text })]
    if (fate === 'commits unseen') this.server.delete('pods', podName(job, attempt))
    else this.#setPod(job, attempt, { phase: 'Succeeded', containerStatuses })
    this.#complete(job)
  }

  #commit(job: Job, suspect: boolean): MoverMessage | undefined {
    const task = taskOf(job)
    if (task.kind !== 'backup') throw new Error(`the task of ${job.metadata.name} is no backup`)
    const { name, uid = '', creationTimestamp } = job.metadata
    const slot = task.cronJob === undefined ? new Date(task.slot ?? 0) : slotOfJobName(name, task.cronJob)
    if (!slot) throw new Error(`the mover cannot tell the slot of ${name}`)
    const startedAt = timeOf(creationTimestamp)?.getTime() ?? 0
    const finishedAt = this.server.now.getTime()
    return this.bucket.commit({ run: name, slot, jobUid: uid, startedAt, finishedAt, suspect }, task)
  }

  /** Probes and catalog pages. */
  #answer(job: Job): void {
    const task = taskOf(job)
    const finishedAt = this.server.now.getTime()
    if (!this.bucket.usable) {
      const message = { phase: 'failed', reason: 'EndpointUnreachable', message: 'no answer', finishedAt } as const
      this.#setPod(job, 1, { phase: 'Failed', containerStatuses: [saying(message, 20)] })
      this.#fail(job, 'BackoffLimitExceeded')
      return
    }
    const message: MoverMessage =
      task.kind === 'catalog'
        ? { phase: 'done', finishedAt, catalog: this.bucket.page(task.cursor) }
        : { phase: 'done', finishedAt, probe: { conditionalPut: true, canList: true, canDelete: true } }
    const text = encodeMoverMessage(message, catalogMessageLimit)
    this.#setPod(job, 1, { phase: 'Succeeded', containerStatuses: [ended('mover', 0, { message: text })] })
    this.#complete(job)
  }

  #complete(job: Job): void {
    const now = stamp(this.server.now)
    const conditions = [{ type: 'Complete', status: 'True', lastTransitionTime: now }]
    this.#setJob(job, { completionTime: now, active: 0, succeeded: 1, conditions })
  }

  /** `FailureTarget` is said while the pods have not ended yet. */
  #fail(job: Job, reason: string, type: 'Failed' | 'FailureTarget' = 'Failed'): void {
    const conditions = [{ type, status: 'True', reason, lastTransitionTime: stamp(this.server.now) }]
    this.#setJob(job, { active: type === 'Failed' ? 0 : 1, conditions })
  }

  #setJob({ metadata }: Job, status: Job['status']): void {
    this.server.update('jobs', metadata.name, job => ({ ...job, status: { ...job.status, ...status } }))
  }

  #pod(job: Job, attempt: number, status: Pod['status']): void {
    const made = pod(job, attempt)
    this.server.create('pods', { ...made, metadata: { ...made.metadata, uid: undefined } })
    this.#setPod(job, attempt, status)
  }

  #setPod(job: Job, attempt: number, status: Pod['status']): void {
    this.server.update('pods', podName(job, attempt), current => ({ ...current, status }))
  }

  #podsOf(job: Job): readonly Pod[] {
    return this.server
      .all('pods')
      .filter(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => uid === job.metadata.uid))
  }

  #ifThere(job: Job, then: (current: Job) => void): void {
    const current = this.server.get('jobs', job.metadata.name)
    if (current && current.metadata.uid === job.metadata.uid) then(current)
  }

  // ── Snapshots

  #startSnapshot({ metadata: { name, uid } }: VolumeSnapshot): void {
    const set = (status: NonNullable<VolumeSnapshot['status']>) => {
      const current = this.server.get('volumesnapshots', name)
      if (current?.metadata.uid !== uid || current?.metadata.deletionTimestamp) return
      this.server.update('volumesnapshots', name, snapshot => ({
        ...snapshot,
        status: { ...snapshot.status, ...status },
      }))
    }
    const becomeReady = () => {
      const boundVolumeSnapshotContentName = `content-of-${name}`
      if (!this.server.get('volumesnapshotcontents', boundVolumeSnapshotContentName)) {
        const metadata = { name: boundVolumeSnapshotContentName }
        const content = {
          apiVersion: 'v1',
          kind: 'VolumeSnapshotContent',
          metadata,
          spec: { deletionPolicy: 'Delete' },
        }
        this.server.create('volumesnapshotcontents', content)
      }
      set({ readyToUse: true, restoreSize: '1Gi', error: undefined, boundVolumeSnapshotContentName })
    }
    const fate = pick(this.#fates.snapshots, name)
    if (fate === 'ready at once') this.#after(1, becomeReady)
    if (fate === 'ready slowly') this.#after(400, becomeReady)
    if (fate === 'ready too late') this.#after(601, becomeReady)
    if (fate === 'ready after errors') {
      this.#after(5, () => set({ readyToUse: false, error: { message: 'the array is busy' } }))
      this.#after(60, becomeReady)
    }
  }
}

const runningPod: Pod['status'] = { phase: 'Running', containerStatuses: [running('dump'), running('mover')] }

function podName({ metadata }: Job, attempt: number): string {
  return `${metadata.name}-${attempt}`
}

function taskOf(job: Job) {
  const mover = job.spec.template.spec.containers.find(({ name }) => name === 'mover')
  return parseMoverTask(mover?.env?.find(({ name }) => name === moverEnvironment.task)?.value ?? '')
}

function hasCondition(job: Job, type: string): boolean {
  return job.status?.conditions?.some(condition => condition.type === type && condition.status === 'True') ?? false
}

function isCronJob({ kind }: { readonly kind: string }): boolean {
  return kind === 'CronJob'
}

function newestFirst(jobs: readonly Job[], outcome: (typeof outcomes)[number]): readonly Job[] {
  return jobs.filter(job => hasCondition(job, outcome)).toSorted((a, b) => (a.metadata.name < b.metadata.name ? 1 : -1))
}

function isOver(job: Job): boolean {
  return hasCondition(job, 'Complete') || hasCondition(job, 'Failed')
}

function pick<T>(from: readonly T[], name: string): T {
  const index = Number.parseInt(nameHash(name).slice(-6), 36) % from.length
  const chosen = from[index]
  if (chosen === undefined) throw new Error('there are no fates to choose from')
  return chosen
}
