import { keyFrom, keyOf } from '../client/resource.ts'
import type { KubeObject } from '../client/resource.ts'
import { isLaterVersion } from './resource-version.ts'

/** What happened to one object between two looks at it; several changes may have become one. */
export type Change<T> = {
  readonly type: 'added' | 'modified' | 'deleted'
  readonly key: string
  /** The new state; the last known one when deleted. */
  readonly object: T
  readonly previous?: T
}

/** `absent`: the server does not know the resource (its CRD is not installed). That is a fact about the cluster, not a failure. */
export type StoreState = 'syncing' | 'synced' | 'absent'

/** How a store is read. Objects are shared by all readers: nobody may change them. */
export type Cache<T extends KubeObject> = Pick<
  Store<T>,
  'state' | 'lastSeen' | 'lastError' | 'size' | 'get' | 'list' | 'byIndex' | 'subscribe' | 'onState' | 'settled'
>

/** Under which values an index finds an object. */
export type Indexer<T> = (object: T) => Iterable<string>

export type StoreOptions<T> = {
  readonly indexes?: Readonly<Record<string, Indexer<T>>>
  /** Keeps less of each object, whoever brings it: a watch, a list, or the answer to a write. What it gave it may get again. */
  readonly pick?: (object: T) => T
  /** A listener or an indexer threw. The store goes on: one reader's fault must not blind the others. */
  readonly onError?: (error: unknown, key: string) => void
}

/** A write is answered long before so many other objects have gone. */
const removedKept = 10_000

/** The last known state of the objects of one resource. Written by one reflector (or a test), read by controllers. */
export class Store<T extends KubeObject> {
  readonly #objects = new Map<string, T>()
  readonly #indexes = new Map<string, { readonly of: Indexer<T>; readonly keys: Map<string, Set<string>> }>()
  readonly #listeners = new Set<(change: Change<T>) => void>()
  readonly #stateListeners = new Set<() => void>()
  readonly #onError: (error: unknown, key: string) => void
  readonly #pick: (object: T) => T
  readonly #settled = Promise.withResolvers<void>()
  /** UIDs of the objects that went last. */
  readonly #removed = new Set<string>()
  #state: StoreState = 'syncing'
  #absentSince: number | undefined
  #backSince: number | undefined
  #lastSeen: number | undefined
  #lastError: unknown

  constructor({ indexes = {}, pick = object => object, onError = rethrowLater }: StoreOptions<T> = {}) {
    for (const [name, of] of Object.entries(indexes)) this.#indexes.set(name, { of, keys: new Map() })
    this.#onError = onError
    this.#pick = pick
  }

  /** What is kept of an object that the API server sent. `managedFields` is most of many, and nobody here reads it. */
  picked(object: KubeObject): T {
    const { managedFields: _, ...metadata } = object.metadata as KubeObject['metadata'] & { managedFields?: unknown }
    return this.#pick({ ...object, metadata } as T)
  }

  get state(): StoreState {
    return this.#state
  }

  /** Monotonic milliseconds of the first answer, of those in a row, that the server does not know the resource; undefined while it does. */
  get absentSince(): number | undefined {
    return this.#absentSince
  }

  /** Monotonic milliseconds of the first answer after the server did not know the resource; undefined before that, and while it does not. */
  get backSince(): number | undefined {
    return this.#backSince
  }

  /** Monotonic milliseconds of the last that the server told, if only that nothing has changed; undefined before the first. */
  get lastSeen(): number | undefined {
    return this.#lastSeen
  }

  /** Why the last attempt to follow the server failed; undefined once it has told anything since. */
  get lastError(): unknown {
    return this.#lastError
  }

  get size(): number {
    return this.#objects.size
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(keyFrom(namespace, name))
  }

  list(namespace?: string): readonly T[] {
    const all = [...this.#objects.values()]
    return namespace === undefined ? all : all.filter(object => object.metadata.namespace === namespace)
  }

  byIndex(index: string, value: string): readonly T[] {
    const entry = this.#indexes.get(index)
    if (entry === undefined) throw new TypeError(`the store has no index named ${index}`)
    return [...(entry.keys.get(value) ?? [])].flatMap(key => this.#objects.get(key) ?? [])
  }

  /** Tells every later change, after replaying what is there as `added`. Returns the way to stop. */
  subscribe(listener: (change: Change<T>) => void): () => void {
    this.#listeners.add(listener)
    for (const [key, object] of this.#objects) this.#tell(listener, { type: 'added', key, object })
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /**
   * Tells every later change of `state`, once the objects are those of the new one. An empty resource that appears changes no object,
   * and is news all the same. Returns the way to stop.
   */
  onState(listener: () => void): () => void {
    this.#stateListeners.add(listener)
    return () => {
      this.#stateListeners.delete(listener)
    }
  }

  /** Resolves when the first sync is over, with whatever it found; rejects when the signal aborts first. */
  async settled(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (signal === undefined) return this.#settled.promise
    const aborted = Promise.withResolvers<void>()
    const onAbort = (): void => aborted.reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await Promise.race([this.#settled.promise, aborted.promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /**
   * The whole truth of one moment, as picked: what is not among `objects` was deleted.
   * @param monotonicMs when the server told it
   */
  replace(objects: Iterable<T>, monotonicMs?: number): void {
    if (this.#state === 'absent') this.#backSince = monotonicMs
    this.#absentSince = undefined
    this.#replace(objects, 'synced')
  }

  /** The server does not serve the resource, so no object of it exists. */
  markAbsent(monotonicMs: number): void {
    this.#absentSince ??= monotonicMs
    this.#backSince = undefined
    this.#replace([], 'absent')
  }

  #replace(objects: Iterable<T>, state: StoreState): void {
    const next = new Map<string, T>()
    for (const object of objects) next.set(keyOf(object), object)
    const changed = this.#state !== state
    this.#state = state
    for (const key of this.#objects.keys()) if (!next.has(key)) this.#drop(key)
    for (const object of next.values()) this.#seen(object)
    this.#settled.resolve()
    if (changed) for (const listener of this.#stateListeners) listener()
  }

  /**
   * What the watch tells. It may tell of a version after an answer has told of a later one, or of another object with that name: what is
   * known must not go back even for a moment.
   */
  set(object: T): void {
    if (!this.#isOvertaken(object)) this.#seen(object)
  }

  /** The watch tells that an object has gone: as it was last, with the version of its end. */
  remove(object: KubeObject): void {
    if (!this.#isOvertaken(object)) this.#drop(keyOf(object))
  }

  #isOvertaken(told: KubeObject): boolean {
    const known = this.#objects.get(keyOf(told))
    return isLaterVersion(known?.metadata.resourceVersion, told.metadata.resourceVersion)
  }

  /** It is there, whatever was said of it before: a selector, or a server without its kind for a while, may have taken it away. */
  #seen(object: T): void {
    this.#removed.delete(object.metadata.uid ?? '')
    this.#put(object)
  }

  #put(object: T): void {
    const key = keyOf(object)
    const previous = this.#objects.get(key)
    if (previous !== undefined && previous.metadata.uid !== object.metadata.uid) {
      // Deleted and created again while nobody looked: two different objects that share a name.
      this.#drop(key)
      this.#put(object)
      return
    }
    const version = object.metadata.resourceVersion
    if (previous !== undefined && version !== undefined && previous.metadata.resourceVersion === version) return
    if (previous !== undefined) this.#unindex(key, previous)
    this.#objects.set(key, object)
    this.#index(key, object)
    this.#tellAll(previous === undefined ? { type: 'added', key, object } : { type: 'modified', key, object, previous })
  }

  /**
   * What the server answered to a writer, perhaps before the watch tells of it, perhaps long after: nothing orders the two. An object
   * that was deleted since must not come back, and one that has changed since must not go back: the watch has told that change, and
   * may never tell of the object again.
   * @returns whether it was news
   */
  offer(object: T): boolean {
    const { uid = '', resourceVersion } = object.metadata
    const known = this.#objects.get(keyOf(object))
    if (this.#removed.has(uid)) return false
    if (known && !isLaterVersion(resourceVersion, known.metadata.resourceVersion)) return false
    this.#put(this.picked(object))
    return true
  }

  #drop(key: string): void {
    const object = this.#objects.get(key)
    if (object === undefined) return
    this.#remember(object.metadata.uid ?? '')
    this.#unindex(key, object)
    this.#objects.delete(key)
    this.#tellAll({ type: 'deleted', key, object, previous: object })
  }

  markSeen(monotonicMs: number): void {
    this.#lastSeen = monotonicMs
    this.#lastError = undefined
  }

  markFailed(error: unknown): void {
    this.#lastError = error
  }

  #remember(uid: string): void {
    this.#removed.add(uid)
    const [oldest] = this.#removed
    if (this.#removed.size > removedKept && oldest !== undefined) this.#removed.delete(oldest)
  }

  #index(key: string, object: T): void {
    for (const { of, keys } of this.#indexes.values()) {
      for (const value of this.#values(of, key, object)) {
        const set = keys.get(value) ?? new Set()
        keys.set(value, set.add(key))
      }
    }
  }

  #unindex(key: string, object: T): void {
    for (const { of, keys } of this.#indexes.values()) {
      for (const value of this.#values(of, key, object)) {
        const set = keys.get(value)
        set?.delete(key)
        if (set?.size === 0) keys.delete(value)
      }
    }
  }

  #values(of: Indexer<T>, key: string, object: T): readonly string[] {
    try {
      return [...of(object)]
    } catch (error) {
      this.#onError(error, key)
      return []
    }
  }

  #tellAll(change: Change<T>): void {
    for (const listener of this.#listeners) this.#tell(listener, change)
  }

  #tell(listener: (change: Change<T>) => void, change: Change<T>): void {
    try {
      listener(change)
    } catch (error) {
      this.#onError(error, change.key)
    }
  }
}

/** Where nobody asked for the errors they end the process instead of vanishing. */
function rethrowLater(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}
