import type { Resource, KubeObject } from './resource.ts'
import type { ClientConfig } from './config.ts'
import type { Clock } from './clock.ts'
import type { Log } from './log.ts'
import type { WatchEvent } from './watch.ts'

export type CallOptions = { readonly signal?: AbortSignal }
export type Selection = {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
}
export type Patch =
  | { readonly kind: 'merge'; readonly body: object }
  | { readonly kind: 'json'; readonly body: readonly object[] }
  | { readonly kind: 'apply'; readonly body: object; readonly fieldManager: string; readonly force?: boolean }
export type DeleteOptions = CallOptions & {
  readonly uid?: string
  readonly resourceVersion?: string
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground'
}
export type RequestSample = {
  readonly verb: string
  readonly resource: string
  readonly code: string
  readonly seconds: number
}
export type RawRequest = CallOptions & {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly body?: unknown
  readonly contentType?: string
}

export declare class Client {
  constructor(
    config: ClientConfig,
    options?: { readonly clock?: Clock; readonly log?: Log; readonly onRequest?: (sample: RequestSample) => void },
  )
  get<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    options?: CallOptions,
  ): Promise<T | undefined>
  list<T extends KubeObject>(
    resource: Resource,
    options?: Selection & CallOptions & { readonly limit?: number; readonly metadataOnly?: boolean },
  ): Promise<{ readonly items: readonly T[]; readonly resourceVersion: string }>
  create<T extends KubeObject>(resource: Resource, object: T, options?: CallOptions): Promise<T>
  replace<T extends KubeObject>(
    resource: Resource,
    object: T,
    options?: CallOptions & { readonly subresource?: string },
  ): Promise<T>
  patch<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    patch: Patch,
    options?: CallOptions & { readonly subresource?: string },
  ): Promise<T>
  /** false when there was nothing to delete. */
  delete(resource: Resource, namespace: string | undefined, name: string, options?: DeleteOptions): Promise<boolean>
  /** Parsed JSON of the answer. */
  request(request: RawRequest): Promise<unknown>
  watch(
    resource: Resource,
    options: Selection & {
      readonly signal: AbortSignal
      readonly query?: Readonly<Record<string, string>>
      readonly metadataOnly?: boolean
    },
  ): AsyncGenerator<WatchEvent>
  /** The same client, checking `allowed` before each attempt of a mutating request: throws FencedError. */
  fenced(allowed: () => boolean): Client
  close(): Promise<void>
}
