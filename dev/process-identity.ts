// Which process a recorded pid meant: pids are used again, so a pid counts only together with its start time.
import { readFileSync } from 'node:fs'

/** `startTime` is in clock ticks after boot (proc_pid_stat(5), field 22). */
export type ProcessIdentity = { readonly pid: number; readonly startTime: string }

/** Reads one line of `/proc/<pid>/stat`, also one that was copied to a file. */
export function parseStat(line: string): ProcessIdentity & { readonly state: string } {
  // The second field is the program's name in brackets, and may itself hold spaces and brackets.
  const after = line.slice(line.lastIndexOf(')') + 2).split(' ')
  const pid = Number.parseInt(line, 10)
  const startTime = after[19]
  if (!Number.isInteger(pid) || !startTime) throw new Error(`not a line of /proc/<pid>/stat: ${line.slice(0, 80)}`)
  return { pid, startTime, state: after[0] ?? '' }
}

/** The process that has this pid now; undefined when there is none, or only a zombie. */
export function identify(pid: number): ProcessIdentity | undefined {
  try {
    const { startTime, state } = parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'))
    return state === 'Z' || state === 'X' ? undefined : { pid, startTime }
  } catch {
    return undefined
  }
}

export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return identify(pid)?.startTime === startTime
}

/** Sends a signal if the process is still the recorded one; says whether it was. */
export function signalProcess(process_: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(process_)) return false
  try {
    return process.kill(process_.pid, signal)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw cause
  }
}
