import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from 'age-encryption'
import { AgeError } from './age-error.ts'
import { mostRecipients, parseRecipients } from './recipients.ts'

const x25519 = async () => identityToRecipient(await generateX25519Identity())
const hybrid = async () => identityToRecipient(await generateHybridIdentity())

/** What a list is refused with. No message holds anything of an item, however it is looked at. */
async function refusal(items: readonly string[]): Promise<string> {
  const error = await parseRecipients(items).then(
    () => assert.fail('the list was taken'),
    (error: unknown) => error,
  )
  assert.ok(error instanceof AgeError)
  assert.equal(error.reason, 'InvalidRecipients')
  assert.equal(error.cause, undefined)
  for (const item of items.filter(item => item.length > 20))
    assert.ok(!error.message.toLowerCase().includes(item.slice(-12).toLowerCase()), error.message)
  return error.message
}

describe('parseRecipients', () => {
  test('takes recipients of one kind, in their order', async () => {
    const classic = [await x25519(), await x25519()]
    assert.deepEqual(await parseRecipients(classic), { kind: 'X25519', keys: classic })
    const quantum = [await hybrid(), await hybrid()]
    assert.deepEqual(await parseRecipients(quantum), { kind: 'hybrid post-quantum', keys: quantum })
  })

  test('refuses a list with nobody in it, and one that makes a header too long to be read', async () => {
    assert.match(await refusal([]), /there is no recipient/)
    assert.match(await refusal(Array.from({ length: mostRecipients + 1 }, () => 'age1')), /21 recipients/)
  })

  test('refuses a mixed list, whichever comes first', async () => {
    const [classic, quantum] = [await x25519(), await hybrid()]
    assert.match(await refusal([classic, quantum]), /recipient 1 is X25519 and recipient 2 is hybrid post-quantum/)
    assert.match(await refusal([quantum, await hybrid(), classic]), /recipient 3 is X25519/)
  })

  test('refuses the same recipient twice', async () => {
    const same = await x25519()
    assert.match(await refusal([same, await x25519(), same]), /recipients 1 and 3 are the same/)
  })

  test('refuses a secret key in any form, tells what to do about it, and does not repeat it', async () => {
    for (const secret of [await generateX25519Identity(), await generateHybridIdentity()])
      for (const item of [secret, secret.toLowerCase(), ` ${secret}\n`, `key=${secret}`, secret.slice(0, 40)])
        assert.match(await refusal([await x25519(), item]), /recipient 2 is a secret key.*new pair of keys/)
  })

  test('refuses what is neither of both kinds', async () => {
    const classic = await x25519()
    for (const item of [
      '',
      'age1',
      classic.toUpperCase(),
      ` ${classic}`,
      `${classic}\n`,
      classic.slice(0, -1),
      (await hybrid()).slice(0, -1),
      'age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t',
      'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH0ZdIZhzXgKcBQ1RDlVBoGqTbkV3rZVhvnnyJ2a7gqE',
    ])
      assert.match(await refusal([item]), /recipient 1 is neither/)
  })

  test('refuses a recipient with a letter that is not its own', async () => {
    for (const key of [await x25519(), await hybrid()])
      for (const at of [-1, -7, -50]) {
        const letter = key.at(at) === 'q' ? 'p' : 'q'
        const wrong = key.slice(0, key.length + at) + letter + key.slice(key.length + at + 1)
        assert.match(await refusal([wrong]), /recipient 1 is not a key/)
      }
  })

  test('refuses a well-spelled X25519 recipient to which nothing can be encrypted', async () => {
    const pointOfLowOrder = 'age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z'
    assert.match(await refusal([pointOfLowOrder]), /recipient 1 is not a key/)
  })
})
