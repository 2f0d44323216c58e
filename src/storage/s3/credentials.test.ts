import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { CredentialsError, loadCredentials, mountedCredentials } from './credentials.ts'

describe('credentials of a mounted Secret', () => {
  let root: string
  let count = 0
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'backup-operator-credentials-'))
  })
  after(() => rm(root, { recursive: true }))

  /** As the kubelet mounts it: links to hidden directories. */
  async function mount(keys: Readonly<Record<string, string>>): Promise<string> {
    const directory = join(root, String(++count))
    await mkdir(join(directory, '..2026_11_22'), { recursive: true })
    await symlink('..2026_11_22', join(directory, '..data'))
    for (const [key, value] of Object.entries(keys)) {
      await writeFile(join(directory, '..2026_11_22', key), value)
      await symlink(`..data/${key}`, join(directory, key))
    }
    return directory
  }

  const pair = { accessKeyId: 'user', secretAccessKey: 'pass word' }
  for (const [user, password] of [
    ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'],
    ['accessKey', 'secretKey'],
    ['accesskey', 'secretkey'],
    ['access-key', 'secret-key'],
    ['rootUser', 'rootPassword'],
    ['root-user', 'root-password'],
    ['ROOT_USER', 'ROOT_PASSWORD'],
  ] as const) {
    test(`are found under ${user} and ${password}`, async () => {
      assert.deepEqual(await loadCredentials(await mount({ [user]: 'user', [password]: 'pass word' }), 's'), pair)
    })
  }

  test('F69: that are renewed are found when they are looked at again, and stay when the Secret goes', async () => {
    const directory = await mount({ accessKey: 'user', secretKey: 'pass word' })
    const source = await mountedCredentials(directory, 's')
    assert.deepEqual([await source.current(), await source.changes({ look: true })], [pair, 0])
    await writeFile(join(directory, 'accessKey'), 'renewed')
    assert.equal(await source.changes({ look: true }), 1)
    assert.deepEqual(await source.current(), { ...pair, accessKeyId: 'renewed' })
    await rm(join(directory, '..2026_11_22'), { recursive: true })
    assert.equal(await source.changes({ look: true }), 1)
    assert.equal((await source.current()).accessKeyId, 'renewed')
  })

  test('F69: are of one state of the Secret, never half old and half new', async () => {
    const directory = await mount({ accessKey: 'user', secretKey: 'pass word' })
    // A link of the kubelet that has not been turned yet: what it names now is not what belongs to the others.
    await mkdir(join(directory, '..next'))
    await writeFile(join(directory, '..next', 'accessKey'), 'new user')
    await rm(join(directory, 'accessKey'))
    await symlink('..next/accessKey', join(directory, 'accessKey'))
    assert.deepEqual(await loadCredentials(directory, 's'), pair)
  })

  test('lose the newline at the end of a file', async () => {
    assert.deepEqual(await loadCredentials(await mount({ accessKey: 'user\n', secretKey: 'pass word\r\n' }), 's'), pair)
  })

  test('have a session token where there is one', async () => {
    const directory = await mount({ accessKey: 'user', secretKey: 'pass word', AWS_SESSION_TOKEN: 'token' })
    assert.deepEqual(await loadCredentials(directory, 's'), { ...pair, sessionToken: 'token' })
  })

  test('are never put together from two pairs', async () => {
    const directory = await mount({ AWS_ACCESS_KEY_ID: 'other', accessKey: 'user', secretKey: 'pass word' })
    assert.deepEqual(await loadCredentials(directory, 's'), pair)
  })

  test('that are missing name the keys looked for and found, and no value', async () => {
    const incomplete: readonly Readonly<Record<string, string>>[] = [
      { accessKey: 'canary' },
      { accessKey: 'canary', secretKey: '' },
      { rootUser: 'canary', note: 'canary' },
    ]
    for (const keys of incomplete) {
      await assert.rejects(loadCredentials(await mount(keys), 'minio-creds'), (error: unknown) => {
        assert.ok(error instanceof CredentialsError)
        assert.equal(error.reason, 'SecretKeyMissing')
        assert.match(
          error.message,
          /minio-creds .*AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or accessKey and secretKey, or rootUser and rootPassword/,
        )
        assert.ok(error.message.endsWith(`found ${Object.keys(keys).sort().join(', ')}`))
        assert.doesNotMatch(error.message, /canary/)
        return true
      })
    }
  })

  test('of a Secret that does not exist are SecretNotFound: its optional volume is an empty directory, or none', async () => {
    for (const directory of [await mount({}), join(root, 'nothing')]) {
      await assert.rejects(loadCredentials(directory, 'minio-creds'), {
        reason: 'SecretNotFound',
        message: /minio-creds does not exist/,
      })
    }
  })
})
