/** Credentials of a store from the files of a mounted Secret, under the key names that people have. */
import { readdir, readFile, realpath } from 'node:fs/promises'
import { join } from 'node:path'

export interface StoreCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

/** Credentials that somebody may renew while they are in use. */
export interface CredentialSource {
  /** @throws CredentialsError only where there never were any. */
  readonly current: () => Promise<StoreCredentials>
  /** Looks again at once, after the store refused the current ones. @returns how often they have changed so far. */
  readonly changes: (options?: { readonly look: true }) => Promise<number>
}

/** Pairs of key names, in the order in which they are looked for. Case, dashes, dots and underscores do not matter. */
const acceptedPairs = [
  ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'],
  ['accessKey', 'secretKey'],
  ['rootUser', 'rootPassword'],
] as const
const sessionTokens = ['AWS_SESSION_TOKEN', 'sessionToken'] as const

export class CredentialsError extends Error {
  readonly reason: 'SecretNotFound' | 'SecretKeyMissing'

  constructor(reason: CredentialsError['reason'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'CredentialsError'
    this.reason = reason
  }
}

/** How old what was read may be. The kubelet itself takes a minute or so to bring a changed Secret here. */
const readAgainMs = 10_000

/**
 * The mounted Secret, read again and again: a session token lives shorter than a long dump. A Secret that disappears under a
 * running mover changes nothing: what was read last may still be good, and the store will say when it is not.
 * @throws CredentialsError as `loadCredentials`.
 */
export async function mountedCredentials(directory: string, secretName: string): Promise<CredentialSource> {
  let known = await loadCredentials(directory, secretName)
  let readAt = performance.now()
  let changes = 0

  async function look(): Promise<void> {
    readAt = performance.now()
    let found: StoreCredentials
    try {
      found = await loadCredentials(directory, secretName)
    } catch (error) {
      if (error instanceof CredentialsError || isMissing(error)) return
      throw error
    }
    if (sameCredentials(found, known)) return
    known = found
    changes++
  }

  return {
    async current() {
      if (performance.now() - readAt >= readAgainMs) await look()
      return known
    },
    async changes(options) {
      if (options?.look) await look()
      return changes
    },
  }
}

/** Credentials that never change. */
export function fixedCredentials(credentials: StoreCredentials): CredentialSource {
  return { current: () => Promise.resolve(credentials), changes: () => Promise.resolve(0) }
}

function sameCredentials(a: StoreCredentials, b: StoreCredentials): boolean {
  return a.accessKeyId === b.accessKeyId && a.secretAccessKey === b.secretAccessKey && a.sessionToken === b.sessionToken
}

/**
 * Reads the directory where the Secret is mounted: one file a key; white space around a value is dropped, since many Secrets are made
 * from files that end in a newline.
 * @throws CredentialsError that names the keys looked for and those found, never a value.
 */
export async function loadCredentials(mounted: string, secretName: string): Promise<StoreCredentials> {
  const directory = await generationOf(mounted)
  const files = await filesOf(directory)
  if (files.length === 0) {
    throw new CredentialsError(
      'SecretNotFound',
      `the Secret ${secretName} does not exist in the policy's namespace, or is empty; create it with the keys ${accepted()}`,
    )
  }
  const find = async (name: string) => {
    const file = files.find(candidate => plain(candidate) === plain(name))
    return file === undefined ? undefined : (await readFile(join(directory, file), 'utf8')).trim()
  }
  for (const [user, password] of acceptedPairs) {
    const accessKeyId = await find(user)
    const secretAccessKey = await find(password)
    if (!accessKeyId || !secretAccessKey) continue
    const sessionToken = (await find(sessionTokens[0])) || (await find(sessionTokens[1]))
    return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) }
  }
  throw new CredentialsError(
    'SecretKeyMissing',
    `the Secret ${secretName} has no complete pair of keys: looked for ${accepted()}; found ${files.join(', ')}`,
  )
}

/** All values of one moment: the kubelet writes a changed Secret beside the old one, then turns the link `..data` to it. */
async function generationOf(mounted: string): Promise<string> {
  try {
    return await realpath(join(mounted, '..data'))
  } catch (error) {
    if (isMissing(error)) return mounted
    throw error
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

/** The kubelet keeps the values in hidden directories (`..data`) and links to them. A missing Secret leaves the directory empty. */
async function filesOf(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).filter(file => !file.startsWith('.')).sort()
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

function plain(key: string): string {
  return key.toLowerCase().replace(/[-_.]/g, '')
}

function accepted(): string {
  return acceptedPairs.map(([user, password]) => `${user} and ${password}`).join(', or ')
}
