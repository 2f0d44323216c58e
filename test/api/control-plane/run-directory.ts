// A temporary directory with the processes that live in it. Nothing outlives the harness: the kernel kills each process
// with its parent, and the next start sweeps what a harness that was killed could not remove itself.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, openSync, closeSync } from 'node:fs'
import { mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { identify, isAlive, signalProcess, type ProcessIdentity } from '../../../dev/process-identity.ts'
import { runVariable } from '../../runner/leftovers.ts'

const prefix = 'backup-operator-api-'

/** One program that runs until `kill`; `exited` settles when it is gone, whatever the reason. */
export type Spawned = {
  readonly name: string
  readonly pid: number
  readonly log: string
  readonly exited: Promise<void>
  readonly running: () => boolean
}

/** Makes `<tmp>/backup-operator-api-<pid>-<start>-XXXXXX`: the name says whose it is from its first instant on. */
export async function makeRunDirectory(): Promise<string> {
  const { pid, startTime } = identify(process.pid) as ProcessIdentity
  return await mkdtemp(join(tmpdir(), `${prefix}${pid}-${startTime}-`))
}

/** Starts a program in `directory` (its working directory, its HOME and where its log goes) and records it there. */
export async function spawnRecorded(
  directory: string,
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Spawned> {
  const name = program.slice(program.lastIndexOf('/') + 1)
  const log = join(directory, `${name}.log`)
  const output = openSync(log, 'a')
  let child: ChildProcess
  try {
    // setpriv's parent-death signal survives the exec: a harness killed with -9 takes its processes along.
    child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], {
      cwd: directory,
      stdio: ['ignore', output, output],
      env: { ...passedOn(), HOME: directory, ...environment },
    })
  } finally {
    closeSync(output)
  }
  const exited = once(child, 'exit').then(() => undefined)
  if (child.pid === undefined) await exited
  const pid = child.pid as number
  const identity = identify(pid)
  if (identity) appendFileSync(join(directory, 'processes'), `${pid} ${identity.startTime} ${name}\n`)
  return { name, pid, log, exited, running: () => child.exitCode === null && child.signalCode === null }
}

/** Where programs are, which run of the tests this is, and how often Go's collect. */
function passedOn(): NodeJS.ProcessEnv {
  return Object.fromEntries(['PATH', 'GOGC', runVariable].map(name => [name, process.env[name]]))
}

/** Kills with SIGKILL and waits until the process is gone. What is in the directory is thrown away: nobody needs a clean end. */
export async function kill(spawned: Spawned): Promise<void> {
  if (spawned.running()) process.kill(spawned.pid, 'SIGKILL')
  await spawned.exited
}

/**
 * Ends the recorded processes and removes the directories of harnesses that no longer run.
 * A directory of another user is left alone: its list of processes is not ours to believe.
 */
export async function sweepRunDirectories(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const owner = ownerOf(name)
    if (!owner || isAlive(owner)) continue
    const directory = join(tmpdir(), name)
    const found = await stat(directory).catch(ignoreMissing)
    if (!found || found.uid !== process.getuid?.()) continue
    for (const recorded of await recordedProcesses(directory)) signalProcess(recorded, 'SIGKILL')
    await removeRunDirectory(directory)
  }
}

/** Removes a run directory. Killed processes may still be closing their files, hence the retries. */
export async function removeRunDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
}

function ownerOf(directoryName: string): ProcessIdentity | undefined {
  if (!directoryName.startsWith(prefix)) return undefined
  const [pid = '', startTime = ''] = directoryName.slice(prefix.length).split('-')
  return { pid: Number(pid), startTime }
}

async function recordedProcesses(directory: string): Promise<readonly ProcessIdentity[]> {
  const file = join(directory, 'processes')
  if (!existsSync(file)) return []
  const lines = (await readFile(file, 'utf8')).trim().split('\n')
  return lines.map(line => {
    const [pid = '', startTime = ''] = line.split(' ')
    return { pid: Number(pid), startTime }
  })
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
