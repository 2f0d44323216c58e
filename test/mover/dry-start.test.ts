// The pod of a dry start (docs/design.md R35): the real helper looks for the program, and neither container waits for the other.
import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { MoverTaskInput } from '../../src/api/mover/task.ts'
import { runPod } from './backup-pod.ts'

const task: MoverTaskInput = {
  version: 1,
  kind: 'start',
  owner: { clusterId: 'cluster-1', namespace: 'shop', policy: 'orders' },
  backend: { bucket: 'nowhere', endpoint: 'http://nowhere.invalid:9000' },
  secretName: 'nobody-reads-it',
}

describe('a dry start', { timeout: 60_000 }, () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dry-start-'))
    await writeFile(join(folder, 'data'), 'no program')
    await writeFile(join(folder, 'program'), '#!/bin/sh\ntouch "$0.has-run"\n')
    await chmod(join(folder, 'program'), 0o755)
  })
  after(() => rm(folder, { recursive: true }))

  const rows = [
    ['is in the PATH', () => ['sh', '-c', 'exit 3'], 0, /^$/],
    ['is not in the PATH', () => ['pg_dmp', 'shop'], 127, /pg_dmp: command not found in PATH/],
    ['is a file', () => [join(folder, 'program')], 0, /^$/],
    ['is no file', () => [join(folder, 'missing')], 127, /missing: not found/],
    ['is a file that cannot be executed', () => [join(folder, 'data')], 126, /data: cannot be executed/],
    ['is a directory', () => [folder], 126, /cannot be executed/],
  ] as const
  for (const [what, command, status, words] of rows)
    test(`ends with ${status} where the program ${what}, and does not run it (F84, F95)`, async () => {
      const { code, message, sourceCode, sourceOutput } = await runPod({ task, command: command() })
      assert.deepEqual([code, message.phase, sourceCode], [0, 'done', status])
      assert.match(sourceOutput, words)
      await assert.rejects(rm(join(folder, 'program.has-run')), { code: 'ENOENT' })
    })
})
