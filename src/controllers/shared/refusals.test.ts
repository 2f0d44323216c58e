import assert from 'node:assert/strict'
import { test } from 'node:test'
import { at, policy } from '../../../test/plan/world.ts'
import { RefusalMemory } from './refusals.ts'

const passing = { action: 'create', kind: 'Backup', name: 'b', words: 'etcd has a new leader', passing: true } as const

test('F71: whatever patience a server asks for, it is asked again after ten minutes', () => {
  const memory = new RefusalMemory()
  memory.begin(policy())
  memory.remember('record/b', passing, 7200, at('02:00'))
  assert.equal(memory.standing('record/b', at('02:09')), passing)
  assert.equal(memory.standing('record/b', at('02:10')), undefined)
})

test('F33: a failure of the server between two refusals begins their time anew', () => {
  const memory = new RefusalMemory()
  memory.begin(policy())
  const refused = { ...passing, words: 'exceeded quota: q', passing: false }
  const since = [refused, refused, passing, refused, refused].map((refusal, minute) => {
    memory.remember('start/b', refusal, 0, at(`02:0${minute}`))
    return memory.refusedSince('start/b')
  })
  assert.deepEqual(since, [at('02:00'), at('02:00'), undefined, at('02:03'), at('02:03')])
})

test('F23: a write that was refused for a moment is tried again in time after the clock is put back', () => {
  const memory = new RefusalMemory()
  const wrong = at('14:00')
  memory.begin(policy())
  memory.remember('record/b', passing, 0, wrong)
  const later = at('12:15')
  assert.equal(memory.standing('record/b', later), undefined, 'a quarter of an hour later it still stands')
})
