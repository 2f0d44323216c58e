import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { hash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { constants, zstdCompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import type { BackupArtifact } from '../../api/record.ts'
import { layoutOf } from '../../storage/bucket/layout.ts'
import { MemoryStore } from '../../storage/memory.ts'
import type { ObjectStore, ReadOptions } from '../../storage/object-store.ts'
import { retrying } from '../../storage/retry.ts'
import { StoreError } from '../../storage/store-error.ts'
import { changed } from '../../../test/storage/changed-store.ts'
import { entryOf, frameOf, seekable, seekTable, skippable } from '../../../test/storage/seekable.ts'
import { storeBackup, type StoredArtifact } from '../../../test/storage/stored-backup.ts'
import type { MoverFailure } from '../failure.ts'
import { readArtifact } from './artifact.ts'
import { longestPart } from './parts.ts'

const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
const again = retrying({ budgetMs: 2_000, firstDelayMs: 1 })
const plain = Buffer.concat([Buffer.alloc(30_000, 'abc'), randomBytes(30_000), Buffer.alloc(30_000, 'x')])
const small = { frameBytes: 10_000, partBytes: 7_000, maxParts: 3 }

async function stored(change: Partial<StoredArtifact> = {}) {
  const memory = new MemoryStore()
  const backup = { run: 'run-0', slot: new Date(0), artifacts: [{ name: 'dump', plain, ...small, ...change }] }
  const { record } = await storeBackup(memory, layout, backup)
  const [artifact] = record.artifacts
  assert.ok(artifact)
  return { memory, artifact }
}

function read(store: Pick<ObjectStore, 'read'>, artifact: BackupArtifact, signal = new AbortController().signal) {
  return buffer(readArtifact(artifact, { store, again, root: layout.root, signal }))
}

/** What came before the failure, and the failure. */
async function broken(store: Pick<ObjectStore, 'read'>, artifact: BackupArtifact) {
  const { signal } = new AbortController()
  const chunks: Buffer[] = []
  try {
    for await (const chunk of readArtifact(artifact, { store, again, root: layout.root, signal })) chunks.push(chunk)
  } catch (error) {
    return { came: Buffer.concat(chunks), failure: error as MoverFailure }
  }
  throw new Error('it was read')
}

async function refused(store: Pick<ObjectStore, 'read'>, artifact: BackupArtifact, reason: string, message: RegExp) {
  const { came, failure } = await broken(store, artifact)
  assert.equal(failure.reason, reason, failure.message)
  assert.match(failure.message, message)
  assert.ok(came.length < plain.length && plain.subarray(0, came.length).equals(came), 'what came before was right')
}

describe('an artifact that is read', () => {
  test('comes as it was written, whatever its frames, parts and segments', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: plain.length }),
        fc.integer({ min: 500, max: 100_000 }),
        fc.integer({ min: 500, max: 100_000 }),
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom(['zstd'] as const, [] as const),
        async (length, frameBytes, partBytes, maxParts, codecs) => {
          const part = plain.subarray(0, Math.max(length, codecs.length === 0 ? 1 : 0))
          const { memory, artifact } = await stored({ plain: part, frameBytes, partBytes, maxParts, codecs })
          assert.ok((await read(memory, artifact)).equals(part))
        },
      ),
      { numRuns: 30 },
    )
  })

  test('is what zstd -d opens', () => {
    const { status, stdout } = spawnSync('zstd', ['-dc'], { input: seekable(plain, 10_000) })
    assert.equal(status, 0)
    assert.ok(stdout.equals(plain))
  })

  test('is refused with any one byte of it changed, and nothing wrong goes on', async () => {
    for (const codecs of [['zstd'], []] as const) {
      const { memory, artifact } = await stored({ codecs })
      for (const { key, bytes } of artifact.segments)
        for (const at of [0, bytes >> 1, bytes - 1]) {
          const whole = await memory.get(`${layout.root}${key}`, 1 << 20)
          const flipped = Buffer.from(whole)
          flipped[at] = (flipped[at] ?? 0) ^ 1
          await memory.put(`${layout.root}${key}`, flipped)
          await refused(memory, artifact, 'DataTampered', /part \d+ of data\/run-0\/.*sha256/)
          await memory.put(`${layout.root}${key}`, whole)
        }
    }
  })

  test('is refused when an object of it was cut, is gone, or lies in the place of another', async () => {
    const { memory, artifact } = await stored()
    const [first, second] = artifact.segments.map(({ key }) => `${layout.root}${key}`)
    assert.ok(first !== undefined && second !== undefined)
    const [one, two] = [await memory.get(first, 1 << 20), await memory.get(second, 1 << 20)]
    await memory.put(second, two.subarray(0, two.length - 100))
    await refused(memory, artifact, 'DataTampered', /was cut/)
    await memory.put(first, two)
    await memory.put(second, one)
    await refused(memory, artifact, 'DataTampered', /part 1 of/)
    await memory.put(first, one)
    await memory.delete([second])
    await refused(memory, artifact, 'DataLost', /is gone/)
  })

  test('is refused when the manifest was changed to parts in another order, or to other sizes and sums', async () => {
    const { memory, artifact } = await stored()
    const [first, second, ...rest] = artifact.segments
    assert.ok(first && second)
    const wrong: readonly [Partial<BackupArtifact>, RegExp][] = [
      [{ segments: [second, first, ...rest] }, /frame|seek table/],
      [{ sha256: hash('sha256', 'another') }, /sha256 of dump/],
      [{ bytes: plain.length + 1 }, /90000 plain bytes/],
      [{ segments: [first, ...rest], storedBytes: artifact.storedBytes - second.bytes }, /frame|seek table/],
      [{ storedBytes: artifact.storedBytes + 1 }, /the segments have/],
      [{ partBytes: longestPart + 1 }, /none is longer/],
      [{ partBytes: 100 }, /digests of parts/],
    ]
    for (const [change, message] of wrong) await refused(memory, { ...artifact, ...change }, 'DataTampered', message)
  })

  test('of codecs that nobody writes is refused by their names', async () => {
    const { memory, artifact } = await stored()
    await refused(memory, { ...artifact, codecs: ['age', 'zstd'] }, 'FormatUnsupported', /age, zstd/)
  })

  test('is taken up where a connection broke off, and read anew where bytes were damaged on the way', async () => {
    const { memory, artifact } = await stored()
    const asked: number[] = []
    const store = changed(memory, {
      async read(key: string, options: ReadOptions = {}) {
        const { start = 0, end = 0 } = options.range ?? {}
        const bytes = await buffer(await memory.read(key, options))
        const isFirst = asked.push(end - start) === 1
        async function* half() {
          yield bytes.subarray(0, bytes.length >> 1)
          throw new StoreError('StoreUnavailable', 'the connection was lost')
        }
        async function* damaged() {
          yield Buffer.concat([bytes.subarray(0, -1), Buffer.from([(bytes.at(-1) ?? 0) ^ 1])])
        }
        if (isFirst) return Readable.from(damaged(), { objectMode: false })
        return bytes.length < 1000 ? memory.read(key, options) : Readable.from(half(), { objectMode: false })
      },
    })
    assert.ok((await read(store, artifact)).equals(plain))
    assert.ok(asked.length > 10)
  })

  test('stops with the reason of the signal, and asks the store for nothing more', async () => {
    const { memory, artifact } = await stored({ partBytes: 500 })
    const stop = new AbortController()
    const reason = new Error('told to stop')
    let reads = 0
    const store = changed(memory, {
      read(key: string, options?: ReadOptions) {
        if (reads++ === 10) stop.abort(reason)
        return memory.read(key, options)
      },
    })
    await assert.rejects(read(store, artifact, stop.signal), reason)
    assert.ok(reads < 20)
  })

  test('that is given up leaves no request behind', async () => {
    const { memory, artifact } = await stored({ partBytes: 500 })
    const { signal } = new AbortController()
    let aborted = false
    const store = changed(memory, {
      read(key: string, options?: ReadOptions) {
        options?.signal?.addEventListener('abort', () => (aborted = true))
        return memory.read(key, options)
      },
    })
    for await (const chunk of readArtifact(artifact, { store, again, root: layout.root, signal })) {
      assert.ok(chunk.length > 0)
      break
    }
    assert.ok(aborted)
  })

  test('is asked for by several parts at once, and never by many', async () => {
    const { memory, artifact } = await stored({ partBytes: 500 })
    let now = 0
    let most = 0
    const store = changed(memory, {
      async read(key: string, options?: ReadOptions) {
        most = Math.max(most, ++now)
        const stream = await memory.read(key, options)
        return stream.once('close', () => now--)
      },
    })
    await read(store, artifact)
    assert.ok(most >= 2 && most <= 6, String(most))
  })
})

describe('the frames of an artifact', () => {
  const slices = [plain.subarray(0, 40_000), plain.subarray(40_000)]
  const frames = slices.map(frameOf)
  const [one = Buffer.alloc(0), two = Buffer.alloc(0)] = frames
  const entries = slices.map((slice, index) => entryOf(frames[index] ?? Buffer.alloc(0), slice))
  const [first = { stored: 0, plain: 0, checksum: 0 }, second = first] = entries
  const unnamed = skippable(Buffer.from('something else'))
  const unnamedEntry = { stored: unnamed.length, plain: 0, checksum: 0 }

  const wholes: Readonly<Record<string, Buffer>> = {
    'with a table of checksums': Buffer.concat([one, two, seekTable(entries)]),
    'with a table without checksums': Buffer.concat([one, two, seekTable(entries, false)]),
    'with a skippable frame, which the table names as it names all': Buffer.concat([
      one,
      unnamed,
      two,
      seekTable([first, unnamedEntry, second]),
    ]),
  }
  for (const [name, bytes] of Object.entries(wholes))
    test(`are read ${name}`, async () => {
      const { memory, artifact } = await stored({ stored: bytes })
      assert.ok((await read(memory, artifact)).equals(plain))
    })

  const without = { [constants.ZSTD_c_compressionLevel]: 1 }
  const plainFrame = zstdCompressSync(plain, { params: without })
  const bomb = frameOf(Buffer.alloc(65 << 20))
  const wrongs: Readonly<Record<string, readonly [Buffer, RegExp]>> = {
    'without a table': [Buffer.concat(frames), /without its seek table/],
    'with a table of fewer': [Buffer.concat([one, two, seekTable([first])]), /tells of 1 frames, and 2/],
    'with a table of more': [Buffer.concat([one, seekTable(entries)]), /tells of 2 frames, and 1/],
    'with a table of another order': [Buffer.concat([one, two, seekTable([second, first])]), /another frame 1/],
    'in another order': [Buffer.concat([two, one, seekTable(entries)]), /another frame 1|sha256 of dump/],
    'with a table of other checksums': [
      Buffer.concat([one, two, seekTable([first, { ...second, checksum: second.checksum ^ 1 }].map(unsigned))]),
      /another frame 2/,
    ],
    'after whose table more follows': [Buffer.concat([one, seekTable([first]), two]), /goes on after its seek table/],
    'that are cut': [Buffer.concat([one, two.subarray(0, -1)]), /frame 2 .*is cut/],
    'with bytes of something else': [Buffer.concat([one, Buffer.from('garbage'), two]), /frame 2 .*no frame of zstd/],
    'without a checksum': [
      Buffer.concat([plainFrame, seekTable([entryOf(plainFrame, plain)])]),
      /frame 1 .*has no checksum/,
    ],
    'whose checksum is wrong': [
      Buffer.concat([one, Buffer.concat([two.subarray(0, -1), Buffer.from([(two.at(-1) ?? 0) ^ 1])])]),
      /frame 2 .*cannot be read/,
    ],
    'that claim to hold more than any writer puts into one': [
      Buffer.concat([bomb, seekTable([entryOf(bomb, Buffer.alloc(0))])]),
      /holds more than/,
    ],
    'that hold more than they claim': [claiming(frameOf(Buffer.alloc(300_000)), 200_000), /cannot be read/],
  }
  for (const [name, [bytes, message]] of Object.entries(wrongs))
    test(`are refused ${name}`, async () => {
      const { memory, artifact } = await stored({ stored: bytes, partBytes: 1 << 20 })
      const { failure } = await broken(memory, artifact)
      assert.equal(failure.reason, 'DataTampered', failure.message)
      assert.match(failure.message, message)
    })

  test('that do not say what they hold are read, and not without a limit', async () => {
    const stream = spawnSync('zstd', ['-c', '--no-content-size', '--check'], { input: plain })
    assert.equal(stream.status, 0)
    const entry = entryOf(stream.stdout, plain)
    const good = await stored({ stored: Buffer.concat([stream.stdout, seekTable([entry])]) })
    assert.ok((await read(good.memory, good.artifact)).equals(plain))
    const zeros = spawnSync('zstd', ['-c', '--no-content-size', '--check'], { input: Buffer.alloc(70 << 20) })
    const bad = await stored({ stored: Buffer.concat([zeros.stdout, seekTable([entry])]) })
    const { failure } = await broken(bad.memory, bad.artifact)
    assert.equal(failure.reason, 'DataTampered')
    assert.match(failure.message, /cannot be read/)
  })
})

function unsigned<T extends { readonly checksum: number }>(entry: T): T {
  return { ...entry, checksum: entry.checksum >>> 0 }
}

/** The frame with another size in its header, of four bytes. */
function claiming(frame: Buffer, bytes: number): Buffer {
  const changed = Buffer.from(frame)
  const descriptor = changed.readUInt8(4)
  assert.equal(descriptor >> 6, 2, 'a size of four bytes')
  changed.writeUInt32LE(bytes, (descriptor & 0x20) === 0 ? 6 : 5)
  return changed
}
