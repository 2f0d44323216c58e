import { createHash } from 'node:crypto'
import type { Client } from './client/client.ts'
import { realClock } from './clock.ts'
import type { Clock } from './clock.ts'
import { isAlreadyExists, isNotFound } from './client/errors.ts'
import { silentLog } from './log.ts'
import type { Log } from './log.ts'
import { keyOf } from './client/resource.ts'
import type { KubeObject, Resource } from './client/resource.ts'
import { FairLines } from './work/fair-lines.ts'

/** core/v1 Events: the ones that `kubectl describe` shows. The recorder needs the verbs create and patch on them. */
export const events: Resource = { group: '', version: 'v1', plural: 'events', kind: 'Event', namespaced: true }

export type EventNote = { readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string }

export type EventRecorderOptions = {
  readonly client: Pick<Client, 'create' | 'patch'>
  /** Who reports: the program, and which process of it. */
  readonly component: string
  readonly instance: string
  readonly clock?: Clock
  readonly log?: Log
}

type EventObject = KubeObject & { readonly count?: number }
type Pending = {
  readonly object: KubeObject
  readonly note: EventNote
  readonly first: Date
  readonly last: Date
  readonly count: number
}

/** Per object, as client-go: a burst, then one event in five minutes. */
const burst = 25
const refillMs = 300_000
/** Bounds on memory; what falls out is only remembered less well. */
const mostObjects = 4096
const mostKnown = 4096
const mostPending = 1000
/** At once, in different namespaces, one of which may be a slow one. */
const mostWriters = 2
/** A namespace in which the last write took longer is a slow one. */
const slowWriteMs = 1_000
/** Shorter than a webhook may take, which is 10 s by default: nothing waits for an event but the next one. */
const longestWriteMs = 5_000
/** A process that ends has ten seconds for everything, and its lease to give back. */
const longestFlushMs = 3_000
/** The API server's limit for core/v1 is 1024 characters. */
const longestMessageBytes = 1024

/**
 * Tells people what happened to an object. The same thing told again raises the count of the same Event, also after a
 * restart, because the name is a hash of what is told. Recording never throws and never waits: events are best effort.
 * Where they are slow to write, or many, is one namespace's own misfortune (S19).
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions
  readonly #clock: Clock
  readonly #log: Log
  readonly #pending = new FairLines<Pending>(mostPending)
  /** Event name → the count that the server has. */
  readonly #known = new Map<string, number>()
  readonly #buckets = new Map<string, { readonly tokens: number; readonly atMs: number }>()
  #writers = 0
  readonly #underWay = new Set<AbortController>()
  /** Resolves when the last writer ends. */
  #idle: PromiseWithResolvers<void> | undefined

  constructor(options: EventRecorderOptions) {
    this.#options = options
    this.#clock = options.clock ?? realClock
    this.#log = options.log ?? silentLog
  }

  record(object: KubeObject, { type, reason, message }: EventNote): void {
    const note = { type, reason, message: cut(message, longestMessageBytes) }
    const [line, name] = [namespaceOf(object), nameOf(object, note)]
    const now = this.#clock.now()
    const waiting = this.#pending.get(line, name)
    if (waiting !== undefined) {
      this.#pending.put(line, name, { ...waiting, last: now, count: waiting.count + 1 })
      return
    }
    const pending = { object, note, first: now, last: now, count: 1 }
    const dropped = this.#takeToken(object) ? this.#pending.put(line, name, pending) : pending
    if (dropped !== undefined) {
      const about = { object: keyOf(dropped.object), reason: dropped.note.reason }
      this.#log.debug(about, 'an event was dropped: too many of them')
    }
    this.#startWriter()
  }

  /** Resolves when everything recorded so far is written or given up, which is what becomes of the rest after a while. */
  async flush(): Promise<void> {
    if (this.#writers === 0) return
    this.#idle ??= Promise.withResolvers()
    const cancel = this.#clock.timer(longestFlushMs, () => this.#giveUp())
    try {
      await this.#idle.promise
    } finally {
      cancel()
    }
  }

  #giveUp(): void {
    this.#log.warn({ events: this.#pending.size }, 'events were not written: there is no more time for them')
    this.#pending.clear()
    for (const write of this.#underWay) write.abort(new Error('there is no more time for it'))
  }

  #startWriter(): void {
    if (this.#pending.size === 0 || this.#writers >= mostWriters) return
    this.#writers++
    void this.#writeAll()
  }

  async #writeAll(): Promise<void> {
    // Lets a burst of the same event within one turn become one write.
    await Promise.resolve()
    for (let turn = this.#pending.take(); turn !== undefined; turn = this.#pending.take()) {
      // Another may have ended while this line was the only one.
      this.#startWriter()
      const start = this.#clock.monotonic()
      await this.#writeInTime(turn.key, turn.value)
      this.#pending.done(turn.line, this.#clock.monotonic() - start > slowWriteMs ? 'slow' : 'quick')
    }
    // At once: what is recorded after this look must start another.
    if (--this.#writers > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }

  async #writeInTime(name: string, pending: Pending): Promise<void> {
    const write = new AbortController()
    const seconds = longestWriteMs / 1000
    const cancel = this.#clock.timer(longestWriteMs, () => write.abort(new Error(`not written within ${seconds} s`)))
    this.#underWay.add(write)
    try {
      remember(this.#known, name, await this.#write(name, pending, write.signal), mostKnown)
    } catch (err) {
      this.#log.warn({ err, object: keyOf(pending.object), reason: pending.note.reason }, 'an event was not written')
    } finally {
      cancel()
      this.#underWay.delete(write)
    }
  }

  /** The count that the server has afterwards. */
  async #write(name: string, pending: Pending, signal: AbortSignal): Promise<number> {
    const known = this.#known.get(name)
    if (known !== undefined) {
      try {
        return await this.#raise(name, pending, known, signal)
      } catch (error) {
        // The API server drops events after an hour.
        if (!isNotFound(error)) throw error
      }
    }
    try {
      await this.#options.client.create(events, this.#eventOf(name, pending), { signal })
      return pending.count
    } catch (error) {
      if (!isAlreadyExists(error)) throw error
    }
    // Told before a restart: patching the time alone returns the count, without the right to read events.
    const { count = 1 } = await this.#patch(name, pending, { lastTimestamp: seconds(pending.last) }, signal)
    return this.#raise(name, pending, count, signal)
  }

  async #raise(name: string, pending: Pending, known: number, signal: AbortSignal): Promise<number> {
    const count = known + pending.count
    await this.#patch(name, pending, { count, lastTimestamp: seconds(pending.last) }, signal)
    return count
  }

  #patch(name: string, { object }: Pending, body: object, signal: AbortSignal): Promise<EventObject> {
    return this.#options.client.patch<EventObject>(
      events,
      namespaceOf(object),
      name,
      { kind: 'merge', body },
      { signal },
    )
  }

  #eventOf(name: string, { object, note, first, last, count }: Pending): EventObject {
    const { component, instance } = this.#options
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace: namespaceOf(object) },
      involvedObject: {
        apiVersion: object.apiVersion,
        kind: object.kind,
        namespace: object.metadata.namespace,
        name: object.metadata.name,
        uid: object.metadata.uid,
        resourceVersion: object.metadata.resourceVersion,
      },
      ...note,
      count,
      firstTimestamp: seconds(first),
      lastTimestamp: seconds(last),
      source: { component },
      reportingComponent: component,
      reportingInstance: cut(instance, 128),
    }
    return event
  }

  #takeToken(object: KubeObject): boolean {
    const key = object.metadata.uid ?? `${object.kind} ${keyOf(object)}`
    const now = this.#clock.monotonic()
    const bucket = this.#buckets.get(key) ?? { tokens: burst, atMs: now }
    const tokens = Math.min(burst, bucket.tokens + (now - bucket.atMs) / refillMs)
    const allowed = tokens >= 1
    remember(this.#buckets, key, { tokens: allowed ? tokens - 1 : tokens, atMs: now }, mostObjects)
    return allowed
  }
}

/** Events of objects without a namespace live in `default`, as kubectl expects. */
function namespaceOf(object: KubeObject): string {
  return object.metadata.namespace ?? 'default'
}

function nameOf(object: KubeObject, { type, reason, message }: EventNote): string {
  const { name, namespace, uid } = object.metadata
  const told = JSON.stringify([object.apiVersion, object.kind, namespace, name, uid, type, reason, message])
  const hash = createHash('sha256').update(told).digest('hex').slice(0, 16)
  // Some kinds allow names that are no DNS names; an Event's name must be one.
  const readable = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
  return readable === '' ? hash : `${readable.slice(0, 200).replace(/-+$/, '')}.${hash}`
}

/** At most `bytes` of UTF-8, cut between letters, with an ellipsis where something is missing. */
export function cut(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text
  const ellipsis = '…'
  let size = Buffer.byteLength(ellipsis)
  let kept = ''
  for (const letter of text) {
    size += Buffer.byteLength(letter)
    if (size > bytes) break
    kept += letter
  }
  return kept + ellipsis
}

function seconds(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z')
}

function remember<V>(map: Map<string, V>, key: string, value: V, most: number): void {
  map.delete(key)
  map.set(key, value)
  for (const oldest of map.keys()) {
    if (map.size <= most) break
    map.delete(oldest)
  }
}
