// A temporary directory with the processes that live in it. Nothing outlives the harness: the kernel kills each process
// with its parent, and the next start sweeps what a harness that was killed could not remove itself.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, openSync, closeSync } from 'node:fs'
import { mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const prefix = 'backup-operator-api-'

/** A process by its id and its start, in clock ticks since boot: together they never mean another process. */
type ProcessIdentity = { readonly pid: number; readonly start: string }

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
  const start = await startOf(process.pid)
  return await mkdtemp(join(tmpdir(), `${prefix}${process.pid}-${start}-`))
}

/** Starts a program in `directory` (its working directory, its HOME and where its log goes) and records it there. */
export async function spawnRecorded(directory: string, program: string, args: readonly string[]): Promise<Spawned> {
  const name = program.slice(program.lastIndexOf('/') + 1)
  const log = join(directory, `${name}.log`)
  const output = openSync(log, 'a')
  let child: ChildProcess
  try {
    // setpriv's parent-death signal survives the exec: a harness killed with -9 takes its processes along.
    child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], {
      cwd: directory,
      stdio: ['ignore', output, output],
      env: { PATH: process.env.PATH, HOME: directory },
    })
  } finally {
    closeSync(output)
  }
  const exited = once(child, 'exit').then(() => undefined)
  if (child.pid === undefined) await exited
  const pid = child.pid as number
  appendFileSync(join(directory, 'processes'), `${pid} ${await startOf(pid)} ${name}\n`)
  return { name, pid, log, exited, running: () => child.exitCode === null && child.signalCode === null }
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
    if (!owner || (await isRunning(owner))) continue
    const directory = join(tmpdir(), name)
    const found = await stat(directory).catch(ignoreMissing)
    if (!found || found.uid !== process.getuid?.()) continue
    for (const recorded of await recordedProcesses(directory))
      if (await isRunning(recorded)) killUnlessGone(recorded.pid)
    await removeRunDirectory(directory)
  }
}

/** Removes a run directory. Killed processes may still be closing their files, hence the retries. */
export async function removeRunDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
}

function killUnlessGone(pid: number) {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    ignoreMissing(error as NodeJS.ErrnoException)
  }
}

function ownerOf(directoryName: string): ProcessIdentity | undefined {
  if (!directoryName.startsWith(prefix)) return undefined
  const [pid = '', start = ''] = directoryName.slice(prefix.length).split('-')
  return { pid: Number(pid), start }
}

async function recordedProcesses(directory: string): Promise<readonly ProcessIdentity[]> {
  const file = join(directory, 'processes')
  if (!existsSync(file)) return []
  const lines = (await readFile(file, 'utf8')).trim().split('\n')
  return lines.map(line => {
    const [pid = '', start = ''] = line.split(' ')
    return { pid: Number(pid), start }
  })
}

async function isRunning({ pid, start }: ProcessIdentity): Promise<boolean> {
  const current = await startOf(pid).catch(ignoreMissing)
  return current === start
}

/**
 * When a process started, in clock ticks since boot: field 22 of /proc/<pid>/stat (proc_pid_stat(5)); the program's name, which may hold
 * spaces, ends at the last bracket.
 */
export async function startOf(pid: number): Promise<string> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8')
  const afterName = line.slice(line.lastIndexOf(')') + 2).split(' ')
  return afterName[19]
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error
}
