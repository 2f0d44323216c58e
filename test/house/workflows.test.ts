import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { capture } from '../../dev/command.ts'
import { goToolDirectory } from '../../dev/go-tools.ts'
import { repository } from '../../dev/paths.ts'

const actionlint = join(goToolDirectory('actionlint'), 'actionlint')
const workflows = globSync('.github/workflows/*.yml', { cwd: repository })
const files = [...workflows, ...globSync('.github/actions/*/action.yml', { cwd: repository })]

test('actionlint finds nothing to say about the workflows', async () => {
  assert.ok(workflows.length > 0)
  assert.ok(existsSync(actionlint), `${actionlint} is missing; build it with: make tools`)
  await capture([actionlint, '-no-color', ...workflows], { cwd: repository })
})

test('actionlint does find a mistake', async () => {
  const input =
    'on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo ${{ github.nothing }}\n'
  await assert.rejects(capture([actionlint, '-no-color', '-'], { cwd: repository, input }))
})

test('every action of others is pinned to a commit, with its version beside it', () => {
  for (const file of files) {
    const uses = readFileSync(join(repository, file), 'utf8').match(/uses: .*/g) ?? []
    for (const line of uses) assert.match(line, /^uses: (\.\/|[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d)/, `${file}: ${line}`)
  }
})

test('workflows may only read, and every job has a limit', () => {
  for (const file of workflows) {
    const workflow = parse(readFileSync(join(repository, file), 'utf8')) as {
      permissions: unknown
      jobs: Record<string, { permissions?: unknown; 'timeout-minutes'?: number }>
    }
    assert.deepEqual(workflow.permissions, { contents: 'read' }, file)
    for (const [name, job] of Object.entries(workflow.jobs)) {
      assert.equal(job.permissions, undefined, `${file}: ${name}`)
      assert.ok(job['timeout-minutes'], `${file}: ${name}`)
    }
  }
})

test('every make target that the workflows call exists', () => {
  const targets = readFileSync(join(repository, 'Makefile'), 'utf8')
  for (const file of workflows)
    for (const [, target = ''] of readFileSync(join(repository, file), 'utf8').matchAll(/run: make ([\w-]+)/g))
      assert.match(targets, new RegExp(`^${target}:`, 'm'), `${file} calls make ${target}`)
})

test('bash accepts every shell script', async () => {
  const scripts = ['.ci/run', ...globSync('{dev,e2e}/*.sh', { cwd: repository })]
  for (const script of scripts) await capture(['bash', '-n', script], { cwd: repository })
})
