// The image holds what the program imports, and nothing else: no test, and nothing that stands in for a real part. A role loads its own
// part of it, and no more.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, matchesGlob, posix, relative } from 'node:path'
import { after, before, test } from 'node:test'
import { repository } from '../../dev/paths.ts'
import { encodeMoverTask, moverEnvironment } from '../../src/api/mover/pod.ts'
import { bundle, type BundledFile } from '../../tools/bundle.ts'

const read = (path: string) => readFileSync(join(repository, path), 'utf8')

const sources = readdirSync(join(repository, 'src'), { recursive: true, withFileTypes: true })
  .filter(entry => entry.isFile())
  .map(entry => posix.join(entry.parentPath.slice(repository.length + 1), entry.name))

/** Files below src/ that the build context lacks. The file's rules there are plain patterns of what to leave out. */
function leftOut(): readonly string[] {
  const rules = read('.dockerignore').split('\n')
  const patterns = rules.filter(rule => rule.startsWith('src/'))
  for (const pattern of patterns)
    assert.ok(
      sources.some(path => matchesGlob(path, pattern)),
      `${pattern} of .dockerignore matches something`,
    )
  return sources.filter(path => patterns.some(pattern => matchesGlob(path, pattern)))
}

/** What the program reads when it runs: modules by their imports, also the dynamic ones; other files by their folder. */
function needed(): ReadonlySet<string> {
  const found = new Set(['src/main.ts'])
  for (const path of found) {
    for (const [, specifier = ''] of read(path).matchAll(/\b(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) {
      const target = posix.join(posix.dirname(path), specifier)
      if (target.startsWith('src/')) found.add(target)
    }
  }
  for (const path of sources)
    if (path.startsWith('src/mover/shell/') || path.match(/^src\/presets\/.*\.sh$/)) found.add(path)
  return found
}

test('the image ships every file that the program imports, and no other', () => {
  const ignored = leftOut()
  const shipped = sources.filter(path => !ignored.includes(path))
  assert.deepEqual(shipped.toSorted(), [...needed()].toSorted())
})

const folder = mkdtempSync(join(tmpdir(), 'backup-operator-bundle-'))
let files: readonly BundledFile[] = []
before(async () => {
  files = await bundle(folder)
})
after(() => rmSync(folder, { recursive: true }))

/** What is loaded with a file, itself included. */
function loadedWith(name: string): readonly BundledFile[] {
  const found = new Set([name])
  for (const each of found) for (const other of fileNamed(each).imports) if (other.endsWith('.cjs')) found.add(other)
  return [...found].map(fileNamed)
}

function fileNamed(name: string): BundledFile {
  const file = files.find(each => each.name === name)
  assert.ok(file, `the bundle has ${name}`)
  return file
}

const modulesOf = (some: readonly BundledFile[]) =>
  some.flatMap(({ modules }) => modules.map(path => relative(repository, path)))

test('the bundle is made of shipped sources, and of packages that the image is said to contain', () => {
  const ignored = leftOut()
  const shipped = new Set(sources.filter(path => !ignored.includes(path)))
  const own = modulesOf(files).filter(path => path.startsWith('src/'))
  assert.ok(own.length > 80, `${own.length} modules of ours`)
  assert.deepEqual(
    own.filter(path => !shipped.has(path)),
    [],
  )
})

test('an operator loads no store, no schemas, no second HTTP client and nothing that strips types', () => {
  const modules = modulesOf([...loadedWith('main.cjs'), ...loadedWith('operator.cjs')])
  assert.ok(modules.includes('src/controllers/operator.ts'))
  const heavy = /^src\/(storage|mover)\/|node_modules\/(@aws-sdk|@smithy|zod|undici|yaml|typescript)\//
  assert.deepEqual(
    modules.filter(path => heavy.test(path)),
    [],
  )
})

test('no part of the bundle starts the program by being loaded', () => {
  for (const { name, isEntry } of files.filter(file => !file.isEntry)) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [
      '--eval',
      `require(${JSON.stringify(join(folder, name))})`,
    ])
    assert.deepEqual([status, String(stdout), String(stderr), isEntry], [0, '', '', false], name)
  }
})

test('each role starts from the bundle, and says in its own words what it lacks here', () => {
  const run = (...args: readonly string[]) => {
    const { stdout, stderr } = spawnSync(process.execPath, [join(folder, 'main.cjs'), ...args], { env: {} })
    return `${String(stdout)}${String(stderr)}`
  }
  assert.match(run('--help'), /Usage: backup-operator/)
  assert.match(run('operator', '--image=a', '--namespace=b', '--identity=c'), /KUBERNETES_SERVICE_HOST/)
  assert.match(run('mover'), /BACKUP_RUN is not set/)
})

test('what is compiled when the image is made is taken by a mover', () => {
  const cache = mkdtempSync(join(tmpdir(), 'backup-operator-compiled-'))
  try {
    const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
      spawnSync(process.execPath, args, { env: { NODE_COMPILE_CACHE: cache, ...env } })
    const steps = [...read('Dockerfile').matchAll(/^RUN (\["\/usr\/local\/bin\/node", .*)$/gm)]
    assert.equal(steps.length, 2)
    for (const [, step = ''] of steps) {
      const [, ...args] = JSON.parse(step.replaceAll('/app/program', folder)) as string[]
      assert.equal(run(args).status, 0)
    }
    const owner = { clusterId: 'cluster-1', namespace: 'shop', policy: 'orders', policyUid: 'uid-1' }
    const { stdout, stderr } = run([join(folder, 'main.cjs'), 'mover'], {
      [moverEnvironment.run]: 'run',
      [moverEnvironment.jobUid]: 'uid',
      [moverEnvironment.attempt]: 'attempt',
      [moverEnvironment.task]: encodeMoverTask({
        version: 1,
        kind: 'probe',
        owner,
        backend: { bucket: 'bucket' },
        secretName: 'not-there',
      }),
      NODE_DEBUG_NATIVE: 'COMPILE_CACHE',
    })
    // It has loaded everything.
    assert.match(String(stdout), /"reason":"SecretNotFound"/)
    const answers = [...String(stderr).matchAll(/\/([\w-]+\.cjs) was (\w+)/g)].map(
      ([, file, answer]) => `${file} ${answer}`,
    )
    assert.ok(answers.includes('probe.cjs accepted'), answers.join('\n'))
    assert.deepEqual(
      answers.filter(answer => !answer.endsWith(' accepted')),
      [],
    )
  } finally {
    rmSync(cache, { recursive: true })
  }
})

test('a stack trace of the bundle names functions, and the lines around say which source they are from', () => {
  const program = readFileSync(join(folder, 'operator.cjs'), 'utf8')
  assert.match(program, /^\/\/ src\/plan\/policy\/policy\.ts$/m)
  assert.match(program, /^(async )?function runOperator\(/m)
})

/** Exported functions, classes and constants that nothing else in these texts names. */
function unused(texts: readonly (readonly [path: string, text: string])[], others: string): readonly string[] {
  const code = texts.map(([path, text]) => [path, text.replaceAll(/^\s*(\/\/|\/?\*).*$/gm, '')] as const)
  const words = new Map<string, number>()
  for (const text of [...code.map(([, text]) => text), others])
    for (const [word] of text.matchAll(/\w+/g)) words.set(word, (words.get(word) ?? 0) + 1)
  return code.flatMap(([path, text]) =>
    [...text.matchAll(/^export (?:async )?(?:class|function\*?|const) (\w+)/gm)]
      .filter(([, name = '']) => (words.get(name) ?? 0) < 2)
      .map(([, name]) => `${path}: ${name}`),
  )
}

test('what the image holds is used by the program, or to generate the chart, not by tests alone', () => {
  const ignored = leftOut()
  const shipped = sources.filter(path => path.endsWith('.ts') && !ignored.includes(path))
  const tools = readdirSync(join(repository, 'tools')).filter(path => path.endsWith('.ts'))
  const generators = ['src/api/schema/crd.ts', ...tools.map(path => join('tools', path))].map(read)
  const found = unused(
    shipped.map(path => [path, read(path)]),
    generators.join('\n'),
  )
  assert.deepEqual(found, [], 'move it out of src/, or into a file that .dockerignore leaves out')
})

test('a class that only tests use is found, also where comments speak of it', () => {
  const clock = 'export const realClock = 1\n/** Not for use: FakeClock. */\nexport class FakeClock {}'
  assert.deepEqual(unused([['src/clock.ts', clock]], 'realClock'), ['src/clock.ts: FakeClock'])
})
