import type { Client } from '../client/client.ts'
import { realClock } from '../clock.ts'
import type { Clock } from '../clock.ts'
import { isAlreadyExists, isConflict, isNotFound } from '../client/errors.ts'
import { silentLog } from '../log.ts'
import type { Log } from '../log.ts'
import type { KubeObject, Resource } from '../client/resource.ts'
import { jittered } from '../client/retry.ts'

export const leases: Resource = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
}

/** Times are MicroTime strings with six digits and stay strings: a Date would cut them. */
export type LeaseObject = KubeObject & {
  readonly spec?: {
    readonly holderIdentity?: string
    readonly leaseDurationSeconds?: number
    readonly acquireTime?: string
    readonly renewTime?: string
    readonly leaseTransitions?: number
  }
}

/** client-go's defaults: others take over 15 s after the last renewal they saw, the holder gives up 10 s after its own. */
const durationMs = 15_000
const renewDeadlineMs = 10_000
const retryMs = 2000
/** One hung call must leave time for others before the deadline. */
const callTimeoutMs = 4000

export type LeaseOptions = {
  /** Not a fenced one: this is what the fence stands on. */
  readonly client: Pick<Client, 'get' | 'create' | 'replace'>
  readonly namespace: string
  readonly name: string
  /** Unique per process, not only per pod: a restarted process is another candidate. */
  readonly identity: string
  readonly clock?: Clock
  readonly log?: Log
  readonly onChange?: (held: boolean) => void
}

/**
 * Leader election on a Lease, by compare-and-swap of its resourceVersion and on monotonic time alone: no clock of another
 * machine and no jump of our own decides anything.
 *
 * {@link isHeld} turns false by itself, without a timer, so that a process that was stopped and continued finds it false
 * before anything else runs. The 5 s between giving up and being replaced are for requests that are already on their way.
 * That is not fencing by the server (nothing here is): writes must also be safe by fixed names and resourceVersions.
 */
export class Lease {
  readonly #options: LeaseOptions
  readonly #clock: Clock
  readonly #log: Log
  /** The last version that the server showed, and when this process first saw it. */
  #seen: { readonly lease: LeaseObject; readonly atMs: number } | undefined
  /** Monotonic; counted from before the request that renewed. */
  #heldUntilMs = Number.NEGATIVE_INFINITY

  constructor(options: LeaseOptions) {
    this.#options = options
    this.#clock = options.clock ?? realClock
    this.#log = (options.log ?? silentLog).child({ lease: `${options.namespace}/${options.name}` })
  }

  /** Give this to `client.fenced`. */
  isHeld(): boolean {
    return this.#clock.monotonic() < this.#heldUntilMs
  }

  /**
   * Waits to lead, then runs `work`, whose signal aborts at a stop and at a loss.
   * `lost`: exit the process now; `work` may not have ended. `stopped`: `work` ended and the lease is free for the next.
   */
  async run(signal: AbortSignal, work: (leading: AbortSignal) => Promise<void>): Promise<'stopped' | 'lost'> {
    if (!(await this.#acquire(signal))) return 'stopped'
    this.#log.info({ identity: this.#options.identity }, 'leading')
    this.#options.onChange?.(true)
    const lost = new AbortController()
    const ended = new AbortController()
    const working = Promise.try(work, AbortSignal.any([signal, lost.signal]))
    const renewing = this.#renewUntilLost(ended.signal)
    try {
      const first = await Promise.race([working.then(() => 'stopped' as const), renewing])
      if (first === 'stopped') {
        ended.abort()
        await renewing
        await this.#release()
        return 'stopped'
      }
      this.#log.error({}, 'the leader lease was lost')
      lost.abort(new Error('the leader lease was lost'))
      working.catch((err: unknown) => this.#log.warn({ err }, 'work ended by the loss of the lease'))
      return 'lost'
    } catch (error) {
      ended.abort()
      await renewing
      await this.#release()
      throw error
    } finally {
      this.#heldUntilMs = Number.NEGATIVE_INFINITY
      this.#options.onChange?.(false)
    }
  }

  async #acquire(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      try {
        if ((await this.#attempt(signal)) === 'held') return true
      } catch (err) {
        if (signal.aborted) break
        this.#log.warn({ err }, 'cannot reach for the leader lease, trying again')
      }
      const [pauseMs, freeInMs] = [jittered(retryMs * 1.5), this.#freeInMs()]
      await this.#clock.wait(freeInMs > 0 ? Math.min(pauseMs, freeInMs) : pauseMs, signal).catch(() => {})
    }
    return false
  }

  /** Resolves to `lost`, or to `ended` when the signal aborts. */
  async #renewUntilLost(ended: AbortSignal): Promise<'lost' | 'ended'> {
    for (;;) {
      // The deadline may come in the middle of the pause, and then counts as of then.
      const pauseMs = Math.min(retryMs, this.#heldUntilMs - this.#clock.monotonic())
      await this.#clock.wait(pauseMs, ended).catch(() => {})
      if (ended.aborted) return 'ended'
      // Nobody may have taken it yet, but from here on somebody may: renewing now would race with their first write.
      if (!this.isHeld()) return 'lost'
      try {
        // Not cut off by the end: a renewal that the server has done and we have not heard of could not be released.
        if ((await this.#attempt()) === 'taken') return 'lost'
      } catch (err) {
        this.#log.warn({ err }, 'cannot renew the leader lease, trying again')
      }
    }
  }

  /** One try to take or to renew. */
  async #attempt(signal?: AbortSignal): Promise<'held' | 'taken'> {
    const startMs = this.#clock.monotonic()
    const { client, namespace, name, identity } = this.#options
    return this.#withTimeout(signal, async options => {
      // The holder knows the current version from its own last write, and needs no read.
      const ours = this.#seen?.lease.spec?.holderIdentity === identity ? this.#seen.lease : undefined
      const current = ours ?? (await client.get<LeaseObject>(leases, namespace, name, options))
      if (current !== undefined) this.#see(current)
      if (current !== undefined && !this.#isFree(current)) return 'taken'
      try {
        const written = await (current === undefined
          ? client.create(leases, this.#claim(undefined), options)
          : client.replace(leases, this.#claim(current), options))
        this.#see(written)
        this.#heldUntilMs = startMs + renewDeadlineMs
        return 'held'
      } catch (error) {
        // Somebody was faster, or our own last write arrived without its answer: only a fresh look can tell.
        if (isConflict(error) || isAlreadyExists(error) || isNotFound(error)) this.#seen = undefined
        else throw error
      }
      const fresh = await client.get<LeaseObject>(leases, namespace, name, options)
      if (fresh !== undefined) this.#see(fresh)
      const holder = fresh?.spec?.holderIdentity ?? ''
      if (holder !== '' && holder !== identity) return 'taken'
      throw new Error('the lease changed while it was written')
    })
  }

  #see(lease: LeaseObject): void {
    if (this.#seen?.lease.metadata.resourceVersion === lease.metadata.resourceVersion) return
    this.#seen = { lease, atMs: this.#clock.monotonic() }
  }

  /** Free: ours, nobody's, or not renewed for its duration, counted from when we first saw this version. */
  #isFree({ spec }: LeaseObject): boolean {
    const holder = spec?.holderIdentity ?? ''
    return holder === '' || holder === this.#options.identity || this.#freeInMs() <= 0
  }

  /** Until the lease that was seen has run out, when nobody renews it. */
  #freeInMs(): number {
    if (!this.#seen) return Number.POSITIVE_INFINITY
    const { lease, atMs } = this.#seen
    return atMs + (lease.spec?.leaseDurationSeconds ?? durationMs / 1000) * 1000 - this.#clock.monotonic()
  }

  #claim(current: LeaseObject | undefined): LeaseObject {
    const { namespace, name, identity } = this.#options
    const now = microTime(this.#clock.now())
    const renewed = current?.spec?.holderIdentity === identity
    const transitions = current?.spec?.leaseTransitions ?? 0
    return {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: current?.metadata ?? { namespace, name },
      spec: {
        ...current?.spec,
        holderIdentity: identity,
        leaseDurationSeconds: durationMs / 1000,
        renewTime: now,
        ...(renewed ? {} : { acquireTime: now, leaseTransitions: current === undefined ? 0 : transitions + 1 }),
      },
    }
  }

  /** Empties the lease, so that the next candidate need not wait for it to run out. */
  async #release(): Promise<void> {
    const lease = this.#seen?.lease
    if (lease?.spec?.holderIdentity !== this.#options.identity || !this.isHeld()) return
    const now = microTime(this.#clock.now())
    const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: now, acquireTime: now }
    try {
      await this.#withTimeout(undefined, options =>
        this.#options.client.replace<LeaseObject>(leases, { ...lease, spec }, options),
      )
      this.#log.info({}, 'released the leader lease')
    } catch (err) {
      this.#log.warn({ err }, 'cannot release the leader lease: the next leader has to wait for it to run out')
    }
  }

  async #withTimeout<T>(
    signal: AbortSignal | undefined,
    call: (options: { readonly signal: AbortSignal; readonly attempts: number }) => Promise<T>,
  ): Promise<T> {
    const timeout = new AbortController()
    const cancel = this.#clock.timer(callTimeoutMs, () => timeout.abort(new Error('no answer in time')))
    try {
      const both = signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal])
      return await call({ signal: both, attempts: 1 })
    } finally {
      cancel()
    }
  }
}

function microTime(date: Date): string {
  return date.toISOString().replace('Z', '000Z')
}
