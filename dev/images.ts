// Images without a registry: buildah builds them in a sandbox from the Debian root file system, and each one is kept
// in the cache as a file whose name changes with everything that goes into it.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { productImage } from './chart-image.ts'
import type { ImageFile } from './cluster/image-store.ts'
import { capture, logged, type Say } from './command.ts'
import { buildGoTool, goToolDirectory } from './go-tools.ts'
import { withLock } from './lock.ts'
import { cacheDirectory, repository } from './paths.ts'
import { baseRoot, debianMirrors, makeRootFileSystems, nodeRoot } from './root-file-systems.ts'
import { inSandbox } from './sandbox.ts'
import { nodeProgram, npmDirectory } from './toolchain.ts'

const imageDirectory = join(cacheDirectory, 'images')
const storage = join(cacheDirectory, 'buildah')
const recipes = join(import.meta.dirname, 'images')
const busybox = join(baseRoot, 'bin/busybox')
const certificates = join(baseRoot, 'etc/ssl/certs/ca-certificates.crt')

type Recipe = {
  readonly name: string
  readonly alias?: string
  readonly containerfile: string
  /** Names in the build context, and the files or folders that are linked there. */
  readonly context: Readonly<Record<string, string>>
  readonly from?: readonly Recipe[]
}

const debian: Recipe = {
  name: 'localhost/debian:bookworm',
  containerfile: join(recipes, 'debian/Containerfile'),
  context: { 'root.tar': baseRoot },
}
const node: Recipe = {
  name: 'localhost/node:26',
  containerfile: join(recipes, 'node/Containerfile'),
  context: { node: nodeProgram, npm: npmDirectory },
  from: [debian],
}
const pause: Recipe = {
  name: 'localhost/pause:1',
  containerfile: join(recipes, 'pause/Containerfile'),
  context: { busybox },
}
const minio: Recipe = {
  name: 'localhost/minio:1',
  containerfile: join(recipes, 'minio/Containerfile'),
  context: { busybox, certificates, minio: join(goToolDirectory('minio'), 'minio') },
}
const postgres: Recipe = {
  name: 'localhost/postgres:15',
  alias: 'postgres:15',
  containerfile: join(recipes, 'postgres/Containerfile'),
  context: { 'entrypoint.sh': join(recipes, 'postgres/entrypoint.sh') },
  from: [debian],
}

const mariadb: Recipe = {
  name: 'localhost/mariadb:10.11',
  containerfile: join(recipes, 'mariadb/Containerfile'),
  context: { 'entrypoint.sh': join(recipes, 'mariadb/entrypoint.sh') },
  from: [debian],
}
const versitygw: Recipe = {
  name: 'localhost/versitygw:1',
  containerfile: join(recipes, 'versitygw/Containerfile'),
  context: { busybox, certificates, versitygw: join(goToolDirectory('versitygw'), 'versitygw') },
}

/** Builds share a store and folders for their contexts. */
const buildLock = 'images'

/** What the cluster runs besides the product: made once, a few minutes at most. */
export async function makeClusterImages(say: Say): Promise<ImageFile[]> {
  await buildGoTool('minio', say)
  return makeImages([pause, postgres, minio], say)
}

/** What only the stories run there: another engine, another store. */
export async function makeStoryImages(say: Say): Promise<ImageFile[]> {
  await buildGoTool('versitygw', say)
  return makeImages([mariadb, versitygw], say)
}

function makeImages(each: readonly Recipe[], say: Say): Promise<ImageFile[]> {
  return withLock(buildLock, async () => {
    const images: ImageFile[] = []
    for (const recipe of each) images.push(await makeImage(recipe, say))
    return images
  })
}

/** The product image of the present source, from the project's own Dockerfile. Seconds when only `src/` has changed. */
export async function makeProductImage(say: Say): Promise<ImageFile> {
  return withLock(buildLock, () => buildProductImage(say))
}

async function buildProductImage(say: Say): Promise<ImageFile> {
  for (const base of [debian, node]) await makeBase(base, say)
  const version = hash([
    await versionOf(node),
    ...(await filesIn(repository, [
      'Dockerfile',
      '.dockerignore',
      'package.json',
      'package-lock.json',
      '.npmrc',
      'tools/bundle.ts',
    ])),
    ...(await filesIn(join(repository, 'src'))),
  ])
  const bases = [`NODE_IMAGE=${node.name}`, `BASE_IMAGE=${debian.name}`]
  const flags = [
    ...bases.flatMap(argument => ['--build-arg', argument]),
    '--secret=id=certificates,src=/run/machine/certificates.pem',
    '--secret=id=npmrc,src=/run/machine/npmrc',
  ]
  return build({ name: productImage, version, say }, join(repository, 'Dockerfile'), repository, flags)
}

async function makeImage(recipe: Recipe, say: Say): Promise<ImageFile> {
  for (const base of recipe.from ?? []) await makeBase(base, say)
  const { name, alias } = recipe
  const version = await versionOf(recipe)
  const file = fileOf(name, version)
  if (existsSync(file)) return { file, name, alias, version }
  return withContext(recipe, context => build({ name, alias, version, say }, recipe.containerfile, context, aptFlags))
}

/** Images that only others start from: they stay in buildah's own storage. */
async function makeBase(recipe: Recipe, say: Say): Promise<void> {
  for (const base of recipe.from ?? []) await makeBase(base, say)
  const stamp = join(storage, 'bases', `${slug(recipe.name)}-${await versionOf(recipe)}`)
  if (existsSync(stamp)) return
  await withContext(recipe, async context => {
    say(`building the image ${recipe.name}`)
    await buildah(recipe.name, ['bud', ...budFlags, '-t', recipe.name, '-f', recipe.containerfile, context], say)
  })
  await mkdir(join(storage, 'bases'), { recursive: true })
  await writeFile(stamp, '')
}

type Target = { readonly name: string; readonly alias?: string; readonly version: string; readonly say: Say }

const budFlags = ['--isolation', 'chroot', '--layers', '--pull-never', '--format', 'oci']
const aptFlags = [
  '--volume=/run/machine/sources.list:/etc/apt/sources.list:ro',
  '--volume=/run/machine/certificates.pem:/etc/ssl/certs/ca-certificates.crt:ro',
]

async function build(
  { name, alias, version, say }: Target,
  containerfile: string,
  context: string,
  flags: readonly string[],
): Promise<ImageFile> {
  const file = fileOf(name, version)
  if (existsSync(file)) return { file, name, alias, version }
  const started = performance.now()
  say(`building the image ${name}`)
  await buildah(name, ['bud', ...budFlags, ...flags, '-t', name, '-f', containerfile, context], say)
  await mkdir(imageDirectory, { recursive: true })
  const partial = `${file}.partial`
  await rm(partial, { force: true })
  // This kind of archive is not compressed: compressing would take longer than all the rest.
  await buildah(name, ['push', name, `docker-archive:${partial}:${name}`], say)
  await forgetOlder(name)
  await rename(partial, file)
  say(`built ${name} in ${((performance.now() - started) / 1000).toFixed(1)} s`)
  return { file, name, alias, version }
}

/** Runs buildah in a sandbox that has this machine's network, certificates and package settings, read from `/run/machine`. */
async function buildah(name: string, args: readonly string[], say: Say): Promise<void> {
  await makeRootFileSystems(say)
  const lent = join(cacheDirectory, 'work', 'lent')
  await mkdir(lent, { recursive: true })
  await mkdir(storage, { recursive: true })
  const sources = join(lent, 'sources.list')
  await writeFile(sources, (await debianMirrors()).sources)
  const policy = join(lent, 'policy.json')
  await writeFile(policy, '{"default": [{"type": "insecureAcceptAnything"}]}')
  const npmrc = join(process.env.HOME ?? '/root', '.npmrc')
  const empty = join(lent, 'empty')
  await writeFile(empty, '')
  const machineCertificates = '/etc/ssl/certs/ca-certificates.crt'
  const command = ['buildah', '--root', storage, '--runroot', '/run/buildah', '--storage-driver', 'overlay', ...args]
  const sandbox = inSandbox(
    {
      root: nodeRoot,
      network: 'host',
      dieWithParent: true,
      binds: [
        cacheDirectory,
        repository,
        '/etc/resolv.conf',
        '/etc/hosts',
        [existsSync(machineCertificates) ? machineCertificates : certificates, '/run/machine/certificates.pem'],
        [existsSync(npmrc) ? npmrc : empty, '/run/machine/npmrc'],
        [sources, '/run/machine/sources.list'],
        [policy, '/etc/containers/policy.json'],
      ],
    },
    command,
  )
  const log = join(cacheDirectory, 'work', `image-${slug(name)}.log`)
  await rm(log, { force: true })
  await logged(`buildah ${args[0]} ${name}`, sandbox, log, say, {
    PATH: process.env.PATH,
    HOME: '/root',
    TMPDIR: '/tmp',
  })
}

/** Gathers a recipe's context in a folder for the time of the work. */
async function withContext<T>(recipe: Recipe, work: (context: string) => Promise<T>): Promise<T> {
  const context = join(cacheDirectory, 'work', `context-${slug(recipe.name)}`)
  await rm(context, { recursive: true, force: true })
  await mkdir(context, { recursive: true })
  for (const [name, source] of Object.entries(recipe.context)) {
    const target = join(context, name)
    if (name.endsWith('.tar')) await capture(['tar', '--create', '--file', target, '--directory', source, '.'])
    else await capture(['cp', '--archive', '--dereference', source, target])
  }
  try {
    return await work(context)
  } finally {
    await rm(context, { recursive: true, force: true })
  }
}

const belowCache = new RegExp(`^.*/${basename(cacheDirectory)}/`)

/** Sources outside the repository have their version in their path. The same in every checkout and every cache folder. */
async function versionOf(recipe: Recipe): Promise<string> {
  const sources = Object.values(recipe.context)
  const ours = sources.filter(source => source.startsWith(recipes))
  return hash([
    recipe.alias ?? '',
    await readFile(recipe.containerfile, 'utf8'),
    // A node that was started from another cache folder than the present one is the same node.
    ...sources.map(source => (ours.includes(source) ? relative(recipes, source) : source.replace(belowCache, ''))),
    ...(await Promise.all(ours.map(source => readFile(source, 'utf8')))),
    ...(await Promise.all((recipe.from ?? []).map(versionOf))),
  ])
}

/** The paths and contents below a folder, tests left out as in the image, in a fixed order. */
async function filesIn(folder: string, only?: readonly string[]): Promise<string[]> {
  const entries =
    only ??
    (await readdir(folder, { recursive: true, withFileTypes: true }))
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name).slice(folder.length + 1))
  const names = entries.filter(name => !/\.(test|contract)\.ts$/.test(name)).toSorted()
  return (await Promise.all(names.map(async name => [name, await readFile(join(folder, name), 'base64')]))).flat()
}

async function forgetOlder(name: string) {
  for (const file of await readdir(imageDirectory))
    if (file.startsWith(`${slug(name)}-`) && !file.endsWith('.partial')) await rm(join(imageDirectory, file))
}

function fileOf(name: string, version: string): string {
  return join(imageDirectory, `${slug(name)}-${version}.tar`)
}

function slug(name: string): string {
  return name.replace('localhost/', '').replaceAll(/[^a-z0-9.-]/g, '-')
}

function hash(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 12)
}
