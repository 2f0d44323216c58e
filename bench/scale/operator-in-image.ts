// The operator as the image runs it: its command line, its Node flags and a compile cache that was filled before, in a mount namespace
// that has a ServiceAccount's token where Kubernetes puts it. Without the image, because a machine without a registry needs minutes for it.
import { readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { eventually } from '../../dev/eventually.ts'
import { repository } from '../../dev/paths.ts'
import { bundle } from '../../tools/bundle.ts'
import { releaseName, releaseNamespace } from '../../test/chart/chart.ts'
import type { ControlPlane } from '../../test/api/control-plane/control-plane.ts'
import { kill, spawnRecorded } from '../../test/api/control-plane/run-directory.ts'
import { freePort } from '../../test/runner/free-port.ts'

export type Program = {
  /** The path of `main.ts`, or of what was made of it. */
  readonly main: string
  readonly nodeFlags: readonly string[]
}

export type MeasuredOperator = {
  readonly pid: number
  readonly metricsPort: number
  readonly healthPort: number
  /** Resolves once every cache is full. */
  readonly synced: () => Promise<void>
  /** Ends it as the kubelet does, so that it keeps what it compiled. */
  readonly stop: () => Promise<void>
}

/** What the image starts, as its Dockerfile makes it, in a folder of ours. */
export async function imageProgram(folder: string): Promise<Program> {
  const dockerfile = await readFile(join(repository, 'Dockerfile'), 'utf8')
  const [, list = '[]'] = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile) ?? []
  const words = JSON.parse(list) as readonly string[]
  const program = '/app/program/'
  const main = words.at(-1) ?? ''
  if (!main.startsWith(program)) throw new Error(`the ENTRYPOINT of the Dockerfile starts ${main}, not the bundle`)
  await bundle(folder)
  return { main: join(folder, main.slice(program.length)), nodeFlags: words.slice(1, -1) }
}

/** A mount namespace of its own: what is put over /var/run is seen by this one process, and goes with it. */
const enter = `set -eu
mount -t tmpfs tmpfs /var/run
mkdir -p /var/run/secrets/kubernetes.io/serviceaccount
cp token ca.crt /var/run/secrets/kubernetes.io/serviceaccount/
exec "$@"`

/** Needs root, for the mount. */
export async function startMeasured(plane: ControlPlane, { main, nodeFlags }: Program): Promise<MeasuredOperator> {
  const directory = join(dirname(plane.kubeconfig), 'operator')
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, 'ca.crt'), plane.ca)
  await writeFile(join(directory, 'token'), await plane.serviceAccountToken(releaseNamespace, releaseName), {
    mode: 0o600,
  })
  const [metricsPort, healthPort] = [await freePort(), await freePort()]
  const environment = [
    `KUBERNETES_SERVICE_HOST=${new URL(plane.url).hostname}`,
    `KUBERNETES_SERVICE_PORT=${new URL(plane.url).port}`,
    'NODE_ENV=production',
    // As the chart sets it.
    'MALLOC_ARENA_MAX=1',
    `NODE_COMPILE_CACHE=${join(directory, 'compile-cache')}`,
  ]
  const flags = [
    '--image=localhost/backup-operator:dev',
    `--namespace=${releaseNamespace}`,
    '--identity=bench',
    `--metrics-port=${metricsPort}`,
    `--health-port=${healthPort}`,
  ]
  const command = ['env', ...environment, process.execPath, ...nodeFlags, main, 'operator', ...flags]
  const spawned = await spawnRecorded(directory, 'unshare', ['--mount', 'sh', '-c', enter, 'sh', ...command])
  const ready = async () => (await fetch(`http://127.0.0.1:${healthPort}/readyz`)).ok
  return {
    pid: spawned.pid,
    metricsPort,
    healthPort,
    synced: async () => {
      await eventually('full caches', () => !spawned.running() || ready(), { seconds: 300 }).catch(
        async (cause: unknown) => {
          throw new Error(`the operator does not get ready: ${await readFile(spawned.log, 'utf8')}`, { cause })
        },
      )
      if (!spawned.running()) throw new Error(`the operator ended: ${await readFile(spawned.log, 'utf8')}`)
    },
    stop: async () => {
      process.kill(spawned.pid, 'SIGTERM')
      try {
        await eventually('the end of the operator', () => !spawned.running(), { seconds: 30 })
      } finally {
        await kill(spawned)
      }
    },
  }
}

/** MiB: what it holds now, and the most that it ever held. */
export function memoryOf(pid: number): { readonly rss: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kib = (field: string) => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1])
  return { rss: Math.round(kib('VmRSS') / 1024), peak: Math.round(kib('VmHWM') / 1024) }
}

/** Seconds of CPU, all threads. */
export function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** Milliseconds that the main thread computed: on a busy machine less than what it took. */
export function mainThreadMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6
}

export async function descriptorsOf(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length
}
