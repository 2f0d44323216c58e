// Programs that come from Debian's packages, without installing the package: its server must not start on a developer's machine.
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { capture } from './command.ts'
import { cacheDirectory } from './paths.ts'

const tools = join(cacheDirectory, 'tools')

/**
 * The path of promtool, from the package prometheus of this machine's suite (Debian and Ubuntu have it): downloaded at the first
 * call (about 20 MB), and kept as `<cache>/tools/promtool-<version>/`.
 */
export async function promtool(): Promise<string> {
  await mkdir(tools, { recursive: true })
  const have = (await readdir(tools))
    .filter(name => name.startsWith('promtool-'))
    .sort()
    .at(-1)
  if (have) return join(tools, have, 'promtool')
  const work = await mkdtemp(join(tools, '.promtool-'))
  try {
    await download(work)
    const archive = (await readdir(work)).find(name => name.endsWith('.deb'))
    if (!archive) throw new Error('apt-get download prometheus gave no package')
    await capture(['dpkg-deb', '--extract', join(work, archive), join(work, 'content')])
    const version = decodeURIComponent(archive.split('_')[1] ?? 'unknown').replaceAll(/[^\w.+~-]/g, '-')
    const target = join(tools, `promtool-${version}`)
    await mkdir(join(work, 'bin'))
    await rename(join(work, 'content/usr/bin/promtool'), join(work, 'bin/promtool'))
    // Two first calls at once: the later one finds the other's.
    if (!existsSync(target)) await rename(join(work, 'bin'), target)
    return join(target, 'promtool')
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function download(directory: string): Promise<void> {
  const fetch = () => capture(['apt-get', 'download', 'prometheus'], { cwd: directory, env: process.env })
  try {
    await fetch()
  } catch {
    // Package lists may be old or absent, and only root may renew them.
    await capture(['apt-get', 'update'], { env: process.env }).catch((cause: unknown) => {
      throw new Error(
        'promtool cannot be downloaded, and the package lists not be renewed; run apt-get update as root',
        { cause },
      )
    })
    await fetch()
  }
}
