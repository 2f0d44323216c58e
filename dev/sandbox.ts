// Runs programs in a disposable root file system with namespaces of their own (see sandbox.sh).
// The cluster's node is one such sandbox, an image build another; whatever way one ends, the kernel removes all traces.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDirectory } from './paths.ts'

export type Sandbox = {
  /** The root file system; it stays as it is, the sandbox writes to memory. */
  readonly root: string
  /** Folders and files of the machine to show inside: the same path, or another one as `[source, target]`. */
  readonly binds: readonly (string | readonly [source: string, target: string])[]
  /** `own`: a network namespace with nothing in it; `host`: the machine's. */
  readonly network: 'own' | 'host'
  /** End it when the process that starts it ends, however that happens. */
  readonly dieWithParent: boolean
}

/** Where every sandbox has the Node that this process runs on. */
export const sandboxNode = '/usr/local/bin/node'

const mountPoint = join(cacheDirectory, 'mount-point')

/** The command line that runs `command` in a sandbox. Needs root. */
export function inSandbox({ root, binds, network, dieWithParent }: Sandbox, command: readonly string[]): string[] {
  mkdirSync(mountPoint, { recursive: true })
  const shown = binds.map(bind => (typeof bind === 'string' ? ([bind, bind] as const) : bind))
  const pairs = [...shown, [process.execPath, sandboxNode] as const]
  for (const path of pairs.flat())
    if (path.includes(':')) throw new Error(`cannot show ${path} in a sandbox: its name holds a colon`)
  return [
    ...(dieWithParent ? ['setpriv', '--pdeathsig', 'KILL'] : []),
    'unshare',
    '--mount',
    '--pid',
    '--uts',
    '--fork',
    '--kill-child=KILL',
    ...(network === 'own' ? ['--net'] : []),
    join(import.meta.dirname, 'sandbox.sh'),
    root,
    mountPoint,
    ...pairs.map(([source, target]) => `${source}:${target}`),
    '--',
    ...command,
  ]
}
