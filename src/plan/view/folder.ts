// What the probe of the store found in the folder before any run of this policy could tell: a cluster that is gone has left it there, or an
// earlier policy of this name. Others may write there, so that it is bounded and checked before anything is made of it (docs/design.md R27).
import type { BackupPolicy } from '../../api/kinds/backup-policy.ts'
import type { FolderStatus, StoreStatus } from '../../api/kinds/backup-policy-status.ts'
import { commandTarget } from '../../api/names.ts'
import type { MoverMessage } from '../../api/mover/message.ts'
import { presetOf } from './preset.ts'

/** The schema has the same bound. */
const mostTold = 128
/** Names of Kubernetes, and what `runsDigest` gives. */
const [nameLike, digestLike] = [/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/, /^[0-9a-f]{16}$/]

/** What the status remembers of it: nothing where these credentials may not list, which is no reason to wait. */
export function folderTold({ folder = [] }: MoverMessage): readonly FolderStatus[] {
  return folder.filter(({ target, digest }) => nameLike.test(target) && digestLike.test(digest)).slice(0, mostTold)
}

/** What of the folder is still to be read; undefined before a probe of these settings of the backend has passed. */
export function unreadOf(
  { status }: Pick<BackupPolicy, 'status'>,
  backendHash: string | undefined,
): readonly FolderStatus[] | undefined {
  return status?.store?.backendHash === backendHash ? status?.store?.folder : undefined
}

/** Without the targets of which the Backups and the bucket agree. */
export function withoutSettled(store: StoreStatus, settled: ReadonlySet<string>): StoreStatus {
  if (!store.folder) return store
  return { ...store, folder: store.folder.filter(({ target }) => !settled.has(target)) }
}

/**
 * Whether the policy can have such a target at all. An explicit command is the only one of its policy, and no workload of a preset has its name:
 * what is there of others is of another strategy of before.
 */
export function canHave(policy: Pick<BackupPolicy, 'spec'>, target: string): boolean {
  return (presetOf(policy) === undefined) === (target === commandTarget)
}
