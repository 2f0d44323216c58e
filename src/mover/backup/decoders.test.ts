// With the tools themselves.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { decoders } from './decoders.ts'

const longest = 1 << 20
const text = Buffer.from(
  Array.from({ length: 20_000 }, (_, n) => `insert into item values (${n}, ${n % 7});\n`).join(''),
)
const samples = {
  text,
  noise: randomBytes(200_000),
  zeros: Buffer.alloc(100_000),
  byte: Buffer.from('x'),
  nothing: Buffer.alloc(0),
}

for (const [form, ...programs] of [
  ['a gzip stream', 'gzip', 'gzip -1'],
  ['a zstd frame', 'zstd', 'zstd --no-check -19'],
  ['an lz4 frame', 'lz4', 'lz4 -9 -BD', 'lz4 -BX -B4 --content-size', 'lz4 --no-frame-crc'],
  ['an xz stream', 'xz -0', 'xz --check=none'],
  ['a bzip2 stream', 'bzip2', 'bzip2 -1'],
] as const)
  test(`${form} is opened as the tool opens it; one that is cut, and one that is too long, is refused`, () => {
    const decoder = decoders.find(each => each.form === form)
    assert.ok(decoder)
    for (const program of programs)
      for (const [what, plain] of Object.entries(samples)) {
        const { stdout: packed } = spawnSync('sh', ['-c', `${program} -c`], { input: plain, maxBuffer: 1 << 24 })
        const name = `${what} by ${program}`
        assert.ok(packed.subarray(0, decoder.magic.length).equals(decoder.magic), name)
        assert.ok(decoder.decode(packed, longest).equals(plain), name)
        assert.ok(
          decoder.decode(Buffer.concat([packed, packed]), 2 * longest).equals(Buffer.concat([plain, plain])),
          name,
        )
        if (plain.length < 2) continue
        assert.throws(() => decoder.decode(packed.subarray(0, packed.length / 2), longest), name)
        assert.throws(() => decoder.decode(packed, plain.length - 1), name)
      }
  })
