// Where the project keeps what it builds and what runs: outside the repository, keyed by version.
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

export const repository = resolve(import.meta.dirname, '..')
export const cacheDirectory = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'backup-operator')
/** For `NODE_COMPILE_CACHE`: what the processes of one run have compiled, and stripped of its types, serves the next. */
export const compileCacheDirectory = join(cacheDirectory, 'compile-cache')

/** Everything of the local cluster. `run/` is made anew at each start, `containerd/` keeps images from one start to the next. */
export const clusterDirectory = join(cacheDirectory, 'cluster')
export const runDirectory = join(clusterDirectory, 'run')
export const logDirectory = join(runDirectory, 'logs')
/** Names of the API server's audit logs begin so: the present one's and the one's before. One JSON event a line. */
export const auditLogPrefix = 'audit'
export const adminKubeconfig = join(runDirectory, 'admin.conf')
