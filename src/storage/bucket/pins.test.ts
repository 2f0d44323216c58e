import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import { deleteBackup, readCatalog, type CatalogRun } from './catalog.ts'
import { layoutOf, pinKey } from './layout.ts'
import { MemoryStore } from '../memory.ts'
import type { ObjectStore } from '../object-store.ts'
import { pinnedRuns, removePin, writePin, type Pin } from './pins.ts'
import { writeProof, type Proof } from './proofs.ts'
import { StoreError } from '../store-error.ts'
import { sweep } from './sweep.ts'
import { changed } from '../../../test/storage/changed-store.ts'
import { putBackup, putData, type MadeUpBackup } from '../../../test/storage/made-up-backup.ts'

const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
const hour = 3_600_000
const start = Date.UTC(2026, 10, 22)

let now: number
let store: MemoryStore
let backup: MadeUpBackup
beforeEach(async () => {
  now = start
  store = new MemoryStore(() => now)
  backup = await putBackup(store, layout, { run: 'run-0', slot: new Date(0), segments: 2 })
})

const keys = async () => (await Array.fromAsync(store.list(''))).map(({ key }) => key)
const withoutPins = async () => (await keys()).filter(key => !key.startsWith(layout.pins))
const whole = () => [backup.key, ...backup.data].sort()

function pin(change: Partial<Pin> = {}): Omit<Pin, 'version'> {
  return {
    run: 'run-0',
    manifest: backup.key.slice(layout.root.length),
    expiresAt: new Date(start + hour).toISOString(),
    restore: { uid: 'uid-1', namespace: 'shop', name: 'back' },
    ...change,
  }
}

/** Calls `act` right after the n-th (from 0) answer of the store to whatever is asked. */
function afterAnswer(nth: number, act: () => Promise<void>): ObjectStore {
  let answers = 0
  return new Proxy<ObjectStore>(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      const method = value.bind(target) as (...args: unknown[]) => unknown
      if (name === 'list')
        return async function* (...args: unknown[]) {
          yield* await Array.fromAsync(method(...args) as AsyncIterable<unknown>)
          if (answers++ === nth) await act()
        }
      return async (...args: unknown[]) => {
        try {
          return await method(...args)
        } finally {
          if (answers++ === nth) await act()
        }
      }
    },
  })
}

describe('a pin', () => {
  test('protects its run from deletion until it is removed, and no other', async () => {
    const other = await putBackup(store, layout, { run: 'run-1', slot: new Date(1000) })
    await writePin(store, layout, pin())
    assert.equal(await deleteBackup(store, layout, backup, now), 'pinned')
    assert.equal(await deleteBackup(store, layout, other, now), 'deleted')
    await removePin(store, layout, 'uid-1')
    assert.deepEqual(await keys(), whole())
    assert.equal(await deleteBackup(store, layout, backup, now), 'deleted')
    assert.deepEqual(await keys(), [])
  })

  test('means nothing once it has expired by the clock of the store and by that of this node', async () => {
    await writePin(store, layout, pin())
    assert.equal(await deleteBackup(store, layout, backup, now + 2 * hour), 'pinned')
    now += 2 * hour
    assert.equal(await deleteBackup(store, layout, backup, start), 'pinned')
    assert.equal(await deleteBackup(store, layout, backup, now), 'deleted')
  })

  test('that cannot be read protects every run for a week', async () => {
    for (const body of ['', '{"version":2}', '{"version":1,"run":"run-9"}', 'x'.repeat(100_000)]) {
      now = start
      await store.put(pinKey(layout, 'uid-2'), Buffer.from(body))
      assert.equal(await pinnedRuns(store, layout, now), 'all')
      now += 7 * 24 * hour - 1
      assert.equal(await deleteBackup(store, layout, backup, now), 'pinned')
      now += 1
      assert.deepEqual(await pinnedRuns(store, layout, now), new Set())
    }
  })

  test('protects where the store does not tell of it', async () => {
    await writePin(store, layout, pin())
    const refuse = () => {
      throw new StoreError('AccessDenied', 'not for you')
    }
    for (const silent of [changed(store, { list: refuse }), changed(store, { get: refuse })]) {
      await assert.rejects(deleteBackup(silent, layout, backup, now), StoreError)
      assert.deepEqual(await withoutPins(), whole())
    }
  })

  test('written at any instant of a deletion, either its writer finds no manifest, or the backup stays whole', async () => {
    const outcomes: string[] = []
    for (let nth = 0; ; nth++) {
      now = start
      store = new MemoryStore(() => now)
      backup = await putBackup(store, layout, { run: 'run-0', slot: new Date(0), segments: 2 })
      let asked = false
      let found: CatalogRun | undefined
      const interrupted = afterAnswer(nth, async () => {
        asked = true
        await writePin(store, layout, pin())
        found = (await readCatalog(store, layout, 'command'))[0]
      })
      const outcome = await deleteBackup(interrupted, layout, backup, now)
      if (!asked) break
      outcomes.push(outcome)
      if (found?.record) assert.equal(outcome, 'pinned', `after answer ${nth}`)
      if (outcome === 'pinned') assert.deepEqual(await withoutPins(), whole())
    }
    assert.deepEqual(new Set(outcomes), new Set(['pinned', 'deleted']))
    assert.ok(outcomes.length >= 6)
  })

  test('spares data whose manifest a killed deletion took, until it expires', async () => {
    await putData(store, layout, { run: 'run-1', slot: new Date(1000) })
    now = start + 30 * 24 * hour
    await writePin(store, layout, pin({ run: 'run-1', expiresAt: new Date(now + hour).toISOString() }))
    assert.equal((await sweep(store, layout, now)).deletedObjects, 0)
    now += 2 * hour
    assert.equal((await sweep(store, layout, now)).deletedObjects, 1)
    assert.deepEqual(await withoutPins(), whole())
  })
})

test('a proof says what was read, when, and for whom', async () => {
  const sha256 = 'a'.repeat(64)
  const proof: Omit<Proof, 'version'> = {
    run: 'run-0',
    manifestSha256: sha256,
    mode: 'verify',
    at: '2026-11-22T02:00:00.000Z',
    seconds: 1.5,
    by: 'uid-1',
    artifacts: [{ storedBytes: 5 }, { storedBytes: 5, name: 'dump', bytes: 9, sha256 }],
  }
  const key = await writeProof(store, layout, proof)
  assert.equal(key, 'shop/orders/proofs/run-0/20261122T020000Z.json')
  assert.deepEqual(JSON.parse(String(await store.get(key, 10_000))), { version: 1, ...proof })
  await assert.rejects(writeProof(store, layout, { ...proof, manifestSha256: 'none' }))
})
