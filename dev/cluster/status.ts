// Is the cluster in order? Asked before it is used again, and by `status`.
import { readdir, readFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { kubectl, localCluster } from '../cluster-access.ts'
import { repository, runDirectory } from '../paths.ts'
import { parseStat } from '../process-identity.ts'
import { componentRecordSuffix } from './component-process.ts'
import { bootedFile, sandboxInit } from './instance.ts'
import { nodeName } from './layout.ts'

/** Sentences about what is not in order; none means that it works. */
export async function brokenParts(): Promise<string[]> {
  const init = sandboxInit()
  if (!init) return ['it does not run']
  if (!existsSync(bootedFile)) return ['its start did not finish']
  // The node has the folder that it was started from, not what was made anew at its path.
  if (!existsSync(`/proc/${init.pid}/root${join(repository, 'package.json')}`))
    return [`the checkout that it was started from is no longer at ${repository}`]
  const dead: string[] = []
  for (const file of await readdir(runDirectory)) {
    if (!file.endsWith(componentRecordSuffix)) continue
    const recorded = parseStat(await readFile(join(runDirectory, file), 'utf8'))
    // The pid is the sandbox's own, whose /proc is visible through its first process.
    const stat = await readFile(`/proc/${init.pid}/root/proc/${recorded.pid}/stat`, 'utf8').catch(() => undefined)
    const present = stat && parseStat(stat)
    if (!present || present.startTime !== recorded.startTime || present.state === 'Z')
      dead.push(`${file.replace(componentRecordSuffix, '')} has ended`)
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
