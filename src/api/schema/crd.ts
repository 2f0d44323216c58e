// From a kind's Zod schema to the CustomResourceDefinition that the API server accepts: a structural schema, with CEL rules and defaults.
import { z } from 'zod'
import { backupColumns, backupSpec, backupStatus } from '../kinds/backup.ts'
import { backupPolicyColumns, backupPolicySpec } from '../kinds/backup-policy.ts'
import { backupPolicyStatus } from '../kinds/backup-policy-status.ts'
import { restoreColumns, restoreSpec, restoreStatus } from '../kinds/restore.ts'
import { group, managerName, version } from '../labels.ts'

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }
type Schema = { [key: string]: Json }

type Kind = {
  readonly kind: string
  readonly plural: string
  readonly singular: string
  readonly shortNames: readonly string[]
  readonly description: string
  readonly spec: z.ZodType
  readonly status: z.ZodType
  readonly columns: readonly object[]
}

export const kinds = [
  {
    kind: 'BackupPolicy',
    plural: 'backuppolicies',
    singular: 'backuppolicy',
    shortNames: ['bp'],
    description: 'BackupPolicy says what to back up (by labels), how often, how many to keep, where to, and how.',
    spec: backupPolicySpec,
    status: backupPolicyStatus,
    columns: backupPolicyColumns,
  },
  {
    kind: 'Backup',
    plural: 'backups',
    singular: 'backup',
    shortNames: ['bk'],
    description:
      'Backup is one recoverable thing: one target of a BackupPolicy at one point in time. Create one to run a policy now. Deleting one that is finished leaves its data.',
    spec: backupSpec,
    status: backupStatus,
    columns: backupColumns,
  },
  {
    kind: 'Restore',
    plural: 'restores',
    singular: 'restore',
    shortNames: ['rst'],
    description:
      'Restore brings one backup back, once: beside what there is, over it, or into nothing, to see that it can be read. It is refused where it would destroy data, unless it says overwrite.',
    spec: restoreSpec,
    status: restoreStatus,
    columns: restoreColumns,
  },
] as const satisfies readonly Kind[]

/** The CustomResourceDefinition of a kind, as it is in the chart. */
export function customResourceDefinition(kind: Kind) {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${kind.plural}.${group}`, annotations: { 'helm.sh/resource-policy': 'keep' } },
    spec: {
      group,
      scope: 'Namespaced',
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: kind.singular,
        shortNames: kind.shortNames,
        // Not `backup`: kubectl expands a category before it looks for a kind, so that `kubectl delete backup NAME` would be refused.
        categories: [managerName],
      },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: kind.columns,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description: kind.description,
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                metadata: { type: 'object' },
                spec: structural(kind.spec),
                status: structural(kind.status),
              },
            },
          },
        },
      ],
    },
  }
}

/** A Zod schema as a structural OpenAPI v3 schema (apiextensions.k8s.io/v1). */
export function structural(schema: z.ZodType): Schema {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    target: 'openapi-3.0',
    io: 'input',
    unrepresentable: 'throw',
  }) as Schema
  return visit(json)
}

function visit(node: Schema): Schema {
  const { additionalProperties, properties, items, anyOf, ...rest } = node
  const out: Schema = { ...rest }
  if (anyOf) {
    // The only union that we use is int-or-string, which a structural schema spells in its own way.
    out['x-kubernetes-int-or-string'] = true
    delete out.type
  }
  if (out.type === 'integer') {
    delete out.minimum
    delete out.maximum
    out.format = 'int64'
  }
  if (out['x-kubernetes-validations']) for (const generic of ['enum', 'pattern', 'minLength']) delete out[generic]
  if (properties)
    out.properties = Object.fromEntries(
      Object.entries(properties as Record<string, Schema>).map(([name, each]) => [name, visit(each)]),
    )
  if (items) out.items = visit(items as Schema)
  if (additionalProperties && typeof additionalProperties === 'object' && !properties)
    out.additionalProperties = visit(additionalProperties as Schema)
  delete out.propertyNames
  return out
}
