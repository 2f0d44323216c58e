import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from 'age-encryption'
import * as fc from 'fast-check'
import { AgeError } from './age-error.ts'
import { mostHeaderBytes, openHeader, sealHeader } from './header.ts'
import { Identities } from './identities.ts'
import { mostRecipients, parseRecipients } from './recipients.ts'

async function pair(generate: () => Promise<string>) {
  const secret = await generate()
  return { recipient: await identityToRecipient(secret), identities: Identities.parse(secret) }
}

async function refusal(start: Uint8Array, identities: Identities): Promise<AgeError> {
  const error = await openHeader(start, identities).then(
    () => assert.fail('the header was opened'),
    (error: unknown) => error,
  )
  assert.ok(error instanceof AgeError)
  assert.equal(error.cause, undefined)
  return error
}

for (const [kind, generate] of [
  ['X25519', generateX25519Identity],
  ['hybrid', generateHybridIdentity],
] as const)
  describe(`a header for ${kind} recipients`, async () => {
    const [first, second, stranger] = [await pair(generate), await pair(generate), await pair(generate)]
    const recipients = await parseRecipients([first.recipient, second.recipient])
    const { header, fileKey } = await sealHeader(recipients)

    test('is opened by each of its recipients, whatever follows it', async () => {
      for (const { identities } of [first, second])
        for (const rest of [Buffer.alloc(0), Buffer.from('\n--- \n---\n'), randomBytes(mostHeaderBytes)]) {
          const opened = await openHeader(Buffer.concat([header, rest]), identities)
          assert.equal(opened.headerBytes, header.length)
          assert.ok(opened.fileKey.equals(fileKey))
        }
    })

    test('has a file key of its own', async () => {
      const another = await sealHeader(recipients)
      assert.ok(!another.fileKey.equals(fileKey))
      assert.equal(fileKey.symmetricKeySize, 16)
      assert.ok(!inspect({ header, fileKey }, { showHidden: true }).includes(fileKey.export().toString('hex')))
    })

    test('is opened by none other', async () => {
      assert.equal((await refusal(header, stranger.identities)).reason, 'NoIdentityMatches')
    })

    test('is none when it is cut anywhere', async () => {
      for (let length = 0; length < header.length; length += kind === 'X25519' ? 1 : 97)
        assert.equal((await refusal(header.subarray(0, length), first.identities)).reason, 'NotAge', `${length}`)
      assert.equal((await refusal(header.subarray(0, -1), first.identities)).reason, 'NotAge')
    })

    test('is refused when any bit of it is another', async () => {
      const bit = fc.nat(header.length * 8 - 1)
      await fc.assert(
        fc.asyncProperty(bit, async at => {
          const changed = Buffer.from(header)
          changed[at >> 3] = (changed[at >> 3] ?? 0) ^ (1 << (at & 7))
          const { reason } = await refusal(changed, first.identities)
          assert.ok(['NotAge', 'NoIdentityMatches', 'Tampered'].includes(reason), reason)
        }),
        { numRuns: 100 },
      )
    })

    test('is tampered with when a recipient was taken out or put in', async () => {
      const lines = header.toString('latin1').split('\n')
      const [, stanza = '', next = ''] = lines.flatMap((line, at) => (line.startsWith('-') ? [String(at)] : []))
      const without = lines.toSpliced(Number(stanza), Number(next) - Number(stanza)).join('\n')
      const greased = lines.toSpliced(1, 0, '-> grease x', '').join('\n')
      for (const text of [without, greased])
        assert.equal((await refusal(Buffer.from(text, 'latin1'), first.identities)).reason, 'Tampered')
    })
  })

describe('openHeader', () => {
  test('refuses what is no age file', async () => {
    const { identities } = await pair(generateX25519Identity)
    const frame = Buffer.from('28b52ffd0458090000', 'hex')
    const armored = Buffer.from('-----BEGIN AGE ENCRYPTED FILE-----\n')
    const newer = Buffer.from('age-encryption.org/v2\n--- \n')
    for (const start of [Buffer.alloc(0), frame, armored, newer, randomBytes(4096)])
      assert.match((await refusal(start, identities)).message, /do not begin as an age file of version 1/)
  })

  test('refuses what begins and ends as a header, with something else in between', async () => {
    const { identities } = await pair(generateX25519Identity)
    for (const inside of ['nonsense', '-> x\nnot base64!', '-> x\r\n', '->'])
      assert.equal(
        (await refusal(Buffer.from(`age-encryption.org/v1\n${inside}\n--- ${'A'.repeat(43)}\n`), identities)).message,
        'the header of the age file is malformed',
      )
  })

  test('does not look for the end of a header beyond the longest', async () => {
    const { identities } = await pair(generateX25519Identity)
    const endless = Buffer.from(`age-encryption.org/v1\n-> x ${'y'.repeat(mostHeaderBytes)}\n\n--- \n`)
    const { reason, message } = await refusal(endless, identities)
    assert.equal(reason, 'NotAge')
    assert.match(message, /does not end within its first 65536 bytes/)
  })
})

test('the header of the longest list is short enough to be read', async () => {
  const all = await Promise.all(Array.from({ length: mostRecipients }, () => pair(generateHybridIdentity)))
  const { header } = await sealHeader(await parseRecipients(all.map(({ recipient }) => recipient)))
  assert.ok(header.length < mostHeaderBytes)
  const last = all.at(-1)?.identities ?? assert.fail()
  assert.equal((await openHeader(header, last)).headerBytes, header.length)
})
