// BackupPolicy spec.strategy.job.volumes: Secrets and ConfigMaps as files of the command's container, and nothing else.
import { z } from 'zod'
import { all, dnsName, rule } from '../schema/schema.ts'
import { dataKey } from './data-key.ts'

/** CEL: a path without empty segments, `.` and `..`. `self` is the text. */
const segments = "self.split('/').all(part, part != '' && part != '.' && part != '..')"

const items = (what: string) =>
  z
    .array(
      z.object({
        key: dataKey(`Key in the ${what}.`),
        path: z
          .string()
          .max(256)
          .describe('Path of its file below mountPath.')
          .meta(
            rule(
              `!self.startsWith('/') && ${segments}`,
              'path is below mountPath: segments joined by single slashes, without . and .., for example tls/client.key',
            ),
          ),
      }),
    )
    .min(1)
    .max(32)
    .optional()
    .describe(`Which keys become files, and their paths. Left out: every key of the ${what}, under its own name.`)
    .meta({ 'x-kubernetes-list-type': 'atomic' })

const volume = z
  .object({
    name: z
      .string()
      .max(63)
      .describe('Name of the volume, by which connection.passwordFile refers to it.')
      .meta(
        rule(
          "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && !(self in ['shared', 'tmp', 'credentials', 'ca']) && !self.startsWith('backup-')",
          'the name of a volume holds lower-case letters, digits and -; shared, tmp, credentials, ca and names that start with backup- are taken',
        ),
      ),
    mountPath: z
      .string()
      .max(512)
      .describe('Folder in the container of the command where the files are, for example /certificates.')
      .meta(
        all(
          rule(
            "self.startsWith('/') && size(self) > 1 && self.split('/').all(part, part != '.' && part != '..') && !self.contains('//') && !self.endsWith('/') && !self.contains(':')",
            'mountPath must be the full path of a folder below /, without . and .. segments and without a slash or colon at its end, for example /certificates',
          ),
          rule(
            "!(self == '/tmp' || self.startsWith('/tmp/') || self.startsWith('/.backup'))",
            'mountPath must not be in /tmp or /.backup, which the backup needs; mount it elsewhere, for example in /certificates',
          ),
        ),
      ),
    secret: z
      .object({ name: dnsName('Name of the Secret.'), items: items('Secret') })
      .optional()
      .describe("A Secret in the policy's namespace."),
    configMap: z
      .object({ name: dnsName('Name of the ConfigMap.'), items: items('ConfigMap') })
      .optional()
      .describe("A ConfigMap in the policy's namespace."),
    optional: z
      .boolean()
      .optional()
      .describe('true: the command starts also while the Secret or ConfigMap, or a key of items, is missing.'),
  })
  .meta(rule('has(self.secret) != has(self.configMap)', 'a volume takes exactly one of secret and configMap'))

export const podVolumes = z
  .array(volume)
  .max(8)
  .describe(
    "Secrets and ConfigMaps that the command's container finds as files, for example a client certificate. They are read-only, and readable by every user id. The Secret of the backend is none of them: only the pod's other container mounts it.",
  )
  .meta({
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name'],
    ...rule(
      'self.all(a, self.exists_one(b, a.mountPath == b.mountPath))',
      'two volumes have the same mountPath; give each a folder of its own',
    ),
  })

export type PodVolume = z.output<typeof volume>
