// A page of the catalog read by a list that is out of date (F19): it still names thirty manifests that retention has deleted since,
// twenty an hour after a lowering, and their GET says NoSuchKey.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jobOf, runPod } from './backup-pod.ts'
import { manifestOf, minio, put, secret } from './bucket-stage.ts'

const setUp = minio()
const gone = 30

test('F19: a list that still names deleted manifests does not end the catalog early: every whole backup is in a page', async t => {
  const { store, through, storeTask, proxy } = await setUp(t)
  const runs = Array.from({ length: 60 }, (_, slot) => jobOf(slot))
  for (const run of runs) await put(store, run)
  for (const run of runs.slice(0, gone))
    proxy.fail('get', { kind: 'refuse', status: 404, code: 'NoSuchKey' }, { key: new RegExp(manifestOf(run)) })
  const task = { ...storeTask, backend: through, kind: 'catalog', target: 'command' } as const
  const told: string[] = []
  let cursor: string | undefined
  do {
    const { message } = await runPod({ task: { ...task, cursor }, secret, run: `catalog-${told.length}` })
    assert.equal(message.phase, 'done')
    told.push(...(message.catalog?.entries.map(({ run }) => run) ?? []))
    cursor = message.catalog?.next
  } while (cursor !== undefined)
  const hidden = runs.slice(gone).filter(run => !told.includes(run))
  assert.deepEqual(
    hidden,
    [],
    `${hidden.length} of ${runs.length - gone} whole backups, the newest ones, are in no page of a list that calls itself whole`,
  )
})
