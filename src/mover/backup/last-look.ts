/**
 * The look right before a manifest is written (docs/design.md R37): is it still allowed, and is what it will name still there? A
 * machine that was asleep, or a node that nobody heard of, can bring an attempt back when another has long swept its data.
 */
import type { BackupSegment } from '../../api/record.ts'
import type { BackupTask } from '../../api/mover/task.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { CommitFailure } from './commit.ts'
import { failureOf, MoverFailure } from '../failure.ts'
import { OwnershipError } from '../../storage/bucket/ownership.ts'

export interface LastLook {
  /** Without retries: whoever writes repeats the look with each try. */
  readonly store: Pick<ObjectStore, 'head'>
  /** Throws where the folder is another cluster's by now. */
  readonly ours: () => Promise<void>
  /** Keys from the root of the bucket. */
  readonly segments: readonly Pick<BackupSegment, 'key' | 'bytes'>[]
  /** From when on a sweep may remove the segments, ms since the epoch. */
  readonly expiresAt: number
  /** How long before that nothing is written any more, ms. */
  readonly marginMs: number
  /** ms since the epoch: where the store's replies bear no date. */
  readonly now: () => number
  readonly signal: AbortSignal
}

const looksAtOnce = 8

/** What is written in time is there before the sweep looks: every try of the write, and the clocks of all nodes. */
export function commitMarginMs({ storeRetrySeconds }: Pick<BackupTask, 'storeRetrySeconds'>): number {
  return storeRetrySeconds * 1000 + 10 * 60_000
}

/**
 * One function for all tries of one manifest.
 * @throws CommitFailure AttemptExpired or DataLost (uncertain where an earlier try may have been obeyed); StoreError as `head`.
 */
export function lastLook(options: LastLook): () => Promise<void> {
  let looks = 0
  return async () => {
    looks++
    try {
      await lookOnce(options)
    } catch (error) {
      throw error instanceof MoverFailure ? new CommitFailure(error, looks > 1) : error
    }
  }
}

async function lookOnce({ store, ours, segments, expiresAt, marginMs, now, signal }: LastLook): Promise<void> {
  await ours().catch((error: unknown) => {
    throw error instanceof OwnershipError ? failureOf(error) : error
  })
  let latest = 0
  for (let start = 0; start < segments.length; start += looksAtOnce) {
    const batch = segments.slice(start, start + looksAtOnce)
    const times = await Promise.all(batch.map(segment => timeOfLook(store, segment, now, signal)))
    latest = Math.max(latest, ...times)
  }
  if (latest <= expiresAt - marginMs) return
  const at = (time: number) => new Date(time).toISOString()
  throw new MoverFailure(
    'AttemptExpired',
    `not committed: by the clock of the store it is ${at(latest)}, and from ${at(expiresAt)} on others may remove the data of this attempt; was this machine asleep?`,
  )
}

/** @returns when it was, by the store's clock. */
async function timeOfLook(
  store: LastLook['store'],
  { key, bytes }: LastLook['segments'][number],
  now: () => number,
  signal: AbortSignal,
): Promise<number> {
  const found = await store.head(key, signal)
  if (found?.bytes === bytes) return found.answeredAt ?? now()
  const seen = found ? `has ${found.bytes} bytes instead of ${bytes}` : 'is not there any more'
  throw new MoverFailure(
    'DataLost',
    `not committed: ${key}, which this attempt has stored, ${seen}; look for lifecycle rules and other programs that delete below this prefix`,
  )
}
