// Pages of the catalog read with credentials that may not list data/, so that each object is looked at, while the store does not tell of one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jobOf, runPod } from './backup-pod.ts'
import { dataOf, minio, put, secret } from './bucket-stage.ts'

const setUp = minio()
const runs = [1, 2, 3].map(jobOf)
const [first = ''] = runs

async function stage(t: Parameters<typeof setUp>[0]) {
  const { store, through, storeTask, proxy } = await setUp(t)
  for (const run of runs) await put(store, run)
  proxy.fail('list', { kind: 'refuse', status: 403, code: 'AccessDenied' }, { key: /\/data\// })
  const task = { ...storeTask, backend: through, kind: 'catalog', target: 'command' } as const
  return {
    refuse: (verb: 'head' | 'get', status: number, code: string, times?: number) =>
      proxy.fail(verb, { kind: 'refuse', status, code }, { key: new RegExp(dataOf(first)), times }),
    read: async () => (await runPod({ task, secret, run: 'catalog-1' })).message,
  }
}

test('F59: no page is told while the store cannot say whether data are there, and the backup is not taken for one without', async t => {
  const { refuse, read } = await stage(t)
  const { catalog } = await read()
  assert.deepEqual(
    catalog?.entries.map(({ run, unproven }) => [run, unproven]),
    runs.map(run => [run, undefined]),
  )
  for (const verb of ['head', 'get'] as const) refuse(verb, 503, 'SlowDown')
  const message = await read()
  assert.deepEqual([message.phase, message.reason, message.catalog], ['failed', 'StoreUnavailable', undefined])
})

test('F59: no page is told while one answer calls data absent that another one serves', async t => {
  const { refuse, read } = await stage(t)
  refuse('head', 404, 'NoSuchKey')
  refuse('get', 404, 'NoSuchKey', 1)
  const message = await read()
  assert.deepEqual([message.phase, message.reason, message.catalog], ['failed', 'StoreUnavailable', undefined])
})

test('F59: a refusal that would be the same again, as stores answer for what is gone, keeps no page back', async t => {
  const { refuse, read } = await stage(t)
  for (const verb of ['head', 'get'] as const) refuse(verb, 403, 'AccessDenied')
  const { catalog } = await read()
  assert.deepEqual(
    catalog?.entries.map(({ run, unproven }) => [run, unproven]),
    runs.map(run => [run, run === first ? true : undefined]),
  )
})
