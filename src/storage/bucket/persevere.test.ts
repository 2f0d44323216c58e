import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { persevere } from './persevere.ts'
import { StoreError, type StoreErrorReason } from '../store-error.ts'

async function tried(answers: readonly (StoreErrorReason | 'ok')[], signal?: AbortSignal) {
  const done: number[] = []
  let failure: unknown
  try {
    await persevere(
      answers.keys(),
      async index => {
        done.push(index)
        const answer = answers[index] ?? 'ok'
        if (answer !== 'ok') throw new StoreError(answer, `item ${index}`)
      },
      signal,
    )
  } catch (error) {
    failure = error
  }
  return { done, failure: failure instanceof Error ? failure.message : failure }
}

describe('work on many objects', () => {
  test('F65: is tried for each, whatever the others were told, and the first failure is told', async () => {
    const answers = ['ok', 'AccessDenied', 'StoreUnavailable', 'ok', 'StoreRejected', 'ok'] as const
    assert.deepEqual(await tried(answers), { done: [0, 1, 2, 3, 4, 5], failure: 'item 1' })
    assert.deepEqual(await tried(['ok', 'ok']), { done: [0, 1], failure: undefined })
  })

  test('F65: ends where the store is down', async () => {
    const down = 'StoreUnavailable'
    assert.deepEqual((await tried([down, down, 'ok', down, down, down, 'ok'])).done, [0, 1, 2, 3, 4, 5])
  })

  test('ends where it is told to', async () => {
    const told = new Error('told to stop')
    assert.deepEqual(await tried(['AccessDenied', 'ok'], AbortSignal.abort(told)), { done: [0], failure: told.message })
  })
})
