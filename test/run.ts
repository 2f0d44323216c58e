// Runs stages of the tests up to the first that fails: `node test/run.ts [--long] <stage>...`.
// The closing lines at the end count the tests of all of them.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync, writeSync } from 'node:fs'
import { join, posix } from 'node:path'
import { buildGoTool, type GoToolName } from '../dev/go-tools.ts'
import { compileCacheDirectory, repository } from '../dev/paths.ts'
import { grantProblems } from '../e2e/grants.ts'
import { makeRunDirectory, removeRunDirectory, sweepRunDirectories } from './api/control-plane/run-directory.ts'
import { type Access, testCluster } from './runner/cluster.ts'
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

// More files at a time than there are processors: each waits for its servers every now and then.
const stages = {
  unit: { tools: ['minio', 'versitygw', 'age', 'actionlint', 'csi-sanity'], concurrency: 3, timeoutSeconds: 300 },
  api: { tools: ['etcd', 'kubernetes', 'helm'], concurrency: 4, timeoutSeconds: 300 },
  operator: { tools: [], concurrency: 1, timeoutSeconds: 900 },
  chart: { tools: ['etcd', 'kubernetes', 'helm', 'kubeconform'], concurrency: 2, timeoutSeconds: 300 },
  e2e: { tools: [], concurrency: 2, timeoutSeconds: 900 },
} as const satisfies Record<string, Stage>
type StageName = keyof typeof stages

/** One row after the other; those of a row at a time. The stories of `operator` wait for full minutes, and need the cluster for themselves. */
const rows: readonly (readonly StageName[])[] = [['unit'], ['api', 'operator'], ['chart'], ['e2e']]

/** Every test file is in exactly one stage, by where it lies. */
function stageOf(path: string): StageName {
  // Stories that take away what all others stand on.
  if (path.endsWith('.alone.test.ts')) return 'operator'
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

/** A test of a stage as a whole: passed when there are no problems. */
type Check = { readonly title: string; readonly problems: readonly string[] }

/** @param access starts the cluster, if it has to; @param output descriptor that everything is told to */
async function runStage(
  name: StageName,
  { long, access, output }: { readonly long: boolean; readonly access: () => Promise<Access>; readonly output: number },
): Promise<Tally> {
  const { tools, concurrency, timeoutSeconds } = stages[name]
  for (const tool of tools) await buildGoTool(tool, line => console.error(line))
  const all = testFiles(name, long)
  if (all.length === 0) throw new Error(`stage ${name} has no test files: it would prove nothing`)
  // Tells how the local cluster starts in between: before the heading.
  const enter = onCluster(name) ? (await access()).enter : []
  // The tests' temporary directory, below one that the next run removes when this one is killed.
  const directory = await makeRunDirectory()
  const scratch = join(directory, 'tmp')
  mkdirSync(scratch)
  try {
    writeSync(output, `\n── ${name}: ${all.length} files\n`)
    const counts = await runFiles()
    return withCheck(
      counts,
      { title: `the ${name} tests leave nothing behind`, problems: leftovers(scratch, scratch) },
      output,
    )
  } finally {
    await removeRunDirectory(directory)
  }

  /** @throws Error when the runner has no result, or not the one that its exit status tells of */
  async function runFiles(): Promise<Tally> {
    const tally = join(directory, 'tally.json')
    const argv = [
      ...enter,
      process.execPath,
      '--test',
      `--test-concurrency=${concurrency}`,
      `--test-timeout=${timeoutSeconds * 1000}`,
      '--test-reporter=spec',
      '--test-reporter-destination=stdout',
      `--test-reporter=${join(repository, 'test/runner/tally.ts')}`,
      `--test-reporter-destination=${tally}`,
      ...(onCluster(name) ? all : inProcesses(all)),
    ]
    const status = await run(argv, { long, scratch, output })
    const text = readFileSync(tally, 'utf8')
    if (text === '') throw new Error(`the ${name} tests ended with ${status} and without a result`)
    const counts = JSON.parse(text) as Tally
    if (status !== 0 && isGreen(counts)) throw new Error(`the ${name} tests ended with ${status} although none failed`)
    return counts
  }
}

function onCluster(name: StageName): boolean {
  return name === 'operator' || name === 'e2e'
}

/** Runs the stages of a row. The first tells as it goes; what another tells comes after it, in one piece. */
async function runRow(
  names: readonly StageName[],
  options: Omit<Parameters<typeof runStage>[1], 'output'>,
): Promise<readonly Tally[]> {
  const directory = await makeRunDirectory()
  const kept = names.slice(1).map(name => ({ name, output: openSync(join(directory, name), 'a') }))
  try {
    const outputs = [1, ...kept.map(({ output }) => output)]
    return await Promise.all(
      names.map((name, nth) => runStage(name, { ...options, output: outputs[nth] ?? 1 }).catch(stageError)),
    )
  } finally {
    for (const { name, output } of kept) {
      closeSync(output)
      process.stdout.write(readFileSync(join(directory, name)))
    }
    await removeRunDirectory(directory)
  }
}

/** The local cluster has an audit log, which says after all of the stories what rights the operator needed. */
async function checkOfRights({ local, since }: Access): Promise<Check | undefined> {
  if (!local) {
    console.log('ℹ what rights the operator uses is not seen on this cluster: its audit log is not at hand')
    return undefined
  }
  const title = 'the operator uses every right that it has, and asks for no other'
  return { title, problems: await grantProblems(since) }
}

/** Tells the outcome and counts it. */
function withCheck(counts: Tally, { title, problems }: Check, output: number): Tally {
  const good = problems.length === 0
  writeSync(output, `${good ? '✔' : '✖'} ${title}${problems.map(what => `\n  ${what}`).join('')}\n`)
  const { tests, passed, failed } = counts
  const failures = [...counts.failures, ...(good ? [] : [`${title}: ${problems[0]}`])]
  return { ...counts, tests: tests + 1, passed: passed + (good ? 1 : 0), failed: failed + (good ? 0 : 1), failures }
}

async function run(
  [program = '', ...args]: readonly string[],
  { long, scratch, output }: { readonly long: boolean; readonly scratch: string; readonly output: number },
): Promise<number | string> {
  const env = {
    ...process.env,
    TMPDIR: scratch,
    [runVariable]: scratch,
    // A fifth of what the process of a small file costs is stripping types that were stripped the last time, too.
    NODE_COMPILE_CACHE: compileCacheDirectory,
    // Of the Go programs that tests start: they collect less often. A twelfth of what the API servers compute.
    GOGC: '400',
    ...(long && { TEST_LONG: '1' }),
  }
  const child = spawn(program, args, { cwd: repository, env, stdio: ['ignore', output, 'inherit'] })
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

/** The row that is not green is the last; of the long list, which takes an hour, each row is told. @throws Error when the cluster does not end */
async function runRows(names: ReadonlySet<StageName>, long: boolean): Promise<readonly Tally[]> {
  const { access, end } = testCluster()
  const tallies: Tally[] = []
  try {
    for (const row of rows.map(all => all.filter(name => names.has(name))).filter(({ length }) => length > 0)) {
      const outcome = await runRow(row, { long, access })
      tallies.push(...outcome)
      if (outcome.every(isGreen)) continue
      const red = `${row.filter((_, nth) => !isGreen(outcome[nth])).join(' and ')}: not green`
      console.log(`\n── ${long ? '' : 'stopped: '}${red}`)
      if (!long) return tallies
    }
    if (!names.has('operator') || !names.has('e2e')) return tallies
    const check = await checkOfRights(await access())
    return check ? [...tallies, withCheck(sum([]), check, 1)] : tallies
  } finally {
    await end()
  }
}

async function main(args: readonly string[]): Promise<void> {
  const names = args.filter(arg => arg !== '--long')
  const unknown = names.filter(name => !Object.hasOwn(stages, name))
  if (names.length === 0 || unknown.length > 0)
    throw new Error(`usage: node test/run.ts [--long] <stage>..., with the stages ${Object.keys(stages).join(', ')}`)
  await sweepRunDirectories()
  const began = performance.now()
  const tallies = await runRows(new Set(names as StageName[]), args.includes('--long'))
  if (!tallies.every(isGreen)) process.exitCode = 1
  const total = { ...sum(tallies), duration: performance.now() - began }
  if (total.failures.length > 0) console.log(`\n── failed, in order\n${total.failures.join('\n')}`)
  console.log(`\n── ${names.join(', ')} together\n${closingLines(total)}`)
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof Error ? `error: ${error.message}` : error)
  process.exitCode = 1
}
