import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { layoutOf } from './layout.ts'
import { MemoryStore } from '../memory.ts'
import type { ObjectStore } from '../object-store.ts'
import { checkStillOurs, claimFolder } from './ownership.ts'
import { putOnce } from '../put-once.ts'
import { StoreError } from '../store-error.ts'
import { changed } from '../../../test/storage/changed-store.ts'
import { putBackup, putData } from '../../../test/storage/made-up-backup.ts'

const owner = { clusterId: 'c1', namespace: 'shop', policy: 'orders', policyUid: 'u1' }
const layout = layoutOf(owner)
const now = Date.UTC(2026, 10, 22)
const later = now + 86_400_000
const keysOf = async (store: MemoryStore) => (await Array.fromAsync(store.list(''))).map(({ key }) => key)

describe('the mark of the owner', () => {
  test('is written once, and anew by a policy with another UID, with the time of its coming', async () => {
    const store = new MemoryStore()
    assert.deepEqual(await claimFolder(store, layout, { owner }, now), {
      conditionalPut: true,
      adoptedAt: now,
      formerly: [],
    })
    const mark = await store.get(layout.owner, 1_000)
    const adoptedAt = new Date(now).toISOString()
    assert.deepEqual(JSON.parse(mark.toString()), { version: 1, ...owner, adoptedAt })
    assert.deepEqual(await claimFolder(store, layout, { owner }, later), {
      conditionalPut: true,
      adoptedAt: now,
      formerly: [],
    })
    assert.deepEqual(await store.get(layout.owner, 1_000), mark)
    const heir = { ...owner, policyUid: 'u2' }
    assert.deepEqual(await claimFolder(store, layout, { owner: heir }, later), {
      conditionalPut: true,
      adoptedAt: later,
      formerly: [],
    })
    assert.deepEqual(await claimFolder(store, layout, { owner: heir }, later + 1), {
      conditionalPut: true,
      adoptedAt: later,
      formerly: [],
    })
  })

  test('that may not be replaced does not tell since when the folder is ours, and fails nothing', async () => {
    const store = new MemoryStore()
    await claimFolder(store, layout, { owner }, now)
    const locked = changed(store, {
      replaceIfUnchanged: async () => Promise.reject(new StoreError('AccessDenied', 'locked')),
    })
    const claimed = await claimFolder(locked, layout, { owner: { ...owner, policyUid: 'u2' } }, now + 1)
    assert.deepEqual(claimed, { conditionalPut: true, adoptedAt: undefined, formerly: [] })
  })

  test('of another cluster, namespace or policy is refused, and left as it is', async () => {
    const store = new MemoryStore()
    await claimFolder(store, layout, { owner }, now)
    const mark = await store.get(layout.owner, 1_000)
    for (const other of [{ clusterId: 'c2' }, { namespace: 'x' }, { policy: 'x' }]) {
      await assert.rejects(claimFolder(store, layout, { owner: { ...owner, ...other } }, now), {
        reason: 'PrefixOwnedByOther',
      })
    }
    assert.deepEqual(await store.get(layout.owner, 1_000), mark)
  })

  test('that a newer version wrote, or that is damaged, is refused', async () => {
    for (const body of ['{"version":2}', 'x', '']) {
      const store = new MemoryStore()
      await store.put(layout.owner, Buffer.from(body))
      await assert.rejects(claimFolder(store, layout, { owner }, now), { reason: 'FormatUnsupported' })
    }
  })

  test('F43: that is damaged comes with no advice to remove it', async () => {
    const store = new MemoryStore()
    await store.put(layout.owner, Buffer.from('x'))
    const says = { message: /choose another prefix, or bring back what stood in it; do not remove it/ }
    await assert.rejects(claimFolder(store, layout, { owner }, now), says)
  })

  test('shows a store that does not know If-None-Match, and one that ignores it', async () => {
    const refusing = new MemoryStore()
    const refuses = async () => Promise.reject(new StoreError('ConditionalUnsupported', 'no'))
    for (let time = 0; time < 2; time++) {
      const claimed = await claimFolder(changed(refusing, { putIfAbsent: refuses }), layout, { owner }, now)
      assert.deepEqual(claimed, { conditionalPut: false, adoptedAt: now, formerly: [] })
    }
    assert.ok(await refusing.head(layout.owner))

    const ignoring = new MemoryStore()
    const ignores: ObjectStore['putIfAbsent'] = async (key, body) => {
      await ignoring.put(key, body)
      return 'created'
    }
    for (let time = 0; time < 2; time++) {
      const claimed = await claimFolder(changed(ignoring, { putIfAbsent: ignores }), layout, { owner }, now)
      assert.deepEqual(claimed, { conditionalPut: false, adoptedAt: now, formerly: [] })
    }
  })

  test('that somebody else writes at the same time is noticed', async () => {
    const store = new MemoryStore()
    const late: ObjectStore['putIfAbsent'] = async (key, body) => {
      await store.put(key, Buffer.from(JSON.stringify({ version: 1, ...owner, clusterId: 'c2' })))
      return store.putIfAbsent(key, body)
    }
    await assert.rejects(claimFolder(changed(store, { putIfAbsent: late }), layout, { owner }, now), {
      reason: 'PrefixOwnedByOther',
    })
  })

  const denied = async () => Promise.reject(new StoreError('AccessDenied', 'no'))

  const honouring = (store: MemoryStore): ObjectStore['putIfAbsent'] => store.putIfAbsent.bind(store)
  const refusing = (): ObjectStore['putIfAbsent'] => async () =>
    Promise.reject(new StoreError('ConditionalUnsupported', 'no'))
  const ignoring =
    (store: MemoryStore): ObjectStore['putIfAbsent'] =>
    async (key, body) => {
      await store.put(key, body)
      return 'created'
    }
  /** With `If-None-Match`. */
  const ways = [honouring, refusing, ignoring]

  /** Answers NoSuchKey for the mark. */
  function denyingMark(store: MemoryStore, putIfAbsent: ObjectStore['putIfAbsent']): ObjectStore {
    const get: ObjectStore['get'] = async (key, ...rest) => {
      if (key === layout.owner) throw new StoreError('NotFound', 'NoSuchKey')
      return store.get(key, ...rest)
    }
    return changed(store, { get, putIfAbsent })
  }

  const stored = async (store: MemoryStore) =>
    Promise.all((await keysOf(store)).map(async key => [key, String(await store.get(key, 10_000))]))

  /** The first reading of the mark is denied. */
  function deniedOnce(store: MemoryStore, change: Partial<ObjectStore> = {}): ObjectStore {
    let readings = 0
    return changed(store, { get: (...read) => (readings++ === 0 ? denied() : store.get(...read)), ...change })
  }

  test('can be written by those who may not list, to whom AWS answers 403 for what does not exist', async () => {
    const store = new MemoryStore()
    const claimed = await claimFolder(changed(store, { get: denied }), layout, { owner }, now)
    assert.deepEqual(claimed, { conditionalPut: true, adoptedAt: now, formerly: [] })
    assert.deepEqual(await keysOf(store), [layout.owner])
  })

  test('can be written where what shows the condition may not be removed, again and again', async () => {
    const store = new MemoryStore()
    for (let time = 0; time < 2; time++) {
      const claimed = await claimFolder(changed(store, { get: denied, delete: denied }), layout, { owner }, now)
      assert.deepEqual(claimed, { conditionalPut: true, adoptedAt: now, formerly: [] })
      await store.delete([layout.owner])
    }
    assert.deepEqual(await keysOf(store), [layout.probe])
  })

  test('F43: that may not be read is never overwritten, whatever the store does with If-None-Match', async () => {
    const store = new MemoryStore()
    await claimFolder(store, layout, { owner: { ...owner, clusterId: 'c2' } }, now)
    const mark = await store.get(layout.owner, 1_000)
    const refuses = async () => Promise.reject(new StoreError('ConditionalUnsupported', 'no'))
    const ignores: ObjectStore['putIfAbsent'] = async (key, body) => {
      await store.put(key, body)
      return 'created'
    }
    const forgets: ObjectStore['putIfAbsent'] = (key, body) =>
      key === layout.owner ? refuses() : store.putIfAbsent(key, body)
    const says = { reason: 'AccessDenied', message: /allow these credentials to read.* and to list/ }
    for (const putIfAbsent of [refuses, ignores, forgets])
      await assert.rejects(claimFolder(deniedOnce(store, { putIfAbsent }), layout, { owner }, now), says)
    await assert.rejects(claimFolder(changed(store, { get: denied }), layout, { owner }, now), says)
    await assert.rejects(claimFolder(deniedOnce(store), layout, { owner }, now), {
      reason: 'PrefixOwnedByOther',
    })
    assert.deepEqual(await store.get(layout.owner, 1_000), mark)
    assert.deepEqual(await keysOf(store), [layout.owner])
  })

  test('F43: that somebody removed, or that the store denies to have, gives no folder with backups of another away', async () => {
    for (const removed of [true, false])
      for (const other of [{ clusterId: 'c2' }, { namespace: 'x' }, { policy: 'x' }])
        for (const putIfAbsent of ways) {
          const store = new MemoryStore()
          await claimFolder(store, layout, { owner: { ...owner, ...other } }, now)
          await putBackup(store, layout, { run: 'run-0', slot: new Date(0), change: { owner: { ...owner, ...other } } })
          if (removed) await store.delete([layout.owner])
          const before = await stored(store)
          await assert.rejects(claimFolder(denyingMark(store, putIfAbsent(store)), layout, { owner }, now), {
            reason: 'PrefixOwnedByOther',
            message: /run-0\.json.*choose another backend\.prefix/,
          })
          assert.deepEqual(await stored(store), before)
        }
  })

  test('F43: that is ours is believed at the second answer, beside backups of another that were copied there', async () => {
    for (const reason of ['AccessDenied', 'NotFound'] as const)
      for (const putIfAbsent of ways) {
        const store = new MemoryStore()
        await claimFolder(store, layout, { owner }, now)
        await putBackup(store, layout, {
          run: 'run-0',
          slot: new Date(0),
          change: { owner: { ...owner, clusterId: 'c2' } },
        })
        let wrong = 1
        const get: ObjectStore['get'] = async (key, ...rest) => {
          if (key === layout.owner && wrong-- > 0) throw new StoreError(reason, 'not so')
          return store.get(key, ...rest)
        }
        const claimed = await claimFolder(
          changed(store, { get, putIfAbsent: putIfAbsent(store) }),
          layout,
          { owner },
          now + 1,
        )
        assert.equal(claimed.adoptedAt, now)
      }
  })

  test('F43: that the store denies to have is never overwritten where it does not honour If-None-Match', async () => {
    for (const putIfAbsent of [refusing, ignoring]) {
      const store = new MemoryStore()
      await claimFolder(store, layout, { owner: { ...owner, clusterId: 'c2' } }, now)
      const before = await stored(store)
      await assert.rejects(claimFolder(denyingMark(store, putIfAbsent(store)), layout, { owner }, now), {
        reason: 'PrefixOwnedByOther',
        message: /nobody knows whose.*owner\.json/,
      })
      assert.deepEqual(await stored(store), before)
    }
  })

  test('F43: that somebody removed is written again where all backups are our own, and where the store decides between two writers', async () => {
    for (const putIfAbsent of ways) {
      const store = new MemoryStore()
      await putBackup(store, layout, { run: 'run-0', slot: new Date(0), change: { owner } })
      await claimFolder(changed(store, { putIfAbsent: putIfAbsent(store) }), layout, { owner }, now)
      assert.ok(await store.head(layout.owner))
    }
    const store = new MemoryStore()
    await putData(store, layout, { run: 'run-0', slot: new Date(0) })
    const claimed = await claimFolder(store, layout, { owner }, now)
    assert.deepEqual(claimed, { conditionalPut: true, adoptedAt: now, formerly: [] })
  })

  test('F62: is not written where a list says that the bucket is elsewhere', async () => {
    const store = new MemoryStore()
    const elsewhere = async () => Promise.reject(new StoreError('AddressingRefused', 'one folder too deep'))
    const list: ObjectStore['list'] = () => ({ [Symbol.asyncIterator]: () => ({ next: elsewhere }) })
    for (const get of [store.get.bind(store), denied]) {
      await assert.rejects(claimFolder(changed(store, { list, get }), layout, { owner }, now), {
        reason: 'AddressingRefused',
      })
      assert.deepEqual(await keysOf(store), [])
    }
  })

  test('is written also where the folder may not be listed', async () => {
    const store = new MemoryStore()
    const list: ObjectStore['list'] = () => ({ [Symbol.asyncIterator]: () => ({ next: denied }) })
    const claimed = await claimFolder(changed(store, { list }), layout, { owner }, now)
    assert.deepEqual(claimed, { conditionalPut: true, adoptedAt: now, formerly: [] })
  })

  test('F43: that the store denies once to have is not replaced where nothing may be listed and If-None-Match is not honoured', async () => {
    for (const putIfAbsent of [refusing, ignoring])
      for (const seen of [true, false]) {
        const store = new MemoryStore()
        await claimFolder(store, layout, { owner: { ...owner, clusterId: 'c2' } }, now)
        const before = await stored(store)
        const list: ObjectStore['list'] = () => ({ [Symbol.asyncIterator]: () => ({ next: denied }) })
        const denying = denyingMark(store, putIfAbsent(store))
        let readings = 0
        const get: ObjectStore['get'] = (...read) => (readings++ === 0 || !seen ? denying : store).get(...read)
        await assert.rejects(claimFolder(changed(denying, { get, list }), layout, { owner }, now), {
          reason: 'PrefixOwnedByOther',
          message: seen ? /belongs to policy shop\/orders of cluster c2/ : /nobody knows whose/,
        })
        assert.deepEqual(await stored(store), before)
      }
  })

  test('is written also where the folder may not be listed and If-None-Match is not honoured', async () => {
    for (const putIfAbsent of [refusing, ignoring]) {
      const store = new MemoryStore()
      const list: ObjectStore['list'] = () => ({ [Symbol.asyncIterator]: () => ({ next: denied }) })
      const claimed = await claimFolder(
        changed(store, { list, putIfAbsent: putIfAbsent(store) }),
        layout,
        { owner },
        now,
      )
      assert.deepEqual([claimed.conditionalPut, await keysOf(store)], [false, [layout.owner]])
    }
  })

  test('that could not be read once tells all the same since when the folder is ours', async () => {
    const store = new MemoryStore()
    await claimFolder(store, layout, { owner }, now)
    assert.deepEqual(await claimFolder(deniedOnce(store), layout, { owner }, later), {
      conditionalPut: true,
      adoptedAt: now,
      formerly: [],
    })
    const heir = { ...owner, policyUid: 'u2' }
    assert.deepEqual(await claimFolder(deniedOnce(store), layout, { owner: heir }, later), {
      conditionalPut: true,
      adoptedAt: later,
      formerly: [],
    })
  })
})

describe('an object that is put once', () => {
  test('is never overwritten, with and without the help of the store', async () => {
    for (const trusted of [true, false]) {
      const store = new MemoryStore()
      const first = await putOnce(store, 'a', Buffer.from('1'), { trusted })
      assert.deepEqual(first, { outcome: 'created', conditional: trusted })
      assert.equal((await putOnce(store, 'a', Buffer.from('2'), { trusted })).outcome, 'exists')
      assert.equal(String(await store.get('a', 10)), '1')
    }
  })
})

describe('the folder of a lost cluster', () => {
  const lost = { ...owner, clusterId: 'lost', policyUid: 'u0' }
  const adopting = { owner, adopt: 'lost' }

  test('is taken over by who names it, and by nobody else', async () => {
    const store = new MemoryStore()
    await claimFolder(store, layout, { owner: lost }, now)
    for (const adopt of [undefined, 'another', owner.clusterId])
      await assert.rejects(claimFolder(store, layout, { owner, adopt }, later), {
        reason: 'PrefixOwnedByOther',
        message: /backend\.adopt/,
      })
    for (const other of [{ namespace: 'n2' }, { policy: 'p2' }]) {
      const claimant = { owner: { ...owner, ...other }, adopt: 'lost' }
      await assert.rejects(claimFolder(store, layout, claimant, later), { reason: 'PrefixOwnedByOther' })
    }
    const expected = { conditionalPut: true, adoptedAt: later, formerly: ['lost'] }
    assert.deepEqual(await claimFolder(store, layout, adopting, later), expected)
    // Once it is ours it stays so, also without the word, and the time of the adoption stands.
    assert.deepEqual(await claimFolder(store, layout, adopting, later + 1), expected)
    assert.deepEqual(await claimFolder(store, layout, { owner }, later + 1), expected)
    await assert.rejects(claimFolder(store, layout, { owner: lost }, later), { reason: 'PrefixOwnedByOther' })
  })

  test('keeps the names of all clusters that it was taken over from', async () => {
    const store = new MemoryStore()
    await claimFolder(store, layout, { owner: lost }, now)
    await claimFolder(store, layout, adopting, now)
    const third = { owner: { ...owner, clusterId: 'third' }, adopt: owner.clusterId }
    const { formerly } = await claimFolder(store, layout, third, later)
    assert.deepEqual(formerly, ['lost', owner.clusterId])
    // And back: what was made in the cluster itself is not of an earlier one.
    const back = { owner: lost, adopt: 'third' }
    assert.deepEqual((await claimFolder(store, layout, back, later)).formerly, [owner.clusterId, 'third'])
  })

  test('is taken over by one of two that are told to at the same time', async () => {
    const store = new MemoryStore()
    await claimFolder(store, layout, { owner: lost }, now)
    const claims = await Promise.allSettled(
      ['a', 'b', 'c'].map(clusterId =>
        claimFolder(store, layout, { owner: { ...owner, clusterId }, adopt: 'lost' }, now),
      ),
    )
    assert.deepEqual(claims.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected', 'rejected'])
  })

  test('does not come back by a write that its mover had begun before', async () => {
    const store = new MemoryStore()
    await claimFolder(store, layout, { owner: lost }, now)
    // A policy that was applied again there writes its mark anew.
    const heir = { ...lost, policyUid: 'u9' }
    const getTagged: ObjectStore['getTagged'] = async (...args) => {
      const read = await store.getTagged(...args)
      await claimFolder(store, layout, adopting, later)
      return read
    }
    await assert.rejects(claimFolder(changed(store, { getTagged }), layout, { owner: heir }, now), {
      reason: 'PrefixOwnedByOther',
    })
    assert.equal((await claimFolder(store, layout, { owner }, later)).adoptedAt, later)
  })

  test('is taken over where the store does not know If-Match, too', async () => {
    const store = new MemoryStore()
    await claimFolder(store, layout, { owner: lost }, now)
    const refuses = () => Promise.reject(new StoreError('ConditionalUnsupported', 'no'))
    const claimed = await claimFolder(changed(store, { replaceIfUnchanged: refuses }), layout, adopting, later)
    assert.deepEqual(claimed.formerly, ['lost'])
  })

  test('is taken over with its mark gone, where its backups tell whose they are', async () => {
    const store = new MemoryStore()
    await putBackup(store, layout, { run: 'backup-orders-1', slot: new Date(now), change: { owner: lost } })
    await assert.rejects(claimFolder(store, layout, { owner }, later), { reason: 'PrefixOwnedByOther' })
    assert.deepEqual((await claimFolder(store, layout, adopting, later)).formerly, ['lost'])
  })

  test('is no longer its own for a mover of the lost one that looks again', async () => {
    const store = new MemoryStore()
    await claimFolder(store, layout, { owner: lost }, now)
    await checkStillOurs(store, layout, lost)
    await claimFolder(store, layout, adopting, later)
    await assert.rejects(checkStillOurs(store, layout, lost), { reason: 'PrefixOwnedByOther' })
    await checkStillOurs(store, layout, owner)
    // A mark that somebody removed is no other's, and one that cannot be read now is asked for again.
    await store.delete([layout.owner])
    await checkStillOurs(store, layout, lost)
  })
})
