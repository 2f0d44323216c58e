// What the machine must have. What is missing and can be installed quietly is; the rest is named with its remedy.
import { existsSync, readFileSync } from 'node:fs'
import { capture, CommandError, type Say } from './command.ts'

/** A thing that the local cluster needs. `installable`: the Debian package that brings it, safe to install unasked. */
type Need = {
  readonly what: string
  readonly present: () => Promise<boolean> | boolean
  readonly installable?: string
  readonly remedy: string
}

const needs: readonly Need[] = [
  {
    what: 'debootstrap (makes the root file systems of the node and the images)',
    present: () => onPath('debootstrap'),
    installable: 'debootstrap',
    remedy: 'apt-get install debootstrap',
  },
  {
    what: "apt's sources (the packages of the node and the images come from Debian's mirrors)",
    present: () => onPath('apt-get'),
    remedy: 'run on Debian or a derivative of it',
  },
  {
    what: 'Go 1.26 or newer (Kubernetes is built from Go modules)',
    present: async () => atLeast(await output(['go', 'env', 'GOVERSION']), 1, 26),
    remedy: 'install Go from https://go.dev/dl and put its bin folder on the PATH',
  },
  {
    what: 'openssl (certificates of the clusters that tests start)',
    present: () => onPath('openssl'),
    installable: 'openssl',
    remedy: 'apt-get install openssl',
  },
  {
    what: 'busybox (tests run the helpers of backup pods with it)',
    present: () => onPath('busybox'),
    installable: 'busybox-static',
    remedy: 'apt-get install busybox-static',
  },
  {
    what: 'zstd (tests read backups with it, as people do)',
    present: () => onPath('zstd'),
    installable: 'zstd',
    remedy: 'apt-get install zstd',
  },
  {
    what: 'jq (a test recovers from a disaster by the commands of the documents)',
    present: () => onPath('jq'),
    installable: 'jq',
    remedy: 'apt-get install jq',
  },
  {
    what: 'unshare, nsenter, setpriv and flock (util-linux)',
    present: () => ['unshare', 'nsenter', 'setpriv', 'flock'].every(onPath),
    installable: 'util-linux',
    remedy: 'apt-get install util-linux',
  },
  fileSystem('overlay', 'containers'),
  fileSystem('xfs', "the CSI driver's pool"),
  {
    what: 'loop devices (volumes of the CSI driver are image files)',
    present: () => existsSync('/dev/loop-control'),
    remedy: 'modprobe loop',
  },
  {
    what: 'network namespaces, bridges and veth pairs',
    present: () => succeeds(['unshare', '--net', 'sh', '-c', 'ip link add t0 type bridge && ip link add t1 type veth']),
    installable: 'iproute2',
    remedy: 'apt-get install iproute2; modprobe bridge veth; in a container: run it privileged',
  },
  {
    what: 'cgroups for CPU, memory and pids',
    present: () => ['cpu', 'memory', 'pids'].every(name => existsSync(`/proc/cgroups`) && cgroupEnabled(name)),
    remedy: 'boot with the cgroup controllers enabled; in a container: mount /sys/fs/cgroup writable',
  },
]

/**
 * @throws Error that names everything missing, each with the command that installs it
 */
export async function preflight(say: Say): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new Error('the local cluster needs root (namespaces, mounts, cgroups): run the command with sudo')
  const missing: Need[] = []
  for (const need of needs) {
    if (await need.present()) continue
    if (need.installable && onPath('apt-get')) await install(need.installable, say)
    if (!(await need.present())) missing.push(need)
  }
  if (missing.length === 0) return
  const list = missing.map(({ what, remedy }) => `  ${what}\n    -> ${remedy}`)
  throw new Error(`this machine lacks:\n${list.join('\n')}`)
}

/** Tries to. What keeps it from succeeding is said, and the package is then missing. */
async function install(package_: string, say: Say): Promise<void> {
  say(`installing the Debian package ${package_}`)
  const apt = (...args: readonly string[]) =>
    capture(['apt-get', ...args], { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })
  const once = () => apt('install', '-y', '--no-install-recommends', package_)
  try {
    // Package lists may be old or absent.
    await once().catch(async () => {
      await apt('update')
      await once()
    })
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    say(error.message)
  }
}

function fileSystem(name: string, purpose: string): Need {
  return {
    what: `the ${name} file system in the kernel (${purpose})`,
    present: async () => {
      const known = () => readFileSync('/proc/filesystems', 'utf8').split(/\s+/).includes(name)
      return known() || ((await succeeds(['modprobe', name])) && known())
    },
    remedy: `modprobe ${name}`,
  }
}

function onPath(program: string): boolean {
  return (process.env.PATH ?? '').split(':').some(folder => existsSync(`${folder}/${program}`))
}

function cgroupEnabled(controller: string): boolean {
  return readFileSync('/proc/cgroups', 'utf8')
    .split('\n')
    .some(line => line.startsWith(`${controller}\t`) && line.endsWith('\t1'))
}

function atLeast(version: string, major: number, minor: number): boolean {
  const [, have = '0', haveMinor = '0'] = /^go(\d+)\.(\d+)/.exec(version) ?? []
  return Number(have) > major || (Number(have) === major && Number(haveMinor) >= minor)
}

async function succeeds(argv: readonly string[]): Promise<boolean> {
  return (await output(argv, 'ok')) !== ''
}

/** What a program prints, `otherwise` when it prints nothing, and nothing when it fails or is absent. */
async function output(argv: readonly string[], otherwise = ''): Promise<string> {
  try {
    return (await capture(argv)) || otherwise
  } catch {
    return ''
  }
}
