// Several artifacts a run, and notes about them, by a script that announces them itself: what is in the bucket when all went well, and that
// nothing is when anything did not.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { zstdDecompressSync } from 'node:zlib'
import { parseBackupRecord } from '../../src/api/record.ts'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { settingsOf, startS3Server, type S3Server } from '../storage/s3-servers.ts'
import { initOf, jobOf, runPod, startPod, taskFor, type BackupTaskInput, type PodResult } from './backup-pod.ts'

const secret = { accessKey: 'minioadmin', secretKey: 'minioadmin' }
const root = 'shop/orders/'
/** In Bash, with `artifact` and `$shared` as a script of a preset has them. */
const script = (lines: string) => [
  'bash',
  '-c',
  `shared=$PWD/shared; artifact() { "$shared/artifact" "$@"; }\n${lines}`,
]
/** A name of whatever characters there are, on one line. */
const strange = `we ird/ö=x'y\\z"$HOME*`

describe('several artifacts a run', { timeout: 600_000, concurrency: 2 }, () => {
  let server: S3Server
  before(async () => {
    server = await startS3Server('minio')
  })
  after(() => server?.stop())

  function assertFailed(result: PodResult, reason: string, message: RegExp) {
    assert.deepEqual([result.message.phase, result.message.reason], ['failed', reason], JSON.stringify(result))
    assert.match(result.message.message ?? '', message)
    assert.notEqual(result.code, 0)
  }

  async function assertNothingLeft(bucket: string) {
    assert.deepEqual(await server.contents(bucket), { keys: [`${root}owner.json`], uploads: [] })
  }

  async function run(lines: string, change: Partial<BackupTaskInput> = {}, slot = 0, bucket?: string) {
    const where = bucket ?? (await server.makeBucket())
    const task = taskFor(server, where, change)
    const result = await runPod({ task, secret, command: script(lines), announces: true, run: jobOf(slot) })
    return { bucket: where, result }
  }

  async function read(bucket: string, result: PodResult) {
    assert.deepEqual([result.code, result.sourceCode], [0, 0], JSON.stringify(result))
    const store = openS3(settingsOf(server, bucket))
    try {
      const record = parseBackupRecord((await store.get(result.message.manifest ?? '', 1 << 20)).toString())
      const stored = new Map<string, Buffer>()
      for (const { name = '', segments } of record.artifacts) {
        const bodies = []
        for (const { key } of segments) bodies.push(await buffer(await store.read(`${root}${key}`)))
        stored.set(name, Buffer.concat(bodies))
      }
      return { record, stored }
    } finally {
      store.close()
    }
  }

  test('each has its own object under its own name, whatever characters that has', async () => {
    const names = ['globals', strange, 'shop', '-n', 'a b']
    const lines = names.map((name, index) => `artifact ${quoted(name)} seq 1 ${10 ** index}`)
    const { bucket, result } = await run(lines.join('\n'))
    const { record, stored } = await read(bucket, result)
    assert.deepEqual(
      record.artifacts.map(({ name }) => name),
      names,
    )
    for (const [index, artifact] of record.artifacts.entries()) {
      const plain = zstdDecompressSync(stored.get(artifact.name ?? '') ?? assert.fail())
      const lastLine = plain.toString().trim().split('\n').at(-1)
      assert.equal(lastLine, String(10 ** index))
      assert.deepEqual([artifact.bytes, artifact.sha256], [plain.length, sha256(plain)])
      const file = artifact.segments[0]?.key.split('/').at(-1)
      assert.equal(file, `${encodeURIComponent(artifact.name ?? '')}.zst`)
    }
    const { message } = result
    assert.deepEqual([message.artifacts, message.sha256], [names.length, record.artifacts[0]?.sha256])
    assert.equal(
      message.bytes,
      record.artifacts.reduce((sum, { bytes = 0 }) => sum + bytes, 0),
    )
    assert.equal((await server.contents(bucket)).keys.length, names.length + 2)
  })

  test('in segments: the notes of their uploads have numbers of their own', async () => {
    const lines = 'for name in one two; do artifact $name head -c 11000000 /dev/urandom; done'
    const { bucket, result } = await run(lines, { partBytes: 5 << 20, maxParts: 1, compression: 'none' })
    const { record } = await read(bucket, result)
    assert.deepEqual(
      record.artifacts.map(({ segments }) => segments.map(({ key }) => key.split('/').at(-1))),
      [
        ['one', 'one.0001', 'one.0002'],
        ['two', 'two.0001', 'two.0002'],
      ],
    )
    assert.equal((await server.contents(bucket)).keys.length, 8)
  })

  test('compression none: no codec, and the bytes as they come', async () => {
    const { bucket, result } = await run('artifact list seq 1 100000', { compression: 'none' })
    const { record, stored } = await read(bucket, result)
    assert.deepEqual([record.artifacts[0]?.codecs, record.artifacts[0]?.sha256], [[], sha256(stored.get('list') ?? '')])
  })

  test('with the engine and facts in the manifest, and nowhere else', async () => {
    const engine = { preset: 'postgres', serverVersion: '15.20', clientVersion: '16.1' }
    const facts = { tables: { 'public.orders': { rows: 3, exact: true } } }
    const { bucket, result } = await run(`
      artifact .engine echo ${quoted(JSON.stringify(engine))}
      artifact globals echo roles
      artifact ${quoted(`.facts/${strange}`)} echo ${quoted(JSON.stringify(facts))}
      artifact ${quoted(strange)} seq 1 10`)
    const { record } = await read(bucket, result)
    assert.deepEqual(record.engine, engine)
    assert.deepEqual(
      record.artifacts.map(artifact => artifact.facts),
      [undefined, facts],
    )
    assert.equal((await server.contents(bucket)).keys.length, 4)
  })

  test('a late writer is of its own artifact, which the next one waits for', async () => {
    const { bucket, result } = await run(`
      artifact one bash -c 'seq 1 10; (sleep 1; echo late) & exit 0'
      artifact two seq 1 10`)
    const { record, stored } = await read(bucket, result)
    assert.match(zstdDecompressSync(stored.get('one') ?? assert.fail()).toString(), /late\n$/)
    const [late = [], none] = record.artifacts.map(({ lateWriters }) => lateWriters)
    assert.ok(late.includes('bash'), late.join())
    assert.equal(none, undefined)
  })

  for (const [what, lines, reason, message] of [
    [
      'one that fails, of which the script takes no notice',
      'artifact one sh -c "echo x; exit 3"; exit 0',
      'SourceExit',
      /status 3/,
    ],
    ['one that fails, after which another comes', 'artifact one false; artifact two seq 1 9', 'SourceExit', /status 1/],
    ['one that is empty, after a good one', 'artifact one seq 1 9; artifact two true', 'EmptyOutput', /wrote nothing/],
    ['none at all', 'exit 0', 'EmptyOutput', /made no artifact/],
    ['notes alone', `artifact .facts/x echo '{}'`, 'EmptyOutput|Protocol', /no such artifact|made no artifact/],
    ['a script that fails behind a good one', 'artifact one seq 1 9; exit 7', 'SourceExit', /status 7/],
    ['a script that kills itself behind a good one', 'artifact one seq 1 9; kill -9 $$', 'SourceSignalled', /killed/],
    ['the same name twice', 'artifact one seq 1 9; artifact one seq 1 9', 'ArtifactName', /announced twice/],
    ['a name that is too long', `artifact ${'x'.repeat(256)} seq 1 9`, 'ArtifactName', /255 bytes/],
    ['a name that is no UTF-8', `artifact $'\\xff' seq 1 9`, 'ArtifactName', /UTF-8/],
    ['two at once', 'artifact one sleep 2 & sleep 0.5; artifact two seq 1 9; wait', 'Protocol', /in the middle/],
    ['one that the script does not wait for', 'artifact one sleep 2 & sleep 0.5; exit 0', 'Protocol', /in the middle/],
    ['a note that is not JSON', 'artifact .engine echo x; artifact one seq 1 9', 'Protocol', /\.engine/],
    [
      'a note that is too long',
      'artifact .engine head -c 1048577 /dev/zero; artifact one seq 1 9',
      'Protocol',
      /bytes/,
    ],
    [
      'a refusal',
      `artifact one seq 1 9; printf 'RightsMissing\\ngrant it' >r; artifact .refused cat r; exit 65`,
      'RightsMissing',
      /^grant it$/,
    ],
    [
      'a refusal that the script takes no notice of',
      `printf 'Cold\\nheat it' >r; artifact .refused cat r; artifact one seq 1 9`,
      'Refused',
      /^Cold: heat it$/,
    ],
  ] as const)
    test(`${what}: no backup, and nothing is left`, async () => {
      const { bucket, result } = await run(lines)
      const { message: said = '' } = result.message
      assertFailed(result, reason.includes('|') ? (result.message.reason ?? '') : reason, message)
      assert.ok(reason.split('|').includes(result.message.reason ?? ''), said)
      await assertNothingLeft(bucket)
    })

  test('the death of the container between two of them is SourceKilled, and nothing is left', async () => {
    const bucket = await server.makeBucket()
    const command = script('artifact one seq 1 9; sleep 1000')
    const pod = await startPod({ task: taskFor(server, bucket), secret, command, announces: true })
    await pod.reached(({ storedBytes = 0, openUpload }) => storedBytes > 0 && openUpload === undefined)
    process.kill(await initOf(pod), 'SIGKILL')
    assertFailed(await pod.result(), 'SourceKilled', /died/)
    await assertNothingLeft(bucket)
  })

  test('the end of the pod between two of them is Terminated, and nothing is left', async () => {
    const bucket = await server.makeBucket()
    const command = script('artifact one seq 1 9; sleep 1000')
    const pod = await startPod({ task: taskFor(server, bucket), secret, command, announces: true })
    await pod.reached(({ storedBytes = 0, openUpload }) => storedBytes > 0 && openUpload === undefined)
    pod.mover.process.kill('SIGTERM')
    assertFailed(await pod.result(), 'Terminated', /told to stop/)
    await assertNothingLeft(bucket)
  })

  test('silence between two of them is SourceStalled', async () => {
    const { bucket, result } = await run('artifact one seq 1 9; sleep 1000', { stallTimeoutSeconds: 1 })
    assertFailed(result, 'SourceStalled', /neither ended nor began/)
    await assertNothingLeft(bucket)
  })

  test('one that shrank makes the run suspect, though the others hide it in the sum', async () => {
    const both = (small: number) => `artifact large seq 1 1000000; artifact small seq 1 ${small}`
    const { bucket } = await run(both(100_000))
    const { result } = await run(both(10), {}, 1, bucket)
    const { record } = await read(bucket, result)
    assert.deepEqual(
      [record.suspect, record.artifacts.map(({ suspect }) => suspect)],
      [true, [undefined, true]],
      JSON.stringify(result.message.warnings),
    )
    assert.match(result.message.warnings?.[0]?.message ?? '', /\(small\)/)
  })
})

/** For Bash. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}
