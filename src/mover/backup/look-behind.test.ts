import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeBackupRecord, type BackupRecord } from '../../api/record.ts'
import { layoutOf } from '../../storage/bucket/layout.ts'
import { sweptFrom } from '../../storage/bucket/sweep.ts'
import { lookingFirst } from '../../storage/looking-first.ts'
import { MemoryStore } from '../../storage/memory.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { StoreError } from '../../storage/store-error.ts'
import { CommitFailure, findOwnRecord } from './commit.ts'
import { MoverFailure } from '../failure.ts'
import { lookBehind, type LookBehind } from './look-behind.ts'

const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
const manifest = `${layout.manifests}command/20261122T020000Z-backup-orders-29738520.json`
const segment = `${layout.data}backup-orders-29738520/pod-a/dump.0000`
const start = Date.UTC(2026, 10, 22, 2)
const expiresAt = start + 2 * 3_600_000
const marginMs = 600_000
const never = new AbortController().signal

function recordOf(attempt: string): BackupRecord {
  return {
    version: 2,
    trigger: 'scheduled',
    sizeCheck: 'compared',
    run: 'backup-orders-29738520',
    jobUid: 'job-1',
    attempt,
    owner: { clusterId: 'cluster-1', namespace: 'shop', policy: 'orders', policyUid: 'uid-1' },
    target: 'command',
    slot: '2026-11-22T02:00:00.000Z',
    startedAt: '2026-11-22T02:00:01.000Z',
    finishedAt: '2026-11-22T02:01:00.000Z',
    artifacts: [
      {
        kind: 'stream',
        name: 'dump',
        codecs: ['zstd'],
        partBytes: 8 << 20,
        segments: [{ key: segment.slice(layout.root.length), bytes: 4, parts: ['0'.repeat(64)] }],
        bytes: 4,
        sha256: '0'.repeat(64),
        storedBytes: 4,
      },
    ],
    commit: 'conditional',
    suspect: false,
    tools: { node: '26', zstd: '1' },
  }
}
const record = recordOf('pod-a')

/** A bucket with a manifest of pod a, written at that time, and its data. */
async function stage({
  data = 'dump',
  writtenAt = start,
}: { readonly data?: string; readonly writtenAt?: number } = {}) {
  let now = writtenAt
  const memory = new MemoryStore(() => now)
  if (data) await memory.put(segment, Buffer.from(data))
  await memory.put(manifest, Buffer.from(encodeBackupRecord(record)))
  const look = (changes: Partial<ObjectStore> = {}, signal = never, attempt = 'pod-a'): LookBehind => {
    const store = Object.assign(lookingFirst(memory, { writing: () => Promise.resolve() }), changes)
    return { store, layout, manifest, attempt, expiresAt, marginMs, signal }
  }
  return {
    memory,
    look,
    later: (time: number) => (now = time),
    isThere: async () => (await memory.head(manifest)) !== undefined,
  }
}

const fails = (reason: string, uncertain: boolean, words: RegExp) => (error: unknown) =>
  error instanceof CommitFailure &&
  error.reason === reason &&
  error.uncertain === uncertain &&
  (error.disproved === Date.parse(record.startedAt)) === /is taken back/.test(error.message) &&
  words.test(error.message)

test('F59: what is there behind its manifest is a backup', async () => {
  const { look, isThere } = await stage()
  await lookBehind(look(), record)
  assert.ok(await isThere())
})

test('F59: a manifest whose data are gone is taken back, whichever attempt wrote it', async () => {
  const { look, isThere } = await stage({ data: '' })
  await assert.rejects(lookBehind(look(), record), fails('DataLost', false, /^the data were gone/))
  assert.ok(!(await isThere()))
})

test('F59: where the manifest cannot be deleted the failure says that it is there, and why', async () => {
  const { look, isThere } = await stage({ data: '' })
  const refused = () => Promise.reject(new StoreError('AccessDenied', 'may not delete'))
  await assert.rejects(
    lookBehind(look({ delete: refused }), record),
    fails('DataLost', true, /could not be deleted: may not delete$/),
  )
  assert.ok(await isThere())
})

const refuses = () => Promise.reject(new StoreError('StoreUnavailable', 'slow down'))
for (const [what, changes] of [
  ['a refusal', { head: refuses }],
  ['a size that HEAD tells wrongly', { head: () => Promise.resolve({ bytes: 1, answeredAt: start, metadata: {} }) }],
  ['a HEAD without an object that a read finds', { head: () => Promise.resolve(undefined) }],
] as const)
  test(`F59: ${what} takes nothing back`, async () => {
    const { look, isThere } = await stage()
    await lookBehind(look(changes), record)
    assert.ok(await isThere())
  })

test('F59: a manifest that an attempt has proved lost, and could not delete, is no backup for the next one while the store is slow', async () => {
  const { memory, look, isThere } = await stage({ data: '' })
  await assert.rejects(lookBehind(look({ delete: refuses }), record), fails('DataLost', true, /could not be deleted/))
  const found = await findOwnRecord(memory, layout, manifest, 'job-1')
  assert.ok(found)
  const slow = lookBehind(look({ head: refuses }, never, 'pod-b'), found)
  await assert.rejects(slow, fails('StoreUnavailable', true, /no proof of a backup/))
  assert.ok(await isThere(), 'and no loss either')
  await assert.rejects(lookBehind(look({}, never, 'pod-b'), found), fails('DataLost', false, /^the data were gone/))
})

test('F59: of the data of another attempt, what the store does not answer, or the end of the pod leaves no time for, is not seen', async () => {
  const { look, isThere } = await stage()
  await lookBehind(look({}, never, 'pod-b'), record)
  for (const changes of [{ head: refuses }, { head: () => Promise.resolve(undefined) }] as const)
    await assert.rejects(
      lookBehind(look(changes, never, 'pod-b'), record),
      fails('StoreUnavailable', true, /no proof of a backup/),
    )
  const ended = AbortSignal.abort(new MoverFailure('Terminated', 'the pod was told to stop'))
  await assert.rejects(lookBehind(look({}, ended, 'pod-b'), record), fails('Terminated', true, /no proof of a backup/))
  assert.ok(await isThere())
})

test('F59: data that are answered to be gone are no backup where no list confirms or denies it, and no loss: the manifest stays', async () => {
  for (const reason of ['AccessDenied', 'StoreUnavailable'] as const) {
    const { look, isThere } = await stage({ data: '' })
    const list = () => {
      throw new StoreError(reason, 'no list')
    }
    await assert.rejects(lookBehind(look({ list }), record), fails(reason, true, /^no list; .* nobody can be sure/))
    assert.ok(await isThere())
  }
})

test('F59: the end of the pod during the look takes nothing back', async () => {
  const { look, isThere } = await stage({ data: '' })
  const ended = AbortSignal.abort(new Error('the pod was told to stop'))
  await lookBehind(look({}, ended), record)
  assert.ok(await isThere())
})

test('F59: a manifest of another attempt under the same key, where the store does not honour conditions, is not deleted for ours', async () => {
  const { memory, look, isThere } = await stage({ data: '' })
  await memory.put(manifest, Buffer.from(encodeBackupRecord(recordOf('pod-b'))))
  await assert.rejects(lookBehind(look(), record), fails('DataLost', true, /another attempt has replaced it$/))
  assert.ok(await isThere())
})

test('F59: a manifest that was written when a sweep may have looked for it already is taken back, although the data are there still', async () => {
  const { look, isThere } = await stage({ writtenAt: sweptFrom(expiresAt) - marginMs })
  await assert.rejects(lookBehind(look(), record), fails('AttemptExpired', false, /was this machine asleep\?$/))
  assert.ok(!(await isThere()))
})

test('F59: a machine that falls asleep behind a manifest that was written in time has made a backup', async () => {
  const { look, later, isThere } = await stage({ writtenAt: sweptFrom(expiresAt) - marginMs - 1 })
  later(sweptFrom(expiresAt) + 30 * 86_400_000)
  await lookBehind(look(), record)
  assert.ok(await isThere())
})
