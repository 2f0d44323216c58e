// The running cluster as a record: which process holds it, and who started it.
import { existsSync } from 'node:fs'
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { clusterDirectory, repository, runDirectory } from '../paths.ts'
import { identify, isAlive, parseStat, type ProcessIdentity } from '../process-identity.ts'

/** Written by the sandbox's outer process about itself, before it does anything else. */
export const holderFile = join(clusterDirectory, 'holder')
const ownerFile = join(clusterDirectory, 'owner')
const lockFile = join(clusterDirectory, 'lock')
export const bootedFile = join(runDirectory, 'booted.json')

/** The process whose end ends the cluster, if it lives. */
export function holder(): ProcessIdentity | undefined {
  if (!existsSync(holderFile)) return undefined
  const line = readFileSync(holderFile, 'utf8')
  if (line === '') return undefined
  const { pid, startTime } = parseStat(line)
  return isAlive({ pid, startTime }) ? { pid, startTime } : undefined
}

/** PID 1 of the sandbox, as the machine numbers it. */
export function sandboxInit(): ProcessIdentity | undefined {
  const outer = holder()
  if (!outer) return undefined
  const children = readFileSync(`/proc/${outer.pid}/task/${outer.pid}/children`, 'utf8').trim()
  return children === '' ? undefined : identify(Number(children.split(' ')[0]))
}

/** The checkout that started the cluster; it alone may stop or change it. */
export async function owner(): Promise<string | undefined> {
  return existsSync(ownerFile) ? (await readFile(ownerFile, 'utf8')).trim() : undefined
}

export async function setOwner(): Promise<void> {
  await mkdir(clusterDirectory, { recursive: true })
  await writeFile(ownerFile, `${repository}\n`)
}

/** @throws Error when another checkout, which still exists, runs the cluster */
export async function assertOurs(): Promise<void> {
  const checkout = await owner()
  if (!holder() || checkout === undefined || checkout === repository || !existsSync(checkout)) return
  throw new Error(
    `the local cluster belongs to the checkout ${checkout}, which runs it now; stop it there (make cluster-down), or use a cluster of your own: XDG_CACHE_HOME=<another folder>`,
  )
}

/** Runs `work` while no other process of this machine changes the cluster; waits for one that does. */
export async function withLock<T>(say: (line: string) => void, work: () => Promise<T>): Promise<T> {
  await mkdir(clusterDirectory, { recursive: true })
  let told = false
  for (;;) {
    const holding = await takeLock()
    if (!holding) break
    if (!told) say(`waiting for process ${holding.pid}, which starts or stops the cluster`)
    told = true
    await new Promise(resolve => setTimeout(resolve, 200))
  }
  try {
    return await work()
  } finally {
    await rm(lockFile, { force: true })
  }
}

/** The living process that has the lock; undefined when it is ours now. */
async function takeLock(): Promise<ProcessIdentity | undefined> {
  try {
    const file = await open(lockFile, 'wx')
    await file.write(readFileSync('/proc/self/stat', 'utf8'))
    await file.close()
    return undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const line = await readFile(lockFile, 'utf8').catch(() => '')
  const holding = line === '' ? undefined : parseStat(line)
  if (holding && isAlive(holding)) return holding
  await rm(lockFile, { force: true })
  return takeLock()
}
