// A hold Job looks for the manifest just between the deletion and its being put back.
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'node:test'
import { deleteBackup } from '../../src/storage/bucket/catalog.ts'
import { holdKey } from '../../src/storage/bucket/layout.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { jobOf, runPod } from './backup-pod.ts'
import { layout, minio, put, secret, slotOf } from './bucket-stage.ts'

const setUp = minio()

test('F63: a manifest that is put back because of a hold is found by the Job that wrote the hold, which stays', async t => {
  const { store, server, bucket, through, storeTask, proxy } = await setUp(t)
  const run = jobOf(0)
  const { key, record } = await put(store, run)
  const slot = slotOf(run).getTime()
  const task = { ...storeTask, backend: through, kind: 'hold', target: 'command', run, slot, held: true } as const
  // Only slower than the mover: the store obeys.
  proxy.fail('delete', { kind: 'slow', ms: 3000 }, { key: /\/holds\// })
  let holding: ReturnType<typeof runPod> | undefined
  const pruning: ObjectStore = {
    ...store,
    async delete(keys, signal) {
      await store.delete(keys, signal)
      if (keys[0] !== key) return
      holding = runPod({ task, secret, run: 'hold-1' })
      while (!proxy.requests.some(each => each.startsWith('get ') && each.includes('/manifests/'))) await delay(20)
    },
  }
  const outcome = await deleteBackup(pruning, layout, { key, record }, Date.now())
  const said = (await holding)?.message
  const { keys } = await server.contents(bucket)
  assert.deepEqual([outcome, keys.includes(key)], ['held', true])
  assert.deepEqual(
    { held: keys.includes(holdKey(layout, run)), said: said?.reason ?? said?.phase },
    { held: true, said: 'done' },
    'the backup was kept because of this hold',
  )
})
