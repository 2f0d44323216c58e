/** Public keys that a backup is encrypted to (docs/decisions/0017-encryption-to-public-keys.md). */
import { Encrypter } from 'age-encryption'
import { AgeError } from './age-error.ts'

export type RecipientKind = 'X25519' | 'hybrid post-quantum'

/** Made by {@link parseRecipients} only: at least one, all of one kind, no two the same, and each can be encrypted to. */
export interface Recipients {
  readonly kind: RecipientKind
  readonly keys: readonly string[]
}

/** The header that they make is read whole; one hybrid recipient takes 1.6 KB of it. */
export const mostRecipients = 20

/** Lower case only, as age prints them. No separator is in the alphabet, so no recipient of a plugin is a long X25519 one. */
const forms: readonly (readonly [RecipientKind, RegExp])[] = [
  ['X25519', /^age1[02-9ac-hj-np-z]{58}$/],
  ['hybrid post-quantum', /^age1pq1[02-9ac-hj-np-z]{1952}$/],
]

/**
 * Checks a list of recipients, one item each. Each is encrypted to once, a few milliseconds: a checksum says that it was copied well,
 * only its use says that it is a key.
 * @throws AgeError InvalidRecipients, which names the item by its number and never by its text.
 */
export async function parseRecipients(items: readonly string[]): Promise<Recipients> {
  if (items.length > mostRecipients)
    throw invalid(`there are ${items.length} recipients, and ${mostRecipients} is the most that a header may hold`)
  const kinds = items.map((item, index) => kindOf(item, index + 1))
  const [kind] = kinds
  if (!kind) throw invalid('there is no recipient: nobody could read what is encrypted')
  for (const [index, item] of items.entries()) {
    const first = items.indexOf(item)
    if (first !== index) throw invalid(`recipients ${first + 1} and ${index + 1} are the same`)
    if (kinds[index] !== kind)
      throw invalid(
        `recipient 1 is ${kind} and recipient ${index + 1} is ${kinds[index]}: one that is not post-quantum opens the file for whoever breaks it; give all of one kind`,
      )
    if (!(await works(item)))
      throw invalid(`recipient ${index + 1} is not a key: its checksum is wrong, or nothing can be encrypted to it`)
  }
  return { kind, keys: [...items] }
}

function kindOf(item: string, number: number): RecipientKind {
  if (/AGE-(SECRET-KEY|PLUGIN)-/i.test(item))
    throw invalid(
      `recipient ${number} is a secret key, which is known now to all who can read this list; make a new pair of keys, and give the public one, which begins with age1`,
    )
  const kind = forms.find(([, form]) => form.test(item))?.[0]
  if (!kind)
    throw invalid(
      `recipient ${number} is neither an X25519 recipient (age1 and 58 characters) nor a hybrid post-quantum one (age1pq1 and 1952); recipients of plugins and SSH keys are not supported`,
    )
  return kind
}

async function works(recipient: string): Promise<boolean> {
  try {
    const encrypter = new Encrypter()
    encrypter.addRecipient(recipient)
    await encrypter.encrypt(new Uint8Array(0))
    return true
  } catch {
    return false
  }
}

function invalid(message: string): AgeError {
  return new AgeError('InvalidRecipients', message)
}
