// Breaks parts of the local cluster on purpose, for tests of what happens then.
import { join } from 'node:path'
import { capture } from '../command.ts'
import { sandboxNode } from '../sandbox.ts'
import type { components } from './components.ts'
import { bootSettings, nodeEnvironment, onNode } from './lifecycle.ts'

/** A program of the cluster, e.g. `kube-apiserver` or `csi-driver`; see {@link components}. */
export type ComponentName = keyof ReturnType<typeof components>

/** Ends a component with SIGKILL and waits until it is gone. It stays away until {@link startComponent}. */
export async function killComponent(name: ComponentName): Promise<void> {
  await command('kill', name)
}

/** Starts a component that was killed. It may need seconds until it works; callers wait for what they need. */
export async function startComponent(name: ComponentName): Promise<void> {
  await command('start', name)
}

async function command(what: 'kill' | 'start', name: string) {
  const program = join(import.meta.dirname, 'component-command.ts')
  const argv = onNode([sandboxNode, program, what, name, JSON.stringify(await bootSettings())])
  await capture(argv, { env: nodeEnvironment })
}
