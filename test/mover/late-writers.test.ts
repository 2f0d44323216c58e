// Commands whose last writer may outlive them. What is called complete holds every byte that the command would have written alone; what
// cannot be whole is called by its reason, and nothing of it is left.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { zstdDecompressSync } from 'node:zlib'
import { eventually } from '../../dev/eventually.ts'
import { repository } from '../../dev/paths.ts'
import { parseBackupRecord } from '../../src/api/record.ts'
import { openS3 } from '../../src/storage/s3/s3.ts'
import { settingsOf, startS3Server, type S3Server } from '../storage/s3-servers.ts'
import {
  descendant,
  hasDescendant,
  initOf,
  runPod,
  startPod,
  taskFor,
  type PodOptions,
  type PodResult,
} from './backup-pod.ts'
import { named } from './late-writer.ts'

const secret = { accessKey: 'minioadmin', secretKey: 'minioadmin' }

/**
 * Bash scripts; with the programs that still hold the standard output when the script has ended. What sleeps in them is late or slow by design:
 * nothing here waits for time.
 */
const whole: readonly (readonly [what: string, script: string, late: readonly string[]])[] = [
  ['a process substitution that goes on', `seq 1 300000 > >(cat; ${named}; echo TRAILER)`, ['bash']],
  // Whether these two are still there when somebody looks is a matter of milliseconds; what they write is not.
  ['a compressor in a process substitution', 'seq 1 1000000 > >(gzip -n)', []],
  ['a compressor behind an exec', 'exec > >(gzip -n); seq 1 1000000', []],
  ['a compressor that is slow to end', `exec > >(gzip -n; ${named}); seq 1 1000000`, ['bash']],
  ['a tee with a process substitution', `seq 1 1000 | tee >(${named}; cat)`, ['bash']],
  ['a loop that nobody waits for', `for i in 1 2 3; do seq 1 100000; ${named}; done & sleep 0.4`, ['bash']],
  ['a subshell in the background', `seq 1 100000; (${named}; seq 100001 200000) & exit 0`, ['bash']],
  ['one in a process group of its own', `set -m; seq 1 100000; (${named}; seq 100001 200000) & exit 0`, ['bash']],
  ['one in a session of its own', 'seq 1 1000; setsid bash -c "sleep 0.5; seq 1001 2000" & exit 0', []],
  ['one that forked into a session of its own', 'seq 1 1000; setsid --fork bash -c "sleep 0.5; seq 1001 2000"', []],
  [
    'one behind nohup',
    `nohup bash -c "seq 1 1000; ${named.replace('$(', '\\$(')}; seq 1001 2000" & sleep 0.2; exit 0`,
    ['bash'],
  ],
  ['a double fork', `( ( (${named}; seq 1 1000) & ) & ); exit 0`, ['bash']],
  ['a child that alone writes anything', `(${named}; seq 1 200000) & exit 0`, ['bash']],
  ['a child with more than a pipe and a part hold', `(yes | head -c 20000000; ${named}) & exit 0`, ['bash']],
  ['a pipe in the background', `(sleep 0.3; seq 1 1000) | (cat; ${named}; echo end) & exit 0`, ['bash']],
  ['a child that inherits the output and never writes', `seq 1 1000; (${named}) & exit 0`, ['bash']],
  ['a pipe that ends before its command', '(seq 1 100000; sleep 0.5; seq 100001 200000) | cat', []],
  ['a command that closes its output and goes on working', 'seq 1 1000; exec >&-; sleep 0.5; exit 0', []],
  ['children that are gone before their command', 'seq 1 1000; (sleep 0.2; seq 1 10) & sleep 0.6; exit 0', []],
]

describe('commands with writers that outlive them', { timeout: 600_000, concurrency: 4 }, () => {
  let server: S3Server
  before(async () => {
    server = await startS3Server('minio')
  })
  after(() => server?.stop())

  async function assertNothingLeft(bucket: string) {
    assert.deepEqual(await server.contents(bucket), { keys: ['shop/orders/owner.json'], uploads: [] })
  }

  function assertFailed(result: PodResult, reason: string, code: number) {
    const { message } = result
    assert.deepEqual([message.phase, message.reason, result.code], ['failed', reason, code], JSON.stringify(result))
  }

  /** Runs the script as a command. @returns what is in the bucket afterwards, and who wrote late. */
  async function backUp(script: string, more: Partial<PodOptions> = {}) {
    const bucket = await server.makeBucket()
    const command = ['bash', '-c', script]
    const result = await runPod({ task: taskFor(server, bucket), secret, command, ...more })
    assert.deepEqual(
      [result.code, result.sourceCode, result.message.phase],
      [0, 0, 'committed'],
      JSON.stringify(result),
    )
    const store = openS3(settingsOf(server, bucket))
    try {
      const manifest = await store.get(result.message.manifest ?? '', 1 << 20)
      const [artifact] = parseBackupRecord(manifest.toString()).artifacts
      const bodies: Buffer[] = []
      for (const { key } of artifact?.segments ?? []) bodies.push(await buffer(await store.read(`shop/orders/${key}`)))
      return { result, plain: zstdDecompressSync(Buffer.concat(bodies)), lateWriters: artifact?.lateWriters }
    } finally {
      store.close()
    }
  }

  for (const [what, script, late] of whole)
    test(`F54: ${what}: all that it writes alone is stored`, async () => {
      const { result, plain, lateWriters = [] } = await backUp(script)
      const expected = alone(script)
      assert.equal(plain.length, expected.length)
      assert.ok(plain.equals(expected))
      for (const name of late) assert.ok(lateWriters.includes(name), `${name} is not one of ${lateWriters.join()}`)
      const warnings = result.message.warnings?.map(({ reason }) => reason) ?? []
      assert.deepEqual(warnings, lateWriters.length > 0 ? ['LateWriters'] : [])
    })

  test('F54: writers that fork and end while they are looked at hide nobody', () => {
    const directory = mkdtempSync(join(tmpdir(), 'forks-'))
    const hidden = `for ((i = 0; i < 60; i++)); do
      mkfifo $i; exec 9<>$i
      bash -c '( ( ( (until [ -e $0.looked ]; do sleep 0.01; done) & ) & ) & )' $i >&9 9>&-
      [ -n "$(exec 9>&-; /bin/busybox sh ${join(repository, 'src/mover/shell/writers')} $i $$)" ] || echo $i
      touch $i.looked
    done`
    try {
      const { stdout, stderr, status } = spawnSync('bash', ['-c', hidden], { cwd: directory, encoding: 'utf8' })
      assert.deepEqual([stdout, stderr, status], ['', '', 0])
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  test('F54: in a PID namespace that containers share nothing else holds', async () => {
    const script = 'seq 1 1000; (sleep 0.5; seq 1001 2000) & exit 0'
    const { plain } = await backUp(script, { sharedProcesses: true })
    assert.ok(plain.equals(alone(script)))
  })

  test('F54: writers that stay are named, with what to do, and are final', async () => {
    const bucket = await server.makeBucket()
    const task = taskFor(server, bucket, { stallTimeoutSeconds: 1 })
    const result = await runPod({ task, secret, command: ['bash', '-c', 'seq 1 1000; sleep 1000 & exit 0'] })
    assertFailed(result, 'WritersRemain', 17)
    assert.match(result.message.message ?? '', /^start sleep with >\/dev\/null/)
    assert.equal(result.sourceCode, 75)
    await assertNothingLeft(bucket)
  })

  test('F54: the limit for those who stay counts from the end of the command', async () => {
    const script = 'seq 1 1000; sleep 0.8; (sleep 1.3; seq 1 1000) & exit 0'
    const task = taskFor(server, await server.makeBucket(), { stallTimeoutSeconds: 2 })
    const { code, message } = await runPod({ task, secret, command: ['bash', '-c', script] })
    assert.deepEqual([code, message.phase, message.bytes], [0, 'committed', alone(script).length])
  })

  test('F54: a command that fails is not waited for, whoever it left behind', async () => {
    const bucket = await server.makeBucket()
    const result = await runPod({
      task: taskFor(server, bucket),
      secret,
      command: ['bash', '-c', 'sleep 1000 & seq 1 5; exit 4'],
    })
    assertFailed(result, 'SourceExit', 10)
    assert.deepEqual([result.message.bytes, result.sourceCode], [10, 4])
    await assertNothingLeft(bucket)
  })

  for (const [kills, reason, code] of [
    [0, undefined, 0],
    [1, 'SourceSignalled', 10],
  ] as const)
    test(`F54: ${kills} processes killed for want of memory in the middle of a pipe whose status is 0: ${reason ?? 'complete'}`, async () => {
      const counter = (count: number) => `oom ${count}\noom_kill ${count}\noom_group_kill 0\n`
      const script = `{ seq 1 1000; printf '${counter(kills)}' >cgroup/memory.events; } | cat`
      const command = ['bash', '-c', script]
      const bucket = await server.makeBucket()
      const result = await runPod({ task: taskFor(server, bucket), secret, command, cgroup: counter(0) })
      assert.deepEqual([result.message.reason, result.code], [reason, code], JSON.stringify(result))
      if (reason) await assertNothingLeft(bucket)
    })

  test('a command that closes its output, goes on working, and fails, failed', async () => {
    const bucket = await server.makeBucket()
    const command = ['bash', '-c', 'seq 1 1000; exec >&-; sleep 0.5; exit 3']
    assertFailed(await runPod({ task: taskFor(server, bucket), secret, command }), 'SourceExit', 10)
    await assertNothingLeft(bucket)
  })

  test('F54: the death of the first process while somebody still writes is SourceKilled', async () => {
    const bucket = await server.makeBucket()
    const pod = await startPod({ task: taskFor(server, bucket), secret, command: leaving })
    await commandEnded(pod)
    process.kill(await initOf(pod), 'SIGKILL')
    assertFailed(await pod.result(), 'SourceKilled', 11)
    await assertNothingLeft(bucket)
  })

  test('F54: the death of the mover while somebody still writes ends the container, not with 0', async () => {
    const bucket = await server.makeBucket()
    const pod = await startPod({ task: taskFor(server, bucket), secret, command: leaving })
    await commandEnded(pod)
    pod.mover.process.kill('SIGKILL')
    const result = await pod.result()
    assert.deepEqual([result.sourceCode, result.message.phase], [75, 'receiving'])
  })

  for (const [what, signal] of [
    ['the one that listens for the mover', 'KILL $(pgrep -P 1 -x busybox)'],
    ['every process', 'KILL -1'],
    ['PID 1 with signals that it uses itself', 'USR1 1; kill -USR2 1; kill -HUP 1'],
  ] as const)
    test(`F54: a late writer that kills ${what} cuts nothing short unseen`, async () => {
      const bucket = await server.makeBucket()
      const command = ['bash', '-c', `(seq 1 1000; sleep 0.5; kill -${signal}; sleep 0.5; seq 1 1000) & exit 0`]
      assertFailed(await runPod({ task: taskFor(server, bucket), secret, command }), 'SourceKilled', 11)
      await assertNothingLeft(bucket)
    })

  const obeys = 'trap "exit 0" TERM; seq 1 100000; sleep 1000 & wait'
  test('F55: a container that is told to stop did not make a backup, whatever its command makes of that', async () => {
    const bucket = await server.makeBucket()
    const pod = await startPod({ task: taskFor(server, bucket), secret, command: ['bash', '-c', obeys] })
    const init = await initOf(pod)
    await descendant(await descendant(init, 'artifact'), 'sleep')
    process.kill(init, 'SIGTERM')
    const result = await pod.result()
    assertFailed(result, 'SourceSignalled', 10)
    assert.equal(result.sourceCode, 143)
    await assertNothingLeft(bucket)
  })

  test('F55: a helper that is told to stop did not make a backup, whatever its command makes of that', async () => {
    const bucket = await server.makeBucket()
    const pod = await startPod({ task: taskFor(server, bucket), secret, command: ['bash', '-c', obeys] })
    const helper = await descendant(await initOf(pod), 'artifact')
    await descendant(helper, 'sleep')
    process.kill(helper, 'SIGTERM')
    assertFailed(await pod.result(), 'SourceSignalled', 10)
    await assertNothingLeft(bucket)
  })

  test('F55: a container that is told to stop while somebody still writes did not make a backup', async () => {
    const bucket = await server.makeBucket()
    const pod = await startPod({ task: taskFor(server, bucket), secret, command: leaving })
    await commandEnded(pod)
    process.kill(await initOf(pod), 'SIGTERM')
    const result = await pod.result()
    assertFailed(result, 'SourceSignalled', 10)
    assert.match(result.message.message ?? '', /told to stop \(SIGTERM\)/)
    await assertNothingLeft(bucket)
  })
})

/** Ends with 0 and leaves somebody behind, who makes the file `left`. */
const leaving = [
  'bash',
  '-c',
  'seq 1 1000; (touch left; sleep 1000; echo more) & while [ ! -e left ]; do :; done; exit 0',
]

/** Waits for the end of the command `leaving`. The helper of a quick command may have come and gone before anybody looks. */
async function commandEnded(pod: Awaited<ReturnType<typeof startPod>>) {
  const init = await initOf(pod)
  const isOver = () => existsSync(join(pod.directory, 'left')) && !hasDescendant(init, 'artifact')
  await eventually('the command to have ended', isOver, { seconds: 60, every: 5 })
}

/** What the script writes when nothing but the end of its writers ends it. */
function alone(script: string): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'alone-'))
  try {
    const words = ['-c', 'bash -c "$1" </dev/null 2>/dev/null | cat', 'sh', script]
    const { stdout } = spawnSync('sh', words, { cwd: directory, maxBuffer: 1 << 30 })
    assert.ok(stdout.length > 0)
    return stdout
  } finally {
    rmSync(directory, { recursive: true })
  }
}
