// The running cluster as a record: which process holds it, and who started it.
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { clusterDirectory, repository, runDirectory } from '../paths.ts'
import { identify, isAlive, parseStat, type ProcessIdentity } from '../process-identity.ts'

/** Written by the sandbox's outer process about itself, before it does anything else. */
export const holderFile = join(clusterDirectory, 'holder')
const ownerFile = join(clusterDirectory, 'owner')
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
