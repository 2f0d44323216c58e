import assert from 'node:assert/strict'
import { createCipheriv, createSecretKey, randomBytes, type KeyObject } from 'node:crypto'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { openPayload, payloadOpener, sealPayload } from '../../../test/mover/age-file.ts'
import { AgeError } from './age-error.ts'
import { chunkCipher, chunkCipherOptions, chunkNonce, payloadKey } from './chunk-cipher.ts'
import {
  chunkBytes,
  lastChunk,
  nonceBytes,
  payloadBytes,
  payloadLayout,
  sealedChunkBytes,
  sealedRange,
  tagBytes,
} from './payload-layout.ts'
import { PayloadSealer } from './payload-sealer.ts'

const fileKey = createSecretKey(randomBytes(16))
/** All that is sealed here is the beginning of this. */
const source = randomBytes(5 * chunkBytes)

/** Sizes around the borders of chunks, and others. */
const size = fc.oneof(
  fc
    .tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: -2, max: 2 }))
    .map(([chunks, more]) => Math.max(0, chunks * chunkBytes + more)),
  fc.integer({ min: 0, max: source.length }),
)
const pieceBytes = fc.oneof(
  fc.constantFrom(chunkBytes - 1, chunkBytes, chunkBytes + 1, sealedChunkBytes, source.length),
  fc.integer({ min: 100, max: 3 * chunkBytes }),
)

/** Refused as tampered with, and what was given out before is nothing but whole chunks of `plain` in their order. */
function assertRefused(payload: Uint8Array, plain: Uint8Array, key: KeyObject = fileKey) {
  const given: Buffer[] = []
  assert.throws(
    () => openPayload(payload, key, { onPlain: part => void given.push(part) }),
    (error: unknown) => error instanceof AgeError && error.reason === 'Tampered',
  )
  const before = Buffer.concat(given)
  assert.ok(before.equals(plain.subarray(0, before.length)))
  assert.equal(before.length % chunkBytes, 0)
}

/** The payload's chunks with their tags. */
function chunksOf(payload: Buffer): readonly Buffer[] {
  const chunks: Buffer[] = []
  for (let at = nonceBytes; at < payload.length; at += sealedChunkBytes)
    chunks.push(payload.subarray(at, at + sealedChunkBytes))
  return chunks
}

/** A payload by hand: chunks of any size, each with the number and the flag that one wants. */
function handmade(chunks: readonly { readonly plain: Uint8Array; readonly index: number; readonly isLast: boolean }[]) {
  const nonce = randomBytes(nonceBytes)
  const key = payloadKey(fileKey, nonce)
  const sealed = chunks.flatMap(({ plain, index, isLast }) => {
    const cipher = createCipheriv(chunkCipher, key, chunkNonce(index, isLast), chunkCipherOptions)
    return [cipher.update(plain), cipher.final(), cipher.getAuthTag()]
  })
  return Buffer.concat([nonce, ...sealed])
}

describe('a payload', () => {
  test('is opened as what was sealed, whatever the pieces of both', () => {
    fc.assert(
      fc.property(size, pieceBytes, pieceBytes, (bytes, sealed, opened) => {
        const plain = source.subarray(0, bytes)
        const payload = sealPayload(plain, fileKey, sealed)
        assert.equal(payload.length, payloadBytes(bytes))
        assert.equal(payloadLayout(payload.length).plainBytes, bytes)
        assert.ok(openPayload(payload, fileKey, { pieceBytes: opened }).equals(plain))
      }),
      { examples: [0, 1, chunkBytes, chunkBytes + 1, 2 * chunkBytes].map(bytes => [bytes, 100, 100]) },
    )
  })

  test('gives any range from the chunks that hold it', () => {
    const payload = sealPayload(source.subarray(0, 4 * chunkBytes + 7), fileKey)
    const plain = source.subarray(0, 4 * chunkBytes + 7)
    fc.assert(
      fc.property(size, size, pieceBytes, (a, b, pieces) => {
        const [start = 0, end = 0] = [a, b].map(at => Math.min(at, plain.length)).sort((x, y) => x - y)
        const { sealed } = payloadOpener(payload, fileKey).range({ start, end })
        assert.ok(sealed.end - sealed.start < payloadBytes(end - start) + 2 * sealedChunkBytes)
        const read = openPayload(payload, fileKey, { range: { start, end }, pieceBytes: pieces })
        assert.ok(read.equals(plain.subarray(start, end)))
      }),
      { numRuns: 200 },
    )
  })

  test('takes the same bytes only once: what was pushed may change afterwards', () => {
    const piece = Buffer.from(source.subarray(0, 100_000))
    const sealer = new PayloadSealer(fileKey)
    const pieces = [...sealer.push(piece)]
    piece.fill(0)
    const payload = Buffer.concat([...pieces, ...sealer.finish()])
    const reader = payloadOpener(payload, fileKey).range({ start: 0, end: 100_000 })
    const reused = Buffer.alloc(1000)
    const plain: Buffer[] = []
    for (let at = reader.sealed.start; at < reader.sealed.end; at += reused.length) {
      const length = payload.copy(reused, 0, at)
      plain.push(...reader.push(reused.subarray(0, length)))
    }
    assert.ok(Buffer.concat(plain).equals(source.subarray(0, 100_000)))
  })

  test('is refused when it is cut at any byte', () => {
    fc.assert(
      fc.property(size, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (bytes, where) => {
        const plain = source.subarray(0, bytes)
        const payload = sealPayload(plain, fileKey)
        assertRefused(payload.subarray(0, Math.floor(where * payload.length)), plain)
      }),
    )
    const plain = source.subarray(0, 3 * chunkBytes)
    const payload = sealPayload(plain, fileKey)
    for (let chunks = 0; chunks < 3; chunks += 1)
      for (const more of [-1, 0, 1, tagBytes, tagBytes + 1])
        assertRefused(payload.subarray(0, Math.max(0, nonceBytes + chunks * sealedChunkBytes + more)), plain)
    for (let length = 0; length < nonceBytes + tagBytes + 10; length += 1)
      assertRefused(sealPayload(source.subarray(0, 10), fileKey).subarray(0, length), source)
  })

  test('that was cut gives no range, not even one that is whole in it', () => {
    const payload = sealPayload(source.subarray(0, 3 * chunkBytes), fileKey)
    const short = payload.subarray(0, nonceBytes + 2 * sealedChunkBytes)
    assert.throws(() => payloadOpener(short, fileKey), { reason: 'Tampered' })
  })

  test('is refused when something was added', () => {
    fc.assert(
      fc.property(size, fc.integer({ min: 1, max: 2 * chunkBytes }), (bytes, more) => {
        const plain = source.subarray(0, bytes)
        assertRefused(Buffer.concat([sealPayload(plain, fileKey), randomBytes(more)]), plain)
      }),
    )
  })

  test('is refused when any bit of it is another', () => {
    fc.assert(
      fc.property(size, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (bytes, where) => {
        const plain = source.subarray(0, bytes)
        const payload = sealPayload(plain, fileKey)
        const at = Math.floor(where * payload.length * 8)
        payload[at >> 3] = (payload[at >> 3] ?? 0) ^ (1 << (at & 7))
        assertRefused(payload, plain)
      }),
      { numRuns: 300 },
    )
  })

  test('is refused when chunks changed places, or one stands in for another', () => {
    const chunk = fc.nat(3)
    const plain = source.subarray(0, 4 * chunkBytes)
    const payload = sealPayload(plain, fileKey)
    const chunks = chunksOf(payload)
    fc.assert(
      fc.property(chunk, chunk, fc.boolean(), (a, b, swap) => {
        fc.pre(a !== b)
        const moved = chunks.map((each, nth) => (nth === a ? chunks[b] : nth === b && swap ? chunks[a] : each) ?? each)
        assertRefused(Buffer.concat([payload.subarray(0, nonceBytes), ...moved]), plain)
      }),
    )
  })

  test('is refused when a chunk was taken out or put in twice', () => {
    const plain = source.subarray(0, 4 * chunkBytes)
    const payload = sealPayload(plain, fileKey)
    const chunks = chunksOf(payload)
    for (const [nth, chunk] of chunks.entries())
      for (const changed of [chunks.toSpliced(nth, 1), chunks.toSpliced(nth, 0, chunk)])
        assertRefused(Buffer.concat([payload.subarray(0, nonceBytes), ...changed]), plain)
  })

  test('is refused with a chunk of another file, or of another payload of the same file key', () => {
    const plain = source.subarray(0, 3 * chunkBytes + 5)
    const payload = sealPayload(plain, fileKey)
    const chunks = chunksOf(payload)
    for (const key of [createSecretKey(randomBytes(16)), fileKey]) {
      const foreign = chunksOf(sealPayload(plain, key))
      for (const [nth, chunk] of foreign.entries()) {
        const changed = chunks.with(nth, chunk)
        assertRefused(Buffer.concat([payload.subarray(0, nonceBytes), ...changed]), plain)
      }
    }
    assertRefused(payload, plain, createSecretKey(randomBytes(16)))
  })

  test('is refused when the last chunk does not say so, or another one does', () => {
    const [first, second] = [source.subarray(0, chunkBytes), source.subarray(chunkBytes, chunkBytes + 9)]
    const flagged = (...flags: readonly boolean[]) =>
      handmade([first, second].map((plain, index) => ({ plain, index, isLast: flags[index] ?? false })))
    assert.ok(openPayload(flagged(false, true), fileKey).equals(source.subarray(0, chunkBytes + 9)))
    for (const payload of [flagged(false, false), flagged(true, true), flagged(true, false)])
      assertRefused(payload, source)
  })

  test('is refused when its last chunk is empty and not its only one', () => {
    const nothing = Buffer.alloc(0)
    const full = source.subarray(0, chunkBytes)
    assert.equal(openPayload(handmade([{ plain: nothing, index: 0, isLast: true }]), fileKey).length, 0)
    assertRefused(
      handmade([
        { plain: full, index: 0, isLast: false },
        { plain: nothing, index: 1, isLast: true },
      ]),
      source,
    )
  })

  test('is refused when a chunk in the middle is a short one', () => {
    const short = (index: number, isLast: boolean) => ({ plain: source.subarray(0, 1000), index, isLast })
    assertRefused(handmade([short(0, false), short(1, true)]), source)
  })
})

describe('a range', () => {
  const plain = source.subarray(0, 3 * chunkBytes)
  const payload = sealPayload(plain, fileKey)
  const whole = { start: 0, end: plain.length }

  test('gives nothing of a chunk before the last byte of its tag', () => {
    const reader = payloadOpener(payload, fileKey).range(whole)
    const end = nonceBytes + sealedChunkBytes
    assert.deepEqual(reader.push(payload.subarray(nonceBytes, end - 1)), [])
    assert.deepEqual(reader.push(payload.subarray(end - 1, end)), [plain.subarray(0, chunkBytes)])
  })

  test('is refused when less or more comes than was asked for', () => {
    const { start, end } = payloadOpener(payload, fileKey).range(whole).sealed
    const short = payloadOpener(payload, fileKey).range(whole)
    short.push(payload.subarray(start, end - 1))
    assert.throws(() => short.finish(), { reason: 'Tampered' })
    for (const to of [10, plain.length]) {
      const long = payloadOpener(payload, fileKey).range({ start: 0, end: to })
      const more = Buffer.concat([payload.subarray(start, long.sealed.end), Buffer.from('x')])
      assert.throws(() => long.push(more), { reason: 'Tampered', message: /^1 bytes more/ })
    }
  })

  test('must be within the plain bytes, and so must a chunk', () => {
    const opener = payloadOpener(payload, fileKey)
    for (const [start, end] of [
      [-1, 1],
      [2, 1],
      [0, plain.length + 1],
      [0, 1.5],
      [NaN, 1],
    ] as const)
      assert.throws(() => opener.range({ start, end }), RangeError)
    for (const index of [-1, 3, 0.5]) assert.throws(() => opener.openChunk(index, payload), RangeError)
  })
})

describe('the layout of a payload', () => {
  test('takes exactly the sizes that payloads have', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 48 }), bytes => {
        assert.equal(payloadLayout(payloadBytes(bytes)).plainBytes, bytes)
      }),
      { examples: [[0], [1], [chunkBytes - 1], [chunkBytes], [chunkBytes + 1], [2 * chunkBytes]] },
    )
    const sizes = new Set(Array.from({ length: chunkBytes + 100 }, (_, bytes) => payloadBytes(bytes)))
    for (let bytes = 0; bytes < payloadBytes(chunkBytes + 100); bytes += 1)
      if (!sizes.has(bytes)) assert.throws(() => payloadLayout(bytes), { reason: 'Tampered' }, `${bytes}`)
  })

  test('names the chunks of a range, and none for an empty one', () => {
    const layout = payloadLayout(payloadBytes(2 * chunkBytes + 10))
    const second = nonceBytes + sealedChunkBytes
    const third = second + sealedChunkBytes
    const end = third + 10 + tagBytes
    assert.deepEqual(layout, { plainBytes: 2 * chunkBytes + 10, chunks: 3 })
    assert.deepEqual(lastChunk(layout), { start: third, end })
    const cases = [
      [0, 0, { firstChunk: 0, start: nonceBytes, end: nonceBytes }],
      [0, 1, { firstChunk: 0, start: nonceBytes, end: second }],
      [0, chunkBytes, { firstChunk: 0, start: nonceBytes, end: second }],
      [chunkBytes - 1, chunkBytes + 1, { firstChunk: 0, start: nonceBytes, end: third }],
      [chunkBytes, 2 * chunkBytes, { firstChunk: 1, start: second, end: third }],
      [2 * chunkBytes + 9, 2 * chunkBytes + 10, { firstChunk: 2, start: third, end }],
      [2 * chunkBytes + 10, 2 * chunkBytes + 10, { firstChunk: 2, start: third, end: third }],
    ] as const
    for (const [from, to, range] of cases) assert.deepEqual(sealedRange(layout, { start: from, end: to }), range)
  })
})

test('a sealer that has finished takes nothing more', () => {
  const sealer = new PayloadSealer(fileKey)
  sealer.finish()
  assert.throws(() => sealer.push(Buffer.from('x')), /finished/)
  assert.throws(() => sealer.finish(), /finished/)
})
