// Programs of the tests that are started again and again, made into a bundle as those of the image are. Such a process starts in a third
// of the time that it takes from the sources, and a run of all tests starts thousands of them.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheDirectory, compileCacheDirectory, repository } from '../../dev/paths.ts'

const kept = join(cacheDirectory, 'test-programs')
const dayMs = 86_400_000
const programs = new Map<string, Promise<string>>()

/** What a process that is started so needs in its environment: without it everything is compiled anew. */
export const bundledEnvironment = { NODE_COMPILE_CACHE: compileCacheDirectory }

/**
 * The file to give to node. Made once for each state of the sources, by the test file that needs it first, and kept for a day after it was last needed.
 * `path`: of the program in the repository, without `await` at its top.
 */
export function bundledProgram(path: string): Promise<string> {
  const known = programs.get(path)
  if (known) return known
  const made = build(path)
  programs.set(path, made)
  return made
}

async function build(path: string): Promise<string> {
  const folder = join(kept, digestOfSources(path))
  const file = join(folder, 'main.cjs')
  if (ageMs(file) !== undefined) {
    const now = new Date()
    utimesSync(folder, now, now)
    return file
  }
  mkdirSync(kept, { recursive: true })
  for (const other of readdirSync(kept)) {
    if ((ageMs(join(kept, other)) ?? 0) > dayMs) rmSync(join(kept, other), { recursive: true, force: true })
  }
  const made = mkdtempSync(join(kept, 'new-'))
  // In a process of its own: Linux counts the peak of the memory of who starts a process as that of the process, and the bundler needs a lot.
  await promisify(execFile)(process.execPath, [join(repository, 'tools/bundle.ts'), made, path])
  try {
    // Whole or not at all, also beside another test file that makes the same.
    renameSync(made, folder)
  } catch (error) {
    rmSync(made, { recursive: true })
    if (ageMs(file) === undefined) throw error
  }
  return file
}

/** Of everything that the bundle is made from. */
function digestOfSources(path: string): string {
  const sources = readdirSync(join(repository, 'src'), { recursive: true, encoding: 'utf8' })
    .filter(source => source.endsWith('.ts') && !source.endsWith('.test.ts'))
    .map(source => join('src', source))
    .sort()
  const hash = createHash('sha256')
  for (const each of [...sources, path, 'tools/bundle.ts', 'package-lock.json'])
    hash.update(`${each}\n`).update(readFileSync(join(repository, each)))
  return hash.digest('hex').slice(0, 32)
}

function ageMs(path: string): number | undefined {
  const found = statSync(path, { throwIfNoEntry: false })
  return found && Date.now() - found.mtimeMs
}
