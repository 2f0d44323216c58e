// Pieces that the schemas of all kinds share. Bounds on every string and list keep CEL rules inside the API server's cost budget.
import { z } from 'zod'

type Rules = { readonly 'x-kubernetes-validations': readonly { readonly rule: string; readonly message: string }[] }

/**
 * A CEL rule of a field. Where a field has one, the generated CRD drops enum, pattern and bounds of that field:
 * a generic schema error would suppress the rule and its message (docs/design.md R16).
 */
export function rule(expression: string, message: string): Rules {
  return { 'x-kubernetes-validations': [{ rule: expression, message }] }
}

/** Several rules of one field. */
export function all(...rules: readonly Rules[]): Rules {
  return { 'x-kubernetes-validations': rules.flatMap(each => each['x-kubernetes-validations']) }
}

/** The name of an object in the same namespace (RFC 1123 subdomain). */
export function dnsName(description: string) {
  return z
    .string()
    .max(253)
    .describe(description)
    .meta(
      rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        'must be the name of an object in the same namespace: lower-case letters, digits, - and .',
      ),
    )
}

/** A point in time, RFC 3339 in UTC. */
export function dateTime(description: string) {
  return z.string().max(40).describe(description).meta({ format: 'date-time' })
}

/** A Kubernetes quantity; people write `cpu: 1` as well as `cpu: "1"`. */
export function quantity(description: string) {
  return z
    .union([z.int(), z.string()])
    .describe(description)
    .meta(
      rule(
        "type(self) == int ? self >= 0 : isQuantity(self) && quantity(self).compareTo(quantity('0')) >= 0",
        'must be a quantity that is not negative, for example 500m, 2 or 256Mi',
      ),
    )
}

/** `Local` and the empty name would mean the API server's own zone (docs/design.md R16); CEL takes `+02:00` for one, a CronJob does not. */
export const timeZone = z
  .string()
  .max(64)
  .meta(
    rule(
      "self != '' && self != 'Local' && !self.contains(':') && timestamp('2026-01-01T00:00:00Z').getHours(self) >= 0",
      'timeZone must be an IANA time zone, for example Europe/Berlin or Etc/UTC; for a fixed offset such as +02:00 write Etc/GMT-2, whose sign is the other way round',
    ),
  )

/** metav1.Condition, as a map list on type. */
export const conditions = z
  .array(
    z.object({
      type: z.string().max(64).describe('What the condition is about.'),
      status: z.enum(['True', 'False', 'Unknown']).describe('Whether it holds.'),
      reason: z.string().max(64).describe('Why, in one word for programs.'),
      message: z.string().max(2048).describe('Why, in a sentence for people, and what to do.'),
      lastTransitionTime: dateTime('When status last changed.'),
      observedGeneration: z.int().optional().describe('The generation of the spec that it was judged by.'),
    }),
  )
  .max(16)
  .describe('What is true of the object now; docs/conditions.md lists every type and reason.')
  .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] })
