import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { encodeBackupRecord } from '../../api/record.ts'
import { silentLog } from '../../runtime/log.ts'
import { readCatalog } from '../../storage/bucket/catalog.ts'
import { writeHold } from '../../storage/bucket/holds.ts'
import { layoutOf } from '../../storage/bucket/layout.ts'
import { MemoryStore } from '../../storage/memory.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { StoreError } from '../../storage/store-error.ts'
import { Report } from '../protocol/report.ts'
import { applyRetention } from './retention.ts'
import { changed } from '../../../test/storage/changed-store.ts'
import { putBackup } from '../../../test/storage/made-up-backup.ts'

const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
const owner = { clusterId: 'cluster-1', namespace: 'shop', policy: 'orders', policyUid: 'uid-1' }

test('F43: backups of another cluster, namespace or policy in the folder are never pruned, push nothing out, and are told of', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'retention-'))
  t.after(() => rm(directory, { recursive: true }))
  for (const change of [{ clusterId: 'cluster-2' }, { namespace: 'x' }, { policy: 'x' }]) {
    const store = new MemoryStore(() => 0)
    const put = (minute: number, of = owner) =>
      putBackup(store, layout, { run: `run-${minute}`, slot: new Date(minute * 60_000), change: { owner: of } })
    for (const minute of [0, 3, 6]) await put(minute, { ...owner, ...change })
    for (const minute of [1, 2, 4, 5]) await put(minute)
    const report = new Report(join(directory, 'termination-log'), silentLog, { phase: 'committed' })
    await applyRetention({
      task: { owner, retention: 2, held: [], accepted: [], maxDeletes: 20 },
      run: 'run-5',
      store,
      layout,
      runs: await readCatalog(store, layout, 'command'),
      adoptedAt: 0,
      formerly: [],
      now: 3_600_000,
      report,
      signal: AbortSignal.timeout(10_000),
    })
    const left = (await readCatalog(store, layout, 'command')).map(({ run }) => run)
    assert.deepEqual(left, ['run-0', 'run-3', 'run-4', 'run-5', 'run-6'])
    assert.deepEqual(report.message.deleted, ['run-1', 'run-2'])
    assert.deepEqual(
      [report.message.kept?.count, report.message.kept?.oldest, report.message.kept?.newest],
      [2, 'run-4', 'run-5'],
    )
    const [warning] = report.message.warnings ?? []
    assert.equal(warning?.reason, 'ForeignBackups')
    assert.match(warning?.message ?? '', /^3 .* neither counted nor deleted.*run-0\.json/)
  }
})

test('F63: a run that could not be told of all holds prunes nothing and says so; what the bucket holds stays without being told of', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'retention-'))
  t.after(() => rm(directory, { recursive: true }))
  const store = new MemoryStore(() => 0)
  for (const minute of [1, 2, 3, 4])
    await putBackup(store, layout, { run: `run-${minute}`, slot: new Date(minute * 60_000), change: { owner } })
  await writeHold(store, layout, { run: 'run-1', since: 0 })
  const prune = async (maxDeletes: number, retention = 2) => {
    const report = new Report(join(directory, 'termination-log'), silentLog, { phase: 'committed' })
    await applyRetention({
      task: { owner, retention, held: [], accepted: [], maxDeletes },
      run: 'run-4',
      store,
      layout,
      runs: await readCatalog(store, layout, 'command'),
      adoptedAt: 0,
      formerly: [],
      now: 3_600_000,
      report,
      signal: AbortSignal.timeout(10_000),
    })
    const { deleted, warnings = [] } = report.message
    return [deleted, ...warnings.map(({ reason, message }) => `${reason}: ${message}`)]
  }
  const [deleted, warning] = await prune(0)
  assert.deepEqual(deleted, [])
  assert.match(String(warning), /^RetentionPaused: more backups are to be held than a run can be told of/)
  assert.deepEqual(await prune(0, 7), [[]], 'nothing is to go')
  assert.deepEqual(await prune(20), [['run-2']])
})

/** Passes over a folder in which a backup is made each time; how many there are after each. */
async function passes(
  t: TestContext,
  backups: number,
  change: (memory: MemoryStore) => Partial<ObjectStore>,
  count: number,
) {
  const directory = await mkdtemp(join(tmpdir(), 'retention-'))
  t.after(() => rm(directory, { recursive: true }))
  const memory = new MemoryStore(() => 0)
  const put = (n: number) => putBackup(memory, layout, { run: runOf(n), slot: new Date(n * 60_000), change: { owner } })
  for (let n = 0; n < backups; n++) await put(n)
  const left: number[] = []
  for (let last = backups; last < backups + count; last++) {
    await put(last)
    const report = new Report(join(directory, 'termination-log'), silentLog, { phase: 'committed' })
    const pruning = applyRetention({
      task: { owner, retention: 2, held: [], accepted: [], maxDeletes: 20 },
      run: runOf(last),
      store: changed(memory, change(memory)),
      layout,
      runs: await readCatalog(memory, layout, 'command'),
      adoptedAt: 0,
      formerly: [],
      now: 36_000_000,
      report,
      signal: AbortSignal.timeout(10_000),
    })
    await assert.rejects(pruning, StoreError)
    left.push((await readCatalog(memory, layout, 'command')).length)
    assert.ok((report.message.deleted ?? []).length <= 20)
  }
  return left
}

const runOf = (n: number) => `run-${String(n).padStart(3, '0')}`

test('F65: backups that cannot be deleted stand in the way of no others, however many they are, and a pass deletes 20', async t => {
  const locked = Array.from({ length: 30 }, (_, n) => runOf(n))
  const left = await passes(
    t,
    70,
    memory => ({
      delete: async (keys, signal) => {
        if (keys.some(key => locked.some(run => key.includes(run))))
          throw new StoreError('AccessDenied', 'object is WORM protected')
        await memory.delete(keys, signal)
      },
    }),
    3,
  )
  assert.deepEqual(left, [51, 32, 32])
})

test('F41: a pass deletes at most 20, also where the store fails after each and does not say whether it is gone', async t => {
  const left = await passes(
    t,
    70,
    memory => {
      let silent = false
      return {
        delete: async (keys, signal) => {
          await memory.delete(keys, signal)
          silent = true
          throw new StoreError('AccessDenied', 'a policy came between')
        },
        read: async (key, ...rest) => {
          if (silent) {
            silent = false
            throw new StoreError('AccessDenied', 'a policy came between')
          }
          return await memory.read(key, ...rest)
        },
      }
    },
    1,
  )
  assert.deepEqual(left, [51])
})

const hour = 3_600_000
for (const behindMinutes of [0, 4, 10])
  test(`F23: a run that shrank stops pruning where the clock of its node is ${behindMinutes} minutes behind`, async t => {
    const directory = await mkdtemp(join(tmpdir(), 'retention-'))
    t.after(() => rm(directory, { recursive: true }))
    const store = new MemoryStore(() => 0)
    for (const night of [1, 2, 3, 4, 5, 6]) {
      const slot = new Date(night * hour)
      const { key, record } = await putBackup(store, layout, { run: `run-${night}`, slot, change: { owner } })
      const suspect = night === 6
      const artifacts = record.artifacts.map(each => ({ ...each, bytes: suspect ? 1 : 1_000_000 }))
      const text = encodeBackupRecord({ ...record, artifacts, suspect, sizeCheck: 'compared' })
      await store.put(key, Buffer.from(text))
    }
    const report = new Report(join(directory, 'termination-log'), silentLog, { phase: 'committed' })
    await applyRetention({
      // It was lowered two days ago.
      task: { owner, retention: 2, held: [], accepted: [], maxDeletes: 20 },
      run: 'run-6',
      store,
      layout,
      runs: await readCatalog(store, layout, 'command'),
      adoptedAt: 0,
      formerly: [],
      now: 6 * hour + 60_000 - behindMinutes * 60_000,
      report,
      signal: AbortSignal.timeout(10_000),
    })
    assert.deepEqual(report.message.deleted, [])
    assert.deepEqual(
      report.message.warnings?.map(({ reason }) => reason),
      ['RetentionPaused'],
    )
  })
