import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ControlChannel } from '../protocol/control.ts'
import { MoverFailure } from '../failure.ts'
import { receiveArtifacts } from './source.ts'

for (const [how, words] of [
  ['dies', ''],
  ['ends with a status, its helper having died,', 'exit 137\n'],
] as const)
  test(`a container that ${how} before it has opened the data FIFO is noticed at once`, async t => {
    const shared = mkdtempSync(join(tmpdir(), 'source-'))
    t.after(() => rmSync(shared, { recursive: true }))
    execFileSync('mkfifo', [join(shared, 'ctl'), join(shared, 'a.7')])
    const control = new ControlChannel(join(shared, 'ctl'))
    t.after(() => control.close())
    const container = openSync(join(shared, 'ctl'), constants.O_WRONLY | constants.O_NONBLOCK)
    writeSync(container, 'hello 1000\nartifact 7 dump\n')
    const receiving = receiveArtifacts({
      task: { startTimeoutSeconds: 600, stallTimeoutSeconds: 600 },
      shared,
      control,
      lifeline: { tell() {} },
      buffers: [Buffer.alloc(1000)],
      secrecy: 'told',
      onStart() {},
      onBytes() {},
      artifact: async () => ({ take: async () => {}, end: async () => {} }),
      note() {},
      signal: AbortSignal.timeout(20_000),
    })
    writeSync(container, words)
    closeSync(container)
    await assert.rejects(receiving, error => error instanceof MoverFailure && error.reason === 'SourceKilled')
  })
