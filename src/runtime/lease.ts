import type { Client } from './client.ts'
import type { Clock } from './clock.ts'
import type { Log } from './log.ts'

export type LeaseOptions = {
  readonly client: Client
  readonly namespace: string
  readonly name: string
  /** Unique per process, e.g. the pod's name. */
  readonly identity: string
  readonly clock?: Clock
  readonly log?: Log
}

export declare class Lease {
  constructor(options: LeaseOptions)
  /** Give this to `client.fenced`. */
  isHeld(): boolean
  /** Waits to lead, runs `work`; 'lost' means: exit the process now. 'stopped' after the signal aborted and `work` ended; the lease is then released. */
  run(signal: AbortSignal, work: (leading: AbortSignal) => Promise<void>): Promise<'stopped' | 'lost'>
}
