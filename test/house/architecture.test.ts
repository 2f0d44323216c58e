// The walls of the house: which folder may import which, what the pure folders may not touch, names that say nothing.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join, posix } from 'node:path'
import { test } from 'node:test'
import { repository } from '../../dev/paths.ts'

/** Folder under src/ → the other folders under src/ that it may import. A new folder needs a line here. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  api: [],
  runtime: [],
  schedule: ['api'],
  plan: ['api', 'schedule', 'resources', 'presets'],
  resources: ['api'],
  presets: ['api'],
  storage: ['api'],
  controllers: ['api', 'schedule', 'plan', 'resources', 'presets', 'storage', 'runtime'],
  mover: ['api', 'schedule', 'plan', 'resources', 'storage', 'runtime'],
}
/** The same for the rooms below a folder, of each other. Nobody imports plan/policy, which knows the order of things. */
const roomsMayImport: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  plan: {
    core: [],
    view: ['core'],
    jobs: ['core', 'view'],
    runs: ['core', 'view', 'jobs'],
    history: ['core', 'view', 'jobs', 'runs'],
    policy: ['core', 'view', 'jobs', 'runs', 'history'],
    restore: ['core', 'view', 'jobs'],
  },
  storage: { s3: [], bucket: [] },
  controllers: {
    shared: ['policy', 'restore', 'metrics'],
    policy: ['shared', 'metrics'],
    restore: ['shared', 'metrics'],
    metrics: ['shared'],
  },
}
/** Pure folders decide from their arguments alone: no Node module, no package, no clock, no chance. */
const pure = ['schedule', 'plan', 'resources', 'presets']
const impure = /\bDate\.now\b|\bnew Date\(\)|\bperformance\.|\bMath\.random\b|\bset(Timeout|Interval)\b|\bprocess\./
const emptyNames = ['index', 'utils', 'util', 'helpers', 'helper', 'common', 'types', 'misc']

/** What is wrong with one file, in sentences. `path` is relative to the repository, with slashes. */
function violations(path: string, source: string): string[] {
  const found: string[] = []
  for (const part of path.split('/'))
    if (emptyNames.includes(part.replace(/(\.test)?\.[cm]?[jt]sx?$/, '')))
      found.push(`a name like ${part} says nothing`)
  const [root, folder = '', room = ''] = path.split('/')
  if (root !== 'src' || path === 'src/main.ts') return found
  const isTest = path.endsWith('.test.ts')
  const allowed = mayImport[folder]
  if (!allowed) return [...found, `src/${folder} has no line in mayImport`]
  if (folder === 'runtime' && !isTest && /backup/i.test(source))
    found.push('src/runtime serves any operator: it never says "backup"')
  const code = source.replaceAll(/^\s*(\/\/|\/?\*).*$/gm, '')
  for (const [, specifier = ''] of code.matchAll(/\b(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g)) {
    if (specifier.startsWith('.')) {
      const [targetRoot, target = ''] = posix.join(posix.dirname(path), specifier).split('/')
      if (specifier.endsWith('/package.json')) continue
      const [, , targetRoom = ''] = posix.join(posix.dirname(path), specifier).split('/')
      if (targetRoot === 'src' ? target !== folder && !allowed.includes(target) : !isTest)
        found.push(`src/${folder} may not import ${specifier}`)
      const rooms = roomsMayImport[folder]
      if (rooms && !isTest && target === folder && isRoom(room) && isRoom(targetRoom) && room !== targetRoom)
        if (!rooms[room]?.includes(targetRoom)) found.push(`src/${folder}/${room} may not import ${specifier}`)
    } else if (!isTest && pure.includes(folder)) found.push(`src/${folder} is pure and may not import ${specifier}`)
  }
  const [impurity] = (!isTest && pure.includes(folder) && impure.exec(code)) || []
  if (impurity) found.push(`src/${folder} is pure and may not use ${impurity}: pass it in`)
  return found
}

function isRoom(name: string): boolean {
  return !name.includes('.')
}

function ourFiles(): readonly string[] {
  const roots = ['src', 'dev', 'test', 'tools', 'e2e', 'bench'].filter(root => existsSync(join(repository, root)))
  return roots.flatMap(root =>
    readdirSync(join(repository, root), { recursive: true, withFileTypes: true })
      .filter(
        entry => entry.isFile() && /\.[cm]?[jt]sx?$/.test(entry.name) && !entry.parentPath.includes('node_modules'),
      )
      .map(entry => posix.join(entry.parentPath.slice(repository.length + 1), entry.name)),
  )
}

test('imports point from main down to api, pure folders stay pure, and names say something', () => {
  const files = ourFiles()
  assert.ok(files.includes(`test/house/${basename(import.meta.filename)}`), 'the walk sees this very file')
  const wrong = files.flatMap(path =>
    violations(path, readFileSync(join(repository, path), 'utf8')).map(problem => `${path}: ${problem}`),
  )
  assert.deepEqual(wrong, [])
})

const offences: readonly (readonly [path: string, source: string])[] = [
  ['src/api/labels.ts', `import { plan } from '../plan/schedule.ts'`],
  ['src/runtime/client.ts', `import type { Kind } from '../api/kind.ts'`],
  ['src/resources/job.ts', `import {\n  name,\n} from '../plan/schedule.ts'`],
  ['src/resources/jobs.ts', `import { environmentOf } from '../presets/dump-environment.ts'`],
  ['src/plan/history/retention.ts', `import { planPolicy } from '../policy/policy.ts'`],
  ['src/plan/core/equal.ts', `import { viewOf } from '../view/view.ts'`],
  ['src/controllers/apply.ts', `export { send } from '../mover/mover.ts'`],
  ['src/mover/mover.ts', `const { apply } = await import('../controllers/apply.ts')`],
  ['src/mover/mover.ts', `import '../main.ts'`],
  ['src/storage/s3.ts', `import { eventually } from '../../dev/eventually.ts'`],
  ['src/plan/schedule.ts', `import { createHash } from 'node:crypto'`],
  ['src/resources/job.ts', `import pino from 'pino'`],
  ['src/plan/retention.ts', `const age = new Date().getTime() - slot`],
  ['src/plan/retention.ts', `const now = Date.now()`],
  ['src/resources/job.ts', `const id = performance.now()`],
  ['src/runtime/log.ts', `const name = 'BackupPolicy'`],
  ['src/somewhere/thing.ts', ``],
  ['src/other.ts', ``],
  ['src/plan/index.ts', ``],
  ['dev/utils/thing.ts', ``],
  ['e2e/helpers.ts', ``],
]
for (const [path, source] of offences)
  test(`the check notices ${path}: ${source.replaceAll('\n', ' ') || 'its name'}`, () => {
    assert.equal(violations(path, source).length, 1)
  })

test('the check lets pass what the rules allow', () => {
  const clean = `// never Date.now()\nimport { x } from '../api/x.ts'\nconst at = new Date(slot)`
  assert.deepEqual(violations('src/plan/schedule.ts', clean), [])
  assert.deepEqual(violations('src/plan/schedule.test.ts', `import fc from 'fast-check'\nDate.now()`), [])
  assert.deepEqual(violations('src/main.ts', `import { run } from './mover/mover.ts'`), [])
})
