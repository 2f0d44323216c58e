// BackupPolicy spec.strategy.job.connection: how a preset reaches its database, where that is not to be found out, or is another way.
import { z } from 'zod'
import { all, dnsName, rule } from '../schema/schema.ts'
import { secretOrConfigValue, secretValue } from './data-key.ts'

const text = (description: string) =>
  z
    .string()
    .max(256)
    .describe(description)
    .meta(rule("self.matches('^[^\\\\n\\\\r\\\\x00]+$')", 'must not be empty, and must be one line'))

const tlsModes = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const

const tls = z
  .object({
    mode: z
      .enum(tlsModes)
      .optional()
      .describe(
        'disable: never with TLS. prefer: with TLS where the server has it. require: only with TLS, whoever answers. verify-ca: only where the server has a certificate of the authority. verify-full: and of the name of host. Left out: as the client program does.',
      )
      .meta(
        rule(
          `self in [${tlsModes.map(mode => `'${mode}'`).join(', ')}]`,
          'connection.tls.mode must be disable, prefer, require, verify-ca or verify-full',
        ),
      ),
    secretName: dnsName(
      "Name of a Secret in the policy's namespace with the keys ca.crt, tls.crt and tls.key, as cert-manager makes them; what is missing is not used. Instead of caFrom, certFrom and keyFrom.",
    ).optional(),
    caFrom: secretOrConfigValue(
      'caFrom',
      'The certificates of the authorities that the server is checked against, in PEM.',
    ).optional(),
    certFrom: secretValue('The certificate to show to the server, in PEM.').optional(),
    keyFrom: secretValue('The private key of that certificate, in PEM, without a passphrase.').optional(),
  })
  .describe('Whether and how the connection is encrypted.')
  .meta(
    all(
      rule(
        '!has(self.secretName) || !(has(self.caFrom) || has(self.certFrom) || has(self.keyFrom))',
        'write secretName, or caFrom, certFrom and keyFrom, not both',
      ),
      rule('has(self.certFrom) == has(self.keyFrom)', 'a client certificate needs both certFrom and keyFrom'),
      rule(
        "!has(self.mode) || !(self.mode in ['verify-ca', 'verify-full']) || has(self.secretName) || has(self.caFrom)",
        'modes verify-ca and verify-full need the authority to check against: write caFrom, or secretName of a Secret that has ca.crt',
      ),
    ),
  )

/** @param field as it is written, for messages */
export function serverHost(field: string, description: string) {
  return z
    .string()
    .max(253)
    .describe(description)
    .meta(
      rule(
        "self.matches('^([a-zA-Z0-9_]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?[.]?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$')",
        `${field} must be the name or the address of the server alone, for example db.example.com; the port goes into port, and the user into user`,
      ),
    )
}

export const connection = z
  .object({
    host: serverHost(
      'connection.host',
      'Name or address of the server, for example postgres.shop.svc or db.example.com. Left out: the Service of the target.',
    ).optional(),
    port: z
      .int()
      .optional()
      .describe('Its port. Left out: that of the Service, else 5432 (postgres) or 3306 (mariadb, mysql).')
      .meta(rule('self >= 1 && self <= 65535', 'connection.port must be between 1 and 65535')),
    user: text(
      'User who makes the dump; state the password, too. Left out: the administrator whom the environment of the target names, or the user whom its operator keeps in a Secret.',
    ).optional(),
    userFrom: secretOrConfigValue('userFrom', 'Where the name of the user comes from instead.').optional(),
    passwordFrom: secretValue('The password, in a Secret.').optional(),
    passwordFile: z
      .object({
        volume: z.string().max(63).describe('Name of the volume, one of strategy.job.volumes.'),
        path: z
          .string()
          .max(256)
          .describe('Path of the file in that volume.')
          .meta(
            rule(
              "!self.startsWith('/') && self.split('/').all(part, part != '' && part != '.' && part != '..')",
              'path is below the mountPath of the volume: segments joined by single slashes, without . and .., for example password',
            ),
          ),
      })
      .optional()
      .describe('The password, in a file: what stands in it, without the line end.'),
    tls: tls.optional(),
  })
  .describe(
    'How the database is reached, and as whom. What is left out is found from the target: its Service, its environment, the Secrets that its pods refer to.',
  )
  .meta(
    all(
      rule('!has(self.user) || !has(self.userFrom)', 'write connection.user or connection.userFrom, not both'),
      rule(
        '!has(self.passwordFrom) || !has(self.passwordFile)',
        'write connection.passwordFrom or connection.passwordFile, not both',
      ),
    ),
  )

/** Names of databases, as the server has them. */
export function databaseNames(description: string) {
  return z
    .array(
      z
        .string()
        .max(64)
        .meta(
          rule(
            "self.matches('^[^\\\\n\\\\r\\\\x00]+$')",
            'the name of a database must not be empty, and must not hold a line break',
          ),
        ),
    )
    .min(1)
    .max(256)
    .describe(description)
    .meta({ 'x-kubernetes-list-type': 'set' })
}

export type Connection = z.output<typeof connection>
