import type { Client } from '../client/client.ts'
import { realClock } from '../clock.ts'
import type { Clock } from '../clock.ts'
import { ApiError, isGone, isInvalid, isNotFound, isResourceVersionTooLarge } from '../client/errors.ts'
import { silentLog } from '../log.ts'
import type { Log } from '../log.ts'
import { keyOf, resourceName } from '../client/resource.ts'
import type { Selection } from '../client/requests.ts'
import type { KubeObject, Resource } from '../client/resource.ts'
import { jittered } from '../client/retry.ts'
import { Store } from './store.ts'
import type { Indexer } from './store.ts'

export type ReflectorTimings = {
  /** The server is asked to end each watch after a random time between these two; whole seconds. */
  readonly watchSeconds: readonly [number, number]
  /** A watch that has not ended by now is dead: its packets go nowhere. */
  readonly deadMs: number
  /** A stream that lived this long shows that the server is well: the backoff starts anew, and its end in good order counts as seen. */
  readonly healthyMs: number
  readonly firstBackoffMs: number
  readonly longestBackoffMs: number
  /** How often a resource that the server does not know is asked for again. */
  readonly absentMs: number
}

const defaultTimings: ReflectorTimings = {
  watchSeconds: [45, 55],
  deadMs: 60_000,
  healthyMs: 10_000,
  firstBackoffMs: 500,
  longestBackoffMs: 30_000,
  absentMs: 10_000,
}

/** Why a reflector started over. `ended`: the server closed the watch in good order, as asked. */
export type RestartReason = 'ended' | 'dead' | 'gone' | 'absent' | 'error'

export type ReflectorOptions<T extends KubeObject> = Selection & {
  readonly client: Pick<Client, 'list' | 'watch'>
  readonly resource: Resource
  readonly indexes?: Readonly<Record<string, Indexer<T>>>
  /** Of the Store. */
  readonly pick?: (object: T) => T
  readonly clock?: Clock
  readonly log?: Log
  readonly timings?: Partial<ReflectorTimings>
  readonly onRestart?: (reason: RestartReason) => void
}

/** The bookmark that ends the initial events of a WatchList (KEP-3157). */
const initialEventsEnd = 'k8s.io/initial-events-end'
/** After so many failures in a row the known resourceVersion itself is suspected. */
const failuresBeforeRelist = 5
/** The same for watches that lasted and told nothing: the sync comes after two of `deadMs`, before the alert calls the cache blind. */
const silencesBeforeRelist = 2

/**
 * Keeps a Store equal to what the API server has: one sync, then watches that each take up where the last one ended.
 * Whatever goes wrong is retried for ever; the store keeps its last state meanwhile and says so by `lastError`.
 */
export class Reflector<T extends KubeObject> {
  readonly resource: Resource
  readonly store: Store<T>
  readonly #options: ReflectorOptions<T>
  readonly #clock: Clock
  readonly #log: Log
  readonly #timings: ReflectorTimings
  /** Where the next watch starts; undefined: sync first. */
  #resourceVersion: string | undefined
  #watchListWorks = true
  #failures = 0
  /** Watches that lasted and then broke off, since the server told anything. */
  #silences = 0
  /** When the watch was asked for, or its initial events were complete: a sync that takes long does not show that the server is well. */
  #watchingSince = Number.POSITIVE_INFINITY

  constructor(options: ReflectorOptions<T>) {
    const { resource, indexes, pick, clock = realClock, log = silentLog } = options
    this.resource = resource
    this.#options = options
    this.#clock = clock
    this.#log = log.child({ resource: resourceName(resource) })
    this.#timings = { ...defaultTimings, ...options.timings }
    this.store = new Store<T>({
      ...(indexes === undefined ? {} : { indexes }),
      ...(pick === undefined ? {} : { pick }),
      onError: (err, key) => this.#log.error({ err, object: key }, 'a listener or an index failed on a change'),
    })
  }

  /** Runs until the signal aborts, and then resolves. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#watchingSince = Number.POSITIVE_INFINITY
      let reason: RestartReason
      try {
        reason = (await this.#follow(signal)) ? 'dead' : 'ended'
        this.#afterStream(reason)
      } catch (error) {
        if (signal.aborted) break
        reason = this.#afterError(error)
      }
      this.#options.onRestart?.(reason)
      const delayMs = reason === 'absent' ? this.#timings.absentMs : this.#backoffMs()
      if (delayMs > 0) await this.#clock.wait(jittered(delayMs), signal).catch(() => {})
    }
  }

  /** A stream that ends at once, however politely, must not become a storm. */
  #afterStream(reason: 'dead' | 'ended'): void {
    this.#failures = this.#lasted() ? 0 : this.#failures + 1
    if (reason === 'dead') this.#silences++
    this.#suspect()
  }

  #afterError(error: unknown): RestartReason {
    if (isNotFound(error)) {
      if (this.store.state !== 'absent')
        this.#log.info({}, 'the API server does not serve this resource; waiting for it')
      this.#resourceVersion = undefined
      this.#failures = 0
      this.store.markAbsent(this.#clock.monotonic())
      this.#heard()
      return 'absent'
    }
    const lasted = this.#lasted()
    this.#failures = lasted ? 1 : this.#failures + 1
    if (lasted) this.#silences++
    this.#suspect()
    if (isGone(error) || isResourceVersionTooLarge(error)) {
      this.#resourceVersion = undefined
      this.#log.debug({ err: error }, 'the known resourceVersion is of no use any more, syncing again')
      return 'gone'
    }
    this.store.markFailed(error)
    this.#log.warn({ err: error, failures: this.#failures }, 'following the API server failed, trying again')
    return 'error'
  }

  #lasted(): boolean {
    return this.#clock.monotonic() - this.#watchingSince >= this.#timings.healthyMs
  }

  /** Failures enough, or silence, put the known resourceVersion itself under suspicion. */
  #suspect(): void {
    const failed = this.#failures > 0 && this.#failures % failuresBeforeRelist === 0
    if (!failed && this.#silences < silencesBeforeRelist) return
    this.#silences = 0
    this.#resourceVersion = undefined
  }

  /** That a watch is accepted says nothing: a server does so also where it cannot tell one object. */
  #heard(): void {
    this.#silences = 0
    this.store.markSeen(this.#clock.monotonic())
  }

  #backoffMs(): number {
    const { firstBackoffMs, longestBackoffMs } = this.#timings
    return this.#failures === 0 ? 0 : Math.min(firstBackoffMs * 2 ** (this.#failures - 1), longestBackoffMs)
  }

  /** Syncs if need be, and watches until the stream ends. True when it had to be cut off as dead. */
  async #follow(signal: AbortSignal): Promise<boolean> {
    if (this.#resourceVersion === undefined && !this.#watchListWorks) await this.#list(signal)
    const start = this.#clock.monotonic()
    const dead = new AbortController()
    const cancelTimer = this.#clock.timer(this.#timings.deadMs, () => dead.abort())
    try {
      await this.#stream(AbortSignal.any([signal, dead.signal]))
      return false
    } catch (error) {
      if (signal.aborted) throw error
      // Where watches are swallowed, or there is more to tell than fits into one, the next would not be complete either.
      const isSwallowed = this.#resourceVersion === undefined && !isRefusal(error)
      if (isSwallowed && this.#clock.monotonic() - start >= this.#timings.healthyMs)
        this.#useLists('a WatchList broke off before its initial events were complete')
      if (!dead.signal.aborted) throw error
      this.#log.warn({}, 'a watch did not end when it should have: its connection is dead, opening another')
      return true
    } finally {
      cancelTimer()
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client, namespace, labelSelector, fieldSelector } = this.#options
    const selection = { namespace, labelSelector, fieldSelector, signal }
    // Picked one by one: of a large cluster the whole objects of all pages would be most of what this process ever holds.
    const pick = (item: T): T => this.store.picked(item)
    const { items, resourceVersion } = await client.list<T>(this.resource, { ...selection, pick })
    this.store.replace(items, this.#clock.monotonic())
    this.#heard()
    this.#resourceVersion = resourceVersion
  }

  async #stream(signal: AbortSignal): Promise<void> {
    const { client, namespace, labelSelector, fieldSelector } = this.#options
    // Filled only by the initial events of a WatchList, which become the store at once when they are complete.
    let initial = this.#resourceVersion === undefined ? new Map<string, T>() : undefined
    if (initial === undefined) this.#watchingSince = this.#clock.monotonic()
    const query = {
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(this.#timeoutSeconds()),
      ...(initial === undefined
        ? { resourceVersion: this.#resourceVersion }
        : { sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan' }),
    }
    let openedMs = Number.POSITIVE_INFINITY
    const onOpen = (): void => {
      openedMs = this.#clock.monotonic()
    }
    const selection = { namespace, labelSelector, fieldSelector, query, signal, onOpen }
    try {
      for await (const { type, object } of client.watch(this.resource, selection)) {
        if (type === 'BOOKMARK') {
          if (initial !== undefined) {
            if (object.metadata.annotations?.[initialEventsEnd] !== 'true') continue
            this.store.replace(initial.values(), this.#clock.monotonic())
            initial = undefined
            this.#watchingSince = this.#clock.monotonic()
          }
        } else if (initial !== undefined) {
          if (type === 'DELETED') initial.delete(keyOf(object))
          else initial.set(keyOf(object), this.store.picked(object))
          continue
        } else if (type === 'DELETED') this.store.remove(object)
        else this.store.set(this.store.picked(object))
        this.#resourceVersion = object.metadata.resourceVersion
        this.#heard()
      }
      // The end that was asked for; on a quiet resource of a server without bookmarks it is all that comes.
      const lasted = this.#clock.monotonic() - openedMs >= this.#timings.healthyMs
      if (initial === undefined && lasted) this.#heard()
    } catch (error) {
      if (initial !== undefined && refusesWatchList(error)) this.#useLists('the API server has no WatchList')
      else throw error
    }
    if (initial !== undefined)
      this.#useLists('the API server ended a WatchList before its initial events were complete')
  }

  #useLists(why: string): void {
    if (this.#watchListWorks) this.#log.debug({}, `${why}, using paged lists from now on`)
    this.#watchListWorks = false
  }

  #timeoutSeconds(): number {
    const [least, most] = this.#timings.watchSeconds
    return Math.floor(least + Math.random() * (most - least + 1))
  }
}

/** Of the request itself, which is not how a server fails, or what is between. */
function isRefusal(error: unknown): boolean {
  return error instanceof ApiError && error.status < 500
}

/** 422 (feature gate off) and 400 (parameter unknown) are the two ways of saying that. */
function refusesWatchList(error: unknown): boolean {
  return isInvalid(error) || (error instanceof ApiError && error.status === 400)
}
