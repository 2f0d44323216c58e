// What version 2 has once written must be read for as long as there is a program that says it reads version 2. The files of `format-2/` are
// a small backup as the mover wrote it; they are never made anew.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { encodeBackupRecord, parseBackupRecord } from '../../src/api/record.ts'
import { openDigests } from '../../src/mover/backup/digests.ts'
import { frameBytes } from '../../src/mover/backup/encoder.ts'
import { Frames } from '../../src/mover/backup/frames.ts'

const folder = join(import.meta.dirname, 'format-2')
const text = readFileSync(join(folder, 'manifest.json'), 'utf8')
const record = parseBackupRecord(text)
/** 5 MB: two frames. */
const plain = Buffer.alloc(5_000_000, 'INSERT INTO orders VALUES (1, 2, 3);\n')

test('the manifest is read, and written again to the same letter', () => {
  assert.equal(encodeBackupRecord(record), text)
  assert.deepEqual(
    record.artifacts.map(({ name, codecs }) => [name, codecs]),
    [
      ['orders', ['zstd']],
      ['we ird/ö', []],
    ],
  )
})

for (const { name = '', codecs, segments, partBytes, bytes, sha256, storedBytes } of record.artifacts)
  test(`the artifact ${name} of codecs [${codecs.join()}] is what its manifest says, also for the zstd program`, () => {
    const [segment] = segments
    const stored = readFileSync(join(folder, segment?.key.split('/').at(-1) ?? ''))
    assert.deepEqual([stored.length, stored.length], [segment?.bytes, storedBytes])
    assert.ok(stored.length <= partBytes)
    assert.deepEqual([hash('sha256', stored)], segment?.parts)
    const opened =
      codecs.length === 0 ? stored : spawnSync('zstd', ['-dc'], { input: stored, maxBuffer: 1 << 30 }).stdout
    assert.deepEqual([opened.length, hash('sha256', opened)], [bytes, sha256])
  })

test('the same zstd writes the same frames today', async t => {
  const [artifact] = record.artifacts
  if (record.tools.zstd !== process.versions.zstd) return t.diagnostic(`this zstd is ${process.versions.zstd}`)
  const digests = openDigests(2 * frameBytes)
  const written: Buffer[] = []
  const write = async (chunk: Buffer) => void written.push(Buffer.from(chunk))
  const frames = new Frames({ compression: 'auto', lanes: 1, digests, write })
  const memory = Buffer.from(digests.memory)
  plain.copy(memory)
  await frames.push(memory.subarray(0, frameBytes))
  await frames.push(memory.subarray(frameBytes, plain.length))
  await frames.end()
  frames.close()
  await digests.close()
  assert.equal(hash('sha256', Buffer.concat(written)), artifact?.segments[0]?.parts[0])
})
