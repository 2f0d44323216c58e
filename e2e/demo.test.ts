// `make demo`, as the README tells people to run it, in a namespace of its own.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { capture } from '../dev/command.ts'
import { repository } from '../dev/paths.ts'
import { storyNamespace } from './cluster.ts'

test('the demo comes to its end: both policies Ready, both backups Completed, in the bucket and in the metrics', async t => {
  const namespace = await storyNamespace(t, 'e2e-demo')
  const program = join(repository, 'dev/demo.ts')
  const told = stripVTControlCharacters(await capture([process.execPath, program, namespace], { env: process.env }))

  assert.match(told, /the database shop holds 100000 orders\n/)
  const row = (start: string) => told.split('\n').findLast(line => line.trimStart().startsWith(start)) ?? ''
  assert.match(row('backuppolicy.backup.dev/sample '), / snapshot .* True +Ready /)
  assert.match(row('backuppolicy.backup.dev/postgres-dump '), / job .* True +Ready /)
  for (const policy of ['sample', 'postgres-dump']) {
    const [, name = ''] = new RegExp(`created Backup (demo-\\w+) for policy ${policy}\n`).exec(told) ?? []
    assert.match(row(`backup.backup.dev/${name} `), new RegExp(` ${policy} .* Completed `))
    const metric = `backup_success_total{namespace="${namespace}",policy="${policy}"`
    assert.match(row(metric), / [1-9]\d*$/)
  }
  assert.match(told, new RegExp(`^ +\\d+ +${namespace}/postgres-dump/data/.+\\.zst$`, 'm'))
  assert.match(told, new RegExp(`^ +\\d+ +${namespace}/postgres-dump/manifests/.+\\.json$`, 'm'))
  assert.match(told, /make cluster-down +leave nothing behind\n$/)
})
