// With the tools themselves: what they make of nothing, and of next to nothing.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { emptyForm } from './emptiness.ts'

const outputOf = (script: string): Buffer => {
  const { stdout, stderr } = spawnSync('bash', ['-c', script])
  assert.ok(stdout.length > 0, `${script}: ${stderr.toString()}`)
  return stdout
}

/** What pg_dump 15.18 -Fc writes before its table of contents. */
const pgHeader = Buffer.from(
  'UEdETVABDgAECAEBAQAAAAA6AAAAABwAAAAACQAAAAAcAAAAAAoAAAAAfgAAAAAAAAAAAAgAAABwb3N0Z3JlcwAeAAAAMTUuMTggKERlYmlhbiAxNS4xOC0wK2RlYjEydTEpAB4AAAAxNS4xOCAoRGViaWFuIDE1LjE4LTArZGViMTJ1MSk=',
  'base64',
)
/** The number of entries, as it writes numbers. */
const entries = (count: number) => Buffer.from([0, count, 0, 0, 0])

describe('F56: the output of a pipe whose first command failed is empty in disguise', () => {
  for (const [script, form] of [
    ['false | gzip', 'a gzip stream'],
    ['false | gzip -n -9', 'a gzip stream'],
    ['(false | gzip; false | gzip)', 'a gzip stream'],
    ['false | zstd', 'a zstd frame'],
    ['false | zstd --no-check', 'a zstd frame'],
    ['(false | zstd; false | zstd)', 'a zstd frame'],
    ['false | xz', 'an xz stream'],
    ['false | xz --check=sha256 || false | xz', 'an xz stream'],
    ['(false | xz --check=none; false | xz --check=none)', 'an xz stream'],
    ['false | bzip2', 'a bzip2 stream'],
    ['(false | bzip2; false | bzip2 -1)', 'a bzip2 stream'],
    ['false | lz4', 'an lz4 frame'],
    ['(false | lz4 --no-frame-crc; false | lz4 -BX)', 'an lz4 frame'],
    ['tar -c --files-from /dev/null', 'a tar archive'],
    ['tar -c -b 1 --files-from /dev/null', 'a tar archive'],
    ['tar -c /no/such/directory | cat', 'a tar archive'],
    ['tar -c /no/such/directory | gzip', 'a gzip stream with a tar archive'],
    ['tar -c /no/such/directory | zstd', 'a zstd frame with a tar archive'],
    ['tar -c /no/such/directory | xz', 'an xz stream with a tar archive'],
    ['tar -c /no/such/directory | bzip2', 'a bzip2 stream with a tar archive'],
    ['tar -c /no/such/directory | lz4', 'an lz4 frame with a tar archive'],
    ['tar -c -b 400 /no/such/directory | lz4 -BD -B4', 'an lz4 frame with a tar archive'],
    ['false | gzip | zstd', 'a zstd frame with a gzip stream'],
  ] as const)
    test(`${script}: ${form}`, () => assert.equal(emptyForm(outputOf(script)), form))

  test('no byte at all, the trailer of a cpio archive, the end of a zip archive', () => {
    assert.equal(emptyForm(Buffer.alloc(0)), 'no byte')
    const trailer = `070701${'0'.repeat(88)}0000000b00000000TRAILER!!!\0`
    assert.equal(emptyForm(Buffer.from(trailer.padEnd(512, '\0'))), 'a cpio archive')
    assert.equal(emptyForm(Buffer.from(`PK\x05\x06${'\0'.repeat(18)}`, 'latin1')), 'a zip archive')
  })

  test('the header alone of a custom-format archive, cut anywhere', () => {
    for (let length = 5; length <= pgHeader.length; length++)
      assert.equal(emptyForm(pgHeader.subarray(0, length)), 'the header of a pg_dump archive', String(length))
    assert.equal(emptyForm(Buffer.concat([pgHeader, entries(0)])), 'the header of a pg_dump archive')
    assert.equal(emptyForm(Buffer.concat([pgHeader, entries(5)])), undefined)
  })
})

test('what holds something is not empty, however small', () => {
  for (const script of [
    'echo',
    'printf "\\0"',
    'echo x | gzip',
    'echo x | zstd',
    'echo x | xz',
    'echo x | bzip2',
    'echo x | lz4',
    '(false | gzip; echo x | gzip)',
    '(false | xz; echo x | xz)',
    '(false | bzip2; echo x | bzip2)',
    '(false | lz4; echo x | lz4)',
    'tar -c /dev/null',
    'tar -c /dev/null | gzip',
    'head -c 2000000 /dev/zero',
    'head -c 2000000 /dev/zero | gzip',
    'false | gzip | head -c 12',
    'false | xz | head -c 31',
    'false | lz4 | head -c 10',
  ])
    assert.equal(emptyForm(outputOf(script)), undefined, script)
})
