import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  exitCodeOf,
  isPermanent,
  moverReasons,
  permanentExitCodes,
  tooLateExitCode,
  type MoverReason,
} from './reasons.ts'

test('a failed mover ends with the exit code of its reason; no retry follows a permanent one', () => {
  assert.deepEqual([exitCodeOf('AccessDenied'), isPermanent('AccessDenied')], [21, true])
  assert.deepEqual([exitCodeOf('StoreUnavailable'), isPermanent('StoreUnavailable')], [20, false])
  assert.deepEqual([exitCodeOf('Terminated'), isPermanent('Terminated')], [30, false])
  for (const reason of Object.keys(moverReasons) as MoverReason[]) assert.notEqual(exitCodeOf(reason), 0)
})

test('F68: a command that failed is tried again; what no retry cures, and what comes too late, is final', () => {
  for (const reason of ['SourceExit', 'SourceSignalled', 'SourceKilled', 'SourceStalled', 'EmptyOutput'] as const)
    assert.equal(isPermanent(reason), false, reason)
  for (const reason of ['CommandNotFound', 'WritersRemain', 'SecretNotFound'] as const)
    assert.equal(isPermanent(reason), true, reason)
  assert.ok((permanentExitCodes as readonly number[]).includes(tooLateExitCode))
  assert.ok(!Object.values<number>(moverReasons).includes(tooLateExitCode))
})
