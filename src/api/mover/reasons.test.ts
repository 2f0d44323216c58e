import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exitCodeOf, isPermanent, moverReasons, type MoverReason } from './reasons.ts'

test('a failed mover ends with the exit code of its reason; no retry follows a permanent one', () => {
  assert.deepEqual([exitCodeOf('SourceExit'), isPermanent('SourceExit')], [10, true])
  assert.deepEqual([exitCodeOf('StoreUnavailable'), isPermanent('StoreUnavailable')], [20, false])
  assert.deepEqual([exitCodeOf('Terminated'), isPermanent('Terminated')], [30, false])
  for (const reason of Object.keys(moverReasons) as MoverReason[]) assert.notEqual(exitCodeOf(reason), 0)
})
