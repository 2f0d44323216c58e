import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import { deleteBackup, readCatalog, type CatalogRun } from './catalog.ts'
import { isHeld, listHolds, removeHold, writeHold } from './holds.ts'
import { holdKey, layoutOf } from './layout.ts'
import { MemoryStore } from '../memory.ts'
import type { ObjectStore } from '../object-store.ts'
import { StoreError } from '../store-error.ts'
import { sweep } from './sweep.ts'
import { LyingStore } from '../../../test/storage/lying-store.ts'
import { putBackup, putData, type MadeUpBackup } from '../../../test/storage/made-up-backup.ts'

const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
const hold = { run: 'run-0', since: 0 }
const later = Date.UTC(2027, 0)

let now: number
let store: LyingStore
let backup: MadeUpBackup
beforeEach(async () => {
  now = 0
  store = new LyingStore(new MemoryStore(() => now))
  backup = await putBackup(store, layout, { run: 'run-0', slot: new Date(0), segments: 2 })
})

const keys = async () => (await Array.fromAsync(store.list(''))).map(({ key }) => key)
const whole = () => [backup.key, ...backup.data].sort()

/** Calls `act` right after the n-th (from 0) call of `verb`. */
function after(verb: 'get' | 'delete', nth: number, act: () => Promise<void>): ObjectStore {
  let calls = 0
  const original = store[verb].bind(store) as (...args: unknown[]) => Promise<unknown>
  const interrupted = async (...args: unknown[]) => {
    try {
      return await original(...args)
    } finally {
      if (calls++ === nth) await act()
    }
  }
  return new Proxy(store, {
    get: (target, name) => {
      if (name === verb) return interrupted
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

describe('a hold in the bucket', () => {
  test('F63: protects from deletion until it is removed, whatever stands in it', async () => {
    for (const body of [undefined, '', 'x'.repeat(100_000)]) {
      if (body === undefined) await writeHold(store, layout, hold)
      else await store.put(holdKey(layout, 'run-0'), Buffer.from(body))
      assert.equal(await deleteBackup(store, layout, backup, now), 'held')
      assert.deepEqual([...(await listHolds(store, layout))], ['run-0'])
      await removeHold(store, layout, 'run-0')
      assert.deepEqual(await keys(), whole())
    }
    assert.equal(await deleteBackup(store, layout, backup, now), 'deleted')
    assert.deepEqual(await keys(), [])
  })

  test('F63: only the answer that there is none releases', async () => {
    for (const lie of ['refused', 'unavailable', 'web-page'] as const) {
      store.lie(holdKey(layout, 'run-0'), 'get', lie)
      await assert.rejects(isHeld(store, layout, 'run-0'), StoreError)
      await assert.rejects(deleteBackup(store, layout, backup, now), StoreError)
      assert.deepEqual(await keys(), whole())
    }
  })

  test('F63: written at any instant of a deletion, either its writer finds no manifest, or the backup stays whole', async () => {
    const instants = [
      ['get', 0],
      ['get', 1],
      ['delete', 0],
      ['get', 2],
      ['delete', 1],
    ] as const
    const outcomes: string[] = []
    for (const [verb, nth] of instants) {
      store = new LyingStore(new MemoryStore())
      backup = await putBackup(store, layout, { run: 'run-0', slot: new Date(0), segments: 2 })
      let found: CatalogRun | undefined
      const interrupted = after(verb, nth, async () => {
        await writeHold(store, layout, hold)
        found = (await readCatalog(store, layout, 'command'))[0]
      })
      const outcome = await deleteBackup(interrupted, layout, backup, now)
      outcomes.push(outcome)
      if (found?.record) assert.equal(outcome, 'held', `${verb} ${nth}`)
      if (outcome === 'held')
        assert.deepEqual(
          (await keys()).filter(key => key !== holdKey(layout, 'run-0')),
          whole(),
        )
    }
    assert.deepEqual(outcomes, ['held', 'held', 'held', 'deleted', 'deleted'])
  })

  test('F63: that cannot be looked at any more when the manifest is gone brings the manifest back', async () => {
    const interrupted = after('delete', 0, async () => store.lie(holdKey(layout, 'run-0'), 'get', 'unavailable'))
    assert.equal(await deleteBackup(interrupted, layout, backup, now), 'held')
    assert.deepEqual(await keys(), whole())
  })

  test('F63: spares the data also from the sweep, by the list and by its own word', async () => {
    await putData(store, layout, { run: 'run-1', slot: new Date(1000) })
    await writeHold(store, layout, { run: 'run-1', since: 0 })
    const key = holdKey(layout, 'run-1')
    now = later
    for (const teller of ['list', 'get'] as const) {
      store.lie(key, teller, 'absent')
      assert.equal((await sweep(store, layout, later)).deletedObjects, 0)
    }
    store.repent()
    await removeHold(store, layout, 'run-1')
    assert.equal((await sweep(store, layout, later)).deletedObjects, 1)
  })
})

describe('a deletion', () => {
  test('of what another deleted at the same time leaves what is left to the sweep', async () => {
    await store.damage(backup.key, 'lost')
    assert.equal(await deleteBackup(store, layout, backup, now), 'gone')
    assert.deepEqual(await keys(), backup.data)
  })

  test('F59: that the store only seems to have lost is not carried out', async () => {
    store.lie(backup.key, 'get', 'absent')
    assert.equal(await deleteBackup(store, layout, backup, now), 'gone')
    store.lie(backup.key, 'get', 'web-page')
    await assert.rejects(deleteBackup(store, layout, backup, now), StoreError)
    assert.deepEqual(await keys(), whole())
  })
})

describe('the catalog', () => {
  test('F87: tells of the others when one manifest is not given, and of none when none is', async () => {
    const other = await putBackup(store, layout, { run: 'run-1', slot: new Date(1000) })
    for (const lie of ['refused', 'web-page', 'unavailable'] as const) {
      store.lie(backup.key, 'get', lie)
      const runs = await readCatalog(store, layout, 'command')
      assert.deepEqual(
        runs.map(({ run, record, problem }) => [run, record !== undefined, problem !== undefined]),
        [
          ['run-0', false, true],
          ['run-1', true, false],
        ],
      )
    }
    store.lie(other.key, 'get', 'unavailable')
    await assert.rejects(readCatalog(store, layout, 'command'), StoreError)
  })
})
