// What lies on disk: volumes and snapshots on one reflink file system, and where volumes are mounted.
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isMounted, type Layout, mount, mounts, unmount } from './layouts.ts'

/** The same names always give the same id, so that a repeated Create call finds what the first one made. */
export function idFor(kind: string, ...names: readonly string[]): string {
  return `${kind}-${createHash('sha256').update(names.join('\0')).digest('hex').slice(0, 32)}`
}

type Identified = { readonly id: string; readonly bytes: number }

/** An entry of some store, to copy from. */
export type Source = { readonly store: Store<Identified>; readonly id: string }

/**
 * A folder of entries, each `<id>/` with `meta.json`, `data` and, while in use, a mount at `mount/`.
 * An entry appears and disappears in one rename.
 */
export class Store<out Entry extends Identified> {
  readonly #directory: string
  readonly #layout: Layout

  /** Opens the folder and sweeps what a killed process left half done. */
  constructor(directory: string, layout: Layout) {
    this.#directory = directory
    this.#layout = layout
    mkdirSync(directory, { recursive: true })
    for (const name of readdirSync(directory))
      if (name.startsWith('.')) rmSync(join(directory, name), { recursive: true })
  }

  async get(id: string): Promise<Entry | undefined> {
    if (!/^[a-z]+-[0-9a-f]{32}$/.test(id)) return undefined
    try {
      return JSON.parse(await readFile(this.#path(id, 'meta.json'), 'utf8')) as Entry
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  async list(): Promise<Entry[]> {
    const ids = (await readdir(this.#directory)).sort()
    return (await Promise.all(ids.map(id => this.get(id)))).filter(entry => entry !== undefined)
  }

  /** Adds an entry, either empty or with a copy of another one's data. */
  async add(entry: Identified, source?: Source): Promise<void> {
    const scratch = this.#path(`.${entry.id}`)
    await rm(scratch, { recursive: true, force: true })
    await mkdir(scratch)
    const data = join(scratch, 'data')
    if (source) {
      const from = source.store.#path(source.id, 'data')
      await source.store.frozen([source.id], () => this.#layout.copy(from, data, entry.bytes))
    } else await this.#layout.make(data, entry.bytes)
    await writeFile(join(scratch, 'meta.json'), JSON.stringify(entry))
    await rename(scratch, this.#path(entry.id))
  }

  async remove(id: string): Promise<void> {
    if (!(await this.get(id))) return
    await rename(this.#path(id), this.#path(`.${id}`))
    await rm(this.#path(`.${id}`), { recursive: true })
  }

  async frozen<T>(ids: readonly string[], work: () => Promise<T>): Promise<T> {
    const staged = await Promise.all(ids.map(async id => ((await this.isStaged(id)) ? [this.#path(id, 'mount')] : [])))
    return this.#layout.frozen(staged.flat(), work)
  }

  isStaged(id: string): Promise<boolean> {
    return isMounted(this.#path(id, 'mount'))
  }

  async stage(id: string, flags: readonly string[]): Promise<void> {
    if (await this.isStaged(id)) return
    await this.#layout.mount(this.#path(id, 'data'), this.#path(id, 'mount'), flags)
  }

  async unstage(id: string): Promise<void> {
    if (await this.get(id)) await unmount(this.#path(id, 'mount'))
  }

  async publish(id: string, target: string, flags: readonly string[]): Promise<void> {
    if (!(await isMounted(target))) await mount(this.#path(id, 'mount'), target, ['bind', ...flags])
  }

  /** Where a staged entry is published right now. */
  async targets(id: string): Promise<string[]> {
    const all = await mounts()
    const staged = all.find(entry => entry.point === this.#path(id, 'mount'))
    return all
      .filter(entry => entry !== staged && entry.device === staged?.device && entry.root === staged.root)
      .map(entry => entry.point)
  }

  #path(...parts: readonly string[]): string {
    return join(this.#directory, ...parts)
  }
}

export async function poolBytes(directory: string): Promise<number> {
  const { bsize, blocks } = await statfs(directory)
  return bsize * blocks
}
