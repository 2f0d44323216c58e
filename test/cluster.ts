// The cluster that the end-to-end tests run on: the local one of dev/, or the one that CLUSTER names.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { repository } from '../dev/paths.ts'

/**
 * Calls `use` with the words that put a command next to the cluster (into its network namespace).
 * Starts the local cluster if it is down, and then stops it at the end; one that was up stays up.
 */
export async function withCluster<T>(use: (enter: readonly string[]) => Promise<T>): Promise<T> {
  if (process.env.CLUSTER) return await use([])
  const wasUp = (await dev('status')) === 0
  if (!wasUp) await must('up')
  try {
    return await use([process.execPath, join(repository, 'dev/main.ts'), 'exec', '--'])
  } finally {
    if (!wasUp) await must('down')
  }
}

async function must(command: string) {
  const code = await dev(command)
  if (code !== 0) throw new Error(`node dev/main.ts ${command} ended with ${code}`)
}

async function dev(command: string): Promise<number | null> {
  const child = spawn(process.execPath, [join(repository, 'dev/main.ts'), command], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [code] = (await once(child, 'exit')) as [number | null]
  return code
}
