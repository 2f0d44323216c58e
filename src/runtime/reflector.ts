import type { Client, Selection } from './client.ts'
import type { Clock } from './clock.ts'
import type { Log } from './log.ts'
import type { KubeObject, Resource } from './resource.ts'
import type { Store } from './store.ts'

export type ReflectorOptions<T extends KubeObject> = Selection & {
  readonly client: Client
  readonly resource: Resource
  readonly indexes?: Readonly<Record<string, (object: T) => Iterable<string>>>
  /** Keeps less of each object, before it is stored. */
  readonly pick?: (object: T) => T
  /** PartialObjectMetadata only: objects then have no spec or status. */
  readonly metadataOnly?: boolean
  readonly clock?: Clock
  readonly log?: Log
}

export declare class Reflector<T extends KubeObject> {
  constructor(options: ReflectorOptions<T>)
  readonly store: Store<T>
  readonly resource: Resource
  /** Runs until the signal aborts; never rejects for anything the API server does. */
  run(signal: AbortSignal): Promise<void>
}
