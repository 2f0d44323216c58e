// The short form of bench/mover-memory.bench.ts: memory that does not grow with the backup.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { startDiscardingS3 } from '../../bench/discarding-s3.ts'
import { incompressible } from '../../bench/incompressible.ts'
import { parseBackupRecord } from '../../src/api/record.ts'
import { jobOf, startPod, taskFor, type PodOptions } from './backup-pod.ts'

/** docs/design.md R13 allows 160 at any length (docs/decisions/0018-frames.md). */
const mostMiB = 155
const megabytes = 900

test(`${megabytes} MB that do not compress, over segments of 50 parts, stay below ${mostMiB} MiB of memory`, async () => {
  const server = await startDiscardingS3()
  try {
    const { caFile } = server
    const command = incompressible(megabytes * 1e6, 7)
    const [program = '', ...args] = command
    const warm = {
      task: taskFor(server, 'bench', { caFile }),
      secret: { accessKey: 'a', secretKey: 'b' },
      command: ['echo', 'x'],
    }
    // Fills the compile cache that the image brings along, when the program has just changed.
    assert.equal((await measured({ ...warm, run: jobOf(1) })).code, 0)
    const result = await measured({
      task: taskFor(server, 'bench', { caFile, maxParts: 50 }),
      secret: { accessKey: 'a', secretKey: 'b' },
      command,
    })
    const digest = spawnSync(program, ['-c', `${args[1]} | sha256sum`])
      .stdout.toString()
      .slice(0, 64)
    assert.equal(result.code, 0, JSON.stringify(result))
    assert.equal(result.message.sha256, digest)
    const { artifacts } = parseBackupRecord(String(server.body(result.message.manifest ?? '')))
    const [artifact] = artifacts
    assert.ok(artifact)
    const { segments, partBytes } = artifact
    assert.equal(segments.length, Math.ceil((megabytes * 1e6) / (50 * partBytes)))
    for (const { key, bytes } of segments) assert.equal(server.objects.get(`shop/orders/${key}`), bytes)
    assert.equal(server.openUploads(), 0)
    const end = result.log.findLast(line => line.message === 'end')
    assert.ok(Number(end?.maxRssMiB) <= mostMiB, `${String(end?.maxRssMiB)} MiB`)
  } finally {
    await server.stop()
  }
})

/** As a process of its own. */
async function measured(options: PodOptions) {
  return (await startPod(options)).result()
}
