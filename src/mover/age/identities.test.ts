import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { Decrypter, generateHybridIdentity, generateX25519Identity } from 'age-encryption'
import { AgeError } from './age-error.ts'
import { Identities } from './identities.ts'

/** What a file is refused with. */
function refusal(text: string): AgeError {
  try {
    Identities.parse(text)
  } catch (error) {
    assert.ok(error instanceof AgeError)
    assert.equal(error.reason, 'InvalidIdentities')
    return error
  }
  assert.fail('the file was taken')
}

describe('Identities.parse', () => {
  test('takes what age-keygen writes: comments, blank lines, both kinds, lines that end as on Windows', async () => {
    const [classic, quantum] = [await generateX25519Identity(), await generateHybridIdentity()]
    const added: unknown[] = []
    const decrypter = new Decrypter()
    decrypter.addIdentity = identity => void added.push(identity)
    Identities.parse(
      `# created: 2026-11-30T00:00:00Z\r\n# public key: age1…\r\n${classic}\r\n\r\n  ${quantum}  \n`,
    ).addTo(decrypter)
    assert.deepEqual(added, [classic, quantum])
  })

  test('refuses a file without an identity', () => {
    for (const text of ['', '\n\n', '# AGE-SECRET-KEY-1…\n']) assert.match(refusal(text).message, /holds no identity/)
  })

  test('names the line of what is no identity, and why', () => {
    const said = (line: string) => refusal(`# a comment\n\n${line}`).message
    assert.match(said('age1gq0h2nkp7zvx4u5k6t3f4hnq3d3dcpv4rxfrjr7y9c8mgf0v9usq2k0w5h'), /^line 3 is a recipient/)
    assert.match(said('age-encryption.org/v1'), /^line 3 is the beginning of an encrypted file/)
    assert.match(said('-----BEGIN AGE ENCRYPTED FILE-----'), /^line 3 is the beginning of an encrypted file/)
    assert.match(said('AGE-PLUGIN-YUBIKEY-1QQPQYZQV'), /^line 3 is no identity/)
    assert.match(said('-----BEGIN OPENSSH PRIVATE KEY-----'), /^line 3 is no identity/)
  })

  test('shows nothing of a damaged identity, neither in the error nor in its cause', async () => {
    for (const secret of [await generateX25519Identity(), await generateHybridIdentity()]) {
      const last = secret.endsWith('Q') ? 'P' : 'Q'
      for (const text of [secret.slice(0, -1) + last, secret.slice(0, -1), `${secret} x`, secret.toLowerCase()]) {
        const shown = inspect(refusal(text), { depth: null, showHidden: true })
        assert.match(shown, /line 1 is/)
        assert.ok(!shown.toUpperCase().includes(secret.slice(20, 30)), shown)
      }
    }
  })

  test('makes nothing that shows a key when it is logged', async () => {
    const secret = await generateX25519Identity()
    const identities = Identities.parse(secret)
    for (const shown of [inspect(identities, { depth: null, showHidden: true }), JSON.stringify({ identities })])
      assert.ok(!shown.includes(secret.slice(20, 30)), shown)
  })
})
