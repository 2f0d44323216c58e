// Runs stages of the tests, one after the other, up to the first that fails: `node test/run.ts [--long] <stage>...`.
// The closing lines at the end count the tests of all of them.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, posix } from 'node:path'
import { buildGoTool, type GoToolName } from '../dev/go-tools.ts'
import { compileCacheDirectory, repository } from '../dev/paths.ts'
import { grantProblems } from '../e2e/grants.ts'
import { makeRunDirectory, removeRunDirectory, sweepRunDirectories } from './api/control-plane/run-directory.ts'
import { withCluster } from './runner/cluster.ts'
import { leftovers, runVariable } from './runner/leftovers.ts'
import type { Tally } from './runner/tally.ts'

type Stage = {
  /** The programs that its tests start. */
  readonly tools: readonly GoToolName[]
  /** How many test files run at a time. */
  readonly concurrency: number
  /** Limit of one test. */
  readonly timeoutSeconds: number
}

const stages = {
  unit: {
    tools: ['minio', 'versitygw', 'actionlint', 'csi-sanity'],
    concurrency: availableParallelism(),
    timeoutSeconds: 300,
  },
  api: { tools: ['etcd', 'kubernetes', 'helm'], concurrency: 3, timeoutSeconds: 300 },
  chart: { tools: ['etcd', 'kubernetes', 'helm', 'kubeconform'], concurrency: 2, timeoutSeconds: 300 },
  e2e: { tools: [], concurrency: 2, timeoutSeconds: 900 },
} as const satisfies Record<string, Stage>
type StageName = keyof typeof stages

/** Every test file is in exactly one stage, by where it lies. */
function stageOf(path: string): StageName {
  if (path.startsWith('e2e/')) return 'e2e'
  if (path.startsWith('test/api/')) return 'api'
  return path.startsWith('test/chart') ? 'chart' : 'unit'
}

/** Test files of a stage, sorted; those named `*.long.test.ts` only when the long list is asked for. */
function testFiles(stage: StageName, long: boolean): readonly string[] {
  return ['src', 'dev', 'tools', 'test', 'bench', 'e2e']
    .filter(root => existsSync(join(repository, root)))
    .flatMap(root =>
      readdirSync(join(repository, root), { recursive: true, encoding: 'utf8' }).map(path => posix.join(root, path)),
    )
    .filter(path => path.endsWith('.test.ts') && !path.includes('node_modules/'))
    .filter(path => stageOf(path) === stage && (long || !path.endsWith('.long.test.ts')))
    .sort()
}

/** Those beside the sources share a process. */
function inProcesses(files: readonly string[]): readonly string[] {
  const others = files.filter(path => !path.startsWith('src/'))
  return others.length === files.length ? files : ['test/runner/together.ts', ...others]
}

/** Stories that take away what all others stand on, the operator, are told after them, one at a time. */
function isAlone(path: string): boolean {
  return path.endsWith('.alone.test.ts')
}

/** A test of a stage as a whole: passed when there are no problems. */
type Check = { readonly title: string; readonly problems: readonly string[] }

type Outcome = { readonly counts: Tally; readonly checks: readonly Check[] }

/** Some test files, as one run of node's test runner. `enter`: the words before the command. */
type Round = { readonly files: readonly string[]; readonly concurrency: number; readonly enter?: readonly string[] }

/** @throws Error when the runner has no result, or not the one that its exit status tells of */
type Runner = (round: Round) => Promise<Tally>

async function runStage(name: StageName, long: boolean): Promise<Tally> {
  const { tools, concurrency, timeoutSeconds } = stages[name]
  for (const tool of tools) await buildGoTool(tool, line => console.error(line))
  const all = testFiles(name, long)
  // The tests' temporary directory, below one that the next run removes when this one is killed.
  const directory = await makeRunDirectory()
  const scratch = join(directory, 'tmp')
  mkdirSync(scratch)
  try {
    console.log(`\n── ${name}: ${all.length} files`)
    const { counts, checks } = await (name === 'e2e' ? runStories(runner, all) : runFiles())
    const tidy = { title: `the ${name} tests leave nothing behind`, problems: leftovers(scratch, scratch) }
    return [...checks, tidy].reduce(withCheck, counts)
  } finally {
    await removeRunDirectory(directory)
  }

  async function runFiles(): Promise<Outcome> {
    return { counts: await runner({ files: inProcesses(all), concurrency }), checks: [] }
  }

  async function runner({ files, concurrency: atATime, enter = [] }: Round): Promise<Tally> {
    if (files.length === 0) throw new Error(`stage ${name} has no test files: it would prove nothing`)
    const tally = join(directory, 'tally.json')
    const argv = [
      ...enter,
      process.execPath,
      '--test',
      `--test-concurrency=${atATime}`,
      `--test-timeout=${timeoutSeconds * 1000}`,
      '--test-reporter=spec',
      '--test-reporter-destination=stdout',
      `--test-reporter=${join(repository, 'test/runner/tally.ts')}`,
      `--test-reporter-destination=${tally}`,
      ...files,
    ]
    const status = await run(argv, { long, scratch })
    const text = readFileSync(tally, 'utf8')
    if (text === '') throw new Error(`the ${name} tests ended with ${status} and without a result`)
    const counts = JSON.parse(text) as Tally
    if (status !== 0 && isGreen(counts)) throw new Error(`the ${name} tests ended with ${status} although none failed`)
    return counts
  }
}

/** Runs them next to the cluster. The local one has an audit log, which says afterwards what rights the operator needed. */
async function runStories(runner: Runner, files: readonly string[]): Promise<Outcome> {
  return withCluster(async ({ enter, local }) => {
    const began = new Date()
    const together = files.filter(path => !isAlone(path))
    const first = await runner({ enter, files: together, concurrency: stages.e2e.concurrency })
    if (!isGreen(first)) return { counts: first, checks: [] }
    const counts = sum([first, await runner({ enter, files: files.filter(isAlone), concurrency: 1 })])
    if (!local) console.log('ℹ what rights the operator uses is not seen on this cluster: its audit log is not at hand')
    // A story that failed may not have come to what it needs rights for.
    if (!local || !isGreen(counts)) return { counts, checks: [] }
    const title = 'the operator uses every right that it has, and asks for no other'
    return { counts, checks: [{ title, problems: await grantProblems(began) }] }
  })
}

/** Tells the outcome and counts it. */
function withCheck(counts: Tally, { title, problems }: Check): Tally {
  const good = problems.length === 0
  console.log(`${good ? '✔' : '✖'} ${title}${problems.map(what => `\n  ${what}`).join('')}`)
  const { tests, passed, failed } = counts
  const failures = [...counts.failures, ...(good ? [] : [`${title}: ${problems[0]}`])]
  return { ...counts, tests: tests + 1, passed: passed + (good ? 1 : 0), failed: failed + (good ? 0 : 1), failures }
}

async function run(
  [program = '', ...args]: readonly string[],
  { long, scratch }: { readonly long: boolean; readonly scratch: string },
): Promise<number | string> {
  const env = {
    ...process.env,
    TMPDIR: scratch,
    [runVariable]: scratch,
    // A fifth of what the process of a small file costs is stripping types that were stripped the last time, too.
    NODE_COMPILE_CACHE: compileCacheDirectory,
    ...(long && { TEST_LONG: '1' }),
  }
  const child = spawn(program, args, { cwd: repository, env, stdio: ['ignore', 'inherit', 'inherit'] })
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
  return code ?? String(signal)
}

/** A stage that could not be run is one failed test: the closing lines must not look green. */
function stageError(error: unknown): Tally {
  const message = error instanceof Error ? error.message : String(error)
  console.error(`error: ${message}`)
  const failures = [`the stage itself: ${message.split('\n', 1)[0]}`]
  return { tests: 1, suites: 0, passed: 0, failed: 1, cancelled: 0, skipped: 0, todo: 0, duration: 0, failures }
}

/** A skipped test is a test that proved nothing. */
function isGreen({ tests, failed, cancelled, skipped, todo }: Tally): boolean {
  return tests > 0 && failed + cancelled + skipped + todo === 0
}

function sum(tallies: readonly Tally[]): Tally {
  const total = (of: keyof Omit<Tally, 'failures'>) => tallies.reduce((so, tally) => so + tally[of], 0)
  return {
    tests: total('tests'),
    suites: total('suites'),
    passed: total('passed'),
    failed: total('failed'),
    cancelled: total('cancelled'),
    skipped: total('skipped'),
    todo: total('todo'),
    duration: total('duration'),
    failures: tallies.flatMap(({ failures }) => failures),
  }
}

function closingLines({ tests, suites, passed, failed, cancelled, skipped, todo, duration }: Tally): string {
  const lines = [
    ['tests', tests],
    ['suites', suites],
    ['pass', passed],
    ['fail', failed],
    ['cancelled', cancelled],
    ['skipped', skipped],
    ['todo', todo],
    ['duration_ms', duration],
  ]
  return lines.map(([label, value]) => `ℹ ${label} ${value}`).join('\n')
}

async function main(args: readonly string[]): Promise<void> {
  const names = args.filter(arg => arg !== '--long')
  const unknown = names.filter(name => !Object.hasOwn(stages, name))
  if (names.length === 0 || unknown.length > 0)
    throw new Error(`usage: node test/run.ts [--long] <stage>..., with the stages ${Object.keys(stages).join(', ')}`)
  await sweepRunDirectories()
  const tallies: Tally[] = []
  for (const name of names as StageName[]) {
    const tally = await runStage(name, args.includes('--long')).catch(stageError)
    tallies.push(tally)
    if (isGreen(tally)) continue
    process.exitCode = 1
    console.log(`\n── stopped: ${name} is not green`)
    break
  }
  const total = sum(tallies)
  if (total.failures.length > 0) console.log(`\n── failed, in order\n${total.failures.join('\n')}`)
  console.log(`\n── ${names.slice(0, tallies.length).join(', ')} together\n${closingLines(total)}`)
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof Error ? `error: ${error.message}` : error)
  process.exitCode = 1
}
