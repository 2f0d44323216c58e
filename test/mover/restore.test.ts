// The restore container's helpers, run by busybox, beside the real mover and real S3 servers. The command commits at the end of its input.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { eventually } from '../../dev/eventually.ts'
import type { BackupRecord } from '../../src/api/record.ts'
import { pinKey } from '../../src/storage/bucket/layout.ts'
import { writePin } from '../../src/storage/bucket/pins.ts'
import { s3ServerKinds, startS3Server, type S3Server } from '../storage/s3-servers.ts'
import { descendant, initOf, runPod, startPod } from './backup-pod.ts'
import { layout, restoreStage, run, secret, slot, someBytes, type RestoreStage } from './restore-stage.ts'

const partBytes = 1 << 20
const plain = someBytes(12)
/** Two segments. */
const dump = { name: 'dump', plain, partBytes, maxParts: 3 }

for (const kind of s3ServerKinds)
  describe(`a restore from ${kind}`, () => {
    let server: S3Server
    before(async () => {
      server = await startS3Server(kind)
    })
    after(() => server?.stop())

    test('gives the only artifact to an explicit command, byte by byte, and then ends', async t => {
      const stage = await restoreStage(t, server)
      await stage.put([dump])
      const { message, code, sourceCode, sourceOutput } = await runPod({
        task: stage.restoreTask(),
        secret,
        command: stage.commits,
      })
      assert.deepEqual([message.phase, code, sourceCode], ['done', 0, 0], JSON.stringify(message) + sourceOutput)
      assert.ok(stage.committed().equals(plain))
      assert.deepEqual(message.restore, { artifact: 'dump', bytes: plain.length, totalBytes: plain.length })
      assert.ok(message.finishedAt)
    })

    test('gives a script what it asks for, in its order, and hears what it did', async t => {
      const stage = await restoreStage(t, server)
      const engine = { preset: 'postgres', serverVersion: '15.14', clientVersion: '15.14' }
      const facts = { tables: { orders: { rows: 7, exact: true } } }
      const globals = Buffer.from('CREATE ROLE app;\n')
      const odd = 'we ird/\u00f6=x\'y"z'
      const artifacts = [
        { name: 'globals', plain: globals },
        { ...dump, facts },
        { name: odd, plain: Buffer.from('odd') },
      ]
      // The names of objects are not the names of artifacts.
      const stored = artifacts.map((artifact, index) => ({ ...artifact, name: `f${index}` }))
      const { record } = await stage.put(stored)
      const renamed = record.artifacts.map((artifact, index) => ({ ...artifact, name: artifacts[index]?.name }))
      await stage.put(stored, { change: { engine, artifacts: renamed } })
      const script = `
        set -e
        feed="$1"; artifact="\${1%/feed}/artifact"; cd "$2"
        "$feed" .engine sh -c 'cat >engine'
        "$feed" .artifacts sh -c 'cat >names'
        "$feed" .facts/dump sh -c 'cat >facts'
        "$feed" .facts/globals sh -c 'cat >nofacts'
        while read -r name; do "$feed" "$name" sh -c 'cat >"$1"' sh "of-\${#name}" </dev/null; done <names
        "$artifact" .result echo '{"database":"shop","tables":7}'
      `
      const result = await runPod({
        task: stage.restoreTask(),
        secret,
        scripted: true,
        command: scriptOf(stage, script),
      })
      assert.equal(result.message.phase, 'done', JSON.stringify(result.message) + result.sourceOutput)
      assert.deepEqual(JSON.parse(stage.read('engine')), engine)
      assert.deepEqual(stage.read('names').split('\n'), ['globals', 'dump', odd, ''])
      assert.deepEqual([JSON.parse(stage.read('facts')), JSON.parse(stage.read('nofacts'))], [facts, {}])
      assert.equal(stage.read('of-7'), globals.toString())
      assert.equal(stage.read('of-4').length, plain.toString().length)
      assert.deepEqual(result.message.result, { database: 'shop', tables: 7 })
      assert.equal(result.message.artifacts, 3)
    })

    test('that is killed at half commits nothing', async t => {
      const stage = await restoreStage(t, server)
      await stage.put([dump])
      const pod = await startPod({
        task: stage.restoreTask(),
        secret,
        command: stage.sh(halves(stage.commits[2] ?? '')),
      })
      await eventually('the half', () => stage.has('half') || undefined, { seconds: 30, every: 10 })
      pod.mover.process.kill('SIGKILL')
      // Whoever still lives goes on to the end of the input.
      writeFileSync(stage.path('go'), '')
      const sourceCode = await pod.source?.ended
      await pod.remove()
      assert.equal(sourceCode, 75)
      assert.equal(stage.isCommitted(), false)
    })

    const tampering: Readonly<Record<string, readonly [(stage: RestoreStage) => Promise<void>, string, RegExp]>> = {
      'a bit of it was flipped': [
        stage => change(stage, 1, body => void (body[1000] = (body[1000] ?? 0) ^ 1)),
        'DataTampered',
        /part 1 of .*\.0001.*sha256/,
      ],
      'an object of it was cut': [
        stage => change(stage, 1, body => body.subarray(0, body.length - 100)),
        'DataTampered',
        /was cut/,
      ],
      'its parts are in another order': [
        stage => change(stage, 0, body => Buffer.concat([body.subarray(partBytes), body.subarray(0, partBytes)])),
        'DataTampered',
        /part 1 of .*dump\.zst/,
      ],
      'an object of another backup lies in its place': [
        async stage => {
          const { record } = await stage.put([{ ...dump, plain: someBytes(12) }], { run: 'another', attempt: 'other' })
          const [, other] = record.artifacts[0]?.segments ?? []
          const body = await stage.store.get(`${layout.root}${other?.key}`, 64 << 20)
          await change(stage, 1, () => body)
        },
        'DataTampered',
        /\.0001/,
      ],
      'its manifest has another sum of the whole': [
        stage =>
          changeManifest(stage, record => void Object.assign(record.artifacts[0] ?? {}, { sha256: 'a'.repeat(64) })),
        'DataTampered',
        /sha256 of dump/,
      ],
      'its manifest leaves out the end': [
        stage =>
          changeManifest(stage, record => {
            const [artifact] = record.artifacts
            const last = artifact?.segments.pop()
            Object.assign(artifact ?? {}, { storedBytes: (artifact?.storedBytes ?? 0) - (last?.bytes ?? 0) })
          }),
        'DataTampered',
        /is cut|without its seek table/,
      ],
      'an object of it is gone': [
        async stage => {
          const { keys } = await segmentsOf(stage)
          await stage.store.delete([keys[1] ?? ''])
        },
        'DataLost',
        /is gone/,
      ],
    }
    for (const [name, [tamper, reason, message]] of Object.entries(tampering))
      test(`commits nothing when ${name}`, async t => {
        const stage = await restoreStage(t, server)
        await stage.put([dump])
        await tamper(stage)
        const result = await runPod({ task: stage.restoreTask(), secret, command: stage.commits })
        assert.equal(result.message.reason, reason, JSON.stringify(result.message))
        assert.match(result.message.message ?? '', message)
        assert.equal(stage.isCommitted(), false)
        assert.equal(result.sourceCode, 75)
      })

    test('outlives connections that break off, stand still, or turn a bit', async t => {
      const stage = await restoreStage(t, server)
      await stage.put([dump])
      const key = /\/data\//
      stage.proxy.fail('get', { kind: 'cut-reply' }, { times: 2, key })
      stage.proxy.fail('get', { kind: 'flip-bit' }, { times: 1, key })
      stage.proxy.fail('get', { kind: 'refuse', status: 503, code: 'SlowDown' }, { times: 1, key })
      stage.proxy.fail('get', { kind: 'reset' }, { times: 1, key })
      const { message } = await runPod({ task: stage.restoreTask(), secret, command: stage.commits })
      assert.equal(message.phase, 'done', JSON.stringify(message))
      assert.ok(stage.committed().equals(plain))
    })

    test('verifies into nothing without any command, and writes the proof', async t => {
      const stage = await restoreStage(t, server)
      const { record } = await stage.put([dump, { name: 'plain', plain: Buffer.from('as it is'), codecs: [] }])
      const { message, code } = await runPod({ task: stage.restoreTask({ verify: true }), secret })
      assert.deepEqual([message.phase, code, message.artifacts], ['done', 0, 2], JSON.stringify(message))
      const [proof] = await Array.fromAsync(stage.store.list(layout.proofs))
      assert.match(proof?.key ?? '', new RegExp(`^shop/orders/proofs/${run}/\\d{8}T\\d{6}Z\\.json$`))
      const said = JSON.parse(String(await stage.store.get(proof?.key ?? '', 10_000))) as Record<string, unknown>
      assert.deepEqual([said.run, said.mode, said.by], [run, 'verify', 'restore-uid-1'])
      const artifacts = record.artifacts.map(({ name, bytes, sha256, storedBytes }) => ({
        storedBytes,
        name,
        bytes,
        sha256,
      }))
      assert.deepEqual(said.artifacts, artifacts)
    })
  })

describe('a restore', () => {
  let server: S3Server
  before(async () => {
    server = await startS3Server('minio')
  })
  after(() => server?.stop())

  test('fails with the status of its command, which did not want the rest', async t => {
    const stage = await restoreStage(t, server)
    await stage.put([dump])
    const { message, sourceCode } = await runPod({
      task: stage.restoreTask(),
      secret,
      command: stage.sh('head -c 1000 >/dev/null; exit 3'),
    })
    assert.deepEqual([message.reason, message.sourceStatus, sourceCode], ['SourceExit', 3, 3], JSON.stringify(message))
  })

  test('counts the status 0 of a command that did not want the rest only when the rest was verified', async t => {
    for (const damaged of [false, true]) {
      const stage = await restoreStage(t, server)
      // Far more than is read ahead of the command.
      await stage.put([{ ...dump, plain: someBytes(40), maxParts: 15 }])
      if (damaged) await change(stage, 1, body => void (body[body.length - 1] = (body.at(-1) ?? 0) ^ 1))
      const script = `set -e; "$1" dump head -c 1000 >"$2/got"; touch "$2/swapped"`
      const { message, sourceCode } = await runPod({
        task: stage.restoreTask(),
        secret,
        scripted: true,
        command: scriptOf(stage, script),
      })
      assert.deepEqual(
        [message.reason ?? message.phase, sourceCode, stage.has('swapped')],
        damaged ? ['RestoreUnproven', 75, false] : ['done', 0, true],
        JSON.stringify(message),
      )
    }
  })

  test('of a script that ends with 0 although a command in it failed has failed', async t => {
    const stage = await restoreStage(t, server)
    await stage.put([dump])
    const command = scriptOf(stage, '"$1" dump sh -c "cat >/dev/null; exit 1"; exit 0')
    const { message } = await runPod({ task: stage.restoreTask(), secret, scripted: true, command })
    assert.deepEqual([message.reason, message.sourceStatus], ['SourceExit', 1])
    assert.match(message.message ?? '', /status of what failed/)
  })

  test('of a script that asks for nothing and says nothing has restored nothing', async t => {
    const stage = await restoreStage(t, server)
    await stage.put([dump])
    const command = scriptOf(stage, '"$1" .artifacts cat >/dev/null')
    const { message } = await runPod({ task: stage.restoreTask(), secret, scripted: true, command })
    assert.equal(message.reason, 'RestoreUnproven')
    const told = scriptOf(stage, `"\${1%/feed}/artifact" .result echo '{"swap":"was done before"}'`)
    const again = await runPod({ task: stage.restoreTask(), secret, scripted: true, command: told })
    assert.equal(again.message.phase, 'done', JSON.stringify(again.message))
  })

  test('of a script that asks for two artifacts at once fails, and what it asks of the backup may come at any time', async t => {
    const stage = await restoreStage(t, server)
    await stage.put([dump, { name: 'other', plain: Buffer.from('x') }])
    const asks = '"$1" .artifacts cat | while read -r name; do "$1" "$name" cat >/dev/null </dev/null || exit; done'
    const good = await runPod({ task: stage.restoreTask(), secret, scripted: true, command: scriptOf(stage, asks) })
    assert.equal(good.message.phase, 'done', JSON.stringify(good.message))
    const both = '"$1" dump sh -c "sleep 1; cat >/dev/null" & sleep 0.5; "$1" other cat >/dev/null; wait'
    const bad = await runPod({ task: stage.restoreTask(), secret, scripted: true, command: scriptOf(stage, both) })
    assert.deepEqual([bad.message.reason, bad.sourceCode], ['Protocol', 75])
  })

  test('that its script refuses has the reason and the words of the script, also before it has failed with them', async t => {
    const stage = await restoreStage(t, server)
    await stage.put([dump])
    for (const [word, reason] of [
      ['TargetNotEmpty', 'TargetNotEmpty'],
      ['StoreUnavailable', 'Refused'],
      ['NewWord', 'Refused'],
    ]) {
      const refuse = `printf '%s\\n' ${word} 'the database shop has tables; set overwrite'`
      const script = `"\${1%/feed}/artifact" .refused sh -c "${refuse.replaceAll('\\', '\\\\')}"; exit 65`
      const command = scriptOf(stage, script)
      const { message } = await runPod({ task: stage.restoreTask(), secret, scripted: true, command })
      assert.equal(message.reason, reason, JSON.stringify(message))
      assert.match(message.message ?? '', /has tables; set overwrite/)
    }
  })

  test('of what the backup does not have, or of one artifact of several without its name, says so', async t => {
    const stage = await restoreStage(t, server)
    await stage.put([dump, { name: 'other', plain: Buffer.from('x') }])
    const several = await runPod({ task: stage.restoreTask(), secret, command: stage.commits })
    assert.equal(several.message.reason, 'NotInBackup')
    assert.match(several.message.message ?? '', /dump, other/)
    const command = scriptOf(stage, '"$1" nothing cat')
    const missing = await runPod({ task: stage.restoreTask(), secret, scripted: true, command })
    assert.equal(missing.message.reason, 'NotInBackup')
    assert.equal(stage.isCommitted(), false)
  })

  test('names a program that the image does not have, a backup that is gone, and a manifest that is not read', async t => {
    const stage = await restoreStage(t, server)
    const gone = await runPod({ task: stage.restoreTask(), secret, command: stage.commits })
    assert.equal(gone.message.reason, 'BackupNotFound')
    const { key } = await stage.put([dump])
    const none = await runPod({ task: stage.restoreTask(), secret, command: ['no-such-program'] })
    assert.deepEqual([none.message.reason, none.message.sourceStatus], ['CommandNotFound', 127])
    await stage.store.put(key, Buffer.from('{"version":3}'))
    const newer = await runPod({ task: stage.restoreTask(), secret, command: stage.commits })
    assert.equal(newer.message.reason, 'FormatUnsupported')
    assert.equal(stage.isCommitted(), false)
  })

  test('of what this program cannot read begins with nothing', async t => {
    const stage = await restoreStage(t, server)
    await stage.put([dump])
    await changeManifest(stage, record => void Object.assign(record.artifacts[0] ?? {}, { codecs: ['age', 'zstd'] }))
    const { message } = await runPod({ task: stage.restoreTask(), secret, command: stage.sh('touch "$1/begun"') })
    assert.deepEqual([message.reason, stage.has('begun')], ['FormatUnsupported', false])
    assert.match(message.message ?? '', /age, zstd/)
  })

  test('whose command takes nothing is given up, and one whose store is slow is not', async t => {
    const stage = await restoreStage(t, server)
    await stage.put([dump])
    const task = stage.restoreTask({ stallTimeoutSeconds: 1 })
    const asleep = await runPod({ task, secret, command: stage.sh('sleep 60') })
    assert.equal(asleep.message.reason, 'SourceStalled')
    stage.proxy.fail('get', { kind: 'slow', ms: 1500 }, { key: /\/data\// })
    const slow = await runPod({ task, secret, command: stage.commits })
    assert.equal(slow.message.phase, 'done', JSON.stringify(slow.message))
  })

  test('of a slow command holds no connection that the store would be given up for', async t => {
    const stage = await restoreStage(t, server)
    await stage.put([dump])
    const command = stage.sh('head -c 1000 >/dev/null; sleep 8; cat >"$1/got"; cp "$1/got" "$1/committed"')
    const { message, log } = await runPod({ task: stage.restoreTask({ storeIdleSeconds: 3 }), secret, command })
    assert.equal(message.phase, 'done', JSON.stringify(message))
    assert.deepEqual(
      log.filter(line => line.level === 'warn'),
      [],
    )
  })

  test('removes its pin when it is over for good, and leaves it to a retry', async t => {
    const stage = await restoreStage(t, server)
    const { key } = await stage.put([dump])
    const restore = { uid: 'restore-uid-1', namespace: 'shop', name: 'back' }
    const manifest = key.slice(layout.root.length)
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString()
    const isPinned = async () => (await stage.store.head(pinKey(layout, 'restore-uid-1'))) !== undefined
    for (const [script, pinned] of [
      ['cat >/dev/null', false],
      ['cat >/dev/null; exit 1', true],
      ['cat >/dev/null; exit 127', false],
    ] as const) {
      await writePin(stage.store, layout, { run, manifest, expiresAt, restore })
      await runPod({ task: stage.restoreTask(), secret, command: stage.sh(script) })
      assert.equal(await isPinned(), pinned, script)
    }
  })

  test('that verifies beside a command reads what that left, and is no proof when the command fails', async t => {
    const stage = await restoreStage(t, server)
    await stage.put([dump, { name: 'other', plain: Buffer.from('x') }])
    const proofs = async () => (await Array.fromAsync(stage.store.list(layout.proofs))).length
    const task = stage.restoreTask({ verify: true })
    const bad = await runPod({ task, secret, scripted: true, command: scriptOf(stage, '"$1" other cat; exit 9') })
    assert.deepEqual([bad.message.reason, await proofs()], ['SourceExit', 0])
    const good = await runPod({ task, secret, scripted: true, command: scriptOf(stage, '"$1" other cat') })
    assert.deepEqual([good.message.phase, good.message.artifacts, await proofs()], ['done', 2, 1])
  })

  test('may verify where it may not write: the proof is missed, and said to be', async t => {
    const stage = await restoreStage(t, server)
    await stage.put([dump])
    stage.proxy.fail('put', { kind: 'refuse', status: 403, code: 'AccessDenied' })
    stage.proxy.fail('delete', { kind: 'refuse', status: 403, code: 'AccessDenied' })
    const { message } = await runPod({ task: stage.restoreTask({ verify: true }), secret })
    assert.equal(message.phase, 'done', JSON.stringify(message))
    assert.deepEqual(
      message.warnings?.map(({ reason }) => reason),
      ['ProofNotWritten'],
    )
  })

  test('whose pod is told to stop ends its command, which commits nothing', async t => {
    const stage = await restoreStage(t, server)
    await stage.put([dump])
    const command = stage.sh('trap "" TERM; head -c 1000 >/dev/null; touch "$1/half"; sleep 1; cat >"$1/committed"')
    const pod = await startPod({ task: stage.restoreTask(), secret, command })
    await eventually('the half', () => stage.has('half') || undefined, { seconds: 30, every: 10 })
    pod.mover.process.kill('SIGTERM')
    const { message } = await pod.result()
    assert.equal(message.reason, 'Terminated')
    assert.equal(stage.isCommitted(), false)
  })

  test('of which any one process is killed commits nothing, and what is left ends', async t => {
    // What each of them leaves: the mover alone, its container alone, or a shell that waits for a command.
    for (const [victim, reason] of [
      ['the command', 'SourceSignalled'],
      ['feed', 'SourceSignalled'],
      ['PID 1', 'SourceKilled'],
    ] as const) {
      const stage = await restoreStage(t, server)
      await stage.put([dump])
      const pod = await startPod({
        task: stage.restoreTask(),
        secret,
        command: stage.sh(halves(stage.commits[2] ?? '')),
      })
      await eventually('the half', () => stage.has('half') || undefined, { seconds: 30, every: 10 })
      const init = await initOf(pod)
      const feed = await descendant(init, 'feed')
      const pids = { 'PID 1': init, feed, 'the command': await descendant(feed, 'sh') }
      process.kill(pids[victim], 'SIGKILL')
      writeFileSync(stage.path('go'), '')
      const { message } = await pod.result()
      assert.equal(message.reason, reason, `${victim}: ${JSON.stringify(message)}`)
      assert.equal(stage.isCommitted(), false, victim)
    }
  })

  test('tells from its slot and run which backup it was, and from its log how far it came', async t => {
    const stage = await restoreStage(t, server)
    const { key } = await stage.put([dump])
    const { message, log } = await runPod({ task: stage.restoreTask(), secret, command: stage.commits })
    assert.deepEqual([message.slot, message.manifest], [slot.getTime(), key])
    assert.ok(log.some(line => line.phase === 'restoring'))
  })
})

/** Reads the half, and goes on when it is told to. */
function halves(rest: string): string {
  return `head -c 5000000 >"$1/half-got"; touch "$1/half"; while [ ! -e "$1/go" ]; do sleep 0.05; done; ${rest}`
}

/** A script that gets the path of `feed` and the folder of the stage. */
function scriptOf(stage: RestoreStage, script: string): readonly string[] {
  return ['/bin/sh', '-c', `feed="$PWD/shared/feed"; set -- "$feed" "$1"; ${script}`, 'sh', stage.path('.')]
}

async function segmentsOf({ store }: RestoreStage) {
  const keys = (await Array.fromAsync(store.list(`${layout.data}${run}/`))).map(({ key }) => key)
  return { keys }
}

/** @param act changes the body in place, or gives another. */
async function change(stage: RestoreStage, segment: number, act: (body: Buffer) => Buffer | void) {
  const { keys } = await segmentsOf(stage)
  const key = keys[segment] ?? ''
  const body = await stage.store.get(key, 64 << 20)
  await stage.store.put(key, act(body) ?? body)
}

async function changeManifest({ store }: RestoreStage, act: (record: BackupRecord) => void) {
  const [manifest] = await Array.fromAsync(store.list(layout.manifests))
  const record = JSON.parse(String(await store.get(manifest?.key ?? '', 1 << 20))) as BackupRecord
  act(record)
  await store.put(manifest?.key ?? '', Buffer.from(JSON.stringify(record)))
}
