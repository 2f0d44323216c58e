// One process of the operator on the toy API server: the real caches, observer, plans and writes; only watches and transport are toys.
import assert from 'node:assert/strict'
import { backupPolicyStatus } from '../../../src/api/kinds/backup-policy-status.ts'
import { isFinal } from '../../../src/api/kinds/backup-phases.ts'
import { backupStatus, type Backup } from '../../../src/api/kinds/backup.ts'
import type { BackupPolicy } from '../../../src/api/kinds/backup-policy.ts'
import type { KubernetesObject, VolumeSnapshot } from '../../../src/api/kubernetes.ts'
import { applyPlan, type ApplyContext } from '../../../src/controllers/shared/apply.ts'
import type { Caches } from '../../../src/controllers/shared/caches.ts'
import { createObserver, probesRunning, type Observer } from '../../../src/controllers/policy/observe.ts'
import { planPolicy } from '../../../src/plan/policy/policy.ts'
import { nothingUndone, type Action, type Plan } from '../../../src/plan/core/actions.ts'
import { RefusalMemory } from '../../../src/controllers/shared/refusals.ts'
import { actionsOf, does } from '../../plan/planned.ts'
import type { PolicyWorld } from '../../../src/plan/view/world.ts'
import { FakeClock } from '../../../src/runtime/fake-clock.ts'
import { isConflict, isNotFound, WaitError } from '../../../src/runtime/client/errors.ts'
import { silentLog } from '../../../src/runtime/log.ts'
import { all, found } from '../../plan/preset-world.ts'
import { namespace, settings, stamp } from '../../plan/world.ts'
import { Crash, toyClient, type Plural, type ToyApiServer, type Write } from './api-server.ts'
import { fillCaches, toyCaches } from './caches.ts'

/** More passes than this at one instant are a loop. */
const mostPasses = 12

/** When the process dies: at its n-th write, before or after that is done. */
export type Death = {
  readonly atWrite: number
  readonly when: 'before' | 'after'
  /** Kinds whose watches show its successor at first only what was before its last plan. */
  readonly behind: readonly Plural[]
}

export type Watch = {
  /** Each write of the operator, with what was there before. */
  readonly onWrite: (write: Write, before: KubernetesObject | undefined, body: object | undefined) => void
}

/** Nobody asks a toy to stop: it dies. */
export const never = new AbortController().signal

export class ToyOperator {
  readonly #server: ToyApiServer
  readonly #policy: string
  readonly #watch: Watch
  #death: Death | undefined
  #caches: Caches
  #observe: Observer
  #context: ApplyContext
  #settledAt = ''
  /** What it was refused dies with the process. */
  #memory = new RefusalMemory()
  writes = 0
  deaths = 0
  /** Whether the snapshot CRDs are installed. */
  snapshotApi = true
  /** The workloads that a preset finds. */
  workloads: readonly string[] = []
  /** When to look again, as the last plan said. */
  wakeAt: Date | undefined

  constructor(server: ToyApiServer, policy: string, watch: Watch, death?: Death) {
    this.#server = server
    this.#policy = policy
    this.#watch = watch
    this.#death = death
    ;({ caches: this.#caches, observe: this.#observe, context: this.#context } = this.#start())
  }

  #start() {
    const client = toyClient(this.#server, (write, before, body, run) => this.#around(write, before, body, run))
    const caches = toyCaches(client)
    const clock = new FakeClock(this.#server.now)
    clock.now = () => this.#server.now
    const monotonic = () => this.#server.now.getTime()
    clock.monotonic = monotonic
    const events = { record: () => {} } as unknown as ApplyContext['events']
    const context: ApplyContext = {
      client,
      caches,
      events,
      metrics: { observe: () => {}, observeRestore: () => {} },
      clock,
    }
    const find = () => all(this.workloads.map(each => found(each)))
    return { caches, context, observe: createObserver(caches, client, settings, clock, silentLog, find) }
  }

  #around(write: Write, before: KubernetesObject | undefined, body: object | undefined, run: () => void): void {
    const dies = this.#death && this.writes++ === this.#death.atWrite ? this.#death.when : undefined
    if (dies === 'before') throw new Crash('before a write')
    checkWrite(write, before, body)
    this.#watch.onWrite(write, before, body)
    run()
    if (dies === 'after') throw new Crash('after a write')
  }

  /** Something has changed since it came to rest, or it wanted to look again by now. */
  isAwake(): boolean {
    const { version, now } = this.#server
    return this.#settledAt !== `${version} ${this.snapshotApi}` || (this.wakeAt !== undefined && this.wakeAt <= now)
  }

  /** The watches deliver everything; of some kinds an earlier state, where a watch is behind. */
  #sync(behind: ReadonlyMap<string, readonly KubernetesObject[]> = new Map()): void {
    fillCaches(this.#caches, this.#server, this.snapshotApi, behind)
  }

  async plan(now: Date): Promise<Plan & { readonly world: PolicyWorld; readonly actions: readonly Action[] }> {
    const observed = await this.#observe(namespace, this.#policy, never)
    const world = { ...observed, probesRunning: probesRunning(this.#caches, now) }
    return { ...planWhole(world, now), world }
  }

  /**
   * What happens between two events: plan and apply until there is nothing to do, with the clock standing still.
   * @param lag in how many passes the watches deliver nothing: only its own writes are known to the operator.
   */
  async settle(lag = 0): Promise<void> {
    const done: string[] = []
    let behind: ReadonlyMap<string, readonly KubernetesObject[]> = new Map()
    for (let pass = 0; pass < mostPasses + lag; pass++) {
      if (pass === 0 || pass > lag) this.#sync(behind)
      const seesAll = behind.size === 0 && pass >= lag
      behind = new Map()
      const plan = await this.plan(this.#server.now)
      const { actions, wakeAt, world } = plan
      done.push(actions.map(does).join(' '))
      if (actions.length === 0 && seesAll) return this.#checkQuiet(wakeAt)
      const before = new Map(this.#death?.behind.map(plural => [plural, this.#server.all(plural)]))
      try {
        await applyPlan(this.#context, world, plan, this.#memory, silentLog, never)
      } catch (error) {
        if (error instanceof Crash) {
          this.deaths++
          behind = before
          lag = 0
          this.#memory = new RefusalMemory()
          ;({ caches: this.#caches, observe: this.#observe, context: this.#context } = this.#start())
        } else if (!isConflict(error) && !isNotFound(error) && !(error instanceof WaitError)) throw error
        else lag = 0
      }
    }
    assert.fail(`at ${stamp(this.#server.now)} the plan never comes to rest:\n${done.join('\n')}`)
  }

  /** Sees everything, plans and applies once: where something is refused or withheld it never comes to rest. */
  async pass(): Promise<void> {
    this.#sync()
    const plan = await this.plan(this.#server.now)
    await applyPlan(this.#context, plan.world, plan, this.#memory, silentLog, never)
  }

  /** At rest: it does not ask to be woken at once, and would have nothing to do if it were woken earlier (looked at now and then, for speed). */
  async #checkQuiet(wakeAt: Date | undefined): Promise<void> {
    this.wakeAt = wakeAt
    this.#settledAt = `${this.#server.version} ${this.snapshotApi}`
    if (!wakeAt || this.#server.version % 3 !== 0) return
    assert.ok(wakeAt > this.#server.now, 'a plan without actions wants to be looked at again at once')
    const earlier = new Date(wakeAt.getTime() - 1000)
    if (earlier <= this.#server.now) return
    const { actions } = await this.plan(earlier)
    const told = actions.map(action => JSON.stringify(action)).join('\n')
    assert.deepEqual(
      actions.map(does),
      [],
      `at ${stamp(earlier)} there was something to do, but the plan of ${stamp(this.#server.now)} asked to be woken at ${stamp(wakeAt)}: ${told}`,
    )
  }
}

/** The plan, with all that it does where nothing is refused. What it concludes then is concluded once, and not again when it is carried out. */
export function planWhole(world: PolicyWorld, now: Date): Plan & { readonly actions: readonly Action[] } {
  const { groups, wakeAt, conclude } = planPolicy(world, now)
  const conclusion = conclude(new Map())
  return {
    groups,
    wakeAt,
    conclude: (refused, undone = nothingUndone) =>
      refused.size + undone.taken.size + undone.putOff.size === 0 ? conclusion : conclude(refused, undone),
    actions: [...actionsOf(groups), ...conclusion],
  }
}

/** As the API server checks what is written; a field that the schema does not know would be dropped. */
const policyStatusShape = backupPolicyStatus.strict()
const backupStatusShape = backupStatus.strict()

/** What holds for every write, whatever the history. */
export function checkWrite(
  { verb, plural, name }: Write,
  before: KubernetesObject | undefined,
  body: object | undefined,
): void {
  if (verb === 'update' && plural === 'backuppolicies')
    assert.deepEqual(policyStatusShape.parse((body as BackupPolicy).status), (body as BackupPolicy).status)
  if (verb === 'update' && plural === 'backups') {
    const { status } = body as Backup
    backupStatusShape.parse(status)
    const was = (before as Backup | undefined)?.status?.phase
    if (isFinal(was) && was !== status?.phase)
      assert.equal(`${was} to ${status?.phase}`, 'Completed to Deleting', `the final phase of ${name} changed`)
  }
  if (verb === 'delete' && plural === 'volumesnapshots')
    assert.ok(before === undefined || isOurs(before as VolumeSnapshot), `${name} is not ours`)
}

function isOurs({ metadata }: VolumeSnapshot): boolean {
  return metadata.labels?.['app.kubernetes.io/managed-by'] === 'backup-operator'
}
