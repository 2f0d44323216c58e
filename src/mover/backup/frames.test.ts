import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { zstdDecompressSync } from 'node:zlib'
import { AsItIs } from './as-it-is.ts'
import { levelOf } from './compression-level.ts'
import { openDigests, type Digests } from './digests.ts'
import { frameBytes, type Encoder, type WriteStored } from './encoder.ts'
import { Frames } from './frames.ts'

const lanes = 2
const text = (bytes: number) => Buffer.alloc(bytes, 'insert into orders values (1, 2, 3);\n')

describe('frames', () => {
  let digests: Digests
  before(() => (digests = openDigests((lanes + 1) * frameBytes)))
  after(() => digests.close())

  /** As the reader does: through buffers that are used again as soon as they may be. */
  async function encode(
    plain: Buffer,
    encoderOf: (write: WriteStored) => Encoder,
    write: WriteStored = async () => {},
  ) {
    const written: Buffer[] = []
    const encoder = encoderOf(async chunk => {
      written.push(Buffer.from(chunk))
      await write(chunk)
    })
    const free = Array.from({ length: lanes + 1 }, (_, index) =>
      Buffer.from(digests.memory, index * frameBytes, frameBytes),
    )
    const taking = new Set<Promise<void>>()
    for (let offset = 0; offset < plain.length; offset += frameBytes) {
      while (free.length === 0) await Promise.race(taking)
      const buffer = free.pop() ?? assert.fail()
      const length = plain.copy(buffer, 0, offset, offset + frameBytes)
      const taken = takeAndReuse(buffer, length)
      taking.add(taken)
      void taken.finally(() => taking.delete(taken))
    }
    async function takeAndReuse(buffer: Buffer<SharedArrayBuffer>, length: number) {
      await encoder.push(buffer.subarray(0, length))
      free.push(buffer.fill(0xff))
    }
    await Promise.all(taking)
    const encoded = await encoder.end()
    encoder.close()
    assert.deepEqual(encoded, { bytes: plain.length, sha256: hash('sha256', plain) })
    return Buffer.concat(written)
  }

  const framesOf =
    (compression: 'auto' | 'zstd' = 'zstd') =>
    (write: WriteStored) =>
      new Frames({ compression, lanes, digests, write })

  for (const [what, plain] of [
    ['what is smaller than a frame', text(5)],
    ['one whole frame', text(frameBytes)],
    ['many frames', Buffer.concat([text(5 * frameBytes), randomBytes(3 * frameBytes), text(17)])],
  ] as const)
    test(`${what}: each opens by itself, at the place that the seek table tells`, async () => {
      const stored = await encode(plain, framesOf())
      const places = readSeekTable(stored)
      assert.equal(places.length, Math.ceil(plain.length / frameBytes))
      let offset = 0
      for (const [index, { storedBytes, plainBytes }] of places.entries()) {
        const frame = stored.subarray(offset, offset + storedBytes)
        const expected = plain.subarray(index * frameBytes, (index + 1) * frameBytes)
        assert.equal(plainBytes, expected.length)
        assert.ok(zstdDecompressSync(frame).equals(expected))
        assert.ok(hasSizeAndChecksum(frame))
        offset += storedBytes
      }
      assert.ok(zstdDecompressSync(stored).equals(plain))
    })

  test('come in their order, also where the store takes each of them slowly', async () => {
    const plain = Buffer.concat([randomBytes(2 * frameBytes), text(3 * frameBytes), randomBytes(frameBytes)])
    const stored = await encode(plain, framesOf('auto'), () => new Promise(resolve => setImmediate(resolve)))
    assert.ok(zstdDecompressSync(stored).equals(plain))
  })

  test('that become no smaller are stored as they are, and what shrinks behind them is compressed again', async () => {
    const plain = Buffer.concat([randomBytes(20 * frameBytes), text(20 * frameBytes)])
    const stored = await encode(plain, framesOf('auto'))
    assert.ok(zstdDecompressSync(stored).equals(plain))
    const shrunk = readSeekTable(stored).map(({ storedBytes, plainBytes }) => storedBytes < plainBytes / 2)
    // The looks are at frame 16, before the text, and at 32.
    assert.equal(shrunk.indexOf(true), 32)
    // Those that had begun before its outcome was known are stored as they are.
    assert.deepEqual(new Set(shrunk.slice(32 + lanes + 2)), new Set([true]))
  })

  test('a failure of the store reaches who writes', async () => {
    const broken = new Error('no space left')
    const encoder = framesOf()(() => Promise.reject(broken))
    await encoder.push(Buffer.from(digests.memory, 0, 10))
    await assert.rejects(encoder.end(), broken)
    await digests.finish()
    encoder.close()
  })

  test('compression none stores the bytes as they come', async () => {
    const plain = Buffer.concat([randomBytes(3 * frameBytes), text(3)])
    assert.ok((await encode(plain, write => new AsItIs(digests, write))).equals(plain))
  })
})

test('the level of a frame follows from what the last look has shown', () => {
  assert.equal(levelOf('auto', 0, undefined), 'usual')
  assert.equal(levelOf('auto', 1, true), 'usual')
  assert.equal(levelOf('auto', 1, false), 'fastest')
  assert.equal(levelOf('auto', 16, false), 'usual')
  assert.equal(levelOf('zstd', 1, false), 'usual')
})

/** By the specification, and not by our own code. */
function readSeekTable(stored: Buffer) {
  assert.equal(stored.readUInt32LE(stored.length - 4), 0x8f92eab1)
  assert.equal(stored.readUInt8(stored.length - 5), 0, 'no checksums, no reserved bits')
  const count = stored.readUInt32LE(stored.length - 9)
  const start = stored.length - 9 - count * 8 - 8
  assert.deepEqual([stored.readUInt32LE(start), stored.readUInt32LE(start + 4)], [0x184d2a5e, count * 8 + 9])
  const places = Array.from({ length: count }, (_, index) => ({
    storedBytes: stored.readUInt32LE(start + 8 + index * 8),
    plainBytes: stored.readUInt32LE(start + 12 + index * 8),
  }))
  assert.equal(
    places.reduce((sum, place) => sum + place.storedBytes, 0),
    start,
  )
  return places
}

/** https://datatracker.ietf.org/doc/html/rfc8878#name-frame_header_descriptor: a size (flag, or a single segment), and the checksum. */
function hasSizeAndChecksum(frame: Buffer): boolean {
  const descriptor = frame.readUInt8(4)
  return (descriptor & 0b1110_0000) !== 0 && (descriptor & 0b100) !== 0
}
