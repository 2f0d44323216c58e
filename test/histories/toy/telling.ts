// One telling of a story, and what must hold at every write in it.
import assert from 'node:assert/strict'
import type { Backup } from '../../../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import type { KubernetesObject, VolumeSnapshot } from '../../../src/api/kubernetes.ts'
import { annotation, label } from '../../../src/api/labels.ts'
import { cronJobName, slotOfJobName } from '../../../src/api/names.ts'
import { addSeconds, earliest, latest, timeOf } from '../../../src/schedule/times.ts'
import {
  at,
  backup,
  claim,
  jobStrategy,
  policy,
  snapshotClass,
  snapshotStrategy,
  stamp,
  volumeOf,
} from '../../plan/world.ts'
import { presetStrategy } from '../../plan/preset-world.ts'
import { ToyApiServer, type Write } from './api-server.ts'
import { ToyKube } from './kube.ts'
import { limits } from './snapshot-controller.ts'
import { ToyOperator, type Death, type Watch } from './operator.ts'
import { targets, workloads, type Spec, type Step, type Story } from './stories.ts'

export const name = 'nightly'

/** What a story needs of an operator. */
export type Operator = Pick<ToyOperator, 'isAwake' | 'settle'> & {
  snapshotApi: boolean
  /** What a preset finds; of replicas nobody tells stories of presets. */
  workloads?: readonly string[]
  readonly wakeAt: Date | undefined
}
/** So long a person leaves the CronJob alone once it was put back. */
const personSeconds = 1800

type MakeOperator = (server: ToyApiServer, watch: Watch, death: Death | undefined) => Operator

const oneProcess: MakeOperator = (server, watch, death) => new ToyOperator(server, name, watch, death)

/** One telling of a story. */
export class Telling {
  readonly server = new ToyApiServer(at('00:10'))
  readonly kube: ToyKube
  readonly operator: Operator
  /** Slots for which the operator made a Backup, and the names of those. */
  readonly recorded = new Set<string>()
  readonly #recordedNames = new Set<string>()
  #spec: Spec
  #suspended = false
  #operatorUp = true
  #lag = 0
  /** Before this nothing may fire. */
  #changed: Date
  /** The clock that an operator has last seen, and its `#changed`: what is changed and changed back unseen is no change. */
  #seen: { readonly clock: string; readonly changed: Date } | undefined
  #sequence = 0
  /** When the operator wrote the CronJob last, other than its status. */
  #cronJobWritten: Date | undefined
  /** Numbers of backups to keep that the operator has seen, each with when it last did, and until when it applies for that (F64). */
  #numbers: { readonly keep: number; readonly until: Date | undefined }[] = []

  /** `operator`: who does its work, where it is not one process that may die once. */
  constructor({ spec, fates }: Story, death?: Death, operator: MakeOperator = oneProcess) {
    this.#spec = spec
    this.#changed = this.server.now
    this.kube = new ToyKube(this.server, fates)
    this.operator = operator(this.server, { onWrite: (...about) => this.#check(...about) }, death)
    this.operator.workloads = workloads
    this.#createPolicy()
    this.server.create('volumesnapshotclasses', snapshotClass('class-1'))
    this.#setClaims(targets)
  }

  /** Of one target. */
  recordedOf(target: string): ReadonlySet<string> {
    const slots = [...this.#recordedNames].map(each => slotOfJobName(each, cronJobName(name, target)))
    return new Set(slots.flatMap(slot => (slot ? [stamp(slot)] : [])))
  }

  /** Jobs that came and went without the operator, and of which the bucket tells nothing either. */
  unseenJobs(): readonly string[] {
    return this.kube.cron.forgotten.filter(job => !this.#recordedNames.has(job))
  }

  /**
   * The operator came back to a history that was full of Jobs that it did not know: before the oldest of them Jobs may have been
   * forgotten, and nobody can know any more which slots ran.
   */
  unknownBefore: Date | undefined

  #comeToHistory(): void {
    for (const kept of this.kube.cron.fullHistories()) {
      if (kept.some(({ metadata }) => this.#recordedNames.has(metadata.name))) continue
      const slots = kept.map(({ metadata }) =>
        slotOfJobName(metadata.name, metadata.ownerReferences?.[0]?.name ?? cronJobName(name)),
      )
      this.unknownBefore = latest(this.unknownBefore, earliest(...slots))
    }
  }

  async tell(steps: readonly Step[]): Promise<void> {
    await this.#now()
    for (const step of steps) {
      if (step.do === 'wait') await this.#wait(step.seconds)
      else this.#take(step)
      await this.#now()
    }
  }

  /** Everything works, and goes on until whatever runs has ended. */
  async end(seconds: number): Promise<void> {
    this.kube.cron.up = true
    this.#operatorUp = true
    this.#lag = 0
    await this.#now()
    await this.#wait(seconds)
  }

  async #wait(seconds: number): Promise<void> {
    const until = addSeconds(this.server.now, seconds)
    while (this.server.now < until) {
      const wake = this.#operatorUp ? this.operator.wakeAt : undefined
      const next = earliest(this.kube.next(), wake, until) ?? until
      this.server.now = next > this.server.now ? next : this.server.now
      await this.#now()
    }
  }

  async #now(): Promise<void> {
    this.kube.step()
    while (this.#operatorUp && this.operator.isAwake()) {
      this.#comeToHistory()
      await this.operator.settle(this.#lag)
      const policyNow = this.server.get('backuppolicies', name)
      this.#seen = policyNow && { clock: clockOf(policyNow.spec), changed: this.#changed }
      this.#seeNumber(policyNow?.spec.retention)
      this.kube.step()
    }
  }

  /** What was in force until now goes on for an hour. */
  #seeNumber(keep: number | undefined): void {
    const { now } = this.server
    const ended = this.#numbers.map(each =>
      each.keep === keep || each.until ? each : { ...each, until: addSeconds(now, 3600) },
    )
    const known = keep === undefined || ended.some(each => each.keep === keep && !each.until)
    this.#numbers = [...ended, ...(known ? [] : [{ keep, until: undefined }])]
  }

  #take(step: Exclude<Step, { readonly do: 'wait' }>): void {
    const { server, kube } = this
    switch (step.do) {
      case 'operator':
        this.#operatorUp = step.up
        return
      case 'cron controller':
        kube.cron.up = step.up
        return
      case 'lag':
        this.#lag = step.passes
        return
      case 'edit':
        this.#spec = { ...this.#spec, ...step.spec }
        return this.#editPolicy()
      case 'suspend':
        this.#suspended = step.value
        return this.#editPolicy()
      case 'delete policy':
        server.delete('backuppolicies', name)
        return
      case 'create policy':
        if (!server.get('backuppolicies', name)) this.#createPolicy()
        return
      case 'back up now': {
        const made = backup(
          `now-${++this.#sequence}`,
          step.target === undefined ? {} : { spec: { target: step.target } },
        )
        server.create('backups', { ...made, metadata: { name: made.metadata.name } })
        return
      }
      case 'delete': {
        const some = sorted(server.all(step.what))
        const chosen = some[step.nth % some.length]
        if (chosen) server.delete(step.what, chosen.metadata.name)
        return
      }
      case 'annotate': {
        const some = sorted(server.all('backups'))
        const chosen = some[step.nth % some.length]
        if (chosen)
          server.update('backups', chosen.metadata.name, current => ({
            ...current,
            metadata: {
              ...current.metadata,
              annotations: { ...current.metadata.annotations, [annotation[step.which]]: step.value },
            },
          }))
        return
      }
      case 'workloads':
        this.operator.workloads = step.names
        return
      case 'claims':
        return this.#setClaims(step.names)
      case 'claim phase':
        return this.#setPhase(targets[0], step.phase)
      case 'classes':
        for (const { metadata } of server.all('volumesnapshotclasses'))
          server.delete('volumesnapshotclasses', metadata.name)
        for (let i = 1; i <= step.count; i++) server.create('volumesnapshotclasses', snapshotClass(`class-${i}`))
        return
      case 'snapshot API':
        this.operator.snapshotApi = step.installed
        // Objects go with their CRDs.
        if (!step.installed)
          for (const { metadata } of server.all('volumesnapshots')) server.remove('volumesnapshots', metadata.name)
        return
      case 'store':
        kube.bucket.usable = step.usable
        return
      case 'lose a stored run': {
        const runs = [...kube.bucket.runs.keys()].sort()
        const chosen = runs[step.nth % runs.length]
        if (chosen !== undefined) kube.bucket.runs.delete(chosen)
        return
      }
      case 'suspend the CronJob by hand':
        // Whoever edits it again and again is no person: he waits (`changed-cron-job.test.ts`), and the plan does not come to rest.
        if (this.#cronJobWritten && server.now < addSeconds(this.#cronJobWritten, personSeconds)) return
        for (const { metadata } of server.all('cronjobs'))
          server.update('cronjobs', metadata.name, current => ({
            ...current,
            spec: { ...current.spec, suspend: true },
          }))
    }
  }

  #policySpec(): BackupPolicy['spec'] {
    const { strategy, ...spec } = this.#spec
    const strategySpec = strategy === 'snapshot' ? { ...snapshotStrategy, snapshot: limits } : jobStrategy
    const made = policy({
      ...spec,
      suspend: this.#suspended,
      activeDeadlineSeconds: 1800,
      backoffLimit: 1,
      strategy: strategySpec,
    }).spec
    return strategy === 'preset' ? { ...made, strategy: presetStrategy(made.strategy) } : made
  }

  #createPolicy(): void {
    const made = policy()
    this.server.create('backuppolicies', {
      ...made,
      metadata: { name: made.metadata.name },
      spec: this.#policySpec(),
    })
    this.#changed = this.server.now
    this.#seen = undefined
    this.#numbers = []
  }

  #editPolicy(): void {
    const spec = this.#policySpec()
    this.server.update('backuppolicies', name, current => {
      if (clockOf(spec) === this.#seen?.clock) this.#changed = this.#seen.changed
      else if (clockOf(spec) !== clockOf(current.spec)) this.#changed = this.server.now
      const { generation = 1 } = current.metadata
      return { ...current, spec, metadata: { ...current.metadata, generation: generation + 1 } }
    })
  }

  #setClaims(names: readonly string[]): void {
    for (const { metadata } of this.server.all('persistentvolumeclaims'))
      if (!names.includes(metadata.name)) this.server.delete('persistentvolumeclaims', metadata.name)
    for (const each of names)
      if (!this.server.get('persistentvolumeclaims', each)) {
        this.server.create('persistentvolumeclaims', claim(each))
        this.#setPhase(each, 'Bound')
        const volume = volumeOf(each)
        if (!this.server.get('persistentvolumes', volume.metadata.name)) this.server.create('persistentvolumes', volume)
      }
  }

  #setPhase(of: string, phase: 'Bound' | 'Pending' | 'Lost'): void {
    this.server.update('persistentvolumeclaims', of, current => ({
      ...current,
      status: { phase },
    }))
  }

  #check({ verb, plural, name: object }: Write, before: KubernetesObject | undefined, body: object | undefined): void {
    if (verb === 'create' && plural === 'backups') this.#checkNewBackup(body as Backup, before !== undefined)
    if (verb === 'update' && plural === 'cronjobs') this.#cronJobWritten = this.server.now
    if (verb === 'delete' && plural === 'volumesnapshots' && before) this.#checkPruning(before as VolumeSnapshot)
    if (verb === 'delete' && plural === 'backups' && before) this.#checkForgetting(before as Backup)
    if (verb === 'update' && plural === 'backups') {
      this.#checkVerdict(body as Backup)
      this.#checkHold(body as Backup, before as Backup | undefined)
    }
    if (verb === 'delete' && plural === 'jobs' && before) {
      if (before.metadata.labels?.[label.role] !== 'run') return
      const committed = this.kube.bucket.runs.has(object)
      const backupOf = this.server.all('backups').find(({ status }) => status?.run === object)
      assert.ok(!committed || backupOf?.status?.phase, `Job ${object} was deleted before its success was recorded`)
    }
  }

  /** Pods outlive their Job by their grace period: nothing is known of a run before they have ended. */
  #checkVerdict({ metadata, status }: Backup): void {
    if (status?.phase !== 'Failed' || status.reason !== 'JobDeleted') return
    const going = this.server
      .all('pods')
      .filter(pod => pod.metadata.labels?.['batch.kubernetes.io/job-name'] === status.run)
      .find(pod => pod.status?.phase === 'Running')
    assert.equal(going?.metadata.name, undefined, `Backup ${metadata.name} is Failed, but a pod of its run goes on`)
  }

  /** F63: what holds is where the data are, before anybody says so. */
  #checkHold({ metadata, status }: Backup, before: Backup | undefined): void {
    const saysHeld = (each: Backup['status']) =>
      each?.conditions?.some(({ type, status: value }) => type === 'Held' && value === 'True') ?? false
    if (!saysHeld(status) || saysHeld(before?.status)) return
    const isLabelled = (of: string) => this.server.get('volumesnapshots', of)?.metadata.labels?.[label.hold] === 'true'
    const children = this.server
      .all('backups')
      .filter(each => each.metadata.ownerReferences?.some(({ uid }) => uid === metadata.uid))
      .flatMap(each => each.status?.snapshot?.name ?? [])
      .filter(of => this.server.get('volumesnapshots', of)?.metadata.deletionTimestamp === undefined)
    const held = status?.snapshot
      ? isLabelled(status.snapshot.name)
      : this.kube.bucket.holds.has(status?.run ?? '') || (children.length > 0 && children.every(isLabelled))
    assert.ok(held, `Backup ${metadata.name} says that it is held, and nothing holds its data`)
  }

  #checkNewBackup(made: Backup, exists: boolean): void {
    const slot = timeOf(made.spec.slot)
    if (!slot || exists) return
    this.recorded.add(stamp(slot))
    this.#recordedNames.add(made.metadata.name)
    const isRun =
      this.server.get('jobs', made.metadata.name) !== undefined || this.kube.bucket.runs.has(made.metadata.name)
    assert.ok(
      isRun || slot >= this.#changed,
      `slot ${stamp(slot)} fired at ${stamp(this.server.now)}, after a change at ${stamp(this.#changed)}`,
    )
  }

  /** F38, F39, F45: what goes has enough good ones that are newer; what was never good does not count. F67: nor does it go for being slow. */
  #checkPruning(snapshot: VolumeSnapshot): void {
    const failed = (each: VolumeSnapshot) => {
      const of = this.server
        .all('backups')
        .find(({ metadata }) => metadata.name === each.metadata.annotations?.[annotation.backup])
      return of?.status?.phase === 'Failed'
    }
    const good = (each: VolumeSnapshot) =>
      each.status?.readyToUse === true && !each.metadata.deletionTimestamp && !failed(each)
    const slow = snapshot.status?.creationTime !== undefined && !snapshot.status.error && !failed(snapshot)
    // Where the policy is gone, what is not ready is ended with its run.
    if (!good(snapshot) && !(slow && this.server.get('backuppolicies', name))) return
    const policyNow = this.server.get('backuppolicies', name)
    // What a restore has made of a content names no claim.
    const targetOf = ({ metadata, spec }: VolumeSnapshot) =>
      spec.source.persistentVolumeClaimName ?? metadata.labels?.[label.target]
    const others = this.server
      .all('volumesnapshots')
      .filter(each => targetOf(each) === targetOf(snapshot) && each !== snapshot && good(each))
    const of = this.server
      .all('backups')
      .find(({ metadata }) => metadata.name === snapshot.metadata.annotations?.[annotation.backup])
    const parent = this.server
      .all('backups')
      .find(({ metadata }) => of?.metadata.ownerReferences?.some(({ uid }) => uid === metadata.uid))
    for (const each of [of, parent])
      assert.notEqual(each?.metadata.annotations?.[annotation.hold], 'true', `${snapshot.metadata.name} is held`)
    assert.ok(policyNow, `${snapshot.metadata.name} is good and was deleted without a policy`)
    // What is slow has no newer snapshots to wait for once the policy has strategy job.
    const stored = !good(snapshot) && policyNow.spec.strategy.type === 'job' ? this.kube.bucket.runs.size : 0
    const left = others.length + stored
    assert.ok(
      left >= policyNow.spec.retention,
      `${snapshot.metadata.name} is good and was deleted, although only ${left} others are good`,
    )
    const larger = this.#numbers.find(({ keep, until }) => until && this.server.now < until && left < keep)
    assert.equal(
      larger,
      undefined,
      `${snapshot.metadata.name} was deleted at ${stamp(this.server.now)}, and the number before applies: ${left} others`,
    )
  }

  /** A Backup that succeeded is forgotten only when its data are gone. */
  #checkForgetting({ metadata, status }: Backup): void {
    if (status?.phase !== 'Completed' && status?.phase !== 'Deleting') return
    if (status.run === undefined) return
    const there = status.snapshot
      ? this.server.get('volumesnapshots', status.snapshot.name) !== undefined
      : this.kube.bucket.runs.has(status.run)
    assert.ok(!there, `Backup ${metadata.name} was deleted although its data are there`)
  }
}

function clockOf({ schedule, timeZone, suspend, strategy }: BackupPolicy['spec']): string {
  return [schedule, timeZone, suspend, strategy.type].join()
}

function sorted(objects: readonly KubernetesObject[]): readonly KubernetesObject[] {
  return objects.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
}
