// The test vectors of the age format (https://c2sp.org/CCTV/age), as far as they are about what we read: no passphrases, no armor.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { zstdDecompressSync, unzipSync } from 'node:zlib'
import { goModuleDirectory } from '../../dev/go-tools.ts'
import { AgeError, type AgeErrorReason } from '../../src/mover/age/age-error.ts'
import { mostHeaderBytes, openHeader } from '../../src/mover/age/header.ts'
import { Identities } from '../../src/mover/age/identities.ts'
import { openPayload } from './age-file.ts'

/** The version that filippo.io/age 1.3.1 is tested with. */
const vectors = 'c2sp.org/CCTV/age@v0.0.0-20251208015420-e9274a7bdbfd'

type Vector = { readonly keys: ReadonlyMap<string, readonly string[]>; readonly file: Buffer }

function parseVector(bytes: Buffer): Vector {
  const end = bytes.indexOf('\n\n')
  const keys = new Map<string, string[]>()
  for (const line of bytes.subarray(0, end).toString().split('\n')) {
    const [key = '', value = ''] = line.split(': ', 2)
    keys.set(key, [...(keys.get(key) ?? []), value])
  }
  const body = bytes.subarray(end + 2)
  return { keys, file: decompressed(body, keys.get('compressed')?.[0]) }
}

function decompressed(body: Buffer, form: string | undefined): Buffer {
  if (form === undefined) return body
  return form === 'zlib' ? unzipSync(body) : zstdDecompressSync(body)
}

/** What the file is refused with; its plain bytes and its file key otherwise. */
async function open({ keys, file }: Vector) {
  try {
    const identities = Identities.parse((keys.get('identity') ?? []).join('\n'))
    const { fileKey, headerBytes } = await openHeader(file.subarray(0, mostHeaderBytes), identities)
    const key = fileKey.export().toString('hex')
    try {
      return { key, plain: openPayload(file.subarray(headerBytes), fileKey) }
    } catch (error) {
      return { key, refused: reasonOf(error) }
    }
  } catch (error) {
    return { refused: reasonOf(error) }
  }
}

function reasonOf(error: unknown): AgeErrorReason {
  if (error instanceof AgeError) return error.reason
  throw error
}

test('the vectors of the age format are opened or refused as they say', async t => {
  const folder = join(await goModuleDirectory(vectors), 'testdata')
  const names = readdirSync(folder)
  let checked = 0
  for (const name of names) {
    const vector = parseVector(readFileSync(join(folder, name)))
    if (!vector.keys.has('identity') || vector.keys.has('passphrase') || vector.keys.has('armored')) continue
    checked += 1
    const [expected] = vector.keys.get('expect') ?? []
    const { refused, plain, key } = await open(vector)
    if (expected === 'success') {
      assert.equal(refused, undefined, name)
      assert.equal(
        createHash('sha256')
          .update(plain ?? '')
          .digest('hex'),
        vector.keys.get('payload')?.[0],
        name,
      )
      assert.equal(key, vector.keys.get('file key')?.[0], name)
    } else if (expected === 'payload failure') {
      assert.equal(refused, 'Tampered', name)
      assert.ok(key, name)
    } else if (expected === 'no match') assert.equal(refused, 'NoIdentityMatches', name)
    else if (expected === 'HMAC failure') assert.equal(refused, 'Tampered', name)
    // For the vectors the nonce is of the header, and so are stanzas that only their identity looks into.
    else assert.ok(refused === 'NotAge' || refused === 'Tampered', `${name}: ${refused}`)
  }
  t.diagnostic(`${checked} of ${names.length} vectors`)
  assert.ok(checked >= 80, `only ${checked} were checked`)
})
