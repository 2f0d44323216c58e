/**
 * The look right behind a manifest (docs/design.md R37). Nothing keeps a machine that fell asleep between the look before and the write from
 * waking up days later: its manifest then names data that others have swept, and is taken back.
 */
import { isStoreError } from '../../storage/store-error.ts'
import { CommitFailure } from './commit.ts'

/**
 * @param look as the one before; only what it proves takes anything back, and no refusal or silence of the store
 * @param takeBack deletes the manifest
 * @throws CommitFailure DataLost (uncertain where the manifest could not be deleted)
 */
export async function lookBehind(look: () => Promise<void>, takeBack: () => Promise<void>): Promise<void> {
  let lost: unknown
  try {
    return await look()
  } catch (error) {
    if (isStoreError(error)) return
    lost = error
  }
  try {
    await takeBack()
  } catch {
    throw new CommitFailure(lost, true)
  }
  throw new CommitFailure(lost, false)
}
