// Whoever may write in the bucket changes objects and manifest together, so that every digest there is right. What is read of it is what
// was written, to its end, or it is refused; and no byte that was not written there is ever given out.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import * as fc from 'fast-check'
import type { BackupRecord } from '../../api/record.ts'
import { layoutOf } from '../../storage/bucket/layout.ts'
import { MemoryStore } from '../../storage/memory.ts'
import { retrying } from '../../storage/retry.ts'
import { putSealed, sealArtifact } from '../../../test/storage/sealed-backup.ts'
import { parseRecipients } from '../age/recipients.ts'
import { MoverFailure } from '../failure.ts'
import { readArtifact } from './artifact.ts'
import { openContents } from './contents.ts'

const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
const slot = '2026-11-22T02:00:00.000Z'
const owner = { clusterId: 'cluster-1', namespace: 'shop', policy: 'orders' }
const place = { run: 'run-1', attempt: 'attempt-1', owner, target: 'command', slot }
const plain = [0, 1].map(() => Buffer.concat([Buffer.alloc(60_000, 'abc'), randomBytes(150_000)]))

const directory = mkdtempSync(join(tmpdir(), 'backup-operator-sealed-'))
after(() => rmSync(directory, { recursive: true }))
/** Two artifacts of this run, and the same two of another. */
let files: readonly Buffer[] = []
before(async () => {
  const identity = await generateX25519Identity()
  writeFileSync(join(directory, 'key'), identity)
  const recipients = await parseRecipients([await identityToRecipient(identity)])
  const seal = (run: string, index: number) =>
    sealArtifact({ name: `db-${index}`, plain: plain[index] ?? assert.fail() }, { ...place, run }, index, recipients)
  files = await Promise.all([seal('run-1', 0), seal('run-1', 1), seal('run-2', 0), seal('run-2', 1)])
})

/** Of a file, as shares of its length. */
type Range = { readonly file: number; readonly start: number; readonly length: number }
const range: fc.Arbitrary<Range> = fc.record({
  file: fc.nat(3),
  start: fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0, 1)),
  length: fc.double({ min: 0, max: 1, noNaN: true }),
})
type Change =
  | { readonly do: 'flip'; readonly at: number; readonly bit: number }
  | { readonly do: 'cut'; readonly at: number }
  | { readonly do: 'remove'; readonly of: Range }
  | { readonly do: 'insert'; readonly at: number; readonly of: Range }
  | { readonly do: 'chunk'; readonly at: number; readonly file: number; readonly from: number }
  | { readonly do: 'replace'; readonly file: number }
const share = fc.double({ min: 0, max: 1, noNaN: true })
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ do: fc.constant('flip' as const), at: share, bit: fc.nat(7) }),
  fc.record({ do: fc.constant('cut' as const), at: share }),
  fc.record({ do: fc.constant('remove' as const), of: range }),
  fc.record({ do: fc.constant('insert' as const), at: share, of: range }),
  fc.record({ do: fc.constant('chunk' as const), at: fc.nat(3), file: fc.nat(3), from: fc.nat(3) }),
  fc.record({ do: fc.constant('replace' as const), file: fc.nat(3) }),
)

const sealedChunk = (64 << 10) + 16

function changed(bytes: Buffer, what: Change): Buffer {
  const at = (part: number) => Math.min(bytes.length - 1, Math.floor(part * bytes.length))
  const slice = ({ file, start, length }: Range) => {
    const from = files[file] ?? assert.fail()
    const first = Math.floor(start * from.length)
    return from.subarray(first, first + Math.ceil(length * (from.length - first)))
  }
  switch (what.do) {
    case 'flip': {
      const flipped = Buffer.from(bytes)
      flipped[at(what.at)] = (flipped[at(what.at)] ?? 0) ^ (1 << what.bit)
      return flipped
    }
    case 'cut':
      return bytes.subarray(0, at(what.at))
    case 'remove': {
      const first = at(what.of.start)
      return Buffer.concat([bytes.subarray(0, first), bytes.subarray(first + slice(what.of).length)])
    }
    case 'insert':
      return Buffer.concat([bytes.subarray(0, at(what.at)), slice(what.of), bytes.subarray(at(what.at))])
    case 'chunk': {
      const other = chunkOf(files[what.file] ?? assert.fail(), what.from)
      const start = payloadAt(bytes) + what.at * sealedChunk
      return Buffer.concat([bytes.subarray(0, start), other, bytes.subarray(start + other.length)])
    }
    case 'replace':
      return files[what.file] ?? assert.fail()
  }
}

function payloadAt(file: Buffer): number {
  return file.indexOf('\n', file.indexOf('\n---') + 1) + 1 + 16
}

function chunkOf(file: Buffer, index: number): Buffer {
  const start = payloadAt(file) + index * sealedChunk
  return file.subarray(start, start + sealedChunk)
}

/** What was given out of each artifact, and why it ended. */
async function readAll(stored: readonly Buffer[]) {
  const store = new MemoryStore()
  const { signal } = new AbortController()
  const options = { store, again: retrying({ budgetMs: 1000, firstDelayMs: 1 }), root: layout.root, signal }
  const artifacts = await Promise.all(stored.map((bytes, index) => putSealed(store, layout, place, index, bytes)))
  const record: BackupRecord = {
    version: 2,
    ...place,
    jobUid: 'job-1',
    trigger: 'scheduled',
    startedAt: slot,
    finishedAt: slot,
    artifacts,
    sizeCheck: 'compared',
    commit: 'conditional',
    suspect: false,
    tools: {},
  }
  const given: Buffer[] = []
  try {
    const contents = await openContents(record, directory, options)
    for (const [index, { artifact, opened, name }] of contents.artifacts.entries()) {
      assert.equal(name, `db-${index}`)
      for await (const chunk of readArtifact(artifact, options, opened))
        given[index] = Buffer.concat([given[index] ?? Buffer.alloc(0), chunk])
    }
    return { given }
  } catch (error) {
    return { given, error }
  }
}

test('an encrypted backup is read as it was written', async () => {
  const { given, error } = await readAll(files.slice(0, 2))
  assert.deepEqual([error, given], [undefined, plain])
})

test('an encrypted backup whose objects were changed gives out nothing that was not written there, and never an end', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ index: fc.nat(1), what: change }), { minLength: 1, maxLength: 3 }),
      async changes => {
        const stored = files.slice(0, 2)
        for (const { index, what } of changes) stored[index] = changed(stored[index] ?? assert.fail(), what)
        fc.pre(stored.every(bytes => bytes.length > 0))
        const isSame = stored.every((bytes, index) => bytes.equals(files[index] ?? assert.fail()))
        const { given, error } = await readAll(stored)
        for (const [index, bytes] of given.entries())
          assert.ok(
            bytes.equals(plain[index]?.subarray(0, bytes.length) ?? assert.fail()),
            'what came was written there',
          )
        if (isSame) return assert.equal(error, undefined)
        assert.ok(error instanceof MoverFailure, String(error))
        assert.ok(['DataTampered', 'NoIdentityMatches'].includes(error.reason), `${error.reason}: ${error.message}`)
        assert.ok(given.some((bytes, index) => bytes.length < (plain[index]?.length ?? 0)) || given.length < 2)
      },
    ),
    { numRuns: 150 },
  )
})
