import type { KubeObject } from './resource.ts'
import type { Call } from './transport.ts'

export type CallOptions = {
  readonly signal?: AbortSignal
  /** Attempts in all, 5 unless said otherwise; see retry.ts for what is repeated. */
  readonly attempts?: number
}

/** `dryRun`: everything is checked, and nothing is written. */
export type WriteOptions = CallOptions & { readonly dryRun?: boolean }

/** Which objects of a resource. Without a namespace: those of all namespaces. */
export type Selection = {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
}

/** `apply` is server-side apply: `body` is the whole wish of `fieldManager`, with apiVersion and kind. */
export type Patch =
  | { readonly kind: 'merge'; readonly body: object }
  | { readonly kind: 'json'; readonly body: readonly object[] }
  | { readonly kind: 'apply'; readonly body: object; readonly fieldManager: string; readonly force?: boolean }

/** Preconditions: the object is deleted only while it still has this identity and version; otherwise 409. */
export type DeleteOptions = CallOptions & {
  readonly uid?: string
  readonly resourceVersion?: string
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground'
}

export type ObjectList<T extends KubeObject> = { readonly items: readonly T[]; readonly resourceVersion: string }

/** One finished call. `code` is the HTTP status, or `error` without one. */
export type RequestSample = {
  readonly verb: 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'raw'
  readonly resource: string
  readonly code: string
  readonly seconds: number
}

export type RawRequest = CallOptions & {
  readonly method: Call['method']
  readonly path: string
  readonly query?: Query
  readonly body?: unknown
}

export type ListOptions<T extends KubeObject> = Selection &
  CallOptions & {
    /** Keeps less of each object, as it is read. */
    readonly pick?: (item: T) => T
    /** Objects per request, 500 unless said otherwise. */
    readonly pageSize?: number
    readonly metadataOnly?: boolean
  }

/** `query` is how the watch starts and how long it lasts; see reflector.ts. */
export type WatchOptions = Selection & {
  readonly signal: AbortSignal
  readonly query?: Query
  /** The server accepted the watch; on a quiet resource nothing else may come for long. */
  readonly onOpen?: () => void
}

/** Parameters without a value are left out. */
export type Query = Readonly<Record<string, string | undefined>>
