import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { SharedParts } from './shared-parts.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const object = (index: number) => ({
  metadata: { name: `policy-with-a-name-${index}`, labels: { app: 'a-label-of-all-objects' } },
  spec: { policy: `policy-with-a-name-${index}`, list: ['a-label-of-all-objects', 7, null, true] },
})

test('what is shared is equal to what came', () => {
  assert.deepEqual(new SharedParts().share(object(1)), object(1))
})

test('equal parts of two objects are one part afterwards, and those that only look alike are not', () => {
  const parts = new SharedParts()
  const make = (labels: object, list: readonly unknown[] = ['x']) => ({ metadata: { labels }, spec: { list } })
  const first = parts.share(make({ app: 'db', tier: 'back' }))
  const second = parts.share(make({ app: 'db', tier: 'back' }))
  assert.equal(second.metadata.labels, first.metadata.labels)
  assert.equal(second.spec.list, first.spec.list)
  const others: readonly [object, readonly unknown[]][] = [
    [{ app: 'db,tier:back' }, ['x']],
    [{ 'app:db,tier': 'back' }, ['x']],
    [{ 'app":"db","tier': 'back' }, ['x']],
    [{ app: '1' }, ['1']],
    [{ app: 1 }, [1]],
    [{ app: null }, [null]],
    [{ app: 'null' }, ['null']],
    [{ app: true }, [['x']]],
    [{ app: 'true' }, ['x', []]],
    [{ app: {} }, [{}]],
    [{ app: [] }, [[]]],
    [{ 0: 'x' }, ['x', 'y']],
    [{ app: 'x'.repeat(65) }, ['x'.repeat(401)]],
  ]
  for (const [labels, list] of others) assert.deepEqual(parts.share(make(labels, list)), make(labels, list))
})

test('a large object is not kept as a part, but what is small in it is', () => {
  const parts = new SharedParts()
  const make = (index: number) => ({
    owner: { uid: 'one-and-the-same' },
    name: 'x'.repeat(300),
    more: 'y'.repeat(300),
    index,
  })
  const [first, second] = [parts.share([make(1)]), parts.share([make(2)])]
  assert.notEqual(first[0], second[0])
  assert.equal(first[0]?.owner, second[0]?.owner)
})

test('equal strings of many objects take the place of one', () => {
  const text = JSON.stringify({
    list: Array.from({ length: 20 }, () => 'a string that is in each of them, and is not short'),
  })
  const bytesFor = (keep: (value: object) => object) => {
    collect()
    const before = process.memoryUsage().heapUsed
    const kept = Array.from({ length: 2000 }, () => keep(JSON.parse(text) as object))
    collect()
    return (process.memoryUsage().heapUsed - before) / kept.length
  }
  const parts = new SharedParts()
  const [shared, plain] = [bytesFor(value => parts.share(value)), bytesFor(value => value)]
  assert.ok(shared < plain / 2, `${shared} bytes an object, and ${plain} unshared`)
})

test('what does not return is forgotten', () => {
  const parts = new SharedParts()
  parts.share(object(0))
  collect()
  const before = process.memoryUsage().heapUsed
  for (let index = 0; index < 100_000; index++) parts.share({ labels: { id: `a-string-that-comes-once-${index}` } })
  collect()
  const grown = (process.memoryUsage().heapUsed - before) / 2 ** 20
  assert.ok(grown < 3, `${grown.toFixed(1)} MiB`)
  assert.deepEqual(parts.share(object(2)), object(2))
})
