// A key of a Secret or ConfigMap, and references to one.
import { z } from 'zod'
import { dnsName, rule } from '../schema/schema.ts'

/** Its grammar is that of `data` in Secrets and ConfigMaps. */
export function dataKey(description: string) {
  return z
    .string()
    .max(253)
    .describe(description)
    .meta(
      rule(
        "self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')",
        'a key of a Secret or ConfigMap holds letters, digits and -._ only, without blanks, for example password',
      ),
    )
}

/** A key that must be there. */
export function requiredKey(what: 'Secret' | 'ConfigMap') {
  return z
    .object({ name: dnsName(`Name of the ${what}.`), key: dataKey(`Key in the ${what}.`) })
    .describe(`A key of a ${what} in the policy's namespace.`)
}

const exactlyOne = (field: string) =>
  rule(
    'has(self.secretKeyRef) != has(self.configMapKeyRef)',
    `${field} takes exactly one of secretKeyRef and configMapKeyRef`,
  )

/** A value of a Secret. */
export function secretValue(description: string) {
  return z.object({ secretKeyRef: requiredKey('Secret') }).describe(description)
}

/** A value of a Secret or a ConfigMap. */
export function secretOrConfigValue(field: string, description: string) {
  return z
    .object({
      secretKeyRef: requiredKey('Secret').optional(),
      configMapKeyRef: requiredKey('ConfigMap').optional(),
    })
    .describe(description)
    .meta(exactlyOne(field))
}
