/** Credentials of a store from the files of a mounted Secret, under the key names that people have. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface StoreCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
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

/**
 * Reads the directory where the Secret is mounted: one file a key; white space around a value is dropped, since many Secrets are made
 * from files that end in a newline. Read again for each client, so that a rotated Secret is used by the next run.
 * @throws CredentialsError that names the keys looked for and those found, never a value.
 */
export async function loadCredentials(directory: string, secretName: string): Promise<StoreCredentials> {
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

/** The kubelet keeps the values in hidden directories (`..data`) and links to them. A missing Secret leaves the directory empty. */
async function filesOf(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).filter(file => !file.startsWith('.')).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

function plain(key: string): string {
  return key.toLowerCase().replace(/[-_.]/g, '')
}

function accepted(): string {
  return acceptedPairs.map(([user, password]) => `${user} and ${password}`).join(', or ')
}
