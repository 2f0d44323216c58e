import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MemoryStore } from './memory.ts'
import type { ObjectStore } from './object-store.ts'
import { describeObjectStore } from './object-store.contract.ts'
import { withRetries } from './retry.ts'
import { isStoreError, StoreError, type StoreErrorReason } from './store-error.ts'

describeObjectStore('memory with retries', async () =>
  withRetries(new MemoryStore(), { budgetMs: 100, firstDelayMs: 1 }),
)

/** A store of which one method fails so many times, before or after it has taken effect. */
function failing(
  method: keyof ObjectStore,
  times: number,
  reason: StoreErrorReason,
  effect: 'before' | 'after' = 'before',
  more: { readonly perhapsObeyed?: boolean } = {},
) {
  const store = new MemoryStore()
  let calls = 0
  const broken = new Proxy(store, {
    get(target, name: keyof ObjectStore) {
      const original = (target[name] as (...args: unknown[]) => unknown).bind(target)
      if (name !== method) return original
      return async (...args: unknown[]) => {
        calls++
        if (calls > times) return original(...args)
        if (effect === 'after') await original(...args)
        throw new StoreError(reason, 'injected', more)
      }
    },
  }) as ObjectStore
  return { store, broken, calls: () => calls }
}

describe('retries', () => {
  test('go on until the store is well', async () => {
    const { store, broken, calls } = failing('put', 3, 'StoreUnavailable')
    const told: number[] = []
    const onRetry = (_: StoreError, tries: number) => told.push(tries)
    await withRetries(broken, { budgetMs: 5_000, firstDelayMs: 1, onRetry }).put('a', Buffer.from('x'))
    assert.equal(calls(), 4)
    assert.deepEqual(told, [1, 2, 3])
    assert.ok(await store.head('a'))
  })

  test('end with the budget, and say how many there were', async () => {
    const { broken, calls } = failing('put', Number.POSITIVE_INFINITY, 'EndpointUnreachable')
    const started = performance.now()
    await assert.rejects(withRetries(broken, { budgetMs: 100, firstDelayMs: 10 }).put('a', Buffer.from('x')), error => {
      return isStoreError(error, 'EndpointUnreachable') && error.tries === calls() && /\d tries/.test(error.message)
    })
    assert.ok(performance.now() - started < 1_000)
    assert.ok(calls() > 2)
  })

  test('are not for what only a person or time can cure', async () => {
    for (const reason of [
      'AccessDenied',
      'BucketNotFound',
      'TLSVerificationFailed',
      'StoreFull',
      'ClockSkew',
    ] as const) {
      const { broken, calls } = failing('put', Number.POSITIVE_INFINITY, reason)
      await assert.rejects(withRetries(broken, { budgetMs: 1_000, firstDelayMs: 1 }).put('a', Buffer.from('x')), {
        reason,
        tries: 1,
      })
      assert.equal(calls(), 1)
    }
  })

  test('leave one upload open when the reply to the first was lost', async () => {
    const { store, broken } = failing('createUpload', 1, 'StoreUnavailable', 'after')
    const uploadId = await withRetries(broken, { budgetMs: 1_000, firstDelayMs: 1 }).createUpload('a')
    assert.deepEqual(await store.listUploads('a'), [uploadId])
  })

  test('F12: tell how many uploads may be open that nobody knows: fewer by those that were found', async () => {
    for (const when of ['before', 'after'] as const) {
      const { store, broken } = failing('createUpload', 2, 'StoreUnavailable', when, { perhapsObeyed: true })
      const doubts: number[] = []
      const onDoubt = (uploads: number) => void doubts.push(uploads)
      const uploadId = await withRetries(broken, { budgetMs: 1_000, firstDelayMs: 1 }).createUpload('a', { onDoubt })
      assert.deepEqual([doubts, await store.listUploads('a')], [[1, 2, when === 'after' ? 0 : 2], [uploadId]], when)
    }
  })

  test('leave one upload open also when the list of uploads fails at first', async () => {
    const { store, broken } = failing('createUpload', 1, 'StoreUnavailable', 'after')
    let lists = 0
    const flaky = new Proxy(broken, {
      get: (target, name) =>
        name === 'listUploads'
          ? async (key: string) => {
              if (++lists <= 2) throw new StoreError('StoreUnavailable', 'injected')
              return store.listUploads(key)
            }
          : (Reflect.get(target, name) as unknown),
    })
    const uploadId = await withRetries(flaky, { budgetMs: 1_000, firstDelayMs: 1 }).createUpload('a')
    assert.deepEqual(await store.listUploads('a'), [uploadId])
  })

  test('go on with a list where it broke', async () => {
    const store = new MemoryStore()
    for (const key of ['a/1', 'a/2', 'a/3']) await store.put(key, Buffer.from('x'))
    let broken = 0
    const list: ObjectStore['list'] = async function* (prefix, options) {
      for await (const object of store.list(prefix, options)) {
        yield object
        if (++broken <= 2) throw new StoreError('StoreUnavailable', 'injected')
      }
    }
    const flaky = new Proxy(store, {
      get: (target, name) => (name === 'list' ? list : Reflect.get(target, name)) as unknown,
    })
    const found = await Array.fromAsync(withRetries(flaky, { budgetMs: 1_000, firstDelayMs: 1 }).list('a/'))
    assert.deepEqual(
      found.map(({ key }) => key),
      ['a/1', 'a/2', 'a/3'],
    )
  })

  test('stop waiting with the reason of the signal', async () => {
    const { broken } = failing('put', Number.POSITIVE_INFINITY, 'StoreUnavailable')
    const reason = new Error('told to stop')
    const stop = new AbortController()
    const onRetry = () => stop.abort(reason)
    await assert.rejects(
      withRetries(broken, { budgetMs: 60_000, onRetry }).put('a', Buffer.from('x'), stop.signal),
      reason,
    )
  })
})
