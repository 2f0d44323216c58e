import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { SharedStrings } from './shared-strings.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const object = (index: number) => ({
  metadata: { name: `policy-with-a-name-${index}`, labels: { app: 'a-label-of-all-objects' } },
  spec: { policy: `policy-with-a-name-${index}`, list: ['a-label-of-all-objects', 7, null, true] },
})

test('what is shared is equal to what came', () => {
  assert.deepEqual(new SharedStrings().share(object(1)), object(1))
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
  const strings = new SharedStrings()
  const [shared, plain] = [bytesFor(value => strings.share(value)), bytesFor(value => value)]
  assert.ok(shared < plain / 2, `${shared} bytes an object, and ${plain} unshared`)
})

test('strings that do not return are forgotten', () => {
  const strings = new SharedStrings()
  strings.share(object(0))
  collect()
  const before = process.memoryUsage().heapUsed
  for (let index = 0; index < 100_000; index++) strings.share({ id: `a-string-that-comes-once-${index}` })
  collect()
  const grown = (process.memoryUsage().heapUsed - before) / 2 ** 20
  assert.ok(grown < 3, `${grown.toFixed(1)} MiB`)
  assert.deepEqual(strings.share(object(2)), object(2))
})
