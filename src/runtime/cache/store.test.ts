import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KubeObject } from '../client/resource.ts'
import { Store } from './store.ts'

function pod(name: string, version: string, app = 'db', uid = `uid-${name}`): KubeObject {
  const metadata = { name, namespace: 'a', uid, resourceVersion: version, labels: { app } }
  return { apiVersion: 'v1', kind: 'Pod', metadata }
}

function byApp(): Store<KubeObject> {
  return new Store<KubeObject>({ indexes: { app: ({ metadata }) => Object.values(metadata.labels ?? {}) } })
}

function names(objects: readonly KubeObject[]): string[] {
  return objects.map(object => object.metadata.name).toSorted()
}

test('an index follows an object from value to value', () => {
  const store = byApp()
  store.replace([pod('x', '1'), pod('y', '1')])
  assert.deepEqual(names(store.byIndex('app', 'db')), ['x', 'y'])
  store.set(pod('x', '2', 'web'))
  assert.deepEqual(names(store.byIndex('app', 'db')), ['y'])
  assert.deepEqual(names(store.byIndex('app', 'web')), ['x'])
  store.remove(pod('x', '3', 'web'))
  assert.deepEqual(store.byIndex('app', 'web'), [])
  assert.throws(() => store.byIndex('nope', 'x'), TypeError)
})

test('a listener first hears of what is there, then of changes, and of nothing after it stopped', () => {
  const store = byApp()
  store.replace([pod('x', '1')])
  const heard: string[] = []
  const stop = store.subscribe(({ type, object, previous }) =>
    heard.push(`${type} ${object.metadata.resourceVersion} ${previous?.metadata.resourceVersion}`),
  )
  store.set(pod('x', '1'))
  store.set(pod('x', '2'))
  store.set(pod('x', '3', 'db', 'other-uid'))
  store.remove(pod('x', '4'))
  store.remove(pod('x', '4'))
  stop()
  store.set(pod('x', '5'))
  assert.deepEqual(heard, ['added 1 undefined', 'modified 2 1', 'deleted 2 2', 'added 3 undefined', 'deleted 3 3'])
})

test('an answer to a write tells what the watch has not told yet, and takes nothing back that it has', () => {
  const store = byApp()
  store.offer(pod('x', '9'))
  store.offer(pod('x', '10', 'web'))
  assert.deepEqual(names(store.byIndex('app', 'web')), ['x'])
  // The watch was faster: to another version, to another object of the same name, to the end of the object.
  store.set(pod('x', '12', 'ready'))
  store.offer(pod('x', '11', 'web'))
  assert.deepEqual(names(store.byIndex('app', 'ready')), ['x'])
  store.set(pod('x', '14', 'next', 'other-uid'))
  store.offer(pod('x', '13', 'web', 'one-more-uid'))
  assert.deepEqual(names(store.byIndex('app', 'next')), ['x'])
  store.remove(pod('x', '16', 'next', 'other-uid'))
  store.offer(pod('x', '15', 'web', 'other-uid'))
  assert.deepEqual(store.list(), [])
})

test('the watch that tells late of what later answers have told takes nothing back; a list is the truth, older or not', () => {
  const store = byApp()
  const heard: (string | undefined)[] = []
  store.subscribe(({ object }) => heard.push(object.metadata.resourceVersion))
  for (const version of ['9', '10', '11']) store.offer(pod('x', version))
  for (const version of ['9', '10', '11', '12']) store.set(pod('x', version))
  assert.deepEqual(heard, ['9', '10', '11', '12'])
  // etcd was restored from a backup.
  store.replace([pod('x', '3')])
  assert.deepEqual(heard.at(-1), '3')
})

test('an object that was deleted and made anew is not taken back by a watch that is late', () => {
  const store = byApp()
  store.set(pod('x', '9'))
  store.offer(pod('x', '12', 'new', 'other-uid'))
  store.set(pod('x', '10', 'edited'))
  store.remove(pod('x', '11', 'edited'))
  assert.deepEqual(names(store.byIndex('app', 'new')), ['x'])
  store.set(pod('x', '12', 'new', 'other-uid'))
  store.offer(pod('x', '13', 'written', 'other-uid'))
  assert.deepEqual(names(store.byIndex('app', 'written')), ['x'])
})

test('an object that is seen again after it seemed to be gone takes answers as before', () => {
  const store = byApp()
  store.set(pod('x', '9'))
  store.markAbsent(0)
  store.replace([pod('x', '9')])
  store.offer(pod('x', '10', 'web'))
  store.remove(pod('x', '11', 'hidden'))
  store.set(pod('x', '12', 'shown'))
  store.offer(pod('x', '13', 'last'))
  assert.deepEqual(names(store.byIndex('app', 'last')), ['x'])
})

test('a listener or an index that throws is reported and blinds nobody else', () => {
  const errors: string[] = []
  const store = new Store<KubeObject>({
    indexes: {
      bad: () => {
        throw new Error('index')
      },
    },
    onError: (error, key) => errors.push(`${key} ${(error as Error).message}`),
  })
  const heard: string[] = []
  store.subscribe(() => {
    throw new Error('listener')
  })
  store.subscribe(({ key }) => heard.push(key))
  store.set(pod('x', '1'))
  assert.deepEqual(errors, ['a/x index', 'a/x listener'])
  assert.deepEqual(heard, ['a/x'])
})

test('waiting for the first sync ends with it or with the signal', async () => {
  const store = byApp()
  const stop = new AbortController()
  const waiting = assert.rejects(store.settled(stop.signal), /^Error: enough$/)
  stop.abort(new Error('enough'))
  await waiting
  const settled = store.settled(new AbortController().signal)
  store.markAbsent(0)
  await settled
  assert.equal(store.state, 'absent')
})

test('a resource that appears or goes is told, also when it has no objects', () => {
  const store = byApp()
  const heard: string[] = []
  const stop = store.onState(() => heard.push(`${store.state} ${store.list().length}`))
  store.markAbsent(0)
  store.markAbsent(0)
  store.replace([])
  store.replace([pod('x', '1')])
  store.markAbsent(0)
  stop()
  store.replace([])
  assert.deepEqual(heard, ['absent 0', 'synced 0', 'absent 0'])
})

test('since when a resource is not served is told by the first answer in a row that says so', () => {
  const store = byApp()
  const told: (number | undefined)[] = []
  const tell = () => told.push(store.absentSince)
  tell()
  store.markAbsent(1000)
  store.markAbsent(2000)
  tell()
  store.replace([])
  tell()
  store.markAbsent(3000)
  tell()
  assert.deepEqual(told, [undefined, 1000, undefined, 3000])
})

test('since when a resource is served again is told while it is, and only where it was away', () => {
  const store = byApp()
  const told: (number | undefined)[] = []
  const tell = () => told.push(store.backSince)
  store.replace([], 500)
  tell()
  store.markAbsent(1000)
  tell()
  store.replace([], 2000)
  store.replace([], 3000)
  tell()
  store.markAbsent(4000)
  tell()
  assert.deepEqual(told, [undefined, undefined, 2000, undefined])
})
