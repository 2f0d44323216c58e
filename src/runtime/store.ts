import type { KubeObject } from './resource.ts'

export type Change<T> = {
  readonly type: 'added' | 'modified' | 'deleted'
  readonly key: string
  /** New state; the last known one when deleted. */
  readonly object: T
  readonly previous?: T
}

export type StoreState = 'syncing' | 'synced' | 'absent'

/** What controllers see of a Store. Tests make `new Store(...)` and fill it by `replace`. */
export type Cache<T extends KubeObject> = Pick<
  Store<T>,
  'state' | 'lastSeen' | 'lastError' | 'get' | 'list' | 'byIndex' | 'subscribe' | 'settled'
>

export declare class Store<T extends KubeObject> {
  constructor(options?: {
    readonly indexes?: Readonly<Record<string, (object: T) => Iterable<string>>>
    readonly onError?: (error: unknown, key: string) => void
  })
  get state(): StoreState
  get lastSeen(): number | undefined
  get lastError(): unknown
  get(namespace: string | undefined, name: string): T | undefined
  list(namespace?: string): readonly T[]
  byIndex(index: string, value: string): readonly T[]
  /** Existing objects are replayed as 'added'. Returns unsubscribe. */
  subscribe(listener: (change: Change<T>) => void): () => void
  /** Resolves when no longer 'syncing'. */
  settled(signal?: AbortSignal): Promise<void>
  replace(objects: Iterable<T>): void
  set(object: T): void
  remove(key: string): void
  markAbsent(): void
}
