/**
 * The header of an age file (https://age-encryption.org/v1): the file key, wrapped for each recipient, and a MAC over all of that. The
 * library makes and reads it; whose payload follows is not its business.
 */
import { createSecretKey, type KeyObject } from 'node:crypto'
import { Decrypter, Encrypter } from 'age-encryption'
import { AgeError } from './age-error.ts'
import type { Identities } from './identities.ts'
import type { RecipientKind, Recipients } from './recipients.ts'

/** No header is longer. Whoever opens a file reads so much of it at first, or all of it where that is less. Bytes. */
export const mostHeaderBytes = 64 << 10

/** What the library makes of an empty file behind the header: a nonce and the tag of an empty chunk. Bytes. */
const emptyPayloadBytes = 16 + 16

export interface SealedHeader {
  readonly header: Buffer
  /** Seals one payload, which follows the header. */
  readonly fileKey: KeyObject
}

export interface OpenedHeader {
  readonly fileKey: KeyObject
  /** Where the payload begins. */
  readonly headerBytes: number
}

/** Makes a new file key. The library hands it to every recipient; one more takes it and writes nothing. */
export async function sealHeader({ keys }: Recipients): Promise<SealedHeader> {
  let fileKey: KeyObject | undefined
  const encrypter = new Encrypter()
  for (const key of keys) encrypter.addRecipient(key)
  encrypter.addRecipient({
    wrapFileKey(key) {
      fileKey = createSecretKey(key)
      return []
    },
  })
  const file = await encrypter.encrypt(new Uint8Array(0))
  if (!fileKey) throw new Error('age-encryption made a file without asking its recipients')
  return { header: Buffer.from(file.subarray(0, file.length - emptyPayloadBytes)), fileKey }
}

/**
 * @param start of the stored file: {@link mostHeaderBytes} of it, or all; what follows the header is not looked at
 * @throws AgeError NotAge where it is no header, or one that is cut or too long; NoIdentityMatches; Tampered where an identity matches and
 * the rest of the header is not what its maker wrote.
 */
export async function openHeader(start: Uint8Array, identities: Identities): Promise<OpenedHeader> {
  const header = start.subarray(0, headerLength(start))
  let parsed = false
  let exhausted = false
  const decrypter = new Decrypter()
  // The library asks one identity after the other, once it has parsed the header, until one has the file key.
  decrypter.addIdentity({ unwrapFileKey: () => ((parsed = true), null) })
  identities.addTo(decrypter)
  decrypter.addIdentity({ unwrapFileKey: () => ((exhausted = true), null) })
  try {
    const fileKey = createSecretKey(await decrypter.decryptHeader(header))
    return { fileKey, headerBytes: header.length }
  } catch {
    if (!parsed) throw new AgeError('NotAge', 'the header of the age file is malformed')
    if (exhausted) throw new AgeError('NoIdentityMatches', 'none of the identities opens the file')
    throw new AgeError('Tampered', 'the header of the age file was changed: its MAC, or a recipient in it, is wrong')
  }
}

/** Of whom the header is for. @throws AgeError NotAge, as `openHeader`. */
export function recipientKindsOf(start: Uint8Array): readonly RecipientKind[] {
  const header = Buffer.from(start.subarray(0, headerLength(start))).toString('latin1')
  return stanzas.filter(([word]) => header.includes(`\n-> ${word} `)).map(([, kind]) => kind)
}

const stanzas: readonly (readonly [string, RecipientKind])[] = [
  ['X25519', 'X25519'],
  ['mlkem768x25519', 'hybrid post-quantum'],
]

/** The first line that begins with `---` is the last: other lines are base64, or begin with `->`. */
function headerLength(start: Uint8Array): number {
  const bytes = Buffer.from(start.buffer, start.byteOffset, Math.min(start.byteLength, mostHeaderBytes))
  if (!bytes.subarray(0, intro.length).equals(intro))
    throw new AgeError('NotAge', 'the bytes do not begin as an age file of version 1')
  const lastLine = bytes.indexOf('\n---')
  const end = lastLine < 0 ? -1 : bytes.indexOf('\n', lastLine + 1)
  if (end < 0)
    throw new AgeError('NotAge', `the header of the age file does not end within its first ${bytes.length} bytes`)
  return end + 1
}

const intro = Buffer.from('age-encryption.org/v1\n')
