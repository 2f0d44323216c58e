import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import type { BackupRecord } from '../../api/record.ts'
import { layoutOf } from '../../storage/bucket/layout.ts'
import { MemoryStore } from '../../storage/memory.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { withRetries } from '../../storage/retry.ts'
import { StoreError, type StoreErrorReason } from '../../storage/store-error.ts'
import { changed } from '../../../test/storage/changed-store.ts'
import { putBackup } from '../../../test/storage/made-up-backup.ts'
import { CommitFailure, commitRecord } from './commit.ts'

const layout = layoutOf({ namespace: 'shop', policy: 'orders' })
const made = { run: 'run-0', slot: new Date(0), attempt: 'ours' }

let memory: MemoryStore
let key: string
let record: BackupRecord
beforeEach(async () => {
  memory = new MemoryStore()
  const backup = await putBackup(memory, layout, made)
  key = backup.key
  record = backup.record
  await memory.delete([key])
})

const refusal = (reason: StoreErrorReason) => new StoreError(reason, 'injected')
const noAnswer = () => new StoreError('StoreUnavailable', 'injected', { perhapsObeyed: true })

/** A store with these faults, as a mover uses it. */
function commit(faults: Partial<ObjectStore>, conditionalPut = true) {
  const store = withRetries(changed(memory, faults), { budgetMs: 1_000, firstDelayMs: 1 })
  return commitRecord(store, layout, key, record, { conditionalPut, signal: new AbortController().signal })
}

/** The store obeys the first write, and its reply is lost. */
function loseReply(): Pick<ObjectStore, 'putIfAbsent'> {
  let puts = 0
  return {
    async putIfAbsent(...put) {
      const outcome = await memory.putIfAbsent(...put)
      if (puts++ === 0) throw noAnswer()
      return outcome
    },
  }
}

const failure = (reason: string, uncertain: boolean) => (error: unknown) =>
  error instanceof CommitFailure && error.reason === reason && error.uncertain === uncertain

describe('F12: a manifest whose reply is lost', () => {
  test('is known by reading it', async () => {
    assert.deepEqual(await commit(loseReply()), { committed: 'this attempt', record })
  })

  const answers: Readonly<Record<string, () => Buffer | StoreError>> = {
    'no such bucket': () => refusal('BucketNotFound'),
    'no such object': () => refusal('NotFound'),
    'access denied': () => refusal('AccessDenied'),
    'another refusal': () => refusal('StoreRejected'),
    'an archived object': () => refusal('ObjectArchived'),
    'another body': () => Buffer.from('<html></html>'),
    'half of the body': () => Buffer.from(JSON.stringify(record).slice(0, -9)),
    'the manifest of another run': () => Buffer.from(JSON.stringify({ ...record, run: 'run-1' })),
  }
  for (const [name, answer] of Object.entries(answers)) {
    test(`may be there when its reading answers ${name}, and another attempt finds out`, async () => {
      const get = async () => {
        const given = answer()
        if (given instanceof StoreError) throw given
        return given
      }
      await assert.rejects(commit({ ...loseReply(), get }), failure('StoreUnavailable', true))
      assert.ok(await memory.head(key))
      assert.deepEqual(await commit({}), { committed: 'this attempt', record })
    })
  }

  test('may yet be written when the store says afterwards that it does not know the condition', async () => {
    for (const fault of ['head', 'put'] as const) {
      let puts = 0
      const putIfAbsent = async () => Promise.reject(puts++ === 0 ? noAnswer() : refusal('ConditionalUnsupported'))
      const refuses = async () => Promise.reject(refusal('AccessDenied'))
      await assert.rejects(commit({ putIfAbsent, [fault]: refuses }), failure('AccessDenied', true), fault)
    }
  })
})

describe('a manifest', () => {
  test('that is refused at once is certainly not there, with and without a condition', async () => {
    const refuses = async () => Promise.reject(refusal('AccessDenied'))
    const unsupported = async () => Promise.reject(refusal('ConditionalUnsupported'))
    await assert.rejects(commit({ putIfAbsent: refuses }), failure('AccessDenied', false))
    await assert.rejects(commit({ putIfAbsent: unsupported, put: refuses }), failure('AccessDenied', false))
    await assert.rejects(commit({ put: refuses }, false), failure('AccessDenied', false))
  })

  test('of another Job is RunExists, and one of another attempt of our Job is the backup', async () => {
    for (const conditionalPut of [true, false]) {
      const other = await putBackup(memory, layout, { ...made, attempt: 'theirs' })
      const found = await commit({}, conditionalPut)
      assert.deepEqual(found, { committed: 'another attempt', record: other.record })
      await putBackup(memory, layout, { ...made, change: { jobUid: 'another' } })
      await assert.rejects(commit({}, conditionalPut), { name: 'MoverFailure', reason: 'RunExists' })
    }
  })
})
