// kubectl as somebody else than the administrator: with the token of a ServiceAccount, as a pod has it.
import { capture } from '../../dev/command.ts'
import { goToolDirectory } from '../../dev/go-tools.ts'
import { dirname, join } from 'node:path'
import type { ControlPlane, KubectlOptions } from './control-plane.ts'

export type Kubectl = ControlPlane['kubectl']

/** kubectl with the token of an existing ServiceAccount and nothing else. */
export async function kubectlAs(plane: ControlPlane, namespace: string, account: string): Promise<Kubectl> {
  const token = await plane.serviceAccountToken(namespace, account)
  const directory = dirname(plane.kubeconfig)
  const identity = [`--server=${plane.url}`, `--certificate-authority=${join(directory, 'ca.crt')}`, `--token=${token}`]
  const env = { HOME: directory, KUBECONFIG: '/dev/null' }
  return (args: readonly string[], { input }: KubectlOptions = {}) =>
    capture([join(goToolDirectory('kubernetes'), 'kubectl'), ...identity, ...args], { input, env })
}
