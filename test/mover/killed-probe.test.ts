// A probe that is killed cannot abort its upload: the next one does, also where uploads cannot be listed, and so does a run.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../../dev/eventually.ts'
import { sweep } from '../../src/storage/bucket/sweep.ts'
import { runPod, startPod, type Pod } from './backup-pod.ts'
import { hourMs, layout, minio, secret } from './bucket-stage.ts'
import { changed, later } from '../storage/changed-store.ts'
import { startFaultProxy, type FaultProxy } from '../storage/s3-fault-proxy.ts'

const setUp = minio()
const refused = { kind: 'refuse', status: 403, code: 'AccessDenied' } as const

type Stage = Awaited<ReturnType<typeof setUp>>

const probe = ({ storeTask }: Stage, backend = storeTask.backend) => ({
  task: { ...storeTask, kind: 'probe' as const, backend },
  secret,
  run: 'probe',
})

/** Open uploads, and what is there besides the mark of the folder and the data of a probe that ended at its last step. */
async function left({ server, bucket }: Stage) {
  const { keys, uploads } = await server.contents(bucket)
  return { uploads, objects: keys.filter(key => key !== layout.owner && !key.startsWith(layout.data)) }
}

const nothing = { uploads: [], objects: [] }

/** A probe that is killed while its part is on the way. */
async function killBetweenParts(stage: Stage) {
  stage.proxy.fail('uploadPart', { kind: 'silence' }, { times: 1 })
  const pod = await startPod(probe(stage, stage.through))
  const asked = () => stage.proxy.requests.some(request => request.startsWith('uploadPart'))
  await eventually('a part to be sent', asked, { seconds: 20, every: 10 })
  await kill(pod)
  await pod.remove()
  assert.equal((await left(stage)).uploads.length, 1)
}

async function kill({ mover }: Pod) {
  mover.process.kill('SIGKILL')
  await mover.ended
}

async function assertUsable(stage: Stage, proxy?: FaultProxy) {
  const { code, message } = await runPod(probe(stage, proxy && stage.through))
  assert.deepEqual([code, message.phase], [0, 'done'], JSON.stringify(message))
}

test('the upload of a killed probe is aborted by the next probe, where neither objects nor uploads may be listed (F14)', async t => {
  const stage = await setUp(t)
  for (const verb of ['list', 'listUploads'] as const) stage.proxy.fail(verb, refused)
  await killBetweenParts(stage)
  await assertUsable(stage, stage.proxy)
  assert.deepEqual(await left(stage), nothing)
})

test('the upload of a killed probe is aborted by the sweep of a run, where uploads may not be listed (F14)', async t => {
  const stage = await setUp(t)
  await killBetweenParts(stage)
  const store = changed(stage.store, { listUploads: () => assert.fail('uploads were listed') })
  await sweep(later(store, 3 * hourMs), layout, Date.now() + 3 * hourMs)
  assert.deepEqual((await left(stage)).uploads, [])
})

test('a probe whose leftover may not be aborted finds the store usable all the same (F14)', async t => {
  const stage = await setUp(t)
  await killBetweenParts(stage)
  stage.proxy.fail('abortUpload', refused)
  await assertUsable(stage, stage.proxy)
})

// It writes one thing after the other: one that is killed before a write leaves what one leaves that is killed after the write before it.
test('a probe that is killed after the store obeys any of its writes leaves no upload behind the next one (F14)', async t => {
  const stage = await setUp(t)
  let nth = 1
  while (await killAfter(nth, stage)) {
    await assertUsable(stage)
    assert.deepEqual(await left(stage), nothing, `after write ${nth}`)
    nth++
  }
  assert.ok(nth > 7, 'the note, the upload with its part, and the deletions were not all written')
})

/** @returns false when the probe ended before its n-th write. */
async function killAfter(nth: number, stage: Stage): Promise<boolean> {
  const proxy = await startFaultProxy(stage.server.endpoint)
  try {
    const victim = Promise.withResolvers<Pod>()
    proxy.interrupt(nth, 'after', async () => kill(await victim.promise))
    const pod = await startPod(probe(stage, { ...stage.through, endpoint: proxy.endpoint }))
    victim.resolve(pod)
    const { code } = await pod.result()
    assert.ok(code === 0 || proxy.writes.length === nth, `more than one write at a time: ${proxy.writes.join(', ')}`)
    return code !== 0
  } finally {
    await proxy.stop()
  }
}
