// How tests, demos and people reach a cluster: the local one, or one that is named explicitly.
// An ambient KUBECONFIG is never read.
import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import { delimiter, dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import { capture, type CaptureOptions } from './command.ts'
import { sandboxInit } from './cluster/instance.ts'
import { goToolDirectory } from './go-tools.ts'
import { adminKubeconfig } from './paths.ts'

export type Cluster = {
  readonly kubeconfig: string
  readonly context: string
  /** The network namespace that the API server and the pods are reached from, as a path; undefined: the machine's own. */
  readonly netns?: string
}

/** Where and as whom Node code calls the API server. PEM texts. */
export type ApiAccess = {
  readonly server: string
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/**
 * The cluster that this environment means: `CLUSTER=kubeconfig:<path>` with `CONFIRM=<context>`, or the local one.
 * @throws Error when the local one does not run, or the named one is not confirmed
 */
export function chosenCluster(env: NodeJS.ProcessEnv = process.env): Cluster {
  if (!env.CLUSTER || env.CLUSTER === 'local') return localCluster()
  const kubeconfig = /^kubeconfig:(.+)$/.exec(env.CLUSTER)?.[1]
  if (!kubeconfig) throw new Error(`CLUSTER=${env.CLUSTER} is neither "local" nor "kubeconfig:<path>"`)
  const context = readKubeconfig(kubeconfig)['current-context'] ?? ''
  if (env.CONFIRM !== context)
    throw new Error(
      `the tests create and delete objects in the cluster of context "${context}" (${kubeconfig}); to allow it, set CONFIRM=${context}`,
    )
  return { kubeconfig, context }
}

export function localCluster(): Cluster {
  const init = sandboxInit()
  if (!init) throw new Error('the local cluster does not run; start it with: make cluster-up')
  return { kubeconfig: adminKubeconfig, context: 'backup-operator-dev', netns: `/proc/${init.pid}/ns/net` }
}

/** The command line that runs `argv` in the cluster's network: unchanged when this process is in it already. */
export function inClusterNetwork({ netns }: Cluster, argv: readonly string[]): string[] {
  if (!netns || readlinkSync(netns) === readlinkSync('/proc/self/ns/net')) return [...argv]
  return ['nsenter', `--net=${netns}`, '--', ...argv]
}

/** The environment of programs that work with the cluster: its kubeconfig, and kubectl and helm on the PATH. */
export function clusterEnvironment({ kubeconfig }: Cluster, env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const tools = [goToolDirectory('kubernetes'), goToolDirectory('helm')].filter(folder => existsSync(folder))
  const path = [dirname(process.execPath), ...tools, env.PATH].join(delimiter)
  return { ...env, PATH: path, KUBECONFIG: kubeconfig }
}

/**
 * Runs a program against the cluster and returns its standard output.
 * @throws CommandError
 */
export function clusterRun(cluster: Cluster, argv: readonly string[], options: CaptureOptions = {}): Promise<string> {
  return capture(inClusterNetwork(cluster, argv), { ...options, env: clusterEnvironment(cluster, options.env) })
}

export function kubectl(cluster: Cluster, args: readonly string[], options?: CaptureOptions): Promise<string> {
  return clusterRun(cluster, ['kubectl', ...args], options)
}

/** `kubectl … -o json`, parsed. */
export async function kubectlJson<T>(cluster: Cluster, args: readonly string[]): Promise<T> {
  return JSON.parse(await kubectl(cluster, [...args, '-o', 'json'])) as T
}

/** Applies objects, or YAML text, server-side. */
export function apply(cluster: Cluster, manifest: string | readonly object[]): Promise<string> {
  const input =
    typeof manifest === 'string' ? manifest : JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifest })
  return kubectl(cluster, ['apply', '--server-side', '--filename', '-'], { input })
}

export function helm(cluster: Cluster, args: readonly string[], options?: CaptureOptions): Promise<string> {
  return clusterRun(cluster, ['helm', ...args], options)
}

/** Server and client certificate from the cluster's kubeconfig. Callers must be in the cluster's network. */
export function apiAccess({ kubeconfig, context: name }: Cluster): ApiAccess {
  const config = readKubeconfig(kubeconfig)
  const context = config.contexts.find(entry => entry.name === name)?.context
  const cluster = config.clusters.find(entry => entry.name === context?.cluster)?.cluster
  const user = config.users.find(entry => entry.name === context?.user)?.user
  if (!cluster || !user) throw new Error(`${kubeconfig} has no complete context ${name}`)
  const pem = (from: Readonly<Record<string, string>>, field: string) => {
    const inline = from[`${field}-data`]
    const path = from[field]
    if (inline) return Buffer.from(inline, 'base64').toString()
    if (path) return readFileSync(resolve(dirname(kubeconfig), path), 'utf8')
    throw new Error(`${kubeconfig}: context ${name} has no ${field}; only client certificates are supported here`)
  }
  return {
    server: cluster.server ?? '',
    ca: pem(cluster, 'certificate-authority'),
    cert: pem(user, 'client-certificate'),
    key: pem(user, 'client-key'),
  }
}

type Kubeconfig = {
  readonly 'current-context'?: string
  readonly contexts: readonly {
    readonly name: string
    readonly context: { readonly cluster: string; readonly user: string }
  }[]
  readonly clusters: readonly { readonly name: string; readonly cluster: Readonly<Record<string, string>> }[]
  readonly users: readonly { readonly name: string; readonly user: Readonly<Record<string, string>> }[]
}

function readKubeconfig(path: string): Kubeconfig {
  return parse(readFileSync(path, 'utf8')) as Kubeconfig
}
