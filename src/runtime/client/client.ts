import { realClock } from '../clock.ts'
import type { Clock } from '../clock.ts'
import type { ClientConfig } from './config.ts'
import { ApiError, FencedError, isGone, isNotFound } from './errors.ts'
import { silentLog } from '../log.ts'
import type { Log } from '../log.ts'
import { apiVersionOf, pathOf, resourceName } from './resource.ts'
import type { KubeObject, PathTarget, Resource } from './resource.ts'
import type {
  CallOptions,
  DeleteOptions,
  ListOptions,
  ObjectList,
  Patch,
  Query,
  RawRequest,
  RequestSample,
  Selection,
  WatchOptions,
  WriteOptions,
} from './requests.ts'
import { withRetries } from './retry.ts'
import { Transport, requestLine } from './transport.ts'
import type { Call } from './transport.ts'
import { watchEvents } from '../cache/watch.ts'
import type { WatchEvent } from '../cache/watch.ts'

export type ClientOptions = {
  readonly clock?: Clock
  readonly log?: Log
  readonly onRequest?: (sample: RequestSample) => void
}

type Verb = RequestSample['verb']

const metadataOnlyHeaders = { accept: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1' }

const patchContentTypes = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
} as const satisfies Record<Patch['kind'], string>

/** One change of a list between its pages restarts it; this often in a row means that something else is wrong. */
const listRestarts = 3

/** Calls to one API server. Objects come and go as raw JSON; the type parameters are the caller's claim about them. */
export class Client {
  readonly #transport: Transport
  readonly #options: Required<ClientOptions>
  readonly #allowed: () => boolean

  constructor(config: ClientConfig | Transport, options: ClientOptions = {}, allowed: () => boolean = () => true) {
    const { clock = realClock, log = silentLog, onRequest = () => {} } = options
    this.#options = { clock, log, onRequest }
    this.#transport = config instanceof Transport ? config : new Transport(config, clock, log)
    this.#allowed = allowed
  }

  /** The same connections, but every attempt of a write first asks `allowed`, and throws FencedError instead of leaving. */
  fenced(allowed: () => boolean): Client {
    return new Client(this.#transport, this.#options, () => this.#allowed() && allowed())
  }

  /** undefined when there is no such object (or no such resource). */
  async get<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    options: CallOptions = {},
  ): Promise<T | undefined> {
    try {
      return (await this.#send('get', 'GET', resource, { namespace, name }, options)) as T
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw error
    }
  }

  /** All objects of the selection, read in pages from one consistent moment. */
  async list<T extends KubeObject>(resource: Resource, options: ListOptions<T> = {}): Promise<ObjectList<T>> {
    for (let restarts = 0; ; restarts++) {
      try {
        return await this.#listPages<T>(resource, options)
      } catch (error) {
        if (!isGone(error) || restarts === listRestarts) throw error
      }
    }
  }

  async #listPages<T extends KubeObject>(resource: Resource, options: ListOptions<T>): Promise<ObjectList<T>> {
    const { pageSize = 500, metadataOnly = false, pick = item => item } = options
    const identity = { apiVersion: apiVersionOf(resource), kind: resource.kind }
    const items: T[] = []
    let cursor: string | undefined
    for (;;) {
      const query = { ...selectors(options), limit: String(pageSize), continue: cursor }
      const headers: Record<string, string> = metadataOnly ? metadataOnlyHeaders : {}
      const page = (await this.#send('list', 'GET', resource, options, { ...options, query, headers })) as {
        readonly items?: readonly T[] | null
        readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string }
      }
      // Items of a typed list carry no apiVersion and kind of their own; whoever gets one alone needs them.
      for (const item of page.items ?? []) items.push(pick({ ...item, ...identity }))
      cursor = page.metadata?.continue
      if (cursor === undefined || cursor === '') return { items, resourceVersion: page.metadata?.resourceVersion ?? '' }
    }
  }

  async create<T extends KubeObject>(resource: Resource, object: T, options: WriteOptions = {}): Promise<T> {
    const target = { namespace: object.metadata.namespace }
    const sending = { ...options, query: dryRunQuery(options), body: object }
    return (await this.#send('create', 'POST', resource, target, sending)) as T
  }

  /** With `metadata.resourceVersion` set, only over that very version. */
  async replace<T extends KubeObject>(
    resource: Resource,
    object: T,
    options: WriteOptions & { readonly subresource?: string } = {},
  ): Promise<T> {
    const { namespace, name } = object.metadata
    const target = { namespace, name, subresource: options.subresource }
    const sending = { ...options, query: dryRunQuery(options), body: object }
    return (await this.#send('update', 'PUT', resource, target, sending)) as T
  }

  async patch<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    patch: Patch,
    options: CallOptions & { readonly subresource?: string } = {},
  ): Promise<T> {
    const query =
      patch.kind === 'apply' ? { fieldManager: patch.fieldManager, force: String(patch.force ?? false) } : {}
    const target = { namespace, name, subresource: options.subresource }
    return (await this.#send('patch', 'PATCH', resource, target, {
      ...options,
      query,
      body: patch.body,
      headers: { 'content-type': patchContentTypes[patch.kind] },
      idempotent: patch.kind !== 'json',
    })) as T
  }

  /** False when there was nothing to delete. */
  async delete(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    options: DeleteOptions = {},
  ): Promise<boolean> {
    const { uid, resourceVersion, propagationPolicy } = options
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
      ...(uid === undefined && resourceVersion === undefined ? {} : { preconditions: { uid, resourceVersion } }),
    }
    try {
      await this.#send('delete', 'DELETE', resource, { namespace, name }, { ...options, body })
      return true
    } catch (error) {
      if (isNotFound(error)) return false
      throw error
    }
  }

  /** Any other path. Resolves to the parsed JSON, or to the text where the answer is not JSON. */
  async request({ method, path, query = {}, ...options }: RawRequest): Promise<unknown> {
    return this.#perform('raw', 'other', method, path + queryString(query), options)
  }

  /** One watch, from its first byte to its end; ends without an error when the server closes it. One attempt. */
  async *watch(resource: Resource, options: WatchOptions): AsyncGenerator<WatchEvent> {
    const path = pathOf(resource, options) + queryString({ ...selectors(options), ...options.query, watch: 'true' })
    const call = { method: 'GET', path, signal: options.signal } as const
    const stream = await this.#observed('watch', resourceName(resource), () => this.#transport.stream(call))
    options.onOpen?.()
    yield* watchEvents(stream.body, `watch ${resourceName(resource)}`)
  }

  /** See {@link Transport.serverTime}. */
  serverTime(): Date | undefined {
    return this.#transport.serverTime()
  }

  async close(): Promise<void> {
    await this.#transport.close()
  }

  #send(
    verb: Verb,
    method: Call['method'],
    resource: Resource,
    target: PathTarget,
    options: CallOptions & Sending & { readonly query?: Query },
  ): Promise<unknown> {
    const path = pathOf(resource, target) + queryString(options.query ?? {})
    return this.#perform(verb, resourceName(resource), method, path, options)
  }

  async #perform(
    verb: Verb,
    resource: string,
    method: Call['method'],
    path: string,
    options: CallOptions & Sending,
  ): Promise<unknown> {
    const { body, headers = {}, signal, attempts = 5, idempotent = method !== 'POST' } = options
    const call: Call = {
      method,
      path,
      headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
      guard: () => {
        if (method !== 'GET' && !this.#allowed()) throw new FencedError(requestLine(call))
      },
    }
    const answer = await withRetries({ idempotent, attempts, clock: this.#options.clock, signal }, () =>
      this.#observed(verb, resource, () => this.#transport.call(call)),
    )
    return answer.body
  }

  async #observed<T extends { readonly status: number }>(
    verb: Verb,
    resource: string,
    attempt: () => Promise<T>,
  ): Promise<T> {
    const { clock, onRequest } = this.#options
    const start = clock.monotonic()
    const finish = (code: string): void =>
      onRequest({ verb, resource, code, seconds: (clock.monotonic() - start) / 1000 })
    try {
      const answer = await attempt()
      finish(String(answer.status))
      return answer
    } catch (error) {
      finish(error instanceof ApiError ? String(error.status) : 'error')
      throw error
    }
  }
}

type Sending = {
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly idempotent?: boolean
}

function selectors({ labelSelector, fieldSelector }: Selection): Query {
  return { labelSelector, fieldSelector }
}

function dryRunQuery({ dryRun }: WriteOptions): Query {
  return { dryRun: dryRun ? 'All' : undefined }
}

function queryString(query: Query): string {
  const pairs = Object.entries(query).filter(
    (pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== '',
  )
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`
}
