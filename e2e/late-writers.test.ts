// Commands whose last writer outlives them, on a real cluster: the kernel kills it with the first process of its container, unless that waits.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { parseBackupRecord } from '../src/api/record.ts'
import { named } from '../test/mover/late-writer.ts'
import { listed } from '../test/runner/long-list.ts'
import { installMinio, installOperator } from './install.ts'
import { put } from './objects.ts'
import { jobPolicy, run, storeNamespace } from './stack.ts'
import { assertNothingIsLeft, openStore } from './store.ts'

const bash = (script: string) => ({ command: ['bash', '-c', script] })
const numbers = (last: number) => spawnSync('seq', ['1', String(last)], { maxBuffer: 1 << 30 }).stdout

type Shape = {
  readonly name: string
  readonly what: string
  readonly script: string
  /** The programs of which the manifest must name one. */
  readonly late?: readonly string[]
  readonly content: (plain: Buffer) => Buffer
  readonly last: number
}

/** Those marked `long`, and many more, are told without a cluster too: test/mover/late-writers.test.ts. */
const shapes = listed<Shape>([
  {
    name: 'process-substitution',
    long: true,
    what: 'a compressor in a process substitution',
    // The compressor alone is there or gone by milliseconds when somebody looks; test/mover/late-writers.test.ts has it.
    script: `seq 1 3000000 > >(gzip -n; ${named})`,
    late: ['bash', 'sleep', 'gzip'],
    content: (plain: Buffer) => gunzipSync(plain),
    last: 3_000_000,
  },
  {
    name: 'background',
    what: 'a subshell in the background',
    script: `seq 1 200000; (${named}; seq 200001 400000) & exit 0`,
    late: ['bash', 'sleep', 'gzip'],
    content: (plain: Buffer) => plain,
    last: 400_000,
  },
  {
    name: 'session',
    long: true,
    what: 'one that forked into a session of its own',
    script: 'seq 1 200000; setsid --fork bash -c "sleep 3; seq 200001 400000"',
    content: (plain: Buffer) => plain,
    last: 400_000,
  },
])

test('writers that outlive their command', { concurrency: 8 }, async t => {
  await Promise.all([installOperator(), installMinio()])
  const store = await openStore()
  t.after(() => store.close())
  const namespace = 'e2e-late-writers'
  await Promise.all([store.removeAll(namespace), storeNamespace(t, namespace)])

  const whole = shapes.map(({ name, what, script, late, content, last }) =>
    t.test(`F54: ${what}: all of it is stored`, async () => {
      await put(jobPolicy(namespace, name, bash(script), { backoffLimit: 0 }))
      const status = await run(namespace, name)
      assert.equal(status.phase, 'Completed', JSON.stringify(status))
      assert.ok(status.manifest, JSON.stringify(status))
      const [artifact] = parseBackupRecord((await store.get(status.manifest)).toString()).artifacts
      const bodies: Buffer[] = []
      for (const { key } of artifact?.segments ?? []) bodies.push(await store.get(`${namespace}/${name}/${key}`))
      assert.ok(content(zstdDecompressSync(Buffer.concat(bodies))).equals(numbers(last)))
      // Which of its programs it is depends on when somebody looks.
      if (late)
        assert.ok(
          artifact?.lateWriters?.some(name => late.includes(name)),
          JSON.stringify(artifact),
        )
    }),
  )
  const stopped = t.test('F55: a container that is told to stop, and ends with 0: SourceSignalled', async () => {
    const script = 'trap "exit 0" TERM; seq 1 1000000; kill -TERM 1; sleep 1000 & wait'
    await put(jobPolicy(namespace, 'stopped', bash(script), { backoffLimit: 0 }))
    const status = await run(namespace, 'stopped')
    assert.deepEqual([status.phase, status.reason], ['Failed', 'SourceSignalled'], JSON.stringify(status))
    await assertNothingIsLeft(store, namespace, 'stopped', status)
  })
  await Promise.all([...whole, stopped])
})
