// Backups that are encrypted to public keys, with real S3 servers and the programs that other people have: what they keep secret, who
// opens them, and that nobody is given what is not theirs.
import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from 'age-encryption'
import { capture } from '../../dev/command.ts'
import { debianAge } from '../../dev/debian-tools.ts'
import { goToolDirectory } from '../../dev/go-tools.ts'
import { parseBackupRecord, type BackupArtifact, type BackupRecord } from '../../src/api/record.ts'
import { manifestKey } from '../../src/storage/bucket/layout.ts'
import { s3ServerKinds, startS3Server, type S3Server } from '../storage/s3-servers.ts'
import { jobOf, runPod, taskFor, type BackupTaskInput, type PodResult } from './backup-pod.ts'
import { layout, restoreStage, run, secret, slot, type RestoreStage } from './restore-stage.ts'

const folder = mkdtempSync(join(tmpdir(), 'backup-operator-encryption-'))
after(() => rmSync(folder, { recursive: true, force: true }))

type KeyPair = { readonly recipient: string; readonly identity: string; readonly directory: string }

/** With a folder as the kubelet mounts the Secret. */
async function keyPair(make = generateX25519Identity): Promise<KeyPair> {
  const identity = await make()
  const directory = mkdtempSync(join(folder, 'identities-'))
  writeFileSync(join(directory, 'keys.txt'), `# created by a test\n${identity}\n`)
  return { identity, recipient: await identityToRecipient(identity), directory }
}

/** Sizes that no other number contains by chance. */
const orders = Buffer.concat([Buffer.alloc(2_000_003, 'order 4711;\n'), randomBytes(1_141_589)])
const customers = Buffer.alloc(777_767, 'Jane Roe;')
const facts = { tables: { 'public.patients': { rows: 90_210, exact: true } } }
const engine = { preset: 'postgres', serverVersion: '15.20.4', clientVersion: '15.20.4' }
const secrets = [
  'orders_of_2026',
  'customers-of-acme',
  'patients',
  '90210',
  '15.20.4',
  'Jane Roe',
  'order 4711',
  ...[orders, customers].flatMap(plain => [String(plain.length), hash('sha256', plain)]),
  String(orders.length + customers.length),
]

const files = { orders: join(folder, 'orders'), customers: join(folder, 'customers') }
writeFileSync(files.orders, orders)
writeFileSync(files.customers, customers)

/** In Bash, as a script of a preset. */
const dump = [
  'bash',
  '-c',
  `artifact() { "$PWD/shared/artifact" "$@"; }
  artifact .engine echo '${JSON.stringify(engine)}'
  artifact .facts/orders_of_2026 echo '${JSON.stringify(facts)}'
  artifact orders_of_2026 cat ${files.orders}
  artifact customers-of-acme cat ${files.customers}`,
]

async function backup(
  server: S3Server,
  bucket: string,
  keys: readonly KeyPair[],
  change: Partial<BackupTaskInput> = {},
  options: { readonly run?: string; readonly command?: readonly string[] } = {},
): Promise<PodResult> {
  const recipients = keys.map(({ recipient }) => recipient)
  const task = taskFor(server, bucket, { encryption: { recipients }, partBytes: 5 << 20, ...change })
  return runPod({ task, secret, command: dump, announces: true, ...options })
}

async function recordOf(stage: RestoreStage, of = run): Promise<BackupRecord> {
  const minute = Number(of.slice('backup-orders-'.length)) * 60_000
  const key = manifestKey(layout, 'command', new Date(minute), of)
  return parseBackupRecord(String(await stage.store.get(key, 1 << 20)))
}

async function body(stage: RestoreStage, artifact: BackupArtifact | undefined): Promise<Buffer> {
  const parts = (artifact?.segments ?? []).map(({ key }) => stage.store.get(`${layout.root}${key}`, 64 << 20))
  return Buffer.concat(await Promise.all(parts))
}

/** As somebody who may write in the bucket changes an artifact: the manifest says what it should. */
async function forge(stage: RestoreStage, record: BackupRecord, index: number, bytes: Buffer) {
  const artifact = record.artifacts[index] ?? assert.fail()
  const [{ key } = assert.fail()] = artifact.segments
  const parts: string[] = []
  for (let at = 0; at < bytes.length; at += artifact.partBytes)
    parts.push(hash('sha256', bytes.subarray(at, at + artifact.partBytes)))
  await stage.store.put(`${layout.root}${key}`, bytes)
  const segments = [{ key, bytes: bytes.length, parts }]
  const artifacts = record.artifacts.with(index, { ...artifact, segments, storedBytes: bytes.length })
  await putRecord(stage, { ...record, artifacts })
}

function putRecord(stage: RestoreStage, record: BackupRecord) {
  const key = manifestKey(layout, 'command', new Date(record.slot), record.run)
  return stage.store.put(key, Buffer.from(JSON.stringify(record)))
}

function assertDone({ message, code }: PodResult, phase: string) {
  assert.deepEqual([message.phase, code], [phase, 0], JSON.stringify(message))
}

/** Leaves a file once it is given anything. */
const takes = (stage: RestoreStage) =>
  stage.sh(`"$PWD/shared/feed" orders_of_2026 sh -c 'head -c 1 >"$1"; cat >/dev/null' sh "$1/begun"`)

async function assertRefused(stage: RestoreStage, keys: KeyPair | undefined, reason: string, message: RegExp) {
  const task = stage.restoreTask({ identitiesDirectory: keys?.directory })
  const result = await runPod({ task, secret, scripted: true, command: takes(stage) })
  assert.equal(result.message.reason, reason, JSON.stringify(result.message))
  assert.match(result.message.message ?? '', message)
  assert.equal(stage.has('begun') && stage.read('begun').length > 0, false, 'the command was given something')
  assertSecret(JSON.stringify([result.message, result.log]))
}

function assertSecret(text: string) {
  for (const word of secrets) assert.ok(!text.includes(word), `${word} is in ${text.slice(0, 2000)}`)
}

for (const kind of s3ServerKinds)
  describe(`encrypted backups in ${kind}`, { timeout: 600_000 }, () => {
    let server: S3Server
    let keys: readonly [KeyPair, KeyPair]
    before(async () => {
      server = await startS3Server(kind)
      keys = [await keyPair(), await keyPair()]
    })
    after(() => server?.stop())

    test('tell no name, plain size, checksum or fact in the bucket, the log or the message', async t => {
      const stage = await restoreStage(t, server)
      const result = await backup(server, stage.bucket, keys)
      assertDone(result, 'committed')
      assertSecret(JSON.stringify([result.message, result.log]))
      const { keys: objects } = await server.contents(stage.bucket)
      const data = objects.filter(key => key.includes('/data/')).map(key => key.split('/').at(-1))
      assert.deepEqual(data, ['0000.zst.age', '0001.zst.age'])
      for (const key of objects) {
        assertSecret(key)
        assertSecret((await stage.store.get(key, 64 << 20)).toString('latin1'))
      }
      const { artifacts, engine: told } = await recordOf(stage)
      assert.deepEqual([artifacts[0]?.codecs, told], [['zstd', 'age'], undefined])
      const stored = artifacts.reduce((sum, { storedBytes }) => sum + storedBytes, 0)
      assert.deepEqual([result.message.storedBytes, result.message.bytes], [stored, undefined])
    })

    test('are opened by age and zstd, and by nobody without an identity', async t => {
      const program = await debianAge()
      const stage = await restoreStage(t, server)
      assertDone(await backup(server, stage.bucket, keys), 'committed')
      const { artifacts } = await recordOf(stage)
      for (const [index, plain] of [orders, customers].entries()) {
        writeFileSync(stage.path('sealed'), await body(stage, artifacts[index]))
        for (const { directory } of keys) {
          const identity = join(directory, 'keys.txt')
          await capture(['sh', '-c', '"$1" -d -i "$2" sealed | zstd -d >plain', 'sh', program, identity], {
            cwd: stage.directory,
          })
          assert.equal(hash('sha256', readBytes(stage, 'plain')), hash('sha256', plain))
        }
        // As docs/storage-format.md has it.
        const facts = `age=$1; "$age" -d -i "$2" sealed >sealed.zst; tail -c 4M sealed.zst | grep -a -o '"name":"[^"]*","bytes":[0-9]*,"sha256":"[0-9a-f]*"'`
        const argv = ['sh', '-c', facts, 'sh', program, join(keys[0].directory, 'keys.txt')]
        const told = JSON.parse(`{${await capture(argv, { cwd: stage.directory })}}`) as unknown
        const name = index === 0 ? 'orders_of_2026' : 'customers-of-acme'
        assert.deepEqual(told, { name, bytes: plain.length, sha256: hash('sha256', plain) })
      }
    })

    test('are restored by who has one identity, by the names that are sealed in them', async t => {
      const stage = await restoreStage(t, server)
      assertDone(await backup(server, stage.bucket, keys), 'committed')
      const task = stage.restoreTask({ identitiesDirectory: keys[1].directory })
      const command = stage.sh(`
        set -e; feed="$PWD/shared/feed"; cd "$1"
        "$feed" .engine sh -c 'cat >engine'
        "$feed" .artifacts sh -c 'cat >names'
        "$feed" .facts/orders_of_2026 sh -c 'cat >facts'
        while read -r name; do "$feed" "$name" sh -c 'cat >"$1"' sh "of-$name" </dev/null; done <names`)
      const result = await runPod({ task, secret, scripted: true, command })
      assertDone(result, 'done')
      assert.deepEqual(JSON.parse(stage.read('engine')), engine)
      assert.deepEqual(JSON.parse(stage.read('facts')), facts)
      assert.equal(stage.read('names'), 'orders_of_2026\ncustomers-of-acme\n')
      assert.ok(readBytes(stage, 'of-orders_of_2026').equals(orders))
      assert.ok(readBytes(stage, 'of-customers-of-acme').equals(customers))
      assertSecret(JSON.stringify([result.message, result.log]))
      const { storedBytes, restore } = result.message
      assert.deepEqual(restore, { bytes: storedBytes, totalBytes: storedBytes })
    })

    test('are verified into nothing, by a proof that tells nothing', async t => {
      const stage = await restoreStage(t, server)
      assertDone(await backup(server, stage.bucket, keys, { compression: 'none' }), 'committed')
      const task = stage.restoreTask({ verify: true, identitiesDirectory: keys[0].directory })
      const result = await runPod({ task, secret })
      assertDone(result, 'done')
      const [proof] = await Array.fromAsync(stage.store.list(layout.proofs))
      const text = String(await stage.store.get(proof?.key ?? '', 10_000))
      assertSecret(text)
      assert.equal((JSON.parse(text) as { artifacts: unknown[] }).artifacts.length, 2)
    })

    test('give nobody a byte who has no identity, or a wrong one', async t => {
      const stage = await restoreStage(t, server)
      assertDone(await backup(server, stage.bucket, keys), 'committed')
      await assertRefused(stage, await keyPair(), 'NoIdentityMatches', /X25519 recipients.*AGE-SECRET-KEY-1…/)
      await assertRefused(stage, undefined, 'NoIdentityMatches', /spec\.identities/)
      const empty = { ...keys[0], directory: mkdtempSync(join(folder, 'empty-')) }
      await assertRefused(stage, empty, 'NoIdentityMatches', /does not exist, or is empty/)
      writeFileSync(join(empty.directory, 'public'), keys[0].recipient)
      await assertRefused(stage, empty, 'NoIdentityMatches', /the key public .* line 1 is a recipient/)
      const task = stage.restoreTask({ verify: true })
      assert.equal((await runPod({ task, secret })).message.reason, 'NoIdentityMatches')
    })

    type Tampering = (stage: RestoreStage, record: BackupRecord, server: S3Server) => Promise<void>
    const tampering: Readonly<Record<string, readonly [Tampering, RegExp]>> = {
      'a bit of the end was flipped': [
        async (stage, record) => {
          const bytes = await body(stage, record.artifacts[0])
          bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
          await forge(stage, record, 0, bytes)
        },
        /an encrypted artifact cannot be opened/,
      ],
      'the last chunk was cut off': [
        async (stage, record) => {
          const bytes = await body(stage, record.artifacts[0])
          const header = bytes.indexOf('\n', bytes.indexOf('\n---') + 1) + 1
          const chunks = Math.floor((bytes.length - header - 16) / 65_552)
          await forge(stage, record, 0, bytes.subarray(0, header + 16 + chunks * 65_552))
        },
        /an encrypted artifact cannot be opened/,
      ],
      'its artifacts have changed places': [
        async (stage, record) => putRecord(stage, { ...record, artifacts: record.artifacts.toReversed() }),
        /artifact 1 .* another place among the artifacts of its run/,
      ],
      'its manifest says a later time': [
        async (stage, record) => {
          const later = new Date(slot.getTime() + 60_000)
          const key = manifestKey(layout, 'command', slot, run)
          await stage.store.put(key, Buffer.from(JSON.stringify({ ...record, slot: later.toISOString() })))
        },
        /another slot/,
      ],
      'its manifest names another owner': [
        async (stage, record) => putRecord(stage, { ...record, owner: { ...record.owner, policy: 'other' } }),
        /another policy/,
      ],
      'an artifact of another run lies in its place': [
        async (stage, record, from) => {
          const other = await backup(from, stage.bucket, keys, {}, { run: jobOf(1) })
          assertDone(other, 'committed')
          const theirs = await recordOf(stage, jobOf(1))
          await forge(stage, record, 0, await body(stage, theirs.artifacts[0]))
        },
        /another run/,
      ],
      'an artifact in it is not encrypted': [
        async (stage, record) => {
          const [first = assert.fail(), second = assert.fail()] = record.artifacts
          await putRecord(stage, { ...record, artifacts: [first, { ...second, codecs: ['zstd'] }] })
        },
        /some artifacts of the backup are encrypted, and others are not/,
      ],
    }
    for (const [name, [tamper, message]] of Object.entries(tampering))
      test(`give nobody a byte when ${name}`, async t => {
        const stage = await restoreStage(t, server)
        assertDone(await backup(server, stage.bucket, keys), 'committed')
        await tamper(stage, await recordOf(stage), server)
        await assertRefused(stage, keys[0], 'DataTampered', message)
      })

    test('end the input of nobody when a chunk in the middle was flipped, or two have changed places', async t => {
      for (const change of [flipMiddle, swapChunks]) {
        const stage = await restoreStage(t, server)
        assertDone(await backup(server, stage.bucket, keys), 'committed')
        const record = await recordOf(stage)
        await forge(stage, record, 0, change(await body(stage, record.artifacts[0])))
        const task = stage.restoreTask({ identitiesDirectory: keys[0].directory })
        const command = stage.sh(
          `"$PWD/shared/feed" orders_of_2026 sh -c 'cat >"$1"; touch "$2"' sh "$1/got" "$1/committed"`,
        )
        const { message } = await runPod({ task, secret, scripted: true, command })
        assert.equal(message.reason, 'DataTampered', JSON.stringify(message))
        assert.equal(stage.isCommitted(), false)
      }
    })
  })

describe('encrypted backups', { timeout: 600_000 }, () => {
  let server: S3Server
  before(async () => {
    server = await startS3Server('minio')
  })
  after(() => server?.stop())

  test('to post-quantum keys are opened by age 1.3.1, and by us', async t => {
    const keys = [await keyPair(generateHybridIdentity)]
    const [{ directory } = assert.fail()] = keys
    const stage = await restoreStage(t, server)
    assertDone(await backup(server, stage.bucket, keys), 'committed')
    const { artifacts } = await recordOf(stage)
    writeFileSync(stage.path('sealed'), await body(stage, artifacts[0]))
    const program = join(goToolDirectory('age'), 'age')
    const script = '"$1" -d -i "$2" sealed | zstd -d >plain'
    await capture(['sh', '-c', script, 'sh', program, join(directory, 'keys.txt')], { cwd: stage.directory })
    assert.ok(readBytes(stage, 'plain').equals(orders))
    const task = stage.restoreTask({ verify: true, identitiesDirectory: directory })
    assertDone(await runPod({ task, secret }), 'done')
    await assertRefused(stage, await keyPair(), 'NoIdentityMatches', /hybrid post-quantum.*AGE-SECRET-KEY-PQ-1…/)
  })

  test('are compared by stored bytes, also with those from before encryption', async t => {
    const stage = await restoreStage(t, server)
    const keys = [await keyPair()]
    const small = ['bash', '-c', '"$PWD/shared/artifact" orders_of_2026 head -c 1000 /dev/urandom']
    const verdicts: unknown[] = []
    for (const [nth, [encryption, command]] of (
      [
        ['none', dump],
        ['age', small],
        ['age', dump],
        ['age', small],
      ] as const
    ).entries()) {
      const change = encryption === 'none' ? { encryption: undefined } : {}
      const result = await backup(server, stage.bucket, keys, change, { run: jobOf(nth), command })
      assertDone(result, 'committed')
      verdicts.push(result.message.suspect)
      if (encryption === 'age') assertSecret(JSON.stringify([result.message, result.log]))
    }
    assert.deepEqual(verdicts, [false, true, false, true])
  })

  test('that fail tell no size and no name', async t => {
    const stage = await restoreStage(t, server)
    const keys = [await keyPair()]
    const ways = [
      `"$PWD/shared/artifact" customers-of-acme sh -c 'cat ${files.customers}; exit 3'`,
      `"$PWD/shared/artifact" customers-of-acme cat ${files.customers}; "$PWD/shared/artifact" customers-of-acme cat ${files.orders}`,
      `"$PWD/shared/artifact" .facts/customers-of-acme echo 'patients'`,
      `"$PWD/shared/artifact" .facts/customers-of-acme echo '{}'`,
    ]
    for (const way of ways) {
      const result = await backup(server, stage.bucket, keys, {}, { command: ['bash', '-c', way] })
      assert.equal(result.message.phase, 'failed', JSON.stringify(result.message))
      assertSecret(JSON.stringify([result.message, result.log]))
    }
  })

  test('to what is no recipient are refused by the probe, before a run is, with what to change', async t => {
    const stage = await restoreStage(t, server)
    const { identity, recipient } = await keyPair()
    const file = stage.path('recipients')
    const { owner, backend, secretName, version } = taskFor(server, stage.bucket)
    const refused = async (encryption: BackupTaskInput['encryption'], words: RegExp) => {
      const task = { version, owner, backend, secretName, kind: 'probe', encryption } as const
      for (const asked of [task, taskFor(server, stage.bucket, { encryption })]) {
        const { message, code, log } = await runPod({ task: asked, secret, command: ['true'] })
        assert.deepEqual([message.reason, code], ['RecipientsInvalid', 21], JSON.stringify(message))
        assert.match(message.message ?? '', words)
        assert.ok(!JSON.stringify([message, log]).includes(identity.slice(20)))
      }
    }
    await refused({ recipientsFile: file }, /ConfigMap .* does not exist, or has no key recipients/)
    await refused({ recipients: [identity] }, /recipient 1 is a secret key/)
    writeFileSync(file, `# ours\n\n${recipient}\n${identity}\n`)
    await refused({ recipientsFile: file }, /ConfigMap .* recipient 2 is a secret key/)
    writeFileSync(file, `# ours\n\n  ${recipient}\n`)
    const task = { version, owner, backend, secretName, kind: 'probe', encryption: { recipientsFile: file } } as const
    assertDone(await runPod({ task, secret }), 'done')
    assertDone(await backup(server, stage.bucket, [], { encryption: { recipientsFile: file } }), 'committed')
  })
})

function readBytes(stage: RestoreStage, file: string): Buffer {
  return readFileSync(stage.path(file))
}

/** Of what compresses badly there are many chunks; the middle is not among the first ones or the last. */
function flipMiddle(bytes: Buffer): Buffer {
  const at = bytes.length >> 1
  bytes[at] = (bytes[at] ?? 0) ^ 1
  return bytes
}

function swapChunks(bytes: Buffer): Buffer {
  const header = bytes.indexOf('\n', bytes.indexOf('\n---') + 1) + 1 + 16
  const chunk = (index: number) => bytes.subarray(header + index * 65_552, header + (index + 1) * 65_552)
  return Buffer.concat([bytes.subarray(0, header), chunk(1), chunk(0), bytes.subarray(header + 2 * 65_552)])
}
