// The cluster that the end-to-end tests run on: the local one of dev/, or the one that CLUSTER names.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { chosenCluster } from '../../dev/cluster-access.ts'
import { holder } from '../../dev/cluster/instance.ts'
import { repository } from '../../dev/paths.ts'

const dev = [process.execPath, join(repository, 'dev/main.ts')] as const

export type Access = {
  /** The words that put a command next to the cluster: into its network, with its kubectl and helm. */
  readonly enter: readonly string[]
  /** It is the local cluster, whose files are on this machine. */
  readonly local: boolean
}

/**
 * Calls `use` while the cluster runs.
 * The local cluster gets the image of the present source. It is started if it is down, and then stopped at the end;
 * one that was up stays up.
 * @throws Error when the cluster does not start, or CLUSTER names one that CONFIRM does not
 */
export async function withCluster<T>(use: (access: Access) => Promise<T>): Promise<T> {
  const enter = [...dev, 'exec', '--']
  if (process.env.CLUSTER && process.env.CLUSTER !== 'local') {
    chosenCluster()
    return await use({ enter, local: false })
  }
  const wasUp = holder() !== undefined
  try {
    await must('up')
    return await use({ enter, local: true })
  } finally {
    if (!wasUp) await must('down')
  }
}

async function must(command: string) {
  const [node, main] = dev
  const child = spawn(node, [main, command], { stdio: ['ignore', 'inherit', 'inherit'] })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new Error(`node dev/main.ts ${command} ended with ${code}`)
}
