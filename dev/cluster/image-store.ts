// containerd's images. Runs inside the node's sandbox.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { capture } from '../command.ts'
import { containerdRoot } from './layout.ts'

/** An image in a file. `version` changes with its content. */
export type ImageFile = {
  readonly file: string
  readonly name: string
  /** Another name that pods may use: that of the public image it stands in for. */
  readonly alias?: string
  readonly version: string
}

const record = join(containerdRoot, 'loaded-images.json')

/** Imports the images that containerd does not have in this version yet. Returns the names of those imported. */
export async function loadImages(images: readonly ImageFile[]): Promise<string[]> {
  const loaded = await loadedVersions()
  const present = new Set((await ctr('images', 'ls', '-q')).split('\n'))
  const missing = images.filter(({ name, version }) => loaded[name] !== version || !present.has(name))
  for (const { file, name, alias, version } of missing) {
    await ctr('images', 'import', file)
    if (alias) await ctr('images', 'tag', '--force', name, completed(alias))
    loaded[name] = version
    await writeFile(record, JSON.stringify(loaded))
  }
  return missing.map(({ name }) => name)
}

async function loadedVersions(): Promise<Record<string, string>> {
  try {
    return JSON.parse(await readFile(record, 'utf8')) as Record<string, string>
  } catch {
    return {} // first start, or a record cut by a crash: everything is imported again
  }
}

/** A short name as container runtimes complete it. */
function completed(name: string): string {
  return name.includes('/') ? `docker.io/${name}` : `docker.io/library/${name}`
}

function ctr(...args: string[]): Promise<string> {
  return capture(['ctr', '-n', 'k8s.io', ...args])
}
