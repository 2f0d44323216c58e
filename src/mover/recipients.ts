/** Whom the backups of a policy are encrypted to. What seals is loaded only where there is somebody: it takes 11 MiB. */
import { readFile } from 'node:fs/promises'
import type { EncryptionTask } from '../api/mover/task.ts'
import type { Recipients } from './age/recipients.ts'
import { MoverFailure } from './failure.ts'

/** @throws MoverFailure RecipientsInvalid, which names a recipient by its number only. */
export async function recipientsOf(task: EncryptionTask): Promise<Recipients> {
  const [{ parseRecipients }, items] = await Promise.all([
    import('./age/recipients.ts'),
    'recipients' in task ? task.recipients : readItems(task.recipientsFile),
  ])
  try {
    return await parseRecipients(items)
  } catch (error) {
    const where =
      'recipients' in task
        ? 'change backend.encryption.recipients'
        : 'change the key recipients of the ConfigMap that backend.encryption.configMap names'
    // Never its cause: what is no recipient may be a secret.
    throw new MoverFailure('RecipientsInvalid', `${where}: ${(error as Error).message}`)
  }
}

/** One a line, as `age --recipients-file` reads them. */
async function readItems(file: string): Promise<readonly string[]> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    const message =
      'the ConfigMap that backend.encryption.configMap names does not exist, or has no key recipients; create it, with one public key of age a line'
    throw new MoverFailure('RecipientsInvalid', message, { cause })
  }
  return text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('#'))
}
