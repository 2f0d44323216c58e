// Two Debian root file systems, made once by debootstrap: `base` goes into the images, `node` is the cluster's machine.
// So nothing is installed on the developer's machine but debootstrap, and no package there starts a service.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { capture, logged, type Say } from './command.ts'
import { withLock } from './lock.ts'
import { cacheDirectory } from './paths.ts'

const suite = 'bookworm'

const basePackages = ['ca-certificates', 'tzdata', 'libatomic1', 'busybox-static']

const nodePackages =
  'containerd runc containernetworking-plugins iptables conntrack ethtool socat xfsprogs e2fsprogs buildah openssl iproute2 kmod procps netbase'.split(
    ' ',
  )

// What no program reads. Copyright files stay.
const unread = ['/usr/share/man/*', '/usr/share/locale/*', '/usr/share/info/*', '/usr/share/doc/*']
const dpkgSettings = [
  ...unread.map(path => `path-exclude=${path}`),
  'path-include=/usr/share/doc/*/copyright',
  '',
].join('\n')

const recipe = 2 // raise when the steps below change
const baseVersion = version(suite, basePackages)
const nodeVersion = version(baseVersion, nodePackages)

export const baseRoot = join(cacheDirectory, 'rootfs', `base-${baseVersion}`)
export const nodeRoot = join(cacheDirectory, 'rootfs', `node-${nodeVersion}`)

function version(...parts: readonly unknown[]): string {
  return createHash('sha256')
    .update(JSON.stringify([recipe, ...parts]))
    .digest('hex')
    .slice(0, 12)
}

/** Makes both root file systems unless they are there: about a minute and a half on 2 cores. */
export async function makeRootFileSystems(say: Say): Promise<void> {
  if (existsSync(baseRoot) && existsSync(nodeRoot)) return
  await withLock('root-file-systems', () => makeBoth(say))
}

async function makeBoth(say: Say): Promise<void> {
  await make(baseRoot, say, 'a Debian root file system (about 40 s)', async (root, log) => {
    const { main } = await debianMirrors()
    const include = `--include=${basePackages.join()}`
    await logged('debootstrap', ['debootstrap', '--variant=minbase', include, suite, root, main], log, say)
    await writeFile(join(root, 'etc/dpkg/dpkg.cfg.d/unread'), dpkgSettings)
    await emptyCaches(root)
  })
  await make(nodeRoot, say, "the node's root file system (about 60 s)", async (root, log) => {
    await capture(['cp', '--archive', baseRoot, root])
    await withApt(root, () => aptInstall(root, nodePackages, log, say))
  })
}

/** Debian's package sources as this machine uses them, so that its mirror or proxy is used, for our suite. */
export async function debianMirrors(): Promise<{ readonly main: string; readonly sources: string }> {
  const targets = await capture(['apt-get', 'indextargets', '--format', '$(SITE) $(RELEASE) $(COMPONENT)'])
  const sites = new Set(
    targets
      .trim()
      .split('\n')
      .map(line => line.split(' '))
      .filter(([site = '', , component]) => component === 'main' && /\/debian(-security)?\/?$/.test(site))
      .map(([site = '']) => site),
  )
  const main = [...sites].find(site => !site.includes('security'))
  if (!main)
    throw new Error(
      'apt on this machine has no Debian source to take packages from; add one to /etc/apt/sources.list.d',
    )
  const security = [...sites]
    .filter(site => site.includes('security'))
    .map(site => `deb ${site} ${suite}-security main`)
  return { main, sources: [`deb ${main} ${suite} main`, ...security, ''].join('\n') }
}

const aptEnvironment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' }

/** Installs packages into a root file system, without their recommendations. Inside {@link withApt} only. */
async function aptInstall(root: string, packages: readonly string[], log: string, say: Say): Promise<void> {
  const install = ['apt-get', 'install', '-y', '--no-install-recommends', ...packages]
  await logged(`apt-get install in ${root}`, ['chroot', root, ...install], log, say, aptEnvironment)
}

/** Lends a root file system the machine's package sources, name servers and certificates while the work runs. */
async function withApt(root: string, work: () => Promise<void>): Promise<void> {
  const { sources } = await debianMirrors()
  const noServices = join(root, 'usr/sbin/policy-rc.d')
  await writeFile(noServices, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  await writeFile(join(root, 'etc/apt/sources.list'), sources)
  await copyFile('/etc/resolv.conf', join(root, 'etc/resolv.conf'))
  await capture(['chroot', root, 'apt-get', 'update'], { env: aptEnvironment })
  await work()
  await rm(noServices)
  await emptyCaches(root)
}

async function emptyCaches(root: string) {
  for (const path of ['var/lib/apt/lists', 'var/cache/apt', 'tmp', 'var/log/apt'])
    await rm(join(root, path), { recursive: true, force: true })
  for (const path of ['var/lib/apt/lists/partial', 'var/cache/apt/archives/partial'])
    await mkdir(join(root, path), { recursive: true })
  await mkdir(join(root, 'tmp'), { recursive: true })
  await capture(['chmod', '1777', join(root, 'tmp')])
  await writeFile(join(root, 'etc/resolv.conf'), '')
}

/** Fills a folder beside its final name and renames it, so that a killed run leaves nothing that looks done. */
async function make(target: string, say: Say, what: string, fill: (root: string, log: string) => Promise<void>) {
  if (existsSync(target)) return
  const started = performance.now()
  const partial = `${target}.partial`
  say(`making ${what}`)
  await rm(partial, { recursive: true, force: true })
  await mkdir(join(cacheDirectory, 'rootfs'), { recursive: true })
  await fill(partial, `${target}.log`)
  await rename(partial, target)
  await rm(`${target}.log`, { force: true })
  say(`made it in ${Math.round((performance.now() - started) / 1000)} s: ${target}`)
}
