import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventually } from '../../../dev/eventually.ts'
import { identify } from '../../../dev/process-identity.ts'
import { sweepRunDirectories } from './run-directory.ts'

const source = JSON.stringify(join(import.meta.dirname, 'run-directory.ts'))
const harness = `
  const { makeRunDirectory, spawnRecorded } = await import(${source})
  const directory = await makeRunDirectory()
  const { pid } = await spawnRecorded(directory, '/bin/sleep', ['600'])
  process.send({ directory, pid })
`

test('a harness killed with -9 takes its processes along, and the next start removes its directory', async () => {
  const killed = spawn(process.execPath, ['--input-type=module', '-e', harness], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const [{ directory, pid }] = (await once(killed, 'message')) as [{ directory: string; pid: number }]
  await sweepRunDirectories()
  assert.ok(existsSync(directory), 'a directory in use stays')
  assert.ok(identify(pid), 'and its process runs')

  killed.kill('SIGKILL')
  await once(killed, 'exit')
  await eventually('the process to die with its harness', () => identify(pid) === undefined, { seconds: 10 })
  assert.ok(existsSync(directory))
  await sweepRunDirectories()
  assert.equal(existsSync(directory), false)
})

test('the sweep ends a recorded process of a dead harness, but not a later process with the same id', async t => {
  const [recorded, stranger] = [spawn('sleep', ['600']), spawn('sleep', ['600'])]
  t.after(() => [recorded.kill('SIGKILL'), stranger.kill('SIGKILL')])
  const ended = once(recorded, 'exit')
  const noSuchPid = 2 ** 22 + 1
  const directory = await mkdtemp(join(tmpdir(), `backup-operator-api-${noSuchPid}-1-`))
  const lines = [
    `${recorded.pid} ${identify(recorded.pid as number)?.startTime} etcd`,
    `${stranger.pid} 1 kube-apiserver`,
  ]
  await writeFile(join(directory, 'processes'), `${lines.join('\n')}\n`)

  await sweepRunDirectories()
  assert.deepEqual(await ended, [null, 'SIGKILL'])
  assert.ok(identify(stranger.pid as number))
  assert.equal(existsSync(directory), false)
})
