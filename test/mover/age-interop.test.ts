// Files of ours in the hands of people who have nothing but age, and theirs in ours.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { capture } from '../../dev/command.ts'
import { debianAge } from '../../dev/debian-tools.ts'
import { goToolDirectory } from '../../dev/go-tools.ts'
import { Identities } from '../../src/mover/age/identities.ts'
import { chunkBytes } from '../../src/mover/age/payload-layout.ts'
import { parseRecipients } from '../../src/mover/age/recipients.ts'
import { openFile, sealFile } from './age-file.ts'

const built = goToolDirectory('age')

/** The empty file, a file of one chunk and of two, exactly, and one over; the last is mostly beyond what is read for the header. */
const sizes = [0, 1, chunkBytes, chunkBytes + 1, 2 * chunkBytes, 3_000_000]

let folder = ''
before(async () => {
  assert.ok(existsSync(built), `${built} is missing; build it with: make tools`)
  folder = await mkdtemp(join(tmpdir(), 'backup-operator-age-'))
})
after(() => rm(folder, { recursive: true, force: true }))

/** A new pair of keys by age-keygen, in a file as people keep it. */
async function keyPair(name: string, ...flags: readonly string[]) {
  const path = join(folder, name)
  await capture([join(built, 'age-keygen'), ...flags, '-o', path])
  const recipient = (await capture([join(built, 'age-keygen'), '-y', path])).trim()
  return { path, recipient, identities: Identities.parse(await readFile(path, 'utf8')) }
}

const programs = [
  { name: "Debian's age", age: debianAge, flags: [] },
  { name: 'age 1.3.1', age: async () => join(built, 'age'), flags: [] },
  { name: 'age 1.3.1 with post-quantum keys', age: async () => join(built, 'age'), flags: ['-pq'] },
] as const

for (const [nth, { name, age, flags }] of programs.entries())
  describe(name, () => {
    let program = ''
    let keys: readonly Awaited<ReturnType<typeof keyPair>>[] = []
    before(async () => {
      program = await age()
      keys = await Promise.all([1, 2].map(each => keyPair(`keys-${nth}-${each}`, ...flags)))
    })
    const at = (file: string) => join(folder, `${nth}-${file}`)

    test('opens what we sealed, with the keys of each recipient', async () => {
      const recipients = await parseRecipients(keys.map(({ recipient }) => recipient))
      for (const size of sizes) {
        const plain = randomBytes(size)
        await writeFile(at('ours.age'), await sealFile(plain, recipients))
        for (const { path } of keys) {
          // Of an empty file Debian's makes none.
          await writeFile(at('ours'), '')
          await capture([program, '--decrypt', '--identity', path, '--output', at('ours'), at('ours.age')])
          assert.ok((await readFile(at('ours'))).equals(plain), `${size} bytes`)
        }
      }
    })

    test('refuses what we sealed, once it is cut at the border of a chunk', async () => {
      const [key = assert.fail()] = keys
      const file = await sealFile(randomBytes(2 * chunkBytes), await parseRecipients([key.recipient]))
      await writeFile(at('cut.age'), file.subarray(0, file.length - chunkBytes - 16))
      const argv = [program, '--decrypt', '--identity', key.path, '--output', at('cut'), at('cut.age')]
      await assert.rejects(capture(argv), /exited with 1/)
    })

    test('seals what we open, with the keys of each recipient', async () => {
      for (const size of sizes) {
        const plain = randomBytes(size)
        await writeFile(at('theirs'), plain)
        const recipients = keys.flatMap(({ recipient }) => ['--recipient', recipient])
        await capture([program, '--encrypt', ...recipients, '--output', at('theirs.age'), at('theirs')])
        const file = await readFile(at('theirs.age'))
        for (const { identities } of keys) assert.ok((await openFile(file, identities)).equals(plain), `${size} bytes`)
        await assert.rejects(openFile(file.subarray(0, -1), keys[0]?.identities ?? assert.fail()), {
          reason: 'Tampered',
        })
      }
    })
  })
