// A backup pod as local processes: the real helpers run by busybox in a PID namespace of their own, with its /proc (so that the first
// process has the kernel's manners of a container's), a directory instead of the emptyDir, and the real mover: as a child where something
// is done to it or measured of it, else in this process, since more than half of what a small run costs is the start of its process.
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { eventually } from '../../dev/eventually.ts'
import { repository } from '../../dev/paths.ts'
import { parseMoverMessage } from '../../src/api/mover/message-parse.ts'
import type { MoverMessage } from '../../src/api/mover/message.ts'
import {
  encodeMoverTask,
  feedCommand,
  lookCommand,
  moverAllocator,
  moverEnvironment,
  prepareCommand,
  restoreCommand,
  sourceCommand,
} from '../../src/api/mover/pod.ts'
import type { MoverTaskInput } from '../../src/api/mover/task.ts'
import { makeRunDirectory, removeRunDirectory, sweepRunDirectories } from '../api/control-plane/run-directory.ts'
import { bundledEnvironment, bundledProgram } from '../runner/bundled-program.ts'
import { runVariable } from '../runner/leftovers.ts'
import { mountSecret } from './mounted-secret.ts'
import type { Environment } from '../../src/mover/identity.ts'
import { runMover } from '../../src/mover/mover.ts'
import { createLog } from '../../src/runtime/log.ts'
import { startFaultProxy } from '../storage/s3-fault-proxy.ts'
import type { S3Server } from '../storage/s3-servers.ts'

const busybox = '/bin/busybox'
const helpers = join(repository, 'src/mover/shell')

export type BackupTaskInput = Extract<MoverTaskInput, { kind: 'backup' }>

export type PodOptions = {
  readonly task: MoverTaskInput
  /** Files of the mounted Secret; undefined leaves the volume empty. */
  readonly secret?: Readonly<Record<string, string>>
  /** The user's command line. Undefined: its container never starts. */
  readonly command?: readonly string[]
  /** The command announces its artifacts itself, as a preset's script does. */
  readonly announces?: true
  /** Name of the Job. */
  readonly run?: string
  readonly jobUid?: string
  /** A container that starts after the mover has been given this long, ms. */
  readonly sourceAfterMs?: number
  /** The mover's clock is so far ahead, ms. Its signatures are of the right time. */
  readonly clockAheadMs?: number
  /** It is so much later, ms: by the mover's clock and by what the store answers when it is looked at. */
  readonly laterMs?: number
  /** As with `shareProcessNamespace`: the command's container is no PID namespace of its own. */
  readonly sharedProcesses?: true
  /** The folder `cgroup` of the pod's directory, with what the kernel would count (`memory.events`), is the command's /sys/fs/cgroup. */
  readonly cgroup?: string
  /** Whether the log, whose stream is broken, takes this line of the mover. */
  readonly logs?: (line: string) => boolean
  /** Of a restore: the command calls `feed` itself. Else it gets the only artifact on its standard input. */
  readonly scripted?: true
  /** The image of the mover cannot be pulled. */
  readonly withoutMover?: true
}

/** A container. */
export type Running = {
  /** Exit status; 128 + signal when it was killed. */
  readonly ended: Promise<number>
  readonly output: () => string
}

export type RunningProcess = Running & { readonly process: ChildProcess }

export type Pod<Mover extends Running = RunningProcess> = {
  readonly directory: string
  readonly attempt: string
  readonly mover: Mover
  readonly source: RunningProcess | undefined
  readonly message: () => MoverMessage | undefined
  /** Waits until the message satisfies the condition. */
  readonly reached: (condition: (message: MoverMessage) => boolean) => Promise<MoverMessage>
  /** Waits until both containers have ended, and removes everything. */
  readonly result: () => Promise<PodResult>
  readonly remove: () => Promise<void>
  /** As the kubelet brings a changed Secret. */
  readonly renewSecret: (secret: Readonly<Record<string, string>>) => Promise<void>
}

export type PodResult = {
  readonly code: number
  readonly sourceCode: number | undefined
  readonly attempt: string
  readonly message: MoverMessage
  readonly log: readonly Readonly<Record<string, unknown>>[]
  readonly sourceOutput: string
}

/** A task against a local server, with short times. */
export function taskFor(server: Pick<S3Server, 'endpoint'>, bucket: string, change: Partial<BackupTaskInput> = {}) {
  return {
    version: 1,
    kind: 'backup',
    owner: { clusterId: 'cluster-1', namespace: 'shop', policy: 'orders', policyUid: 'uid-1' },
    backend: { bucket, endpoint: server.endpoint },
    secretName: 'minio-creds',
    target: 'command',
    cronJob: 'backup-orders',
    retention: 3,
    jobDeadlineSeconds: 3600,
    stallTimeoutSeconds: 20,
    startTimeoutSeconds: 20,
    storeRetrySeconds: 5,
    storeIdleSeconds: 5,
    ...change,
  } satisfies BackupTaskInput
}

/** The Job of the n-th slot, a minute apart from 2026-11-22T02:00Z. */
export function jobOf(slot: number): string {
  return `backup-orders-${Date.UTC(2026, 10, 22, 2, slot) / 60_000}`
}

/** Starts a pod whose mover is a process. */
export function startPod(options: PodOptions): Promise<Pod> {
  return launch(options, async ({ directory, shared, terminationLog }, environment) => {
    if (options.withoutMover) return start(directory, 'true', [])
    const program = await bundledProgram('test/mover/main.ts')
    const argv = [program, shared, terminationLog, String(aheadOf(options))]
    return start(directory, process.execPath, argv, { ...environment, ...moverAllocator, ...bundledEnvironment })
  })
}

/**
 * A pod from its start to its end, with a mover that runs here: what it does to its process, such as its flags and its end, is not seen.
 * @param signal what SIGTERM is to a mover that is a process
 */
export async function runPod(options: PodOptions, signal = new AbortController().signal): Promise<PodResult> {
  const pod = await launch(options, async ({ shared, terminationLog }, environment) => {
    let output = ''
    const write = (line: string) => {
      if (options.logs?.(line) === false) throw new Error('write EIO')
      output += line
    }
    const log = createLog({ stream: { write } })
    const now = () => Date.now() + aheadOf(options)
    return { ended: runMover({ environment, log, shared, terminationLog, now }, signal), output: () => output }
  })
  return pod.result()
}

function aheadOf({ clockAheadMs = 0, laterMs = 0 }: PodOptions): number {
  return clockAheadMs + laterMs
}

/** A PID namespace of its own. */
const ownProcesses = ['--pid', '--fork', '--mount-proc', '--kill-child']

type Place = { readonly directory: string; readonly shared: string; readonly terminationLog: string }

async function launch<Mover extends Running>(
  options: PodOptions,
  startMover: (place: Place, environment: Environment) => Promise<Mover>,
): Promise<Pod<Mover>> {
  const { secret, command, run = jobOf(0), jobUid = `job-uid-of-${run}` } = options
  const later = options.laterMs === undefined ? undefined : await startLater(options.task, options.laterMs)
  const task = later?.task ?? options.task
  await sweepRunDirectories()
  const directory = await makeRunDirectory()
  const shared = join(directory, 'shared')
  const credentials = join(directory, 'credentials')
  const terminationLog = join(directory, 'termination-log')
  await mkdir(shared)
  await mkdir(credentials)
  if (secret) await mountSecret(credentials, secret)
  if (task.kind === 'backup' || task.kind === 'start' || (task.kind === 'restore' && command)) {
    const [program = '', ...args] = prepareCommand(helpers, busybox, shared)
    await promisify(execFile)(program, args)
  }
  const attempt = randomUUID()
  const mover = await startMover(
    { directory, shared, terminationLog },
    {
      [moverEnvironment.task]: encodeMoverTask({ ...task, credentialsDirectory: credentials }),
      [moverEnvironment.run]: run,
      [moverEnvironment.jobUid]: jobUid,
      [moverEnvironment.attempt]: attempt,
    },
  )
  let moverIsOver = false
  void mover.ended.then(() => (moverIsOver = true))
  if (options.sourceAfterMs) await delay(options.sourceAfterMs)
  let source: RunningProcess | undefined
  if (task.kind === 'start' && command) {
    const [program = '', ...args] = lookCommand(shared)
    source = start(directory, program, [...args, ...command])
  }
  if (task.kind === 'backup' && command) {
    const startTimeoutSeconds = task.startTimeoutSeconds ?? 600
    const words = sourceCommand({ artifact: task.artifact ?? 'dump', startTimeoutSeconds }, shared)
    // The last two are the helper and the name for the one artifact.
    const [program = '', ...args] = options.announces ? words.slice(0, -2) : words
    const own = options.sharedProcesses ? [] : ownProcesses
    const entry = options.cgroup === undefined ? [] : await countedBy(join(directory, 'cgroup'), options.cgroup)
    source = start(directory, 'unshare', [...own, '--', ...entry, program, ...args, ...command])
  }
  if (task.kind === 'restore' && command) {
    const startTimeoutSeconds = task.startTimeoutSeconds ?? 600
    const feed = options.scripted ? [] : feedCommand(shared)
    const [program = '', ...args] = [...restoreCommand(startTimeoutSeconds, shared), ...feed]
    source = start(directory, 'unshare', [...ownProcesses, '--', program, ...args, ...command])
  }
  const message = () => parseMoverMessage(readText(terminationLog))
  const remove = async () => {
    await later?.stop()
    await removeRunDirectory(directory)
  }
  return {
    directory,
    attempt,
    mover,
    source,
    message,
    async reached(condition) {
      for (;;) {
        const now = message()
        if (now && condition(now)) return now
        if (moverIsOver) throw new Error(`the mover ended:\n${mover.output()}`)
        await delay(10)
      }
    },
    remove,
    renewSecret: changed => mountSecret(credentials, changed),
    async result() {
      const code = await mover.ended
      const sourceCode = await source?.ended
      const last = message()
      const log = mover.output()
      await remove()
      if (!last) throw new Error(`the mover left no message; its output:\n${log}`)
      return { code, sourceCode, attempt, message: last, log: linesOf(log), sourceOutput: source?.output() ?? '' }
    },
  }
}

/** The task with a store whose clock is so far ahead of that of the one it names. */
async function startLater(task: MoverTaskInput, aheadMs: number) {
  if (task.backend.endpoint === undefined) throw new Error('it names no store')
  const { endpoint, fail, stop } = await startFaultProxy(task.backend.endpoint)
  fail('head', { kind: 'clock', aheadMs })
  return { task: { ...task, backend: { ...task.backend, endpoint } }, stop }
}

/** The words before a command that sees this folder as its cgroup. */
async function countedBy(folder: string, events: string): Promise<readonly string[]> {
  await mkdir(folder)
  await writeFile(join(folder, 'memory.events'), events)
  return ['sh', '-c', 'mount --bind "$1" /sys/fs/cgroup; shift; exec "$@"', 'sh', folder]
}

/** The first process inside the PID namespace: `init.sh`. */
export function initOf(pod: Pod): Promise<number> {
  const { pid } = pod.source?.process ?? {}
  const firstChild = () => Number(readText(`/proc/${pid}/task/${pid}/children`).trim().split(' ')[0])
  return eventually(`a child of process ${pid}`, firstChild, { seconds: 60, every: 5 })
}

/** The process below `pid` whose program has this name. */
export function descendant(pid: number, program: string): Promise<number> {
  return eventually(`${program} below process ${pid}`, () => search(pid, program), { seconds: 60, every: 5 })
}

export function hasDescendant(pid: number, program: string): boolean {
  return search(pid, program) !== undefined
}

function search(pid: number, program: string): number | undefined {
  // Nothing for one that has just ended.
  const children = readText(`/proc/${pid}/task/${pid}/children`).trim().split(' ').filter(Boolean)
  for (const child of children.map(Number)) {
    if (readText(`/proc/${child}/comm`).trim() === program) return child
    const below = search(child, program)
    if (below) return below
  }
  return undefined
}

/** Dies with this process, whatever ends it. */
function start(
  directory: string,
  program: string,
  args: readonly string[],
  environment: Environment = {},
): RunningProcess {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
    // The tests' own check for processes that are left behind knows them by this variable.
    env: { PATH: process.env.PATH, HOME: directory, [runVariable]: process.env[runVariable], ...environment },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()))
  const ended = once(child, 'close').then(([code, signal]) => (signal ? 128 + 9 : Number(code)))
  return { process: child, ended, output: () => output }
}

function linesOf(output: string): readonly Readonly<Record<string, unknown>>[] {
  return output
    .split('\n')
    .filter(Boolean)
    .map(line => {
      try {
        return JSON.parse(line) as Record<string, unknown>
      } catch {
        throw new Error(`the mover wrote a line that is not JSON: ${line}\n${output}`)
      }
    })
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
