// A real etcd and kube-apiserver on the loopback interface: the place where what we say about the Kubernetes API is tried.
// No controllers run here, so nothing makes ServiceAccounts or runs Jobs; `controllerManager: true` adds them.
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { capture, tail } from '../../../dev/command.ts'
import { goToolDirectory, type GoToolName } from '../../../dev/go-tools.ts'
import type { ClientConfig } from '../../../src/runtime/client/config.ts'
import { freePort } from '../../runner/free-port.ts'
import { apiServerFlags, auditPolicy, controllerManagerFlags, etcdFlags } from './component-flags.ts'
import { makeCertificates } from './certificates.ts'
import {
  kill,
  makeRunDirectory,
  removeRunDirectory,
  spawnRecorded,
  sweepRunDirectories,
  type Spawned,
} from './run-directory.ts'

export type ControlPlaneOptions = {
  /** Also runs kube-controller-manager: ServiceAccounts of namespaces, CronJobs, Jobs, garbage collection, namespace deletion. */
  readonly controllerManager?: boolean
  /** Writes every request's metadata (user, verb, resource, answer; never bodies) to `auditLog`, before it is answered. */
  readonly audit?: boolean
  /** Of kube-apiserver, as `Name=false,Other=true`. */
  readonly featureGates?: string
}

/** How to reach the API server as its administrator: a `ClientConfig` with PEM texts. */
export type AdminConfig = Required<Pick<ClientConfig, 'url' | 'ca' | 'clientCertificate'>>

export type KubectlOptions = {
  /** Given to kubectl on stdin, for `-f -`. */
  readonly input?: string
}

export type ControlPlane = {
  /** `https://127.0.0.1:<port>`; the same after a restart. */
  readonly url: string
  /** The authority of the server's certificate, PEM. */
  readonly ca: string
  readonly adminConfig: AdminConfig
  /** Path of a kubeconfig of the administrator. Gone after `stop`. */
  readonly kubeconfig: string
  /** Path of the audit log, one JSON event per line; set with the option `audit`. */
  readonly auditLog: string | undefined
  /**
   * Runs kubectl as administrator and gives its stdout. @throws CommandError (dev/command.ts)
   * with what the API server answered in `stderr`.
   */
  readonly kubectl: (args: readonly string[], options?: KubectlOptions) => Promise<string>
  /** A token of an existing ServiceAccount, by the TokenRequest API; valid for an hour. */
  readonly serviceAccountToken: (namespace: string, name: string) => Promise<string>
  /** Ends kube-apiserver as a crash would; etcd keeps the data. */
  readonly killApiServer: () => Promise<void>
  /** Kills kube-apiserver unless that happened, starts it again on the same port and waits until it is ready. */
  readonly restartApiServer: () => Promise<void>
  /** Ends all processes and removes the directory. */
  readonly stop: () => Promise<void>
}

const readyWithinMs = 60_000

/**
 * Starts a control plane of its own, and waits until it is ready, after removing what killed runs left behind.
 * One per test file; call `stop` in `after`. A harness that dies takes its processes along.
 * @throws Error with the end of the log when a component does not come up.
 */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  await sweepRunDirectories()
  const directory = await makeRunDirectory()
  const running = new Map<string, Spawned>()
  const start = async (path: string, args: readonly string[]) => {
    const spawned = await spawnRecorded(directory, path, args)
    running.set(spawned.name, spawned)
    return spawned
  }
  const stop = async () => {
    await Promise.all([...running.values()].map(kill))
    await removeRunDirectory(directory)
  }
  try {
    const port = await freePort()
    const adminConfig = { url: `https://127.0.0.1:${port}`, ...(await makeCertificates(directory)) }
    const kubeconfig = await writeKubeconfig(directory, 'admin', adminConfig.url)
    const auditLog = options.audit ? join(directory, 'audit.log') : undefined
    if (auditLog) await writeFile(join(directory, 'audit-policy.json'), JSON.stringify(auditPolicy))
    // HOME, because kubectl keeps a cache and reads preferences there; the caller's own are not ours to touch.
    const env = { HOME: directory, KUBECONFIG: kubeconfig, PATH: process.env.PATH }
    const kubectl = (args: readonly string[], { input }: KubectlOptions = {}) =>
      capture([program('kubernetes', 'kubectl'), ...args], { input, env })

    const startApiServer = async () => {
      const flags = apiServerFlags(port, { auditLog, featureGates: options.featureGates })
      const apiServer = await start(program('kubernetes', 'kube-apiserver'), flags)
      await ready(apiServer, async () => {
        const namespaces = await call(adminConfig, 'GET', '/api/v1/namespaces/default')
        return namespaces.status === 200 && (await call(adminConfig, 'GET', '/readyz')).status === 200
      })
    }
    await start(program('etcd', 'etcd'), etcdFlags)
    await startApiServer()
    if (options.controllerManager) {
      const url = await writeKubeconfig(directory, 'controller-manager', adminConfig.url)
      const manager = await start(program('kubernetes', 'kube-controller-manager'), controllerManagerFlags(url))
      const account = '/api/v1/namespaces/default/serviceaccounts/default'
      await ready(manager, async () => (await call(adminConfig, 'GET', account)).status === 200)
    }
    const killApiServer = () => kill(running.get('kube-apiserver') as Spawned)
    return {
      url: adminConfig.url,
      ca: adminConfig.ca,
      adminConfig,
      kubeconfig,
      auditLog,
      kubectl,
      serviceAccountToken: (namespace, name) => requestToken(adminConfig, namespace, name),
      killApiServer,
      restartApiServer: async () => {
        await killApiServer()
        await startApiServer()
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

function program(tool: GoToolName, binary: string): string {
  const path = join(goToolDirectory(tool), binary)
  if (!existsSync(path)) throw new Error(`${path} is missing: the API tests run it. Build it with: make tools`)
  return path
}

/** Waits until `check` holds. A refused connection is a no; the end of the process is an error. */
async function ready(spawned: Spawned, check: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + readyWithinMs
  while (!(await check().catch(ignoreConnectionError))) {
    const problem = !spawned.running() ? 'ended' : performance.now() > deadline ? 'did not become ready' : undefined
    if (problem) throw new Error(`${spawned.name} ${problem}; the end of its log:\n${await tail(spawned.log)}`)
    await delay(50)
  }
}

function ignoreConnectionError(error: NodeJS.ErrnoException): false {
  if (error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET') return false
  throw error
}

async function requestToken(admin: AdminConfig, namespace: string, name: string): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } }
  const answer = await call(admin, 'POST', path, body)
  if (answer.status !== 201) throw new Error(`no token for ${namespace}/${name}: ${answer.status} ${answer.body}`)
  return (JSON.parse(answer.body) as { readonly status: { readonly token: string } }).status.token
}

/** One request of the harness itself; tests use kubectl or the project's own client. */
async function call(admin: AdminConfig, method: string, path: string, body?: unknown) {
  const request = httpsRequest(new URL(path, admin.url), {
    method,
    ca: admin.ca,
    cert: admin.clientCertificate.cert,
    key: admin.clientCertificate.key,
    agent: false,
    timeout: 10_000,
    headers: { 'content-type': 'application/json' },
  })
  request.on('timeout', () => request.destroy(Object.assign(new Error(`no answer to ${path}`), { code: 'ECONNRESET' })))
  request.end(body === undefined ? undefined : JSON.stringify(body))
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return { status: response.statusCode, body: await text(response) }
}

async function writeKubeconfig(directory: string, user: string, server: string): Promise<string> {
  const file = join(directory, `${user}.kubeconfig`)
  const cluster = { server, 'certificate-authority': join(directory, 'ca.crt') }
  const credentials = {
    'client-certificate': join(directory, `${user}.crt`),
    'client-key': join(directory, `${user}.key`),
  }
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster }],
    users: [{ name: user, user: credentials }],
    contexts: [{ name: 'test', context: { cluster: 'test', user } }],
    'current-context': 'test',
  }
  await writeFile(file, JSON.stringify(config), { mode: 0o600 })
  return file
}
