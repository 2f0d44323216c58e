// A local cluster beside the one of the stories, with the same tools and images and a state of its own: one that may be killed.
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { capture } from '../dev/command.ts'
import { cacheDirectory, repository } from '../dev/paths.ts'
import { parseStat, type ProcessIdentity } from '../dev/process-identity.ts'

export type SecondCluster = {
  /** Everything of it. */
  readonly scratch: string
  /** What the cluster keeps, etcd included, is below this. */
  readonly state: string
  readonly env: NodeJS.ProcessEnv
  /** The command line of `dev/main.ts` for this cluster. */
  readonly dev: (...args: readonly string[]) => readonly string[]
  /** Runs such a command line and returns what it prints. */
  readonly run: (argv: readonly string[], input?: string) => Promise<string>
  /** The process whose end ends the cluster. */
  readonly holder: () => ProcessIdentity
  /** Makes its folders, which are empty then. */
  readonly begin: () => Promise<void>
  /** Ends it, and one that an earlier run of the test left. */
  readonly remove: () => Promise<void>
}

/** @param name of its folder in the cache: a fixed place, so that the next run finds what one that was killed left running */
export function secondCluster(name: string): SecondCluster {
  const scratch = join(cacheDirectory, name)
  const seenAs = join(scratch, 'backup-operator')
  const state = join(scratch, 'state')
  // CLUSTER may name the one of the stories; here only the second one is meant.
  const env = { ...process.env, XDG_CACHE_HOME: scratch, CLUSTER: '' }
  const run = (argv: readonly string[], input?: string) => capture(argv, { env, input })

  /** Where the cache has another `cluster` folder: in mount namespaces that are gone with the command. */
  function dev(...args: readonly string[]): readonly string[] {
    const script = 'mount --bind "$1" "$2" && mount --bind "$3" "$2/cluster" && shift 3 && exec "$@"'
    const mounts = [cacheDirectory, seenAs, state]
    const command = [process.execPath, join(repository, 'dev/main.ts'), ...args]
    return ['unshare', '--mount', 'bash', '-c', script, 'dev', ...mounts, ...command]
  }

  async function remove() {
    for (const folder of [seenAs, state, join(cacheDirectory, 'cluster')]) mkdirSync(folder, { recursive: true })
    await run(dev('down'))
    rmSync(scratch, { recursive: true })
  }

  return {
    scratch,
    state,
    env,
    dev,
    run,
    holder: () => parseStat(readFileSync(join(state, 'holder'), 'utf8')),
    remove,
    async begin() {
      await remove()
      for (const folder of [seenAs, state]) mkdirSync(folder, { recursive: true })
    },
  }
}
