// Where the project keeps what it builds and what runs: outside the repository, keyed by version.
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

export const repository = resolve(import.meta.dirname, '..')
export const cacheDirectory = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'backup-operator')
