import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Verdict } from '../core/conditions.ts'
import { stateOf } from './state.ts'

const verdict = (type: Verdict['type'], status: Verdict['status'], reason: Verdict['reason'] = 'Ready'): Verdict => ({
  type,
  status,
  reason,
  message: '',
})
const target = (kept: number, ready = true, reason = 'Ready') => ({ name: 'data', ready, reason, message: '', kept })
const fine = [verdict('Ready', 'True'), verdict('LastBackupSucceeded', 'True')]

test('F88: the one word about a policy is the worst thing that matters', () => {
  const failed = verdict('LastBackupSucceeded', 'False', 'SourceExit')
  const blocked = verdict('RetentionBlocked', 'True', 'RetentionBlocked')
  const rows = [
    ['Ready', fine, [target(3)], 0],
    ['Suspended', [verdict('Ready', 'True', 'Suspended')], [target(3)], 0],
    ['Unprotected', fine, [target(3), target(0)], 0],
    ['Unprotected', fine, [target(3), target(3, false, 'PVCPending')], 0],
    ['Unprotected', fine, [], 0],
    ['Ready', fine, [target(3), target(0, false, 'TargetNotFound')], 0],
    ['RetentionBlocked', [...fine, blocked], [target(0)], 0],
    ['Overdue', [...fine, blocked], [target(3)], 7],
    ['Failed', [verdict('Ready', 'True'), failed, blocked], [target(3)], 7],
    ['AccessDenied', [verdict('Ready', 'False', 'AccessDenied'), failed], [target(3)], 7],
    ['Probing', [verdict('Ready', 'Unknown', 'Probing'), failed], [target(0)], undefined],
  ] as const
  for (const [word, verdicts, targets, overdueSeconds] of rows)
    assert.equal(stateOf({ verdicts, targets, overdueSeconds }), word)
})
