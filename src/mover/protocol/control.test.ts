import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { constants, createWriteStream, mkdtempSync, openSync, rmSync, writeSync, closeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { ControlChannel, parseControlLine } from './control.ts'
import { MoverFailure } from '../failure.ts'

const directory = mkdtempSync(join(tmpdir(), 'backup-operator-control-'))
after(() => rmSync(directory, { recursive: true }))
let count = 0

function open() {
  const path = join(directory, `ctl-${++count}`)
  execFileSync('mkfifo', [path])
  const channel = new ControlChannel(path)
  const late = () => new MoverFailure('SourceStalled', 'late')
  const next = (ms = 5_000, signal = new AbortController().signal) => channel.next(ms, late, signal)
  return { channel, next, write: () => openSync(path, constants.O_WRONLY | constants.O_NONBLOCK), path }
}

describe('the control channel', () => {
  test('gives events in order, whatever the chunks, and is dead for ever after the last writer has gone', async () => {
    const { next, write } = open()
    const fd = write()
    writeSync(fd, 'hello 1000\nartifact 7 dump\ndone 7')
    assert.deepEqual(await next(), { event: 'hello' })
    assert.deepEqual(await next(), { event: 'artifact', sequence: '7', name: 'dump' })
    writeSync(fd, ' 0\nexit 0\n')
    closeSync(fd)
    assert.deepEqual(await next(), { event: 'done', sequence: '7', status: 0, late: [] })
    assert.deepEqual(await next(), { event: 'exit', status: 0 })
    assert.deepEqual(await next(), { event: 'dead' })
    assert.deepEqual(await next(), { event: 'dead' })
  })

  test('is silent, not dead, before the first writer has come', async () => {
    const { next, channel } = open()
    await assert.rejects(next(50), { reason: 'SourceStalled' })
    channel.close()
  })

  test('stops waiting with the reason of the signal', async () => {
    const { next, channel } = open()
    const stop = new AbortController()
    const reason = new Error('told to stop')
    const waiting = next(60_000, stop.signal)
    stop.abort(reason)
    await assert.rejects(waiting, reason)
    channel.close()
  })

  test('refuses a line that is none, and one without an end', async () => {
    for (const line of ['surprise\n', 'x'.repeat(5_000)]) {
      const { next, channel, path } = open()
      createWriteStream(path).end(line)
      await assert.rejects(next(), { reason: 'Protocol' })
      channel.close()
    }
  })
})

test('lines outside of the protocol are none', () => {
  assert.deepEqual(parseControlLine('artifact 12 a b'), { event: 'artifact', sequence: '12', name: 'a b' })
  assert.deepEqual(parseControlLine('want 12 a b'), { event: 'want', sequence: '12', name: 'a b' })
  assert.deepEqual(parseControlLine('done 7 0 gzip a\tb'), {
    event: 'done',
    sequence: '7',
    status: 0,
    late: ['gzip', 'a?b'],
  })
  assert.deepEqual(parseControlLine('ended'), { event: 'ended' })
  assert.deepEqual(parseControlLine('writers'), { event: 'writers', names: [] })
  assert.deepEqual(parseControlLine('writers sh cat'), { event: 'writers', names: ['sh', 'cat'] })
  for (const line of [
    '',
    'hello',
    'hello x',
    'artifact 12',
    'artifact ../x dump',
    'want 12',
    'want ../x dump',
    'done 1',
    'done 1 x',
    'exit',
    'exit -1',
    'ended 0',
    'EXIT 0',
  ])
    assert.equal(parseControlLine(line), undefined, line)
})
