// What a way of backing up costs: time, the CPU time of its processes, and the memory that they hold together.
import { readdirSync, readFileSync } from 'node:fs'

export type Cost = { readonly seconds: number; readonly cpuSeconds: number; readonly rssMiB: number }

/** Of Linux, for /proc/<pid>/stat. */
const ticksPerSecond = 100
const lookEveryMs = 50

/**
 * Measures the children that `work` starts and waits for. `others`: processes of ours that are none of them, as the store.
 */
export async function measured(others: readonly number[], work: () => Promise<void>): Promise<Cost> {
  const before = childrenTicks()
  let most = 0
  const timer = setInterval(() => (most = Math.max(most, residentBytes(others))), lookEveryMs)
  const started = performance.now()
  try {
    await work()
  } finally {
    clearInterval(timer)
  }
  const seconds = (performance.now() - started) / 1000
  return { seconds, cpuSeconds: (childrenTicks() - before) / ticksPerSecond, rssMiB: most / 2 ** 20 }
}

/** CPU time of all children that have been waited for, and of theirs. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
function childrenTicks(): number {
  const fields = statOf('self') ?? []
  return Number(fields[13]) + Number(fields[14])
}

/** The fields behind the name, which may hold blanks: the state is the first. Undefined for a process that has gone. */
function statOf(pid: string): readonly string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

/** Of all descendants of this process but `others`. */
function residentBytes(others: readonly number[]): number {
  const children = new Map<number, { readonly pid: number; readonly bytes: number }[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const fields = statOf(name)
    if (!fields) continue
    const parent = Number(fields[1])
    children.set(parent, [...(children.get(parent) ?? []), { pid: Number(name), bytes: Number(fields[21]) * 4096 }])
  }
  const sum = (pid: number): number =>
    (children.get(pid) ?? [])
      .filter(child => !others.includes(child.pid))
      .reduce((bytes, child) => bytes + child.bytes + sum(child.pid), 0)
  return sum(process.pid)
}

export function medianOf(each: readonly Cost[]): Cost {
  const median = (of: (cost: Cost) => number) => each.map(of).sort((a, b) => a - b)[Math.floor(each.length / 2)] ?? NaN
  return { seconds: median(c => c.seconds), cpuSeconds: median(c => c.cpuSeconds), rssMiB: median(c => c.rssMiB) }
}

export function textOf({ seconds, cpuSeconds, rssMiB }: Cost): string {
  return `${seconds.toFixed(2).padStart(7)} s ${cpuSeconds.toFixed(2).padStart(7)} s CPU ${rssMiB.toFixed(0).padStart(5)} MiB`
}
