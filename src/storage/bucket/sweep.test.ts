import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import * as fc from 'fast-check'
import { encodeBackupRecord, type BackupRecord } from '../../api/record.ts'
import { deleteBackup, readCatalog } from './catalog.ts'
import { layoutOf, manifestKey, segmentKey, uploadRecordKey } from './layout.ts'
import { MemoryStore } from '../memory.ts'
import { StoreError } from '../store-error.ts'
import { sweep } from './sweep.ts'
import type { ObjectStore } from '../object-store.ts'
import { LyingStore } from '../../../test/storage/lying-store.ts'
import { putData } from '../../../test/storage/made-up-backup.ts'
import { dataMetadata, encodeUploadRecord } from './upload-record.ts'

const hour = 3_600_000
/** So long data wait for a manifest that may be on its way, and notes without an id with them. */
const week = 7 * 24 * hour
const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
const owner = { clusterId: 'c', namespace: 'shop', policy: 'orders' }
const slotOf = (index: number) => new Date(Date.UTC(2026, 10, 22, 2, index))

let now = 0
let store: ObjectStore
let memory: MemoryStore
beforeEach(() => {
  now = Date.UTC(2026, 10, 22)
  memory = new MemoryStore(() => now)
  store = memory
})

/** Data of one attempt, as a mover writes it: the Job may live for an hour, and a second one passes before it is over. */
async function writeData(index: number, attempt: string, segments = 1): Promise<readonly string[]> {
  const run = `run-${index}`
  const manifest = manifestKey(layout, 'command', slotOf(index), run).slice(layout.root.length)
  const keys = Array.from({ length: segments }, (_, segment) => segmentKey(layout, { run, attempt }, 'dump', segment))
  for (const key of keys) {
    const metadata = { [dataMetadata.manifest]: manifest, [dataMetadata.expiresAt]: String(now + 2 * hour) }
    const uploadId = await store.createUpload(key, { metadata })
    const part = await store.uploadPart(key, uploadId, 1, Buffer.from('x'))
    await store.completeUpload(key, uploadId, [part], 1)
  }
  return keys
}

async function writeBackup(index: number, attempt = 'pod', segments = 1): Promise<readonly string[]> {
  const keys = await writeData(index, attempt, segments)
  const time = slotOf(index).toISOString()
  const sha256 = '0'.repeat(64)
  const stored = keys.map(key => ({ key: key.slice(layout.root.length), bytes: 1, parts: [sha256] }))
  const record: BackupRecord = {
    version: 2,
    trigger: 'scheduled',
    sizeCheck: 'compared',
    run: `run-${index}`,
    jobUid: 'job',
    attempt,
    owner,
    target: 'command',
    slot: time,
    startedAt: time,
    finishedAt: time,
    artifacts: [
      {
        kind: 'stream',
        name: 'dump',
        codecs: ['zstd'],
        partBytes: 8 << 20,
        segments: stored,
        bytes: 1,
        storedBytes: segments,
        sha256,
      },
    ],
    commit: 'conditional',
    suspect: false,
    tools: {},
  }
  const key = manifestKey(layout, 'command', slotOf(index), record.run)
  await store.put(key, Buffer.from(encodeBackupRecord(record)))
  return [key, ...keys]
}

async function keys(): Promise<readonly string[]> {
  return (await Array.fromAsync(store.list(''))).map(object => object.key)
}

describe('the sweep', () => {
  test('deletes data without a manifest, only a week after its Job is certainly over', async () => {
    const orphans = await writeData(0, 'pod', 3)
    now += 2 * hour + week - 1
    assert.deepEqual(await sweep(store, layout, now), { abortedUploads: 0, deletedObjects: 0 })
    assert.deepEqual(await keys(), orphans)
    now += 1
    assert.deepEqual(await sweep(store, layout, now), { abortedUploads: 0, deletedObjects: 3 })
    assert.deepEqual(await keys(), [])
  })

  test('never touches the data of a backup, however old', async () => {
    const backups = [...(await writeBackup(0, 'pod', 2)), ...(await writeBackup(1))]
    now += 1_000 * hour
    assert.deepEqual(await sweep(store, layout, now), { abortedUploads: 0, deletedObjects: 0 })
    assert.deepEqual([...(await keys())].sort(), backups.sort())
  })

  test('deletes the data of the attempts that lost', async () => {
    const backup = await writeBackup(0, 'winner')
    await writeData(0, 'loser')
    now += 3 * hour + week
    assert.equal((await sweep(store, layout, now)).deletedObjects, 1)
    assert.deepEqual([...(await keys())].sort(), [...backup].sort())
  })

  test('leaves alone what it cannot judge: foreign objects, an unreadable manifest', async () => {
    await store.put(`${layout.data}run-9/pod/dump.zst`, Buffer.from('without a note'))
    await store.put(`${layout.data}notes.txt`, Buffer.from('x'))
    const [manifest = ''] = await writeBackup(0, 'winner')
    await writeData(0, 'loser')
    await store.put(manifest, Buffer.from('damaged'))
    const before = await keys()
    now += 1_000 * hour
    assert.deepEqual(await sweep(store, layout, now), { abortedUploads: 0, deletedObjects: 0 })
    assert.deepEqual(await keys(), before)
  })

  test('does not believe a list that lacks a manifest', async () => {
    const backup = await writeBackup(0)
    const list: ObjectStore['list'] = async function* (prefix, options) {
      for await (const object of store.list(prefix, options)) if (!object.key.endsWith('.json')) yield object
    }
    const stale = new Proxy(store, {
      get: (target, name) => {
        const value: unknown = name === 'list' ? list : Reflect.get(target, name)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
    now += 1_000 * hour
    await sweep(stale, layout, now)
    assert.deepEqual([...(await keys())].sort(), [...backup].sort())
  })

  test('F59: believes no single answer that a manifest is gone', async () => {
    for (const [teller, lie] of [
      ['get', 'absent'],
      ['get', 'web-page'],
      ['list', 'absent'],
    ] as const) {
      const lying = new LyingStore(new MemoryStore(() => now))
      store = lying
      const [manifest = '', ...data] = await writeBackup(0, 'winner', 2)
      const lost = await writeData(0, 'loser')
      now += 1_000 * hour
      lying.lie(manifest, teller, lie)
      await sweep(lying, layout, now).catch(error => assert.ok(error instanceof StoreError))
      lying.repent()
      assert.deepEqual(
        (await keys()).filter(key => !lost.includes(key)),
        [...data, manifest].sort(),
      )
    }
  })

  test('F59: deletes no data by a note about the manifest of another run', async () => {
    const [, ...data] = await writeBackup(0)
    await writeData(1, 'pod')
    now += 1_000 * hour
    const lying = new LyingStore(store)
    const other = manifestKey(layout, 'command', slotOf(7), 'run-7').slice(layout.root.length)
    const head: ObjectStore['head'] = async key => {
      const found = await store.head(key)
      return found && { ...found, metadata: { ...found.metadata, [dataMetadata.manifest]: other } }
    }
    lying.head = head
    assert.equal((await sweep(lying, layout, now)).deletedObjects, 0)
    assert.ok((await keys()).includes(data[0] ?? ''))
  })

  test('F59: leaves alone a folder that is being copied, whose data are there before their manifests', async () => {
    const source = store
    const [manifest = '', first = '', second = ''] = await writeBackup(0, 'pod', 2)
    const expiresAt = now + 2 * hour
    // A try to open the upload was given up without an answer, so that the note has stayed.
    const note = uploadRecordKey(layout, { run: 'run-0', attempt: 'pod' }, 1)
    const noted = { key: second.slice(layout.root.length), others: true, expiresAt } as const
    await source.put(note, encodeUploadRecord(noted))

    now += 30 * 24 * hour
    memory = new MemoryStore(() => now)
    store = memory
    const copy = async (key: string) => store.put(key, await source.get(key, 10_000))
    await putData(store, layout, { run: 'run-0', slot: slotOf(0), attempt: 'pod', expiresAt })
    await store.createUpload(second)
    await copy(note)
    const copied = await keys()
    // Large ones take days.
    for (let day = 0; day < 7; day++) {
      now += 24 * hour - 1
      assert.deepEqual(await sweep(store, layout, now), { abortedUploads: 0, deletedObjects: 0 })
      assert.deepEqual([await keys(), memory.openUploads()], [copied, [second]])
    }
    for (const key of [second, manifest]) await copy(key)
    now += 1_000 * hour
    await sweep(store, layout, now)
    assert.deepEqual(await keys(), [first, second, manifest].sort())
  })

  test('F59: leaves alone the backup of last night, which is copied before its Job is certainly over, and whose manifest comes later', async () => {
    const expiresAt = now + 19 * hour
    now += 6 * hour
    const place = { run: 'run-0', slot: slotOf(0), attempt: 'pod', expiresAt }
    const [first = '', second = ''] = [0, 1].map(index => segmentKey(layout, place, 'dump', index))
    await putData(store, layout, place)
    await store.createUpload(second)
    // Of an upload that was opened at the source and not confirmed.
    const note = uploadRecordKey(layout, place, 1)
    await store.put(note, encodeUploadRecord({ key: second.slice(layout.root.length), expiresAt }))
    now = expiresAt + week - 1
    assert.deepEqual(await sweep(store, layout, now), { abortedUploads: 0, deletedObjects: 0 })
    assert.deepEqual([await keys(), memory.openUploads()], [[first, note], [second]])
  })

  test('deletes what an attempt has written after its own expiry, a week later', async () => {
    const expiresAt = now
    now += 1
    await putData(store, layout, { run: 'run-0', slot: slotOf(0), expiresAt })
    now += 7 * 24 * hour - 1
    assert.deepEqual(await sweep(store, layout, now), { abortedUploads: 0, deletedObjects: 0 })
    now += 1
    assert.deepEqual(await sweep(store, layout, now), { abortedUploads: 0, deletedObjects: 1 })
    assert.deepEqual(await keys(), [])
  })

  test('F65: one object that cannot be deleted, and one note that cannot be read, block nothing behind them', async () => {
    const lying = new LyingStore(new MemoryStore(() => now))
    store = lying
    const orphans = [...(await writeData(0, 'pod')), ...(await writeData(1, 'pod')), ...(await writeData(2, 'pod'))]
    const notes: string[] = []
    for (const run of ['run-3', 'run-4']) {
      const key = segmentKey(layout, { run, attempt: 'pod' }, 'dump', 0)
      const uploadId = await store.createUpload(key)
      const note = uploadRecordKey(layout, { run, attempt: 'pod' }, 0)
      const record = { key: key.slice(layout.root.length), uploadId, expiresAt: now + 2 * hour }
      await store.put(note, encodeUploadRecord(record))
      notes.push(note)
    }
    now += 3 * hour + week
    lying.keep(orphans[0] ?? '')
    lying.lie(notes[0] ?? '', 'get', 'refused')
    await assert.rejects(sweep(lying, layout, now), { reason: 'AccessDenied' })
    lying.repent()
    assert.deepEqual(await keys(), [orphans[0], notes[0]])
  })

  test('F23: believes no clock that is ahead of that of the other side, of a run that goes on', async () => {
    const started = now
    const data = await writeData(0, 'pod')
    const attempt = { run: 'run-0', attempt: 'pod' }
    const key = segmentKey(layout, attempt, 'dump', 1)
    const uploadId = await store.createUpload(key)
    const note = uploadRecordKey(layout, attempt, 1)
    const record = { key: key.slice(layout.root.length), uploadId, expiresAt: now + 2 * hour }
    await store.put(note, encodeUploadRecord(record))
    for (const [storeAhead, nodeAhead] of [
      [1.5 * hour, 50 * hour + week],
      [50 * hour + week, 1.5 * hour],
    ] as const) {
      now = started + storeAhead
      assert.deepEqual(await sweep(store, layout, started + nodeAhead), { abortedUploads: 0, deletedObjects: 0 })
      assert.deepEqual([await keys(), memory.openUploads()], [[...data, note], [key]])
    }
    assert.deepEqual(await sweep(store, layout, now), { abortedUploads: 1, deletedObjects: 1 })
  })

  test('goes by the clock of the node alone where the store tells no time', async () => {
    await writeData(0, 'pod')
    const timeless = new LyingStore(store)
    timeless.head = async key => {
      const found = await store.head(key)
      return found && { ...found, answeredAt: undefined }
    }
    assert.deepEqual(await sweep(timeless, layout, now + 3 * hour + week), { abortedUploads: 0, deletedObjects: 1 })
  })

  test('aborts the upload of a killed mover by its record, once its Job is over', async () => {
    const key = segmentKey(layout, { run: 'run-0', attempt: 'pod' }, 'dump', 0)
    const uploadId = await store.createUpload(key)
    const record = encodeUploadRecord({ key: key.slice(layout.root.length), uploadId, expiresAt: now + 2 * hour })
    await store.put(uploadRecordKey(layout, { run: 'run-0', attempt: 'pod' }, 0), record)
    await store.put(
      `${layout.uploads}strange.json`,
      Buffer.from('{"key":"../../elsewhere","uploadId":"x","expiresAt":0}'),
    )
    now += 2 * hour - 1
    await sweep(store, layout, now)
    assert.deepEqual(memory.openUploads(), [key])
    now += 1
    assert.deepEqual(await sweep(store, layout, now), { abortedUploads: 1, deletedObjects: 0 })
    assert.deepEqual(memory.openUploads(), [])
    assert.deepEqual(await keys(), [`${layout.uploads}strange.json`])
  })

  test('finds the upload of a mover killed while opening it by its key, a week later; where the store tells none, its note goes all the same', async () => {
    for (const refusal of [undefined, 'AccessDenied', 'StoreRejected'] as const) {
      memory = new MemoryStore(() => now)
      store = memory
      const attempt = { run: 'run-0', attempt: 'pod' }
      const key = segmentKey(layout, attempt, 'dump', 0)
      const other = segmentKey(layout, attempt, 'dump', 1)
      for (const each of [key, other]) await store.createUpload(each)
      const note = encodeUploadRecord({ key: key.slice(layout.root.length), expiresAt: now + 2 * hour })
      await store.put(uploadRecordKey(layout, attempt, 0), note)
      if (refusal) store.listUploads = () => Promise.reject(new StoreError(refusal, 'not for you'))
      now += 2 * hour + week - 1
      await sweep(store, layout, now)
      assert.deepEqual(memory.openUploads(), [key, other])
      now += 1
      await sweep(store, layout, now)
      assert.deepEqual(memory.openUploads(), refusal ? [key, other] : [other])
      assert.deepEqual(await keys(), [])
    }
  })
})

describe('the catalog', () => {
  test('lists the backups of one target, oldest first, and says what cannot be read', async () => {
    for (const index of [2, 0, 1]) await writeBackup(index)
    const [, second] = (await keys()).filter(key => key.startsWith(layout.manifests))
    await store.put(second ?? '', Buffer.from('{'))
    const runs = await readCatalog(store, layout, 'command')
    assert.deepEqual(
      runs.map(({ run, record, problem }) => [run, record !== undefined, problem]),
      [
        ['run-0', true, undefined],
        ['run-1', false, 'the manifest is not JSON'],
        ['run-2', true, undefined],
      ],
    )
    assert.deepEqual(await readCatalog(store, layout, 'another'), [])
  })

  test('does not take a manifest that was copied to another place for a backup', async () => {
    const [key = ''] = await writeBackup(0)
    await store.put(manifestKey(layout, 'command', slotOf(5), 'run-5'), await store.get(key, 10_000))
    const runs = await readCatalog(store, layout, 'command')
    assert.deepEqual(
      runs.map(({ record }) => record !== undefined),
      [true, false],
    )
    assert.match(runs[1]?.problem ?? '', /of run run-0/)
  })

  test('of a deletion killed after any step shows the backup whole or not at all, and the sweep finishes it (F42)', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.nat(6), async (segments, steps) => {
        now = Date.UTC(2026, 10, 22)
        store = new MemoryStore(() => now)
        await writeBackup(0, 'pod', segments)
        const kept = await writeBackup(1)
        const [backup] = await readCatalog(store, layout, 'command')
        assert.ok(backup?.record)
        let left = steps
        const dying = new Proxy(store, {
          get: (target, name) => {
            const value: unknown = Reflect.get(target, name)
            if (name !== 'delete') return typeof value === 'function' ? (value.bind(target) as unknown) : value
            return async (all: readonly string[]) => {
              for (const key of all) {
                if (left-- <= 0) throw new Error('killed')
                await target.delete([key])
              }
            }
          },
        })
        await deleteBackup(dying, layout, { key: backup.key, record: backup.record }, now).catch((error: Error) => {
          assert.equal(error.message, 'killed')
        })
        const [first] = await readCatalog(store, layout, 'command')
        if (first?.run === 'run-0') {
          for (const { key } of backup.record.artifacts[0]?.segments ?? [])
            assert.ok(await store.head(`${layout.root}${key}`))
          return
        }
        now += 3 * hour + week
        await sweep(store, layout, now)
        assert.deepEqual([...(await keys())].sort(), [...kept].sort())
      }),
    )
  })
})
