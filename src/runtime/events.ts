import type { Client } from './client.ts'
import type { Clock } from './clock.ts'
import type { Log } from './log.ts'
import type { KubeObject } from './resource.ts'

export type EventNote = { readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string }

export declare class EventRecorder {
  constructor(options: {
    readonly client: Client
    readonly component: string
    readonly instance: string
    readonly clock?: Clock
    readonly log?: Log
  })
  /** Never throws, never waits. */
  record(object: KubeObject, note: EventNote): void
  /** Resolves when everything recorded so far was written or given up. */
  flush(signal?: AbortSignal): Promise<void>
}
