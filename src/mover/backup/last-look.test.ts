import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { lookingFirst } from '../../storage/looking-first.ts'
import { MemoryStore } from '../../storage/memory.ts'
import { describeObjectStore } from '../../storage/object-store.contract.ts'
import { StoreError } from '../../storage/store-error.ts'
import { CommitFailure } from './commit.ts'
import { commitMarginMs, lastLook, type LastLook } from './last-look.ts'

describeObjectStore('memory, looking first', async () =>
  lookingFirst(new MemoryStore(), { writing: () => Promise.resolve(), deleting: () => Promise.resolve() }),
)

describe('the look before a manifest', () => {
  const expiresAt = Date.UTC(2026, 10, 22, 5)
  const marginMs = commitMarginMs({ storeRetrySeconds: 900 })
  let now = 0

  function looking(change: Partial<LastLook> = {}) {
    now = expiresAt - 3_600_000
    const store = new MemoryStore(() => now)
    const segments = [
      { key: 'data/a', bytes: 3 },
      { key: 'data/a.0001', bytes: 2 },
    ]
    const signal = new AbortController().signal
    const options = {
      store,
      ours: () => Promise.resolve(),
      segments,
      expiresAt,
      marginMs,
      now: () => now,
      signal,
      ...change,
    }
    const fill = async () => {
      await store.put('data/a', Buffer.from('abc'))
      await store.put('data/a.0001', Buffer.from('de'))
    }
    return { store, fill, look: lastLook(options) }
  }
  const failure = (reason: string, uncertain: boolean) => (error: unknown) =>
    error instanceof CommitFailure && error.reason === reason && error.uncertain === uncertain

  test('F58: passes while there is time and everything is there, and no longer', async () => {
    const { fill, look } = looking()
    await fill()
    await look()
    now = expiresAt - marginMs
    await look()
    now++
    await assert.rejects(look(), failure('AttemptExpired', true))
  })

  test('F58: goes by the clock of the store, and by its own only where the store has none', async () => {
    const fixed = (answeredAt: number | undefined) => ({
      head: () => Promise.resolve({ bytes: 3, metadata: {}, answeredAt }),
    })
    const segments = [{ key: 'data/a', bytes: 3 }]
    await assert.rejects(looking({ store: fixed(expiresAt), segments }).look(), failure('AttemptExpired', false))
    const own = { segments, now: () => expiresAt }
    await looking({ ...own, store: fixed(expiresAt - 7_200_000) }).look()
    await assert.rejects(looking({ ...own, store: fixed(undefined) }).look(), failure('AttemptExpired', false))
  })

  test('F58: misses each single segment, also one that has become shorter', async () => {
    for (const harm of [
      (store: MemoryStore) => store.delete(['data/a']),
      (store: MemoryStore) => store.delete(['data/a.0001']),
      (store: MemoryStore) => store.put('data/a.0001', Buffer.from('d')),
    ]) {
      const { store, fill, look } = looking()
      await fill()
      await harm(store)
      await assert.rejects(look(), failure('DataLost', false))
    }
  })

  test('does not take the failure of a look for a loss', async () => {
    const broken = new StoreError('StoreUnavailable', 'no')
    const { look } = looking({ store: { head: () => Promise.reject(broken) } })
    await assert.rejects(look(), broken)
  })

  test('comes before each write of any kind', async () => {
    let looks = 0
    const writing = async () => {
      if (++looks > 2) throw new Error('no more')
    }
    const store = lookingFirst(new MemoryStore(), { writing })
    await store.put('a', Buffer.from('x'))
    await store.putIfAbsent('b', Buffer.from('x'))
    await assert.rejects(store.put('c', Buffer.from('x')), /no more/)
    await assert.rejects(store.putIfAbsent('c', Buffer.from('x')), /no more/)
    assert.equal(await store.head('c'), undefined)
  })
})
