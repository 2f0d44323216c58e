/** Secret keys that open a backup, as `age-keygen` writes them. */
import { Decrypter } from 'age-encryption'
import { AgeError } from './age-error.ts'

/** What is logged of it, or made JSON of, holds no key. */
export class Identities {
  readonly #keys: readonly string[]

  private constructor(keys: readonly string[]) {
    this.#keys = keys
  }

  /**
   * Reads an identity file: one identity a line, X25519 or hybrid post-quantum; blank lines and those that begin with `#` are skipped.
   * @throws AgeError InvalidIdentities, which names the line by its number and never by its text.
   */
  static parse(text: string): Identities {
    const lines = text.split('\n').map((line, index) => ({ key: line.trim(), number: index + 1 }))
    const keys = lines.filter(({ key }) => key !== '' && !key.startsWith('#'))
    for (const { key, number } of keys) {
      const complaint = complaintAbout(key)
      if (complaint !== undefined) throw new AgeError('InvalidIdentities', `line ${number} is ${complaint}`)
    }
    if (keys.length === 0) throw new AgeError('InvalidIdentities', 'the file holds no identity')
    return new Identities(keys.map(({ key }) => key))
  }

  /** Those of several files. */
  static together(all: readonly Identities[]): Identities {
    return new Identities(all.flatMap(one => one.#keys))
  }

  addTo(decrypter: Decrypter): void {
    for (const key of this.#keys) decrypter.addIdentity(key)
  }
}

/** Undefined for an identity. */
function complaintAbout(key: string): string | undefined {
  if (key.startsWith('age1')) return 'a recipient; the identity that belongs to it begins with AGE-SECRET-KEY-'
  if (key.startsWith('age-encryption.org/') || key.startsWith('-----BEGIN AGE ENCRYPTED FILE'))
    return 'the beginning of an encrypted file; decrypt the identities first, with age -d'
  if (!/^AGE-SECRET-KEY-(PQ-)?1/.test(key))
    return 'no identity, which begins with AGE-SECRET-KEY-; plugins and SSH keys are not supported'
  try {
    new Decrypter().addIdentity(key)
    return undefined
  } catch {
    return 'a damaged identity: its checksum or its length is wrong'
  }
}
