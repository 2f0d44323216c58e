// Two processes of the operator that share a lease. One of them leads; it may hand over, die, or sleep in the middle of a write until the
// other has taken its place. The API server may refuse what they write.
import assert from 'node:assert/strict'
import { ConnectionError, FencedError, ApiError, WaitError } from '../../../src/runtime/client/errors.ts'
import { isAlreadyExists, isConflict, isNotFound } from '../../../src/runtime/client/errors.ts'
import { addSeconds } from '../../../src/schedule/times.ts'
import { stamp } from '../../plan/world.ts'
import { Crash, type Plural, type ToyApiServer, type Write } from './api-server.ts'
import type { Watch } from './operator.ts'
import { Replica, type AroundWrite } from './replica.ts'
import type { Story } from './stories.ts'
import { name, Telling, type Operator } from './telling.ts'

/** What may be refused: every kind of write that the operator makes. */
export type WriteKind = `${Write['verb']} ${Plural}`

export type Refusal = {
  readonly kind: WriteKind
  /**
   * A status of the API server; `no answer`: it obeys, and nobody hears of it; `silence`: it does not, and nobody hears of it for as long as
   * one waits.
   */
  readonly answer: 403 | 422 | 500 | 503 | 'no answer' | 'silence'
  /** How often; Infinity: for ever. */
  times: number
}

/** What happens to the leader at its n-th write from now (from 1). */
export type Trouble = {
  readonly atWrite: number
  /** Before which pass of its successor one that sleeps wakes up (from 0); at the latest when that has come to rest. */
  readonly wakesBefore: number
  readonly what:
    | 'dies before it'
    | 'dies after it'
    /** Its process stops, and goes on when another leads: the fence is down. */
    | 'sleeps before it'
    /** Its process stops when the request has left; the API server obeys when another leads already. */
    | 'sleeps with it on the way'
}

/** Of the lease (runtime/work/lease.ts): until then nobody leads. */
const leaseSeconds = 15
/** More passes than this at one instant are a loop, unless something is refused. */
const mostPasses = 12
/** A watch that says nothing for so long is taken up anew (docs/design.md R21): no cache is older. */
const longestSilenceSeconds = 60
/** How long the operator waits for an answer (controllers/shared/apply.ts). */
const silenceSeconds = 40
const firstBackoffSeconds = 5
const longestBackoffSeconds = 600

/** A story that is told to two processes of the operator. */
export function tellingWithReplicas(story: Omit<Story, 'steps'>): {
  readonly telling: Telling
  readonly operators: ToyReplicas
} {
  const made = (server: ToyApiServer, watch: Watch) => new ToyReplicas(server, name, watch)
  const telling = new Telling({ ...story, steps: [] }, undefined, made)
  return { telling, operators: telling.operator as ToyReplicas }
}

type Sleeper = { readonly wakesBefore: number; readonly wake: () => void; readonly ended: Promise<unknown> }

export class ToyReplicas implements Operator {
  readonly #server: ToyApiServer
  readonly #policy: string
  readonly #watch: Watch
  #leader: Replica | undefined
  #standby: Replica
  /** While nobody leads: when the lease runs out. */
  #leaseFreeAt: Date | undefined
  #trouble: (Trouble & { writesLeft: number }) | undefined
  #wakesBefore = 0
  #sleeper: Sleeper | undefined
  #refusals: readonly Refusal[] = []
  #settledAt = ''
  #backoffs = 0
  /** How often another process has taken the lead. */
  takeovers = 0
  refused = 0
  /** From the first refusal of a kind to the last. */
  readonly refusedWhile = new Map<WriteKind, { readonly from: Date; readonly to: Date }>()
  snapshotApi = true
  wakeAt: Date | undefined

  constructor(server: ToyApiServer, policy: string, watch: Watch) {
    this.#server = server
    this.#policy = policy
    this.#watch = watch
    this.#leader = this.#start()
    this.#standby = this.#start()
    this.#standbySyncedAt = server.now
  }

  // ── what a story does to them

  trouble(trouble: Trouble): void {
    this.#trouble = { ...trouble, writesLeft: trouble.atWrite }
  }

  /** The leader ends in order, and the lease is free at once. `behind`: what the other one knows is older than the last plan. */
  handOver(behind: boolean): void {
    if (this.#leader) this.#lead(behind)
  }

  refuse(refusal: Refusal): void {
    this.#refusals = [...this.#refusals, refusal]
  }

  /**
   * Nothing is refused any more, or only these kinds.
   * @returns whether that changes anything.
   */
  allowAllBut(kinds: readonly WriteKind[]): boolean {
    const stay = this.#refusals.filter(({ kind, times }) => times > 0 && kinds.includes(kind))
    const changes = this.#refusals.some(refusal => refusal.times > 0 && !stay.includes(refusal))
    this.#refusals = stay
    // While nobody leads there is nobody to wake.
    if (changes) this.wakeAt = this.#leaseFreeAt ?? this.#server.now
    return changes
  }

  /** No trouble is to come, and who sleeps wakes up. */
  async calm(): Promise<void> {
    this.#trouble = undefined
    await this.#wakeSleeper()
  }

  // ── what a story asks of an operator

  isAwake(): boolean {
    const { now } = this.#server
    if (this.#leaseFreeAt) return this.#leaseFreeAt <= now
    return this.#settledAt !== this.#state() || (this.wakeAt !== undefined && this.wakeAt <= now)
  }

  async settle(lag = 0): Promise<void> {
    if (this.#leaseFreeAt) this.#lead(lag > 0)
    else this.#syncStandby()
    const done: string[] = []
    for (let pass = 0; pass < mostPasses + lag; pass++) {
      const leader = this.#leader
      if (!leader) return
      // Its last write comes between two of its successor's, and no other does.
      if (pass === this.#sleeper?.wakesBefore) await this.#wakeSleeper()
      if (pass > lag || (pass === 0 && !this.#isBehind)) leader.sync(this.snapshotApi)
      const seesAll = pass >= lag && !this.#isBehind
      this.#isBehind = false
      const before = this.#state()
      const ended = await this.#pass(leader)
      done.push(ended.words)
      if (ended.what === 'sleeps' || ended.what === 'is dead') return this.#freeLease()
      if (ended.what === 'rests' && seesAll) {
        if (!this.#sleeper) return this.#rest(ended.wakeAt)
        await this.#wakeSleeper()
      }
      if (ended.what !== 'is refused') continue
      lag = 0
      if (before === this.#state()) return this.#backOff()
    }
    // What is refused for ever is tried for ever.
    if (this.#refusals.some(({ times }) => times > 0)) return this.#backOff()
    assert.fail(`at ${stamp(this.#server.now)} the plan never comes to rest:\n${done.join('\n')}`)
  }

  // ── the lease

  #isBehind = false
  /** When the watches of the one that waits delivered everything. */
  #standbySyncedAt: Date

  #syncStandby(): void {
    this.#standby.sync(this.snapshotApi)
    this.#standbySyncedAt = this.#server.now
  }

  #lead(behind: boolean): void {
    const silentSince = addSeconds(this.#server.now, -longestSilenceSeconds)
    this.#isBehind = behind && this.#standbySyncedAt >= silentSince
    this.#leader = this.#standby
    // A process that has lost the lease ends, and another starts in its place.
    this.#standby = this.#start()
    this.#leaseFreeAt = undefined
    this.#settledAt = ''
    this.#backoffs = 0
    this.takeovers++
  }

  #freeLease(): void {
    this.#leader = undefined
    this.#leaseFreeAt = addSeconds(this.#server.now, leaseSeconds)
    this.wakeAt = this.#leaseFreeAt
  }

  #start(): Replica {
    const around: AroundWrite = (write, make) => this.#around(replica, write, make)
    const replica: Replica = new Replica(this.#server, this.#policy, this.#watch, around)
    replica.sync(this.snapshotApi)
    return replica
  }

  // ── writes

  async #around<T>(writer: Replica, write: Write, make: () => Promise<T>): Promise<T> {
    const what = this.#troubleNow(writer)
    const request = `${write.verb} ${write.plural} ${write.name}`
    if (what === 'dies before it') throw new Crash(`before ${request}`)
    if (what === 'sleeps before it') await this.#sleep()
    // As the real client: what has not left does not leave when the lease is lost.
    if (writer !== this.#leader && what !== 'sleeps with it on the way') throw new FencedError(request)
    if (what === 'sleeps with it on the way') await this.#sleep()
    const answered = await this.#answer(writer, write, request, make)
    if (what === 'dies after it') throw new Crash(`after ${request}`)
    return answered
  }

  #troubleNow(writer: Replica): Trouble['what'] | undefined {
    const trouble = this.#trouble
    if (!trouble || writer !== this.#leader || --trouble.writesLeft > 0) return undefined
    this.#trouble = undefined
    this.#wakesBefore = trouble.wakesBefore
    return trouble.what
  }

  async #answer<T>(writer: Replica, write: Write, request: string, make: () => Promise<T>): Promise<T> {
    const refusal = this.#refusals.find(({ kind, times }) => times > 0 && kind === `${write.verb} ${write.plural}`)
    if (!refusal) return make()
    refusal.times--
    this.refused++
    const { now } = this.#server
    this.refusedWhile.set(refusal.kind, { from: this.refusedWhile.get(refusal.kind)?.from ?? now, to: now })
    if (typeof refusal.answer === 'number')
      throw new ApiError({ request, status: refusal.answer, reason: 'Refused', message: `no ${refusal.kind} today` })
    if (refusal.answer === 'silence') writer.wait(silenceSeconds)
    else await make()
    throw new ConnectionError(request, { cause: new Error('the connection was lost'), unsent: false })
  }

  /** Told to `#pass` by the promise, which it waits for beside the reconcile itself. */
  #fellAsleep = Promise.withResolvers<void>()
  #wake = Promise.withResolvers<void>()

  async #sleep(): Promise<void> {
    this.#fellAsleep.resolve()
    await this.#wake.promise
  }

  async #wakeSleeper(): Promise<void> {
    const sleeper = this.#sleeper
    this.#sleeper = undefined
    sleeper?.wake()
    await sleeper?.ended
  }

  // ── passes

  async #pass(leader: Replica): Promise<Pass> {
    this.#fellAsleep = Promise.withResolvers()
    this.#wake = Promise.withResolvers()
    const before = this.#state()
    const working = leader.reconcile().then(
      ({ what, wakeAt, retryAt }): Pass => ({
        // What stays refused for now is planned all the same, and so is what cannot be made while another object has its name.
        what:
          what.length === 0 || (before === this.#state() && (retryAt || what.every(isCreation))) ? 'rests' : 'works',
        words: what.join(', '),
        wakeAt,
      }),
      afterError,
    )
    const asleep = this.#fellAsleep.promise.then((): Pass => ({ what: 'sleeps', words: 'asleep', wakeAt: undefined }))
    const ended = await Promise.race([working, asleep])
    if (ended.what === 'sleeps') {
      await this.#wakeSleeper()
      this.#sleeper = { wakesBefore: this.#wakesBefore, wake: this.#wake.resolve, ended: working }
    }
    return ended
  }

  #rest(wakeAt: Date | undefined): void {
    this.wakeAt = wakeAt
    this.#settledAt = this.#state()
    this.#backoffs = 0
  }

  #backOff(): void {
    const seconds = Math.min(longestBackoffSeconds, firstBackoffSeconds * 2 ** this.#backoffs++)
    this.wakeAt = addSeconds(this.#server.now, seconds)
    this.#settledAt = this.#state()
  }

  #state(): string {
    return `${this.#server.version} ${this.snapshotApi}`
  }
}

function isCreation(action: string): boolean {
  return action.startsWith('create ')
}

type Pass = {
  readonly what: 'rests' | 'works' | 'sleeps' | 'is refused' | 'is dead'
  readonly words: string
  readonly wakeAt: Date | undefined
}

/** As the controller takes it (runtime/work/controller.ts). */
function afterError(error: unknown): Pass {
  const pass = (what: Pass['what']): Pass => ({
    what,
    words: `${what}: ${(error as Error).message}`,
    wakeAt: undefined,
  })
  if (error instanceof Crash) return pass('is dead')
  if (error instanceof WaitError || isConflict(error) || isAlreadyExists(error) || isNotFound(error))
    return pass('works')
  if (error instanceof ApiError || error instanceof ConnectionError || error instanceof FencedError)
    return pass('is refused')
  throw error
}
