import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import { layoutOf } from './layout.ts'
import { confirmsReadable, listData, stateOf, type SegmentsState } from './segments.ts'
import { MemoryStore } from '../memory.ts'
import { LyingStore, type Damage, type Lie, type Teller } from '../../../test/storage/lying-store.ts'
import { putBackup, type MadeUpBackup } from '../../../test/storage/made-up-backup.ts'

const layout = layoutOf({ namespace: 'shop', policy: 'orders' })

let store: LyingStore
let backup: MadeUpBackup
let last: string
beforeEach(async () => {
  store = new LyingStore(new MemoryStore())
  backup = await putBackup(store, layout, { run: 'run-0', slot: new Date(0), segments: 2 })
  last = backup.data.at(-1) ?? ''
})

async function look(): Promise<SegmentsState | 'confirmed'> {
  const listed = await listData(store, layout)
  const state = await stateOf(store, layout, listed, backup.record)
  return (await confirmsReadable(store, layout, listed, backup)) ? 'confirmed' : state
}

describe('a look at the data of a backup', () => {
  test('F60: finds what is lost, cut or archived', async () => {
    assert.equal(await look(), 'confirmed')
    for (const [damage, state] of [
      ['archived', 'archived'],
      ['cut', 'missing'],
      ['lost', 'missing'],
    ] as const) {
      await store.damage(last, damage)
      assert.equal(await look(), state)
    }
  })

  test('F60: confirms nothing that is damaged, whoever of the three lies about it, and calls nothing lost that is there', async () => {
    for (const damage of [undefined, 'lost', 'cut', 'archived'] as const satisfies readonly (Damage | undefined)[])
      for (const teller of ['list', 'head', 'get'] as const satisfies readonly Teller[])
        for (const lie of ['absent', 'stale', 'refused', 'web-page'] as const satisfies readonly Lie[]) {
          if (teller === 'list' && lie === 'web-page') continue
          store = new LyingStore(new MemoryStore())
          backup = await putBackup(store, layout, { run: 'run-0', slot: new Date(0), segments: 2 })
          if (damage) await store.damage(last, damage)
          store.lie(last, teller, lie)
          const state = await look()
          const told = `${damage}, and ${teller} says ${lie}: ${state}`
          if (damage) assert.notEqual(state, 'confirmed', told)
          else assert.notEqual(state, 'missing', told)
        }
  })

  test('F60: confirms nothing whose manifest is gone, damaged, or told differently by two', async () => {
    for (const damage of ['lost', 'cut', 'archived'] as const)
      for (const lie of [undefined, 'get', 'head'] as const) {
        store = new LyingStore(new MemoryStore())
        backup = await putBackup(store, layout, { run: 'run-0', slot: new Date(0) })
        await store.damage(backup.key, damage)
        if (lie) store.lie(backup.key, lie, 'stale')
        assert.notEqual(await look(), 'confirmed', `${damage} ${lie}`)
      }
  })

  test('F59: takes a 404 without the word NoSuchKey for no answer', async () => {
    store.lie(last, 'list', 'absent')
    assert.equal(await look(), 'confirmed')
    await store.damage(last, 'lost')
    store.lie(last, 'get', 'web-page')
    assert.equal(await look(), 'unknown')
  })
})
