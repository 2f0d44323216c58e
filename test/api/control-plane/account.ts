// kubectl as somebody else than the administrator: with the token of a ServiceAccount, as a pod has it.
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { capture, CommandError } from '../../../dev/command.ts'
import { goToolDirectory } from '../../../dev/go-tools.ts'
import type { ControlPlane, KubectlOptions } from './control-plane.ts'

export type Kubectl = ControlPlane['kubectl']

/** kubectl with the token of an existing ServiceAccount and nothing else. */
export async function kubectlAs(plane: ControlPlane, namespace: string, account: string): Promise<Kubectl> {
  const directory = dirname(plane.kubeconfig)
  const KUBECONFIG = join(directory, `${namespace}-${account}.kubeconfig`)
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: plane.url, 'certificate-authority': join(directory, 'ca.crt') } }],
    users: [{ name: account, user: { token: await plane.serviceAccountToken(namespace, account) } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: account } }],
    'current-context': 'test',
  }
  await writeFile(KUBECONFIG, JSON.stringify(config), { mode: 0o600 })
  return (args: readonly string[], { input }: KubectlOptions = {}) =>
    capture([join(goToolDirectory('kubernetes'), 'kubectl'), ...args], { input, env: { HOME: directory, KUBECONFIG } })
}

/** What kubectl wrote to stderr when it was refused, else its stdout. */
export async function answer(kubectl: Kubectl, args: readonly string[], object?: object): Promise<string> {
  try {
    return await kubectl(args, object && { input: JSON.stringify(object) })
  } catch (error) {
    if (error instanceof CommandError) return error.stderr
    throw error
  }
}
