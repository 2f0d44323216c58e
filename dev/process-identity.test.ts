import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { identify, isAlive, parseStat, signalProcess } from './process-identity.ts'

test('a stat line is read even when the name of the program holds spaces and brackets', () => {
  const fields = Array.from({ length: 40 }, (_, index) => `${index + 4}`)
  const stat = `42 (a) b (c) S ${fields.join(' ')}`
  assert.deepEqual(parseStat(stat), { pid: 42, startTime: '22', state: 'S' })
})

test('something else is not taken for a stat line', () => {
  assert.throws(() => parseStat('{"pid": 42}'), /not a line of/)
})

test('this process is alive, and another one with its pid would not be it', () => {
  const me = parseStat(readFileSync('/proc/self/stat', 'utf8'))
  assert.equal(isAlive(me), true)
  assert.equal(isAlive({ ...me, startTime: '1' }), false)
})

test('a signal reaches the recorded process only', async () => {
  const child = spawn('sleep', ['infinity'])
  const exited = once(child, 'exit')
  const identity = identify(child.pid ?? 0)
  assert.ok(identity)
  assert.equal(signalProcess({ ...identity, startTime: '1' }, 'SIGKILL'), false)
  assert.equal(isAlive(identity), true)
  assert.equal(signalProcess(identity, 'SIGKILL'), true)
  assert.deepEqual(await exited, [null, 'SIGKILL'])
  assert.equal(signalProcess(identity, 'SIGKILL'), false)
})
