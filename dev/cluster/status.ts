// Is the cluster in order? Asked before it is used again, and by `status`.
import { readdir, readFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { kubectl, localCluster } from '../cluster-access.ts'
import { runDirectory } from '../paths.ts'
import { bootedFile, sandboxInit } from './instance.ts'
import { nodeName } from './layout.ts'

/** Sentences about what is not in order; none means that it works. */
export async function brokenParts(): Promise<string[]> {
  const init = sandboxInit()
  if (!init) return ['it does not run']
  if (!existsSync(bootedFile)) return ['its start did not finish']
  const dead: string[] = []
  for (const file of await readdir(runDirectory)) {
    if (!file.endsWith('.pid')) continue
    const pid = (await readFile(join(runDirectory, file), 'utf8')).trim()
    // Pids are those of the sandbox, whose /proc is visible through its first process.
    if (!existsSync(`/proc/${init.pid}/root/proc/${pid}`)) dead.push(`${file.replace('.pid', '')} has ended`)
  }
  if (dead.length > 0) return dead
  const path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
  try {
    const ready = await kubectl(localCluster(), ['get', 'node', nodeName, '-o', path, '--request-timeout=5s'])
    return ready === 'True' ? [] : ['the node is not Ready']
  } catch (error) {
    return [`the API server does not answer: ${error instanceof Error ? error.message : String(error)}`]
  }
}
