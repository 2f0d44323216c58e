import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { encodeMoverMessage, messageLimit, moverPhases, type MoverMessage } from './message.ts'
import { moverReasons, moverWarnings, type MoverReason } from './reasons.ts'
import { parseMoverMessage } from './message-parse.ts'

const reasons = Object.keys(moverReasons) as MoverReason[]
const text = (maxLength: number) => fc.string({ maxLength, unit: 'grapheme' })
const count = fc.nat(Number.MAX_SAFE_INTEGER)
const run = fc.stringMatching(/^[a-z0-9]{1,52}-[0-9]{8}$/)

/** What a mover may say at its longest: keys of the greatest length, twenty deleted runs, all warnings. */
const anyMessage = fc.record(
  {
    phase: fc.constantFrom(...moverPhases),
    reason: fc.constantFrom(...reasons),
    message: text(2_000),
    run,
    attempt: fc.uuid(),
    startedAt: count,
    finishedAt: count,
    bytes: count,
    storedBytes: count,
    manifest: fc.stringMatching(/^[a-z/]{1,500}$/),
    openUpload: fc.record(
      {
        key: fc.stringMatching(/^[a-z/]{1,700}$/),
        uploadId: fc.stringMatching(/^[A-Za-z0-9]{1,150}$/),
      },
      { noNullPrototype: true },
    ),
    kept: fc.record(
      { count: fc.nat(), newest: run, oldest: run, digest: fc.stringMatching(/^[0-9a-f]{16}$/) },
      { noNullPrototype: true },
    ),
    deleted: fc.array(run, { maxLength: 20 }),
    warnings: fc.array(fc.record({ reason: fc.constantFrom(...moverWarnings), message: text(300) }), { maxLength: 4 }),
  },
  { requiredKeys: ['phase'], noNullPrototype: true },
)

describe('a mover message', () => {
  test('comes back as it was, when it is short', () => {
    const message: MoverMessage = {
      phase: 'committed',
      run: 'backup-orders-29921880',
      slot: 1_795_312_800_000,
      bytes: 5,
      suspect: false,
      sizeCheck: 'unchecked',
      disproved: 1_795_312_800_000,
      kept: { count: 1, newest: 'a', oldest: 'a', digest: '0123456789abcdef' },
      deleted: [],
      warnings: [{ reason: 'Suspect', message: 'small' }],
      probe: { conditionalPut: true, canList: false, canDelete: true },
      hold: { run: 'backup-orders-29921880', held: false },
      catalog: {
        entries: [
          {
            run: 'backup-orders-29921880',
            slot: 1,
            startedAt: 2,
            finishedAt: 3,
            bytes: 4,
            storedBytes: 5,
            suspect: true,
            unchecked: true,
            trigger: 'on-demand',
            held: true,
            unproven: true,
          },
        ],
      },
    }
    assert.deepEqual(parseMoverMessage(encodeMoverMessage(message)), message)
  })

  test('is one line within its limit, and keeps phase, reason, open upload and kept runs', () => {
    fc.assert(
      fc.property(anyMessage, message => {
        const encoded = encodeMoverMessage(message)
        assert.ok(Buffer.byteLength(encoded) <= messageLimit, `${Buffer.byteLength(encoded)} bytes`)
        assert.equal(encoded.indexOf('\n'), encoded.length - 1)
        const { phase, reason, openUpload, kept } = message
        const parsed = parseMoverMessage(encoded)
        assert.deepEqual(
          [parsed?.phase, parsed?.reason, parsed?.openUpload, parsed?.kept],
          [phase, reason, openUpload, kept],
        )
      }),
    )
  })

  test('F89: says what to do, however long the words of others in it, and whatever else there is to say', () => {
    const advice = 'check the credentials and what they may do in this bucket'
    const failed = anyMessage.map(message => ({ ...message, phase: 'failed' as const, kept: undefined }))
    fc.assert(
      fc.property(failed, text(2_000), fc.boolean(), (message, words, first) => {
        const said = first ? `${advice}: ${words}` : `${words}; ${advice}`
        const parsed = parseMoverMessage(encodeMoverMessage({ ...message, message: said }))
        assert.ok(parsed?.message?.includes(advice), parsed?.message ?? encodeMoverMessage(message))
      }),
    )
  })

  test('that was cut anywhere gives its phase or nothing, never another', () => {
    fc.assert(
      fc.property(anyMessage, fc.nat(2_000), fc.nat(50), (message, length, start) => {
        const { phase, reason, ...rest } = message
        const whole = encodeMoverMessage({ phase, reason, ...rest })
        const parsed = parseMoverMessage(whole.slice(start, start + length))
        if (parsed) assert.equal(parsed.phase, phase)
      }),
    )
  })
})
