// The image holds what the program imports, and nothing else: no test, and nothing that stands in for a real part.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join, matchesGlob, posix } from 'node:path'
import { test } from 'node:test'
import { repository } from '../../dev/paths.ts'

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
  for (const path of sources) if (path.startsWith('src/mover/shell/')) found.add(path)
  return found
}

test('the image ships every file that the program imports, and no other', () => {
  const ignored = leftOut()
  const shipped = sources.filter(path => !ignored.includes(path))
  assert.deepEqual(shipped.toSorted(), [...needed()].toSorted())
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
