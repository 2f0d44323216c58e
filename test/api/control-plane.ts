// A real etcd and kube-apiserver on the loopback interface: the place where what we say about the Kubernetes API is tried.
// No controllers run here, so nothing makes ServiceAccounts or runs Jobs; `controllerManager: true` adds them.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { goToolDirectory, type GoToolName } from '../../dev/go-tools.ts'
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
}

/** How to reach the API server as its administrator. Certificates are PEM texts. */
export type AdminConfig = {
  readonly url: string
  readonly ca: string
  readonly clientCert: string
  readonly clientKey: string
}

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
  /** Runs kubectl as administrator and gives its stdout. @throws KubectlError when it exits ≠ 0. */
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

/** kubectl said no: `stderr` holds what the API server answered. */
export class KubectlError extends Error {
  readonly stderr: string
  readonly exitCode: number | null
  constructor(args: readonly string[], exitCode: number | null, stderr: string) {
    super(`kubectl ${args.join(' ')} ended with ${exitCode}: ${stderr.trim()}`)
    this.name = 'KubectlError'
    this.stderr = stderr
    this.exitCode = exitCode
  }
}

const readyWithinMs = 60_000

/**
 * Starts a control plane of its own, ready in about three seconds, after removing what killed runs left behind.
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
    const kubectl = (args: readonly string[], { input = '' }: KubectlOptions = {}) =>
      runKubectl(directory, kubeconfig, args, input)

    const startApiServer = async () => {
      const apiServer = await start(program('kubernetes', 'kube-apiserver'), apiServerFlags(port, auditLog))
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

// etcd listens on sockets in its working directory, which are gone with it and reachable for nobody else.
const etcdSocket = 'unix://client:1'
const etcdFlags = [
  '--data-dir=etcd-data',
  `--listen-client-urls=${etcdSocket}`,
  `--advertise-client-urls=${etcdSocket}`,
  '--listen-peer-urls=unix://peer:1',
  '--initial-advertise-peer-urls=unix://peer:1',
  '--initial-cluster=default=unix://peer:1',
  '--unsafe-no-fsync',
  '--log-level=warn',
]

const auditPolicy = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Metadata' }],
}

function apiServerFlags(port: number, auditLog: string | undefined): readonly string[] {
  return [
    `--etcd-servers=${etcdSocket}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    '--external-hostname=127.0.0.1',
    `--secure-port=${port}`,
    // No Endpoints object may hold a loopback address, and nobody here looks for the `kubernetes` Service's.
    '--endpoint-reconciler-type=none',
    '--service-cluster-ip-range=10.96.0.0/16',
    '--tls-cert-file=apiserver.crt',
    '--tls-private-key-file=apiserver.key',
    '--client-ca-file=ca.crt',
    '--service-account-key-file=sa.key',
    '--service-account-signing-key-file=sa.key',
    '--service-account-issuer=https://kubernetes.default.svc',
    '--authorization-mode=Node,RBAC',
    '--allow-privileged=true',
    // Beyond the defaults (ValidatingAdmissionPolicy, PodSecurity, ServiceAccount, ResourceQuota, …): OpenShift has it,
    // and it refuses ownerReferences with blockOwnerDeletion to those who may not set finalizers.
    '--enable-admission-plugins=OwnerReferencesPermissionEnforcement',
    ...(auditLog
      ? ['--audit-policy-file=audit-policy.json', `--audit-log-path=${auditLog}`, '--audit-log-mode=blocking']
      : []),
  ]
}

function controllerManagerFlags(kubeconfig: string): readonly string[] {
  return [
    `--kubeconfig=${kubeconfig}`,
    '--secure-port=0',
    '--leader-elect=false',
    '--use-service-account-credentials=true',
    '--service-account-private-key-file=sa.key',
    '--root-ca-file=ca.crt',
    '--kube-api-qps=100',
    '--kube-api-burst=200',
  ]
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

async function tail(log: string): Promise<string> {
  return (await readFile(log, 'utf8')).trim().split('\n').slice(-15).join('\n')
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
    cert: admin.clientCert,
    key: admin.clientKey,
    agent: false,
    timeout: 10_000,
    headers: { 'content-type': 'application/json' },
  })
  request.on('timeout', () => request.destroy(Object.assign(new Error(`no answer to ${path}`), { code: 'ECONNRESET' })))
  request.end(body === undefined ? undefined : JSON.stringify(body))
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return { status: response.statusCode, body: await text(response) }
}

async function runKubectl(home: string, kubeconfig: string, args: readonly string[], input: string): Promise<string> {
  // HOME, because kubectl keeps a cache and reads preferences there; the caller's own are not ours to touch.
  const child = spawn(program('kubernetes', 'kubectl'), args, { env: { HOME: home, KUBECONFIG: kubeconfig } })
  const ended = once(child, 'close') as Promise<[number | null]>
  child.stdin.on('error', ignoreBrokenPipe)
  child.stdin.end(input)
  const [stdout, stderr, [exitCode]] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  if (exitCode !== 0) throw new KubectlError(args, exitCode, stderr)
  return stdout
}

/** kubectl that does not read its input, or refuses its arguments first, closes the pipe; its exit code tells. */
function ignoreBrokenPipe(error: NodeJS.ErrnoException) {
  if (error.code !== 'EPIPE') throw error
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

/**
 * A port that nobody listens on. Below the range that Linux gives to outgoing connections, so that it is still
 * free when a killed API server comes back.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const server = createServer()
    const free = await new Promise<boolean>(resolve => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!free) continue
    server.close()
    await once(server, 'close')
    return port
  }
}
