// BackupPolicy spec.backend: where backups are stored, and with which credentials.
import { z } from 'zod'
import { dnsName, rule } from '../schema/schema.ts'
import { encryption } from './backup-policy-encryption.ts'

export const backend = z
  .object({
    type: z
      .enum(['s3'])
      .describe('The kind of store. Only s3 so far.')
      .meta(rule("self == 's3'", 'backend.type must be s3, the only kind of store so far')),
    bucket: z
      .string()
      .max(255)
      .describe('The bucket. It must exist: the operator never creates one.')
      .meta(
        rule(
          "self.matches('^[a-zA-Z0-9][a-zA-Z0-9._-]{1,253}[a-zA-Z0-9]$')",
          'bucket must be a bucket name alone, without s3:// and without a path (a path goes into prefix)',
        ),
      ),
    endpoint: z
      .string()
      .max(512)
      .optional()
      .describe('URL of the S3 API, for example http://minio.minio.svc:9000. Left out: AWS S3 in the given region.')
      .meta(
        rule(
          "isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != '' && !self.contains('@') && url(self).getEscapedPath() in ['', '/'] && url(self).getQuery().size() == 0",
          'endpoint must be http://host[:port] or https://host[:port], without credentials, path or query; credentials go into the Secret that secretRef names',
        ),
      ),
    region: z
      .string()
      .max(64)
      .default('us-east-1')
      .describe(
        'Region that requests are signed for. Most stores other than AWS accept the default; where a store names another, that one is used instead of the default.',
      ),
    prefix: z
      .string()
      .max(256)
      .optional()
      .describe(
        'Put in front of every key, without slashes at its ends. Several clusters can share a bucket under different prefixes.',
      )
      .meta(
        rule(
          "self.matches('^[a-zA-Z0-9!_.*()-]+(/[a-zA-Z0-9!_.*()-]+)*$') && !self.split('/').exists(part, part == '.' || part == '..')",
          'prefix must be path segments of letters, digits and !_.*()- joined by single slashes, without a slash at either end and without . or .. segments',
        ),
      ),
    forcePathStyle: z
      .boolean()
      .optional()
      .describe(
        'true: http://host/bucket/key; false: http://bucket.host/key. Left out: true when endpoint is set, which is what most stores other than AWS need.',
      ),
    ca: dnsName(
      "Name of a ConfigMap in the policy's namespace whose key ca.crt holds the certificate authorities to trust for endpoint.",
    ).optional(),
    adopt: z
      .string()
      .max(253)
      .optional()
      .describe(
        'Id of a cluster that is lost: the folder that the policy of this namespace and name had there is taken over, with its backups. The refusal PrefixOwnedByOther names the id. A cluster that is not lost can write there no more.',
      )
      .meta(
        rule(
          "self.matches('^[^ \\t\\r\\n]+$')",
          'adopt must be the id of one cluster, without blanks; the condition Ready names it',
        ),
      ),
    encryption: encryption.optional(),
    secretRef: dnsName(
      "Name of a Secret in the policy's namespace with the credentials: keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or accessKey and secretKey, or rootUser and rootPassword. The operator itself never reads it; the backup pods mount it.",
    ),
  })
  .describe(
    'Where backups are stored. Required with strategy job. A snapshot policy does not use it before snapshots can be exported; see the condition OffsiteCopy.',
  )

export type BackendSpec = z.output<typeof backend>
