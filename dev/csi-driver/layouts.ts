// How the content of a volume or snapshot lies on disk.
import { execFile } from 'node:child_process'
import { mkdir, readFile, rmdir } from 'node:fs/promises'
import { promisify } from 'node:util'

export const run = promisify(execFile)

export type Layout = {
  make(data: string, bytes: number): Promise<unknown>
  copy(data: string, to: string, bytes: number): Promise<unknown>
  mount(data: string, point: string, flags: readonly string[]): Promise<unknown>
  /** Holds back all writes to these mounted volumes while the work runs. */
  frozen<T>(points: readonly string[], work: () => Promise<T>): Promise<T>
}

export type LayoutName = 'directory' | 'image'

export const layouts: Readonly<Record<LayoutName, Layout>> = {
  /**
   * A plain directory. A copy under write load is torn: files are copied one after the other. It is kept as the bad
   * driver that a check of restored data must catch.
   */
  directory: {
    make: data => mkdir(data),
    copy: (data, to) => run('cp', ['--archive', '--reflink=always', data, to]),
    mount: (data, point, flags) => mount(data, point, ['bind', ...flags]),
    frozen: (_, work) => work(),
  },
  /** An ext4 image file: a real size limit, and one reflink of a frozen file system copies it in one instant. */
  image: {
    async make(data, bytes) {
      await run('truncate', ['--size', `${bytes}`, data])
      await run('mkfs.ext4', ['-q', '-F', '-m', '0', data])
    },
    async copy(data, to, bytes) {
      await run('cp', ['--reflink=always', data, to])
      await run('truncate', ['--size', `${bytes}`, to])
    },
    async mount(data, point, flags) {
      // What can fail comes before the mount, or a stage that failed half-way would look done when it is repeated.
      await run('e2fsck', ['-f', '-p', data]).catch((error: { code?: unknown }) => {
        if (error.code !== 1) throw error // 1: repaired
      })
      await run('resize2fs', [data]) // a copy may be larger than its source; growing a mounted one needs CAP_SYS_RESOURCE
      await mount(data, point, ['loop', ...flags])
    },
    async frozen([point, ...others], work) {
      if (!point) return work()
      const ours = await freeze(point)
      try {
        return await this.frozen(others, work)
      } finally {
        if (ours) await run('fsfreeze', ['--unfreeze', point])
      }
    },
  },
}

/** False: the workload froze it before us, and will thaw it. */
async function freeze(point: string): Promise<boolean> {
  try {
    await run('fsfreeze', ['--freeze', point])
    return true
  } catch (error) {
    if (!/busy/.test((error as { stderr?: string }).stderr ?? '')) throw error
    return false
  }
}

export type Mount = { readonly device: string; readonly root: string; readonly point: string }

export async function mounts(): Promise<Mount[]> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).trim().split('\n')
  return lines.map(line => {
    const [, , device = '', root = '', point = ''] = line.split(' ')
    return { device, root, point }
  })
}

export async function isMounted(point: string): Promise<boolean> {
  return (await mounts()).some(entry => entry.point === point)
}

export async function mount(source: string, point: string, flags: readonly string[]): Promise<void> {
  await mkdir(point, { recursive: true })
  await run('mount', ['-o', flags.join(), source, point])
}

export async function unmount(point: string): Promise<void> {
  if (await isMounted(point)) await run('umount', [point])
  await rmdir(point).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
}
