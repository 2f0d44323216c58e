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
  /** When the tests began with it. */
  readonly since: Date
}

/**
 * The cluster, for whoever asks for it while the tests run. The first who asks starts the local one, if it is down, with the image of the
 * present source. `end` stops one that was started so; one that was up stays up.
 * @throws Error (both) when it does not start or end, or CLUSTER names one that CONFIRM does not
 */
export function testCluster(): { readonly access: () => Promise<Access>; readonly end: () => Promise<void> } {
  let asked: Promise<Access> | undefined
  let started = false
  async function start(): Promise<Access> {
    const enter = [...dev, 'exec', '--']
    if (process.env.CLUSTER && process.env.CLUSTER !== 'local') {
      chosenCluster()
      return { enter, local: false, since: new Date() }
    }
    started = holder() === undefined
    await must('up', '--stories')
    return { enter, local: true, since: new Date() }
  }
  return {
    access: () => (asked ??= start()),
    end: async () => {
      await asked?.catch(() => undefined)
      if (started) await must('down')
    },
  }
}

async function must(command: string, ...options: readonly string[]) {
  const [node, main] = dev
  const child = spawn(node, [main, command, ...options], { stdio: ['ignore', 'inherit', 'inherit'] })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new Error(`node dev/main.ts ${command} ended with ${code}`)
}
