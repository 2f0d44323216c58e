import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { leftovers, runVariable } from './leftovers.ts'

test('a run that left a process or a file is told so, and one that cleaned up is not', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'leftovers-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const id = `test-${process.pid}`
  assert.deepEqual(leftovers(id, directory), [])

  writeFileSync(join(directory, 'forgotten'), '')
  const child = spawn('sleep', ['600'], { env: { PATH: process.env.PATH, [runVariable]: id } })
  t.after(() => child.kill('SIGKILL'))
  await once(child, 'spawn')
  assert.deepEqual(leftovers(id, directory), [`process ${child.pid}: sleep 600`, `file ${directory}/forgotten`])
})
