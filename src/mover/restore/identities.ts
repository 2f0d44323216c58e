/** The age identities that a Restore names: the files of a mounted Secret. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Identities } from '../age/identities.ts'
import { MoverFailure } from '../failure.ts'

/** @throws MoverFailure NoIdentityMatches, which names keys of the Secret and nothing that they hold. */
export async function readIdentities(directory: string | undefined): Promise<Identities> {
  if (directory === undefined)
    throw new MoverFailure(
      'NoIdentityMatches',
      'the backup is encrypted, and the Restore names no Secret with an identity that opens it; create another Restore with spec.identities',
    )
  const names = await readdir(directory).catch(() => [])
  // What begins with two dots is the kubelet's own.
  const keys = names.filter(name => !name.startsWith('..')).sort()
  if (keys.length === 0)
    throw new MoverFailure(
      'NoIdentityMatches',
      'the Secret that spec.identities names does not exist, or is empty; create it with the file that age-keygen wrote',
    )
  return Identities.together(await Promise.all(keys.map(key => readKey(directory, key))))
}

async function readKey(directory: string, key: string): Promise<Identities> {
  const text = await readFile(join(directory, key), 'utf8')
  try {
    return Identities.parse(text)
  } catch (error) {
    // Never its cause: it may quote what it refuses.
    throw new MoverFailure(
      'NoIdentityMatches',
      `the key ${key} of the Secret that spec.identities names holds no identities: ${(error as Error).message}`,
    )
  }
}
