// What Kubernetes does around the operator, in memory: the CronJob controller, Jobs and their pods, snapshots, the garbage collector.
// What becomes of a run follows from its name alone, so that a crash of the operator changes no fate.
import type { Job, Pod, VolumeSnapshot } from '../../../src/api/kubernetes.ts'
import { label } from '../../../src/api/labels.ts'
import { encodeMoverMessage, catalogMessageLimit, type MoverMessage } from '../../../src/api/mover/message.ts'
import { exitCodeOf, isPermanent, type MoverReason } from '../../../src/api/mover/reasons.ts'
import { moverEnvironment } from '../../../src/api/mover/pod.ts'
import { parseMoverTask } from '../../../src/api/mover/task.ts'
import { nameHash, slotOfJobName } from '../../../src/api/names.ts'
import { addSeconds, timeOf } from '../../../src/schedule/times.ts'
import { ended, failedCreate, pod, running, saying, stamp, waiting } from '../../plan/world.ts'
import type { ToyApiServer } from './api-server.ts'
import { ToyBucket } from './bucket.ts'
import { isOver, ToyCronController } from './cron-controller.ts'
import { startSnapshot, type SnapshotFate } from './snapshot-controller.ts'

/** What becomes of a run of strategy job. */
export const jobFates = [
  'commits',
  'commits slowly',
  /** Its last request is on its way when the pod is told to stop. */
  'commits slowly, or when told to stop',
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

export type Fates = { readonly jobs: readonly JobFate[]; readonly snapshots: readonly SnapshotFate[] }

type Agenda = { readonly at: Date; readonly sequence: number; readonly happen: () => void }

export class ToyKube {
  readonly server: ToyApiServer
  readonly bucket = new ToyBucket()
  readonly cron: ToyCronController
  readonly #fates: Fates
  #agenda: Agenda[] = []
  #sequence = 0

  constructor(server: ToyApiServer, fates: Fates) {
    this.server = server
    this.cron = new ToyCronController(server)
    this.#fates = fates
  }

  /** When something happens next by itself. */
  next(): Date | undefined {
    const [first] = this.#agenda
    const slot = this.cron.nextSlot()
    return first && (!slot || first.at < slot) ? first.at : slot
  }

  /** Everything that is due now, until nothing is. */
  step(): void {
    for (;;) {
      this.#noticeNew()
      this.cron.sync()
      this.#noticeNew()
      const [first] = this.#agenda
      if (!first || first.at > this.server.now) break
      this.#agenda.shift()
      first.happen()
    }
    this.#noticeOrphans()
    this.server.collectGarbage(this.#leaving)
  }

  #after(seconds: number, happen: () => void): void {
    const item = { at: addSeconds(this.server.now, seconds), sequence: ++this.#sequence, happen }
    this.#agenda = [...this.#agenda, item].sort((a, b) => a.at.getTime() - b.at.getTime() || a.sequence - b.sequence)
  }

  readonly #noticed = new Set<string>()
  #noticeNew(): void {
    for (const job of this.server.all('jobs')) if (this.#isNew(job)) this.#startJob(job)
    for (const snapshot of this.server.all('volumesnapshots')) {
      if (this.#isNew(snapshot)) {
        const fate = pick(this.#fates.snapshots, snapshot.metadata.name)
        startSnapshot(this.server, snapshot, fate, (seconds, happen) => this.#after(seconds, happen))
      }
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

  /** Pods in their grace period. */
  readonly #leaving = new Set<string>()
  /** Jobs of runs by their uids, also when they are gone. */
  readonly #runs = new Map<string, Job>()
  #noticeOrphans(): void {
    for (const { metadata, status } of this.server.all('pods')) {
      const { name, uid = '', ownerReferences = [] } = metadata
      const job = this.#runs.get(ownerReferences[0]?.uid ?? '')
      if (!job || status?.phase !== 'Running' || this.#leaving.has(uid)) continue
      if (this.server.get('jobs', job.metadata.name)?.metadata.uid === job.metadata.uid) continue
      if (pick(this.#fates.jobs, job.metadata.name) !== 'commits slowly, or when told to stop') continue
      this.#leaving.add(uid)
      this.#after(10, () => {
        const message = this.bucket.usable ? this.#commit(job, false) : undefined
        if (!message) return
        const containerStatuses = [ended('dump', 0), ended('mover', 0, { message: encodeMoverMessage(message) })]
        this.server.update('pods', name, current => ({ ...current, status: { phase: 'Succeeded', containerStatuses } }))
      })
      this.#after(30, () => {
        if (this.server.get('pods', name)?.metadata.uid === uid) this.server.remove('pods', name)
      })
    }
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
    this.#runs.set(job.metadata.uid ?? '', job)
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
    const seconds = fate.startsWith('commits slowly') ? 1500 : 30
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
    return this.bucket.commit(
      { run: name, target: task.target, slot, jobUid: uid, startedAt, finishedAt, suspect },
      task,
    )
  }

  /** Probes, dry starts and catalog pages. */
  #answer(job: Job): void {
    const task = taskOf(job)
    const finishedAt = this.server.now.getTime()
    if (task.kind === 'start') {
      this.#setPod(job, 1, { phase: 'Succeeded', containerStatuses: [ended('dump', 0), ended('mover', 0)] })
      this.#complete(job)
      return
    }
    if (!this.bucket.usable) {
      const message = { phase: 'failed', reason: 'EndpointUnreachable', message: 'no answer', finishedAt } as const
      this.#setPod(job, 1, { phase: 'Failed', containerStatuses: [saying(message, 20)] })
      this.#fail(job, 'BackoffLimitExceeded')
      return
    }
    const message: MoverMessage =
      task.kind === 'catalog'
        ? { phase: 'done', finishedAt, catalog: this.bucket.page(task.target, task.cursor) }
        : task.kind === 'hold'
          ? this.bucket.hold(task)
          : { phase: 'done', finishedAt, probe: { conditionalPut: true, canList: true, canDelete: true } }
    const text = encodeMoverMessage(message, catalogMessageLimit)
    if (message.phase === 'failed') {
      this.#setPod(job, 1, { phase: 'Failed', containerStatuses: [ended('mover', 25, { message: text })] })
      return this.#fail(job, 'BackoffLimitExceeded')
    }
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
    const name = podName(job, attempt)
    this.server.create('pods', { ...made, metadata: { ...made.metadata, name, uid: undefined } })
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
}

const runningPod: Pod['status'] = { phase: 'Running', containerStatuses: [running('dump'), running('mover')] }

/** Pods of a Job may outlive it, and another one may have its name. */
function podName({ metadata }: Job, attempt: number): string {
  return `${metadata.name}-${metadata.uid?.split('/').at(-1)}-${attempt}`
}

function taskOf(job: Job) {
  const mover = job.spec.template.spec.containers.find(({ name }) => name === 'mover')
  return parseMoverTask(mover?.env?.find(({ name }) => name === moverEnvironment.task)?.value ?? '')
}

function pick<T>(from: readonly T[], name: string): T {
  const index = Number.parseInt(nameHash(name).slice(-6), 36) % from.length
  const chosen = from[index]
  if (chosen === undefined) throw new Error('there are no fates to choose from')
  return chosen
}
