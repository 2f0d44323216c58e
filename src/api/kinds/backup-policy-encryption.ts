// BackupPolicy spec.backend.encryption: who can read the backups (docs/decisions/0017-encryption-to-public-keys.md).
import { z } from 'zod'
import { all, dnsName, rule } from '../schema/schema.ts'

/** RE2 counts repetitions up to 1000 only, and a hybrid recipient is longer. */
const forms = {
  x25519: "recipient.matches('^age1[02-9ac-hj-np-z]{58}$')",
  hybrid: "size(recipient) == 1959 && recipient.matches('^age1pq1[02-9ac-hj-np-z]+$')",
  secret: "recipient.matches('(?i)age-(secret-key|plugin)-')",
} as const

const recipients = z
  .array(z.string().max(2100))
  .max(8)
  .optional()
  .describe(
    'Public keys of age, which age-keygen prints: all X25519 (age1 and 58 characters), or all hybrid post-quantum (age1pq1 and 1952, by age-keygen -pq). The secret key of any one of them opens a backup; what is encrypted already stays readable by the keys of its time.',
  )
  .meta({
    'x-kubernetes-list-type': 'atomic',
    ...all(
      rule(
        'size(self) > 0',
        'recipients is empty, so that nobody could read the backups; name a public key, or leave encryption out',
      ),
      rule(
        `!self.exists(recipient, ${forms.secret})`,
        'recipients holds a secret key, which is known now to all who can read this; make a new pair of keys with age-keygen, and give the public one, which begins with age1',
      ),
      rule(
        `self.all(recipient, ${forms.x25519} || (${forms.hybrid}) || ${forms.secret})`,
        'each of recipients must be a public key of age: age1 and 58 characters, or age1pq1 and 1952, in lower case; keys of plugins, SSH keys and passphrases are not supported',
      ),
      rule(
        `!(self.exists(recipient, ${forms.x25519}) && self.exists(recipient, ${forms.hybrid}))`,
        'recipients mixes X25519 and post-quantum keys: one that is not post-quantum opens the backups for whoever breaks it; give all of one kind',
      ),
      rule(
        'self.all(recipient, self.exists_one(other, other == recipient))',
        'recipients names one key twice; name each once',
      ),
    ),
  })

export const encryption = z
  .object({
    recipients,
    configMap: dnsName(
      "Name of a ConfigMap in the policy's namespace whose key recipients holds the public keys, one a line; blank lines and those that begin with # are skipped. Who may change it chooses who can read later backups.",
    ).optional(),
  })
  .describe(
    'Encrypts backups to public keys, in the format of age. Nothing in the cluster can read them then, also not the operator: only a Restore that names a Secret with a secret key. If all secret keys are lost, so are the backups. A Restore ignores it: the backup itself says what opens it.',
  )
  .meta(rule('has(self.recipients) != has(self.configMap)', 'encryption takes exactly one of recipients and configMap'))

export type EncryptionSpec = z.output<typeof encryption>
