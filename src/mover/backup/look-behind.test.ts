import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../storage/store-error.ts'
import { MoverFailure } from '../failure.ts'
import { CommitFailure } from './commit.ts'
import { lookBehind } from './look-behind.ts'

const lost = () => Promise.reject(new MoverFailure('DataLost', 'it is not there any more'))
const never = () => assert.fail('nothing is to be taken back')

test('F59: what is there behind its manifest is a backup, and what the store does not say takes none back', async () => {
  await lookBehind(() => Promise.resolve(), never)
  await lookBehind(() => Promise.reject(new StoreError('StoreUnavailable', 'slow down')), never)
})

test('F59: a manifest whose data are gone is taken back; where that is refused nobody knows', async () => {
  let taken = 0
  const failure = (uncertain: boolean) => (error: unknown) =>
    error instanceof CommitFailure && error.reason === 'DataLost' && error.uncertain === uncertain
  const takeBack = () => Promise.resolve(void taken++)
  await assert.rejects(lookBehind(lost, takeBack), failure(false))
  assert.equal(taken, 1)
  const refused = () => Promise.reject(new StoreError('AccessDenied', 'no'))
  await assert.rejects(lookBehind(lost, refused), failure(true))
})
