// The kubelet's cgroup: made before it starts, removed when everything in it is dead.
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { eventually } from '../eventually.ts'
import { cgroupName } from './layout.ts'

const mountPoint = '/sys/fs/cgroup'

/** The tops of all cgroup hierarchies: one folder per controller with v1 and hybrid set-ups, one in all with v2. */
async function hierarchies(): Promise<string[]> {
  if (existsSync(join(mountPoint, 'cgroup.controllers'))) return [mountPoint]
  const folders = await readdir(mountPoint, { withFileTypes: true })
  return folders.filter(entry => entry.isDirectory()).map(entry => join(mountPoint, entry.name))
}

export async function makeCgroups(): Promise<void> {
  for (const top of await hierarchies()) {
    const ours = join(top, cgroupName)
    await mkdir(ours, { recursive: true })
    // v1: a new cpuset is empty, and nothing can join it before it has processors and memory.
    for (const file of ['cpuset.cpus', 'cpuset.mems'])
      if (top !== mountPoint && existsSync(join(ours, file)))
        await writeFile(join(ours, file), await readFile(join(top, file), 'utf8'))
    // v2: children get only the controllers that their parent hands on.
    for (const folder of top === mountPoint ? [top, ours] : []) {
      const controllers = (await readFile(join(folder, 'cgroup.controllers'), 'utf8')).trim().split(' ')
      await writeFile(join(folder, 'cgroup.subtree_control'), controllers.map(name => `+${name}`).join(' '))
    }
  }
}

/** Waits a moment for the kernel to let go of the last processes. */
export async function removeCgroups(): Promise<void> {
  for (const top of await hierarchies()) {
    const ours = join(top, cgroupName)
    await eventually(`the cgroup ${ours} to be empty`, () => removeTree(ours), { seconds: 20 })
  }
}

async function removeTree(cgroup: string): Promise<boolean> {
  if (!existsSync(cgroup)) return true
  const children = await readdir(cgroup, { withFileTypes: true })
  for (const child of children) if (child.isDirectory()) await removeTree(join(cgroup, child.name))
  await rmdir(cgroup)
  return true
}
