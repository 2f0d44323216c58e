import assert from 'node:assert/strict'
import { test } from 'node:test'
import { at } from '../../../test/plan/world.ts'
import { RefusalMemory } from './refusals.ts'

test('F23: a write that was refused for a moment is tried again in time after the clock is put back', () => {
  const memory = new RefusalMemory()
  const wrong = at('14:00')
  memory.begin(1)
  const passing = {
    action: 'create',
    kind: 'Backup',
    name: 'b',
    words: 'etcd has a new leader',
    passing: true,
  } as const
  memory.remember('record/b', passing, 0, wrong)
  const later = at('12:15')
  assert.equal(memory.standing('record/b', later), undefined, 'a quarter of an hour later it still stands')
})
