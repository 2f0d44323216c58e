import { createHash } from 'node:crypto'
import type { Client } from './client/client.ts'
import { realClock } from './clock.ts'
import type { Clock } from './clock.ts'
import { isAlreadyExists, isNotFound } from './client/errors.ts'
import { silentLog } from './log.ts'
import type { Log } from './log.ts'
import { keyOf } from './client/resource.ts'
import type { KubeObject, Resource } from './client/resource.ts'

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
/** The API server's limit for core/v1 is 1024 characters. */
const longestMessageBytes = 1024

/**
 * Tells people what happened to an object. The same thing told again raises the count of the same Event, also after a
 * restart, because the name is a hash of what is told. Recording never throws and never waits: events are best effort.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions
  readonly #clock: Clock
  readonly #log: Log
  readonly #pending = new Map<string, Pending>()
  /** Event name → the count that the server has. */
  readonly #known = new Map<string, number>()
  readonly #buckets = new Map<string, { readonly tokens: number; readonly atMs: number }>()
  #writing: Promise<void> | undefined

  constructor(options: EventRecorderOptions) {
    this.#options = options
    this.#clock = options.clock ?? realClock
    this.#log = options.log ?? silentLog
  }

  record(object: KubeObject, { type, reason, message }: EventNote): void {
    const note = { type, reason, message: cut(message, longestMessageBytes) }
    const name = nameOf(object, note)
    const now = this.#clock.now()
    const waiting = this.#pending.get(name)
    if (waiting !== undefined) {
      this.#pending.set(name, { ...waiting, last: now, count: waiting.count + 1 })
      return
    }
    if (this.#pending.size >= mostPending || !this.#takeToken(object)) {
      this.#log.debug({ object: keyOf(object), reason }, 'an event was dropped: too many of them')
      return
    }
    this.#pending.set(name, { object, note, first: now, last: now, count: 1 })
    this.#writing ??= this.#writeAll()
  }

  /** Resolves when everything recorded so far is written or given up. */
  async flush(): Promise<void> {
    await this.#writing
  }

  async #writeAll(): Promise<void> {
    // Lets a burst of the same event within one turn become one write.
    await Promise.resolve()
    for (;;) {
      const next = this.#pending.entries().next()
      if (next.done === true) {
        // At once: what is recorded after this look must start another.
        this.#writing = undefined
        return
      }
      const [name, pending] = next.value
      this.#pending.delete(name)
      try {
        remember(this.#known, name, await this.#write(name, pending), mostKnown)
      } catch (err) {
        this.#log.warn({ err, object: keyOf(pending.object), reason: pending.note.reason }, 'an event was not written')
      }
    }
  }

  /** The count that the server has afterwards. */
  async #write(name: string, pending: Pending): Promise<number> {
    const known = this.#known.get(name)
    if (known !== undefined) {
      try {
        return await this.#raise(name, pending, known)
      } catch (error) {
        // The API server drops events after an hour.
        if (!isNotFound(error)) throw error
      }
    }
    try {
      await this.#options.client.create(events, this.#eventOf(name, pending))
      return pending.count
    } catch (error) {
      if (!isAlreadyExists(error)) throw error
    }
    // Told before a restart: patching the time alone returns the count, without the right to read events.
    const { count = 1 } = await this.#patch(name, pending, { lastTimestamp: seconds(pending.last) })
    return this.#raise(name, pending, count)
  }

  async #raise(name: string, pending: Pending, known: number): Promise<number> {
    const count = known + pending.count
    await this.#patch(name, pending, { count, lastTimestamp: seconds(pending.last) })
    return count
  }

  #patch(name: string, { object }: Pending, body: object): Promise<EventObject> {
    return this.#options.client.patch<EventObject>(events, namespaceOf(object), name, { kind: 'merge', body })
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
