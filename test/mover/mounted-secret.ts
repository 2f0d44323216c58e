// A Secret as the kubelet mounts it: each state in a hidden directory of its own, and one link that turns from the old to the new.
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'

/** Mounts it there, or changes what is mounted there already. */
export async function mountSecret(directory: string, keys: Readonly<Record<string, string>>): Promise<void> {
  const state = `..state-${randomUUID()}`
  await mkdir(join(directory, state))
  for (const [key, value] of Object.entries(keys)) await writeFile(join(directory, state, key), value)
  await symlink(state, join(directory, '..new'))
  await rename(join(directory, '..new'), join(directory, '..data'))
  for (const key of Object.keys(keys)) {
    const link = join(directory, key)
    if (!existsSync(link)) await symlink(`..data/${key}`, link)
  }
}
