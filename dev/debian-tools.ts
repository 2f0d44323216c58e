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
export function promtool(): Promise<string> {
  return programOf('promtool', 'prometheus', 'promtool')
}

/** The path of age as this machine's suite has it (about 2 MB): what people with old backups have at hand. Not the one of go-tools.ts. */
export function debianAge(): Promise<string> {
  return programOf('debian-age', 'age', 'age')
}

/** The path of rclone as this machine's suite has it (about 15 MB): what people with old backups have at hand. */
export function debianRclone(): Promise<string> {
  return programOf('rclone', 'rclone', 'rclone')
}

async function programOf(tool: string, from: string, program: string): Promise<string> {
  const folder = await fromPackages(tool, [from], async (content, target) => {
    await mkdir(target)
    await rename(join(content, 'usr/bin', program), join(target, program))
  })
  return join(folder, program)
}

export type PostgresPrograms = {
  /** The folder of server and client programs, for PATH. */
  readonly programs: string
  /** The folder of the libraries that they need and this machine may lack, for LD_LIBRARY_PATH. */
  readonly libraries: string
}

/** Server, client, and the libraries of theirs that a small installation lacks. LLVM is left out: run the server with `jit = off`. */
const postgresPackages =
  'postgresql-15 postgresql-client-15 libpq5 libicu72 libxml2 libldap-2.5-0 libsasl2-2 libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libkeyutils1 libcom-err2 libreadline8'.split(
    ' ',
  )

/**
 * Server and client programs of PostgreSQL 15, from this machine's suite (Debian 12): downloaded at the first call (about 30 MB), and
 * kept as `<cache>/tools/postgres-<version>/`.
 */
export async function postgresPrograms(): Promise<PostgresPrograms> {
  const tool = await fromPackages('postgres', postgresPackages, (content, target) => rename(content, target))
  const [architecture = ''] = (await readdir(join(tool, 'usr/lib'))).filter(name => name.endsWith('-linux-gnu'))
  return { programs: join(tool, 'usr/lib/postgresql/15/bin'), libraries: join(tool, 'usr/lib', architecture) }
}

export type MariaDbPrograms = {
  /** Holds `bin`, `sbin` and `share`: what mariadb-install-db calls its basedir. */
  readonly prefix: string
  /** The folders of the libraries that they need and this machine may lack, for LD_LIBRARY_PATH. */
  readonly libraries: string
}

/** Server, client, and the libraries of theirs that a small installation lacks. */
const mariaDbPackages =
  'mariadb-server-core mariadb-client mariadb-client-core libaio1 liburing2 libnuma1 libedit2 libncurses6 libbsd0 libmd0'.split(
    ' ',
  )

/**
 * Server and client programs of MariaDB 10.11, from this machine's suite (Debian 12): downloaded at the first call (about 12 MB), and
 * kept as `<cache>/tools/mariadb-<version>/`.
 */
export async function mariaDbPrograms(): Promise<MariaDbPrograms> {
  const tool = await fromPackages('mariadb', mariaDbPackages, (content, target) => rename(content, target))
  const [architecture = ''] = (await readdir(join(tool, 'usr/lib'))).filter(name => name.endsWith('-linux-gnu'))
  const libraries = ['usr/lib', 'lib'].map(folder => join(tool, folder, architecture)).join(':')
  return { prefix: join(tool, 'usr'), libraries }
}

/**
 * `<cache>/tools/<tool>-<version of the first package>/`, made at the first call out of what the packages hold.
 * @param keep moves what is wanted of the content to the target, which does not exist yet
 */
async function fromPackages(
  tool: string,
  packages: readonly string[],
  keep: (content: string, target: string) => Promise<void>,
): Promise<string> {
  await mkdir(tools, { recursive: true })
  const have = (await readdir(tools))
    .filter(name => name.startsWith(`${tool}-`))
    .sort()
    .at(-1)
  if (have) return join(tools, have)
  const work = await mkdtemp(join(tools, `.${tool}-`))
  try {
    await download(tool, packages, work)
    const archives = (await readdir(work)).filter(name => name.endsWith('.deb'))
    const first = archives.find(name => name.startsWith(`${packages[0]}_`))
    if (!first) throw new Error(`apt-get download ${packages[0]} gave no package`)
    const content = join(work, 'content')
    for (const archive of archives) await capture(['dpkg-deb', '--extract', join(work, archive), content])
    const version = decodeURIComponent(first.split('_')[1] ?? 'unknown').replaceAll(/[^\w.+~-]/g, '-')
    const target = join(tools, `${tool}-${version}`)
    await keep(content, join(work, 'kept'))
    // Two first calls at once: the later one finds the other's.
    if (!existsSync(target)) await rename(join(work, 'kept'), target)
    return target
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function download(tool: string, packages: readonly string[], directory: string): Promise<void> {
  const fetch = () => capture(['apt-get', 'download', ...packages], { cwd: directory, env: process.env })
  try {
    await fetch()
  } catch {
    // Package lists may be old or absent, and only root may renew them.
    await capture(['apt-get', 'update'], { env: process.env }).catch((cause: unknown) => {
      throw new Error(
        `${tool} cannot be downloaded, and the package lists not be renewed; run apt-get update as root`,
        { cause },
      )
    })
    await fetch()
  }
}
