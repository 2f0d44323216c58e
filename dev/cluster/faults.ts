// Breaks parts of the local cluster on purpose, for tests of what happens then.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { capture } from '../command.ts'
import { sandboxNode } from '../sandbox.ts'
import type { BootSettings, components } from './components.ts'
import { bootedFile } from './instance.ts'
import { nodeEnvironment, onNode } from './lifecycle.ts'

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
  const { settings } = JSON.parse(await readFile(bootedFile, 'utf8')) as { settings: BootSettings }
  const program = join(import.meta.dirname, 'component-command.ts')
  const argv = onNode([sandboxNode, program, what, name, JSON.stringify({ audit: settings.audit })])
  await capture(argv, { env: nodeEnvironment })
}
