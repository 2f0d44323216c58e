/**
 * The look behind a manifest (docs/design.md R37). Nothing keeps a machine that fell asleep between the look before and the write from
 * waking up days later: its manifest then names data that others have swept, or are about to sweep, and is taken back. Nobody calls a
 * manifest a backup before this look, whichever attempt wrote it: that one may have died before its own.
 */
import type { BackupRecord } from '../../api/record.ts'
import { readRun } from '../../storage/bucket/catalog.ts'
import type { Layout } from '../../storage/bucket/layout.ts'
import { listData, stateOf } from '../../storage/bucket/segments.ts'
import { sweptFrom } from '../../storage/bucket/sweep.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { CommitFailure } from './commit.ts'
import { failureOf, MoverFailure } from '../failure.ts'

export interface LookBehind {
  readonly store: ObjectStore
  readonly layout: Layout
  /** Its key, from the root of the bucket. */
  readonly manifest: string
  /** The attempt that looks. */
  readonly attempt: string
  /** When the attempt that wrote it was certainly over, ms since the epoch. */
  readonly expiresAt: number
  /** How long before a sweep may look for manifests none is written any more, ms. */
  readonly marginMs: number
  readonly signal: AbortSignal
}

/**
 * @throws CommitFailure DataLost, AttemptExpired (uncertain where the manifest could not be deleted); uncertain, with the reason of the store,
 * where an object is answered to be gone and the list that would confirm it does not come, or where nothing is answered about the data of
 * another attempt: that is no backup, and no loss.
 */
export async function lookBehind(options: LookBehind, record: BackupRecord): Promise<void> {
  const lost = await whyNoBackup(options, record).catch((error: unknown) => {
    if (error instanceof CommitFailure) throw error
    // What the store does not say, or the end of the pod leaves no time for, takes nothing back. Our own data we saw right before the write;
    // those of another attempt nobody here has seen, and it may have found them lost and had no answer to its deletion.
    if (record.attempt === options.attempt) return undefined
    throw new CommitFailure(error, true, unseen)
  })
  if (!lost) return
  try {
    await takeBack(options, record)
  } catch (error) {
    throw new CommitFailure(
      lost,
      true,
      `its manifest ${options.manifest} could not be deleted: ${failureOf(error).message}`,
    )
  }
  throw new CommitFailure(lost, false)
}

async function whyNoBackup(options: LookBehind, record: BackupRecord): Promise<MoverFailure | undefined> {
  const disproved = Date.parse(record.startedAt)
  if (await isLost(options, record)) {
    return new MoverFailure(
      'DataLost',
      'the data were gone once the manifest was written, which is taken back; look for lifecycle rules and other programs that delete below this prefix',
      { disproved },
    )
  }
  if (await isTooLate(options)) {
    return new MoverFailure(
      'AttemptExpired',
      'the manifest was written when others may have been removing the data of this attempt, and is taken back; was this machine asleep?',
      { disproved },
    )
  }
  return undefined
}

const doubt =
  'the store answers that data of this backup are gone, and does not list them, so that nobody can be sure: the manifest stays, and is no proof of a backup; let these credentials list below this prefix, and look whether something deletes there'

const unseen = 'another attempt wrote this manifest, which stays, and is no proof of a backup before its data were seen'

/** By answers of two kinds, because one of them may be wrong. */
async function isLost({ store, layout, attempt, signal }: LookBehind, record: BackupRecord): Promise<boolean> {
  let state = await stateOf(store, layout, new Map(), record, signal)
  if (state === 'missing') {
    const listed = await listData(store, layout, signal).catch((error: unknown) => {
      throw new CommitFailure(error, true, doubt)
    })
    state = await stateOf(store, layout, listed, record, signal)
  }
  if (state === 'unknown' && record.attempt !== attempt) {
    throw new MoverFailure('StoreUnavailable', 'the store does not say whether the data of this backup are there')
  }
  return state === 'missing'
}

/** By the clock of the store alone. The time of the look tells that it was in time; else the time of the write does. */
async function isTooLate({ store, manifest, expiresAt, marginMs, signal }: LookBehind): Promise<boolean> {
  const limit = sweptFrom(expiresAt) - marginMs
  const { answeredAt = 0 } = (await store.head(manifest, signal)) ?? {}
  if (answeredAt < limit) return false
  for await (const { key, modifiedAt } of store.list(manifest, { signal }))
    if (key === manifest) return modifiedAt >= limit
  return false
}

/** Another attempt may have replaced it, where the store does not honour conditions. */
async function takeBack({ store, layout, manifest, signal }: LookBehind, { attempt }: BackupRecord): Promise<void> {
  const found = await readRun(store, layout, manifest, signal)
  if (!found) return
  if (found.record?.attempt !== attempt) throw new MoverFailure('RunExists', 'another attempt has replaced it')
  await store.delete([manifest], signal)
}
