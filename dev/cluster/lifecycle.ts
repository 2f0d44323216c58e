// Starts and stops the cluster. Its node is one sandbox (../sandbox.ts): when the sandbox's first process ends, the
// kernel ends every other one in it and takes back mounts, links and loop devices. Only cgroups and files need a hand.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { capture, type Say, tail } from '../command.ts'
import { eventually } from '../eventually.ts'
import { withLock } from '../lock.ts'
import { cacheDirectory, clusterDirectory, repository, runDirectory } from '../paths.ts'
import { isAlive, signalProcess } from '../process-identity.ts'
import { nodeRoot } from '../root-file-systems.ts'
import { inSandbox, sandboxNode } from '../sandbox.ts'
import { removeCgroups } from './cgroups.ts'
import type { ImageFile } from './image-store.ts'
import { assertOurs, bootedFile, holder, holderFile, sandboxInit, setOwner } from './instance.ts'
import { containerdRoot, kubeletRoot } from './layout.ts'
import { brokenParts } from './status.ts'

export type Started = {
  /** True: it ran already and is healthy. */
  readonly reused: boolean
  /** Milliseconds after the start at which each milestone was reached; empty when reused. */
  readonly milestones: Readonly<Record<string, number>>
}

/** Whoever changes the cluster has it. */
const clusterLock = 'cluster'

/** Brings the cluster up with these images, or only the images into a healthy one. */
export async function startCluster(images: readonly ImageFile[], say: Say): Promise<Started> {
  await assertOurs()
  return withLock(clusterLock, async () => {
    if (holder()) {
      const broken = await brokenParts()
      if (broken.length === 0) {
        await importImages(images, say)
        return { reused: true, milestones: {} }
      }
      say(`the cluster that runs is broken (${broken.join('; ')}): starting a new one`)
    }
    const began = performance.now()
    await stop()
    await setOwner()
    await startSandbox()
    const prepared = Math.round(performance.now() - began)
    const output = await boot(images)
    const milestones: Record<string, number> = {}
    for (const [name, ms] of Object.entries(output)) milestones[name] = ms + prepared
    await writeFile(bootedFile, JSON.stringify(milestones))
    return { reused: false, milestones }
  })
}

/** Ends the cluster and deletes its state. Images stay in the cache for the next start. */
export async function stopCluster(): Promise<void> {
  await assertOurs()
  await withLock(clusterLock, stop)
}

/** The command line that runs `command` on the cluster's node: its network, files and processes. */
function onNode(command: readonly string[]): string[] {
  const init = sandboxInit()
  if (!init) throw new Error('the local cluster does not run; start it with: make cluster-up')
  return ['nsenter', `--target=${init.pid}`, '--mount', '--net', '--pid', '--uts', '--', ...command]
}

/** Loads images into the running cluster. */
export async function loadImages(images: readonly ImageFile[], say: Say): Promise<void> {
  await assertOurs()
  await withLock(clusterLock, () => importImages(images, say))
}

async function importImages(images: readonly ImageFile[], say: Say): Promise<void> {
  const program = join(import.meta.dirname, 'load-images.ts')
  const imported = await capture(onNode([sandboxNode, program, JSON.stringify(images)]), { env: nodeEnvironment })
  if (imported.trim() !== '') say(`loaded ${imported.trim()}`)
}

/** What programs on the node see of this one's environment: where the cache is. */
const nodeEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  XDG_CACHE_HOME: join(cacheDirectory, '..'),
  LC_ALL: 'C.UTF-8',
}

async function startSandbox() {
  const containerdStore = join(clusterDirectory, 'containerd')
  const kubeletStore = join(runDirectory, 'kubelet')
  const podLogs = join(runDirectory, 'pod-logs')
  for (const folder of [containerdStore, kubeletStore, podLogs]) await mkdir(folder, { recursive: true })
  const sandbox = inSandbox(
    {
      root: nodeRoot,
      network: 'own',
      dieWithParent: false,
      binds: [
        cacheDirectory,
        repository,
        [containerdStore, containerdRoot],
        [kubeletStore, kubeletRoot],
        [podLogs, '/var/log/pods'],
      ],
    },
    ['sleep', 'infinity'],
  )
  // It records itself before it is anything: no kill can leave a sandbox that the next start does not find.
  const recorded = ['bash', '-c', 'cat "/proc/$$/stat" >"$1" && shift && exec "$@"', 'sandbox', holderFile, ...sandbox]
  const log = await open(join(runDirectory, 'sandbox.log'), 'w')
  const [program = '', ...args] = recorded
  const child = spawn(program, args, { detached: true, stdio: ['ignore', log.fd, log.fd], env: nodeEnvironment })
  child.unref()
  const ready = async () => {
    const init = sandboxInit()
    if (!init && child.exitCode !== null)
      throw new Error(`the sandbox ended: ${await tail(join(runDirectory, 'sandbox.log'))}`)
    // Its command runs once the mounts are made.
    return (
      init && (await readFile(`/proc/${init.pid}/task/${init.pid}/children`, 'utf8')) !== '' && insideRoot(init.pid)
    )
  }
  await eventually("the node's sandbox", ready, { seconds: 20, every: 20 })
  await log.close()
}

async function insideRoot(pid: number): Promise<boolean> {
  const mounts = await readFile(`/proc/${pid}/mountinfo`, 'utf8')
  return mounts.split('\n').every(line => line.split(' ')[4] !== '/.old') && / \/var\/log\/pods /.test(mounts)
}

async function boot(images: readonly ImageFile[]): Promise<Record<string, number>> {
  const program = join(import.meta.dirname, 'boot.ts')
  const output = await capture(onNode([sandboxNode, program, JSON.stringify(images)]), { env: nodeEnvironment })
  return JSON.parse(output) as Record<string, number>
}

async function stop() {
  const outer = holder()
  const init = sandboxInit()
  if (init) signalProcess(init, 'SIGKILL')
  if (outer) signalProcess(outer, 'SIGKILL')
  const gone = () => [outer, init].every(process_ => !process_ || !isAlive(process_))
  await eventually("the node's processes to end", gone, { seconds: 30, every: 20 })
  await eventually("the kernel to release the node's loop devices", async () => (await loopDevices()).length === 0, {
    seconds: 30,
    every: 20,
  })
  await removeCgroups()
  await rm(runDirectory, { recursive: true, force: true })
  await rm(holderFile, { force: true })
}

/** Loop devices whose file is below the cluster's folder. */
async function loopDevices(): Promise<string[]> {
  const ours: string[] = []
  for (const device of await readdir('/sys/block')) {
    const backing = join('/sys/block', device, 'loop/backing_file')
    if (!existsSync(backing)) continue
    const file = await readFile(backing, 'utf8').catch(() => '') // it may go at any moment
    if (file.startsWith(`${runDirectory}/`)) ours.push(`/dev/${device}`)
  }
  return ours
}
