// Restore: brings one backup back, once. What it restores is pinned, and what it did is told in its status.
import { z } from 'zod'
import type { KubernetesObject } from '../kubernetes.ts'
import { all, conditions, dateTime, dnsName, rule } from '../schema/schema.ts'
import { connection, serverHost } from './backup-policy-connection.ts'
import { job, presetNames } from './backup-policy-job.ts'
import { restorePhases } from './restore-phases.ts'
import { restoreSource } from './restore-source.ts'

/** PostgreSQL cuts at 63 bytes, MariaDB at 64 characters. */
const longestDatabase = 64

const databaseName = (description: string) =>
  z
    .string()
    .max(longestDatabase)
    .describe(description)
    .meta(
      rule(
        String.raw`self.matches('^[^\\x00-\\x1f\\x7f]+$')`,
        'must be a name without line breaks and control characters, and not empty; quotes, blanks and = are a part of the name',
      ),
    )

const only = z
  .object({
    database: databaseName('This database of the backup alone.').optional(),
    table: z
      .string()
      .max(129)
      .optional()
      .describe(
        'This table alone, as schema.table or table. It is restored under another name beside the one that there is; status.result says under which, and what was left out.',
      )
      .meta(
        rule(
          String.raw`self.matches('^[^\\x00-\\x1f\\x7f]+$')`,
          'must be the name of a table, or schema.table, without line breaks and control characters',
        ),
      ),
  })
  .describe('A part of the backup instead of all of it.')
  .meta(
    all(
      rule('has(self.database) || has(self.table)', 'only needs database, or table and its database'),
      rule(
        '!has(self.table) || has(self.database)',
        'only.table needs only.database: a backup may hold several databases with such a table',
      ),
    ),
  )

/** CEL: whether the Restore brings a command of its own. */
const hasCommand = '((has(self.command) && size(self.command) > 0) || (has(self.args) && size(self.args) > 0))'
/** CEL: its first word, where there is one. */
const program =
  "(has(self.command) && size(self.command) > 0 ? self.command[0] : has(self.args) && size(self.args) > 0 ? self.args[0] : 'none')"

/** CEL: what only presets know. */
const ofPresets = ['preset', 'target', 'server', 'credentials', 'globals']
  .map(field => `has(self.${field})`)
  .join(' || ')

const server = z
  .object({
    host: serverHost('into.server.host', 'Name or address of the server, for example postgres.shop.svc.'),
    port: connection.shape.port.describe('Its port. Left out: 5432 (postgres) or 3306 (mariadb, mysql).'),
    tls: connection.shape.tls,
  })
  .describe('A server that no target of the policy is. It needs credentials.')

const credentials = z
  .object({
    user: connection.shape.user.describe('Name of the user.'),
    userFrom: connection.shape.userFrom,
    passwordFrom: connection.shape.passwordFrom,
  })
  .describe(
    'As whom the database is restored: somebody who may make databases and give them to their owners. Left out: the administrator whom the environment of the target names; never the user who made the dump.',
  )
  .meta(rule('has(self.user) != has(self.userFrom)', 'credentials needs exactly one of user and userFrom'))

const restoreInto = z
  .object({
    database: databaseName(
      'Name of the database that the backup becomes. Left out: with only.database a new one, whose name says which database it is of and from when (shop_20260105t0200); otherwise each database has its own name. A command of your own finds it in the variable BACKUP_INTO.',
    ).optional(),
    preset: z
      .enum(presetNames)
      .optional()
      .describe(
        'The preset that restores. Left out: the one that made the backup, which an encrypted backup does not tell: then that of the policy.',
      )
      .meta(
        rule(
          "self in ['postgres', 'mariadb', 'mysql']",
          'into.preset must be postgres, mariadb or mysql; for another database leave it out and write image and args',
        ),
      ),
    target: z
      .string()
      .max(253)
      .optional()
      .describe(
        'Name of another target of the policy, as status.targets of the policy lists them, whose database it is restored into. Left out: the one that the backup is of.',
      ),
    server: server.optional(),
    credentials: credentials.optional(),
    globals: z
      .boolean()
      .optional()
      .describe(
        'Whether users, roles and their rights come back that the server lacks. Left out: true, or false with only. Those that exist are not altered.',
      ),
    overwrite: z
      .boolean()
      .default(false)
      .describe(
        'true: what has that name already is replaced. The backup is restored beside it first, checked, and then swapped in. false: a database that is not empty is refused (TargetNotEmpty).',
      ),
    previous: z
      .enum(['Keep', 'Delete'])
      .default('Keep')
      .describe(
        'What becomes of what overwrite replaces. Keep: it stays under another name, which status.result tells. Delete: it goes once the swap is done.',
      )
      .meta(rule("self in ['Keep', 'Delete']", 'previous must be Keep or Delete')),
    only: only.optional(),
    image: job.shape.image
      .optional()
      .describe(
        'Image with the program that restores. Left out: that of the target, or of the policy. An image that the bucket names is never used.',
      ),
    imagePullPolicy: job.shape.imagePullPolicy,
    imagePullSecrets: job.shape.imagePullSecrets.describe(
      "Secrets in the Restore's namespace to pull the image with. Left out, with the image of the policy: those of the policy.",
    ),
    command: job.shape.command.describe(
      'The program that restores, and its first words: it reads the backup from its standard input, or asks for each of several artifacts by its name. The command line is command followed by args; the ENTRYPOINT of the image is never used. The end of its input comes only after every byte was checked: let it do everything in one transaction, for example psql --single-transaction.',
    ),
    args: job.shape.args.describe(
      'The rest of the command line; the program itself when command is left out, for example [pg_restore, --exit-on-error, -d, shop]. As in a Pod, $(NAME) is a variable and $$ is one $.',
    ),
    env: job.shape.env.describe(
      'Variables of the command. Those whose names begin with BACKUP_ are set by the operator.',
    ),
    envFrom: job.shape.envFrom.describe('Secrets and ConfigMaps whose keys all become variables of the command.'),
    resources: job.shape.resources.describe(
      "CPU and memory of the command's container. Left out: those of the policy, so that a quota which asks for some is content.",
    ),
    runAsUser: job.shape.runAsUser,
    runAsGroup: job.shape.runAsGroup,
  })
  .describe('What the backup is restored into.')
  .meta(
    all(
      rule(
        "self.previous != 'Delete' || self.overwrite",
        'previous: Delete is about what overwrite replaces; set overwrite: true, or leave previous out',
      ),
      rule(
        '!has(self.only) || !has(self.only.table) || !self.overwrite',
        'only.table never replaces a table: it is restored beside the one that there is; leave overwrite out',
      ),
      rule(
        `!${hasCommand} || (!self.overwrite && !has(self.only))`,
        'overwrite and only are for presets: a command of your own decides itself what it replaces, and what it leaves out; leave them out, or leave command and args out',
      ),
      rule(
        `${hasCommand} || !((has(self.env) && size(self.env) > 0) || (has(self.envFrom) && size(self.envFrom) > 0))`,
        'env and envFrom are variables of a command; set command or args, or leave them out',
      ),
      rule(
        "!has(self.env) || self.env.all(e, !e.name.startsWith('BACKUP_'))",
        'variables whose names begin with BACKUP_ are set by the operator; choose another name',
      ),
      rule(
        `!${program}.startsWith('-')`,
        "the first word of the command line is the program and cannot start with '-'; the ENTRYPOINT of the image is never used, so write the program first, for example args: [pg_restore, --exit-on-error, -d, shop]",
      ),
      rule(
        `${program}.matches('^[^ \\\\t\\\\r\\\\n]+$')`,
        'the first word of the command line is the program alone, without blanks, because no shell splits it: write one word an item, for example args: [pg_restore, --exit-on-error, -d, shop]; for a line with pipes and variables write command: [bash, -o, pipefail, -c, "…"]',
      ),
      rule(
        `!${hasCommand} || !(${ofPresets})`,
        'preset, target, server, credentials and globals are for presets: give a command of your own what it needs in args and env; leave them out, or leave command and args out',
      ),
      rule(
        '!has(self.server) || !has(self.target)',
        'write into.target (a workload that the policy selects) or into.server (any other server), not both',
      ),
      rule(
        '!has(self.server) || has(self.credentials)',
        'into.server needs into.credentials: nothing tells who may restore there',
      ),
    ),
  )

export const restoreSpec = z
  .object({
    source: restoreSource,
    into: restoreInto.optional(),
    verify: z
      .boolean()
      .default(false)
      .describe(
        'true: nothing is restored. Every byte is read back from the bucket and checked, of a preset its own programs read it to its end as well, and that is written down beside the backup.',
      ),
    identities: z
      .object({
        secretRef: dnsName(
          "Name of a Secret in the Restore's namespace whose keys hold age identities (AGE-SECRET-KEY-…), one or more a key. Only the pod of this Restore mounts it, and in it only the mover.",
        ),
      })
      .optional()
      .describe('What opens an encrypted backup.'),
    activeDeadlineSeconds: z
      .int()
      .default(86_400)
      .describe('How long one attempt may take.')
      .meta(rule('self >= 30 && self <= 2592000', 'activeDeadlineSeconds must be between 30 and 2592000 (30 days)')),
    backoffLimit: z
      .int()
      .default(2)
      .describe('How often a failed attempt is repeated before the Restore has failed. Each uses the same backup.')
      .meta(rule('self >= 0 && self <= 10', 'backoffLimit must be between 0 and 10')),
  })
  .describe('What to restore, and into what. It cannot be changed: create another Restore instead.')
  .meta(
    all(
      rule('self == oldSelf', 'the spec of a Restore cannot be changed; create another Restore instead'),
      rule(
        'has(self.into) || self.verify',
        'a Restore needs into (what it restores into), or verify: true (it only reads the backup and checks it)',
      ),
      rule(
        '!has(self.source.bucket) || !has(self.into) || has(self.into.image)',
        'into.image is needed with source.bucket: no policy says which image has the program that restores',
      ),
      rule(
        `!self.verify || !has(self.into) || !(self.into.overwrite || ${['database', 'only', 'target', 'server', 'credentials', 'globals', 'command', 'args', 'env', 'envFrom'].map(field => `has(self.into.${field})`).join(' || ')})`,
        'verify: true restores nothing: leave into out, or leave nothing in it but preset, image and what its pod is given',
      ),
      rule(
        `!has(self.source.bucket) || !has(self.into) || self.verify || has(self.into.server) || ${hasCommand.replaceAll('self.', 'self.into.')}`,
        'with source.bucket no policy says where the database is: write into.server and into.credentials, or the program that restores into args',
      ),
    ),
  )

const backupFacts = z.object({
  run: z.string().max(63).describe('The run that made it.'),
  target: z.string().max(253).describe('What it is a backup of.'),
  slot: dateTime('The slot that it covers; of one on demand, when it was asked for.'),
  store: z
    .string()
    .max(64)
    .describe("Hash of the endpoint's host and port, the bucket and the prefix that it is read from."),
  artifacts: z.int().describe('How many artifacts it holds.'),
  bytes: z.int().optional().describe('Bytes that it restores to. Absent of one that is encrypted.'),
  storedBytes: z.int().describe('Bytes in the bucket.'),
  preset: z.string().max(64).optional().describe('The preset that made it.'),
  serverVersion: z.string().max(64).optional().describe('Version of the server that it is of.'),
  encrypted: z.boolean().optional().describe('true: only the identities of spec.identities open it.'),
})

const availableBackup = z.object({
  run: z.string().max(63).describe('Name for spec.source.bucket.run.'),
  target: z.string().max(253).describe('What it is a backup of.'),
  slot: dateTime('The slot that it covers; of one on demand, when it was asked for.'),
  storedBytes: z.int().describe('Bytes in the bucket.'),
})

const jobReference = z.object({
  name: z.string().max(63).describe('Name of the Job.'),
  uid: z.string().max(64).describe('UID of the Job: only what its own pods say is believed.'),
})

const madeDatabase = z.object({
  database: z.string().max(253).describe('Its name in the backup.'),
  as: z.string().max(253).optional().describe('Its name now.'),
  table: z.string().max(253).optional().describe('The one table of it that was made, by its name now.'),
  previous: z.string().max(253).optional().describe('Under which name that is kept which it replaced.'),
})

export const restoreStatus = z
  .object({
    phase: z
      .enum(restorePhases)
      .optional()
      .describe(
        'Pending, Resolving (a Job looks for the backup and pins it), Restoring or Verifying, Completed or Failed. The last two are final.',
      ),
    reason: z.string().max(64).optional().describe('Why it is in this phase, in one word.'),
    message: z.string().max(2048).optional().describe('Why it is in this phase, in a sentence, and what to do.'),
    conditions: conditions.optional(),
    policy: z.string().max(253).optional().describe('The policy that made the backup.'),
    backup: backupFacts
      .optional()
      .describe('The backup that is restored. It is chosen once: each attempt uses this one.'),
    available: z
      .array(availableBackup)
      .max(20)
      .optional()
      .describe('What is there, newest first and at most 20, where the source named no run.')
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['run'] }),
    progress: z
      .object({
        artifact: z.string().max(253).optional().describe('The artifact that was read last.'),
        bytes: z.int().describe('Bytes that were checked and handed over.'),
        totalBytes: z.int().optional().describe('Bytes that the backup restores to, where they are known.'),
        percent: z.int().optional().describe('The one in terms of the other.'),
      })
      .optional()
      .describe(
        'How far the newest attempt came that has ended. How far one is that goes on stands in the log of its container mover.',
      ),
    result: z
      .object({
        databases: z
          .array(madeDatabase)
          .max(64)
          .optional()
          .describe('The databases that were made, or read with verify.')
          .meta({ 'x-kubernetes-list-type': 'atomic' }),
        leftOut: z
          .array(z.string().max(253))
          .max(64)
          .optional()
          .describe('What of the backup was not restored.')
          .meta({ 'x-kubernetes-list-type': 'atomic' }),
        details: z.string().max(1024).optional().describe('What else the restore said of what it did, as JSON.'),
      })
      .optional()
      .describe('What was made.'),
    into: z.string().max(253).optional().describe('What was made, for people.'),
    warnings: z
      .array(z.string().max(1024))
      .max(8)
      .optional()
      .describe('What should be looked at although it went on, for example that a newer backup was passed over.')
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
    startTime: dateTime('When the Restore was asked for.').optional(),
    completionTime: dateTime('When it ended, or was found to have ended.').optional(),
    duration: z
      .string()
      .max(32)
      .optional()
      .describe('How long it took from when it was asked for until it ended: the measured time to restore.'),
    jobs: z
      .object({
        resolve: jobReference.optional().describe('The Job that looks for the backup.'),
        restore: jobReference.optional().describe('The Job that restores it.'),
      })
      .optional()
      .describe('The Jobs that do the work. They stay as long as the Restore.'),
    attempts: z.int().optional().describe('How many attempts the Job that goes on, or was the last, has made.'),
    pod: z.string().max(253).optional().describe('The pod of the newest attempt.'),
    exitCode: z.int().optional().describe('Exit code of the command.'),
    stderr: z
      .string()
      .max(4096)
      .optional()
      .describe('The last lines that the command wrote to its standard error, without what looks like a secret.'),
  })
  .describe('What happened.')

export type RestoreSpec = z.output<typeof restoreSpec>
export type RestoreInto = NonNullable<RestoreSpec['into']>
export type RestoreStatus = z.output<typeof restoreStatus>
export type Restore = KubernetesObject & { readonly spec: RestoreSpec; readonly status?: RestoreStatus }

/** What `kubectl get rst` shows: is it back, from when, and if not, why. */
export const restoreColumns = [
  { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
  { name: 'Reason', type: 'string', jsonPath: '.status.reason' },
  { name: 'Backup', type: 'string', jsonPath: '.status.backup.run' },
  { name: 'From', type: 'string', jsonPath: '.status.backup.slot' },
  { name: 'Into', type: 'string', jsonPath: '.status.into' },
  { name: 'Duration', type: 'string', jsonPath: '.status.duration' },
  { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  { name: 'Percent', type: 'integer', jsonPath: '.status.progress.percent', priority: 1 },
  { name: 'Message', type: 'string', jsonPath: '.status.message', priority: 1 },
] as const
