import { join } from 'node:path'
import { test } from 'node:test'
import { capture } from '../../dev/command.ts'
import { repository } from '../../dev/paths.ts'

test('CRDs and RBAC of the chart are what the sources say: generated files are fresh', async () => {
  await capture([process.execPath, join(repository, 'tools/generate.ts'), '--check'])
})
