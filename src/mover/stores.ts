/** The task's store, opened with the credentials that are mounted, and read again while it is used. */
import { readFile } from 'node:fs/promises'
import type { MoverTask } from '../api/mover/task.ts'
import type { Log } from '../runtime/log.ts'
import { mountedCredentials } from '../storage/s3/credentials.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { lookingFirst } from '../storage/looking-first.ts'
import { retrying, withRetries, type Again } from '../storage/retry.ts'
import { openS3, type S3Store } from '../storage/s3/s3.ts'
import type { StoreError } from '../storage/store-error.ts'
import { MoverFailure } from './failure.ts'

export interface Stores {
  /** Before and after the bytes, where failing soon is right. */
  readonly quick: ObjectStore
  /** While bytes of a running dump or restore depend on it: a new one costs more than waiting. */
  readonly patient: ObjectStore
  /** As `patient`, with this look before each single try of a write; what it throws is thrown instead. */
  readonly patientAfter: (look: () => Promise<void>) => ObjectStore
  /** As `quick`, with this look before each deletion and each abort. */
  readonly quickDeletingAfter: (look: () => Promise<void>) => ObjectStore
  /** Without retries. */
  readonly bare: S3Store
  /** The patience of `patient`, for what is more than one call of the store. */
  readonly again: Again
}

const quickRetryMs = 20_000

/** @throws CredentialsError, StoreError InvalidEndpoint, MoverFailure for a CA that is not there. */
export async function openStores(task: MoverTask, log: Log): Promise<Stores> {
  const credentials = await mountedCredentials(task.credentialsDirectory, task.secretName)
  const ca = task.caFile === undefined ? undefined : await readAuthorities(task.caFile)
  const store = openS3({ ...task.backend, credentials, ca, idleTimeoutMs: task.storeIdleSeconds * 1000 })
  const onRetry = (error: StoreError, tries: number) => log.warn({ reason: error.reason, tries }, error.message)
  const patience = 'storeRetrySeconds' in task ? task.storeRetrySeconds * 1000 : quickRetryMs
  const quickly = { budgetMs: Math.min(quickRetryMs, patience), onRetry }
  return {
    quick: withRetries(store, quickly),
    patient: withRetries(store, { budgetMs: patience, onRetry }),
    patientAfter: look => withRetries(lookingFirst(store, { writing: look }), { budgetMs: patience, onRetry }),
    quickDeletingAfter: look => withRetries(lookingFirst(store, { deleting: look }), quickly),
    bare: store,
    again: retrying({ budgetMs: patience, onRetry }),
  }
}

async function readAuthorities(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const message = 'the ConfigMap named by backend.ca does not exist or has no key ca.crt'
    throw new MoverFailure('TLSVerificationFailed', message, { cause })
  }
}
