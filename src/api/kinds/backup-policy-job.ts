// BackupPolicy spec.strategy.job: the preset of a database, or the command whose standard output is the backup, and what its container is given.
import { z } from 'zod'
import { all, dnsName, quantity, rule } from '../schema/schema.ts'
import { connection, databaseNames } from './backup-policy-connection.ts'
import { dataKey } from './data-key.ts'
import { podVolumes } from './backup-policy-volumes.ts'

const keyReference = (what: string) =>
  z
    .object({
      name: dnsName(`Name of the ${what}.`),
      key: dataKey(`Key in the ${what}.`),
      optional: z
        .boolean()
        .optional()
        .describe(`true: the variable stays unset when the ${what} or the key is missing.`),
    })
    .describe(`A key of a ${what} in the policy's namespace.`)

const environmentVariable = z
  .object({
    name: z
      .string()
      .max(256)
      .describe('Name of the variable.')
      .meta(
        rule(
          "self.matches('^[-._a-zA-Z][-._a-zA-Z0-9]*$')",
          'a variable name holds letters, digits and -._ and does not start with a digit',
        ),
      ),
    value: z
      .string()
      .max(16384)
      .optional()
      .describe('Value; $(OTHER) refers to a variable above it, $$ is one $. Never put a secret here: use valueFrom.'),
    valueFrom: z
      .object({
        secretKeyRef: keyReference('Secret').optional(),
        configMapKeyRef: keyReference('ConfigMap').optional(),
      })
      .optional()
      .describe('Where the value comes from instead.')
      .meta(
        rule(
          'has(self.secretKeyRef) != has(self.configMapKeyRef)',
          'valueFrom takes exactly one of secretKeyRef and configMapKeyRef',
        ),
      ),
  })
  .meta(rule('!(has(self.value) && has(self.valueFrom))', 'a variable takes value or valueFrom, not both'))

const environmentSource = z
  .object({
    prefix: z
      .string()
      .max(256)
      .optional()
      .describe('Put in front of every variable name.')
      .meta(
        rule(
          "self == '' || self.matches('^[-._a-zA-Z][-._a-zA-Z0-9]*$')",
          'the prefix of variable names holds letters, digits and -._ and does not start with a digit, for example DB_',
        ),
      ),
    secretRef: z
      .object({
        name: dnsName('Name of the Secret.'),
        optional: z.boolean().optional().describe('true: a missing Secret is no error.'),
      })
      .optional()
      .describe("All keys of a Secret in the policy's namespace."),
    configMapRef: z
      .object({
        name: dnsName('Name of the ConfigMap.'),
        optional: z.boolean().optional().describe('true: a missing ConfigMap is no error.'),
      })
      .optional()
      .describe("All keys of a ConfigMap in the policy's namespace."),
  })
  .meta(
    rule(
      'has(self.secretRef) != has(self.configMapRef)',
      'an envFrom entry takes exactly one of secretRef and configMapRef',
    ),
  )

const word = z.string().max(8192)

/** CEL: the first word of the command line, or none. */
const program =
  "(has(self.command) && size(self.command) > 0 ? self.command[0] : has(self.args) && size(self.args) > 0 ? self.args[0] : 'none')"
const hasProgram = '((has(self.command) && size(self.command) > 0) || (has(self.args) && size(self.args) > 0))'

/** The rules of a first word, whose example is `args` of the same block. */
function programRules(example: string) {
  return [
    rule(
      `!${program}.startsWith('-')`,
      `the first word of the command line is the program and cannot start with '-'; the ENTRYPOINT of the image is never used, so write the program first, for example args: ${example}`,
    ),
    rule(
      `${program}.matches('^[^ \\\\t\\\\r\\\\n]+$')`,
      `the first word of the command line is the program alone, without blanks, because no shell splits it: write one word an item, for example args: ${example}; for a line with pipes and variables write command: [bash, -o, pipefail, -c, "…"]`,
    ),
  ]
}

const restore = z
  .object({
    command: z
      .array(word)
      .max(64)
      .optional()
      .describe('The program and its first words. The command line is command followed by args.')
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
    args: z
      .array(word)
      .max(256)
      .optional()
      .describe('The rest of the command line; the program itself when command is left out.')
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
  })
  .describe(
    'The command that restores: it reads from standard input what the command of the backup wrote. Its end of input comes only after every byte was verified. With a preset leave this out.',
  )
  .meta(
    all(
      rule(
        hasProgram,
        'strategy.job.restore needs the program to run, in command or as the first word of args, for example args: [pg_restore, --exit-on-error, -d, shop_restored]',
      ),
      ...programRules('[pg_restore, --exit-on-error, -d, shop_restored]'),
    ),
  )

/**
 * The grammar of image names (https://github.com/distribution/reference), which Kubernetes leaves to the kubelet: what it refuses would
 * otherwise be found when a pod starts.
 */
const imageHost = String.raw`(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/`
const imagePath = '[a-z0-9]+(?:(?:[.]|_|__|-+)[a-z0-9]+)*'
const imagePattern = `^(?:${imageHost})?${imagePath}(?:/${imagePath})*(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?(?:@[a-zA-Z][a-zA-Z0-9+._-]*:[0-9a-fA-F]{32,})?$`

const resourceList = (description: string) =>
  z
    .object({
      cpu: quantity('CPU, for example 500m.').optional(),
      memory: quantity('Memory, for example 256Mi.').optional(),
      'ephemeral-storage': quantity('Local disk, for example 1Gi.').optional(),
    })
    .optional()
    .describe(description)

/** Kubernetes refuses such a pod, and the CronJob that would make it. What is no quantity has a rule of its own. */
function requestWithinLimit(resource: string) {
  const field = resource.replaceAll('-', '__dash__')
  const [request, limit] = [`self.requests.${field}`, `self.limits.${field}`]
  return rule(
    `!has(self.requests) || !has(self.limits) || !has(${request}) || !has(${limit}) || !isQuantity(string(${request})) || !isQuantity(string(${limit})) || quantity(string(${request})).compareTo(quantity(string(${limit}))) <= 0`,
    `requests.${resource} must not be more than limits.${resource}: raise the limit, or lower the request`,
  )
}

const userId = z
  .int()
  .meta(
    rule('self >= 1 && self <= 2147483647', 'must be between 1 and 2147483647; 0 is root, which no backup pod may be'),
  )

export const presetNames = ['postgres', 'mariadb', 'mysql'] as const
export type PresetName = (typeof presetNames)[number]

/** CEL: what only presets know. */
const presetFields = ['connection', 'databases', 'excludeDatabases', 'allowNonTransactional'] as const

export const job = z
  .object({
    preset: z
      .enum(presetNames)
      .optional()
      .describe(
        'The database whose dump is the backup: postgres, mariadb or mysql. Every workload whose pods the selector matches is a target; image, Service and credentials are found from it, and what connection says comes first. Left out: image with command or args make the backup.',
      )
      .meta(
        rule(
          "self in ['postgres', 'mariadb', 'mysql']",
          'strategy.job.preset must be postgres, mariadb or mysql; for another database leave it out and write image and args',
        ),
      ),
    connection: connection.optional(),
    databases: databaseNames(
      'The databases to dump, by their names. Left out: all that there are, without the templates and schemas of the server itself.',
    ).optional(),
    excludeDatabases: databaseNames('Databases that are not dumped, where databases is left out.').optional(),
    allowNonTransactional: z
      .boolean()
      .optional()
      .describe(
        'true: tables of engines without transactions (MyISAM, Aria, MEMORY) are dumped although rows may change meanwhile. Left out: a database that has such tables fails the backup, and they are named. Presets mariadb and mysql.',
      ),
    image: z
      .string()
      .max(512)
      .optional()
      .describe(
        'Image with the program that makes the backup, for example the image of the database itself, so that the versions match. With a preset it may be left out: the image of the target itself is used.',
      )
      .meta(
        rule(
          `self.matches('${imagePattern.replaceAll('\\', '\\\\')}')`,
          'image must be the name of an image, [registry/]name[:tag][@digest], its name in lower case and without blanks, for example postgres:17',
        ),
      ),
    imagePullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']).optional().describe('As in a Pod.'),
    imagePullSecrets: z
      .array(z.object({ name: dnsName('Name of the Secret.') }))
      .max(8)
      .optional()
      .describe("Secrets in the policy's namespace to pull the image with.")
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
    command: z
      .array(word)
      .max(64)
      .optional()
      .describe(
        'The program and its first words. The command line is command followed by args; the ENTRYPOINT of the image is never used. Its standard output is the backup. Not with a preset.',
      )
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
    args: z
      .array(word)
      .max(256)
      .optional()
      .describe(
        'The rest of the command line; the program itself when command is left out, for example [pg_dump, -Fc, -Z0, shop]. As in a Pod, $(NAME) is a variable and $$ is one $. Not with a preset.',
      )
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
    env: z
      .array(environmentVariable)
      .max(64)
      .optional()
      .describe('Variables of the command.')
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
    envFrom: z
      .array(environmentSource)
      .max(16)
      .optional()
      .describe('Secrets and ConfigMaps whose keys all become variables of the command.')
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
    volumes: podVolumes.optional(),
    restore: restore.optional(),
    compression: z
      .enum(['auto', 'zstd', 'none'])
      .default('auto')
      .describe(
        'How what the command writes is compressed. auto: with zstd, unless its beginning shows that it is compressed already. zstd: always. none: never.',
      )
      .meta(
        rule(
          "self in ['auto', 'zstd', 'none']",
          'strategy.job.compression must be auto, zstd or none; auto suits most',
        ),
      ),
    resources: z
      .object({
        requests: resourceList('What the command is promised.'),
        limits: resourceList('What the command may use at most.'),
      })
      .optional()
      .describe("CPU and memory of the command's container.")
      .meta(all(...(['cpu', 'memory', 'ephemeral-storage'] as const).map(requestWithinLimit))),
    runAsUser: userId
      .optional()
      .describe('User id of the command. Left out: 65532, which works with images whose own user is root or a name.'),
    runAsGroup: userId.optional().describe('Group id of the command. Left out: 65532.'),
  })
  .meta(
    all(
      rule(
        `has(self.preset) || ${hasProgram}`,
        'strategy.job needs the program to run, in command or as the first word of args, for example args: [pg_dump, -Fc, -Z0, shop]; the ENTRYPOINT of the image is never used',
      ),
      ...programRules('[pg_dump, -Fc, -Z0, shop]'),
      rule(
        'has(self.preset) || has(self.image)',
        'strategy.job needs image, the image with the program that makes the backup, or a preset, which uses the image of the database that it finds',
      ),
      rule(
        '!has(self.preset) || !(has(self.command) || has(self.args) || has(self.restore))',
        'strategy.job.preset brings its own commands: remove command, args and restore, or remove preset',
      ),
      rule(
        `has(self.preset) || !(${presetFields.map(field => `has(self.${field})`).join(' || ')})`,
        'connection, databases, excludeDatabases and allowNonTransactional are of a preset; set strategy.job.preset, or give the command what it needs in env and args',
      ),
      rule(
        "!has(self.allowNonTransactional) || !has(self.preset) || self.preset in ['mariadb', 'mysql']",
        'allowNonTransactional is of the presets mariadb and mysql; every table of PostgreSQL has transactions, so remove it',
      ),
      rule(
        '!has(self.databases) || !has(self.excludeDatabases)',
        'write databases (only these) or excludeDatabases (all but these), not both',
      ),
      rule(
        '!has(self.connection) || !has(self.connection.passwordFile) || (has(self.volumes) && self.volumes.exists(v, v.name == self.connection.passwordFile.volume))',
        'connection.passwordFile.volume must be the name of one of strategy.job.volumes',
      ),
    ),
  )

export type JobStrategy = z.output<typeof job>
