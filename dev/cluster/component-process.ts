// Starts and finds the cluster's programs. Runs inside the node's sandbox: pids are the sandbox's.
import { spawn } from 'node:child_process'
import { openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tail } from '../command.ts'
import { eventually } from '../eventually.ts'
import { logDirectory, runDirectory } from '../paths.ts'
import { identify, parseStat, type ProcessIdentity, isAlive } from '../process-identity.ts'

export const componentRecordSuffix = '.process'

/** Starts a program in a session of its own; it stays when this process ends, and PID 1 of the sandbox inherits it. */
export function startComponent(name: string, command: readonly string[] | undefined): void {
  if (!command) throw new Error(`the cluster has no component ${name}`)
  const [program = '', ...args] = command
  const log = openSync(logOf(name), 'a')
  // Collecting less often saves a twelfth of what they compute, for memory that this machine has.
  const env = { ...process.env, GOGC: '400' }
  const child = spawn(program, args, { detached: true, stdio: ['ignore', log, log], cwd: '/', env })
  child.on('error', error => process.stderr.write(`${name} did not start: ${error.message}\n`))
  child.unref()
  // Recorded at once, as /proc/<pid>/stat shows it; a program that does not exist has no pid.
  if (child.pid) writeFileSync(recordOf(name), readFileSync(`/proc/${child.pid}/stat`))
}

/** The component's process, if it lives. */
export function componentProcess(name: string): ProcessIdentity | undefined {
  const recorded = parseStat(readFileSync(recordOf(name), 'utf8'))
  return isAlive(recorded) ? identify(recorded.pid) : undefined
}

/** Waits until a component works; fails at once, with the end of its log, when it dies. */
export async function componentReady(name: string, seconds: number, condition: () => Promise<unknown>): Promise<void> {
  let dead = false
  const check = async () => {
    dead = !componentProcess(name)
    return dead || (await condition())
  }
  try {
    await eventually(`${name} to be ready`, check, { seconds })
  } catch (cause) {
    throw new Error(`${name} is not ready; ${await lastWords(name)}`, { cause })
  }
  if (dead) throw new Error(`${name} has ended; ${await lastWords(name)}`)
}

/** @throws Error with the end of its log when the component has ended */
export async function assertRuns(name: string): Promise<void> {
  if (!componentProcess(name)) throw new Error(`${name} has ended; ${await lastWords(name)}`)
}

async function lastWords(name: string): Promise<string> {
  return `its log, ${logOf(name)}, says last:\n${await tail(logOf(name))}`
}

function logOf(name: string): string {
  return join(logDirectory, `${name}.log`)
}

function recordOf(name: string): string {
  return join(runDirectory, `${name}${componentRecordSuffix}`)
}
