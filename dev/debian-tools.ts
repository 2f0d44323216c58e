// Programs that come from Debian's packages, without installing the package: its server must not start on a developer's machine.
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { capture } from './command.ts'
import { cacheDirectory } from './paths.ts'

const tools = join(cacheDirectory, 'tools')

type DebianTool = {
  /** Of the folder in the cache. */
  readonly name: string
  readonly package: string
  /** In /usr/bin of the package. */
  readonly program: string
}

/**
 * The path of promtool, from the package prometheus of this machine's suite (Debian and Ubuntu have it): downloaded at the first
 * call (about 20 MB), and kept as `<cache>/tools/promtool-<version>/`.
 */
export function promtool(): Promise<string> {
  return programOf({ name: 'promtool', package: 'prometheus', program: 'promtool' })
}

/** The path of age as this machine's suite has it (about 2 MB): what people with old backups have at hand. Not the one of go-tools.ts. */
export function debianAge(): Promise<string> {
  return programOf({ name: 'debian-age', package: 'age', program: 'age' })
}

async function programOf({ name, package: from, program }: DebianTool): Promise<string> {
  await mkdir(tools, { recursive: true })
  const have = (await readdir(tools))
    .filter(folder => folder.startsWith(`${name}-`))
    .sort()
    .at(-1)
  if (have) return join(tools, have, program)
  const work = await mkdtemp(join(tools, `.${name}-`))
  try {
    await download(from, work)
    const archive = (await readdir(work)).find(file => file.endsWith('.deb'))
    if (!archive) throw new Error(`apt-get download ${from} gave no package`)
    await capture(['dpkg-deb', '--extract', join(work, archive), join(work, 'content')])
    const version = decodeURIComponent(archive.split('_')[1] ?? 'unknown').replaceAll(/[^\w.+~-]/g, '-')
    const target = join(tools, `${name}-${version}`)
    await mkdir(join(work, 'bin'))
    await rename(join(work, 'content/usr/bin', program), join(work, 'bin', program))
    // Two first calls at once: the later one finds the other's.
    if (!existsSync(target)) await rename(join(work, 'bin'), target)
    return join(target, program)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function download(from: string, directory: string): Promise<void> {
  const fetch = () => capture(['apt-get', 'download', from], { cwd: directory, env: process.env })
  try {
    await fetch()
  } catch {
    // Package lists may be old or absent, and only root may renew them.
    await capture(['apt-get', 'update'], { env: process.env }).catch((cause: unknown) => {
      throw new Error(
        `the package ${from} cannot be downloaded, and the package lists not be renewed; run apt-get update as root`,
        { cause },
      )
    })
    await fetch()
  }
}
