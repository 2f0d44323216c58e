// The parts of `docs/spec/*.md` that repeat the schema: fields with their types, defaults and texts, and the rules of admission.
// A page keeps what people wrote; only what is between two markers is replaced:
//
//     <!-- generated: spec -->  …  <!-- end -->        also: status, rules
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { customResourceDefinition, kinds } from '../src/api/schema/crd.ts'

type Kind = (typeof kinds)[number]

/** What is used of a structural schema. */
type Schema = {
  readonly type?: string
  readonly format?: string
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly additionalProperties?: Schema
  readonly 'x-kubernetes-int-or-string'?: boolean
  readonly 'x-kubernetes-validations'?: readonly { readonly message: string }[]
}

const parts = ['spec', 'status', 'rules'] as const
type Part = (typeof parts)[number]

/** Path of a kind's page in the repository. */
export function specPagePath(kind: Kind): string {
  return `docs/spec/${kind.singular}.md`
}

/** The pages as they should be, by path. */
export async function specPages(root: string): Promise<ReadonlyMap<string, string>> {
  const pages = kinds.map(async kind => {
    const path = specPagePath(kind)
    return [path, withFields(kind, await readFile(join(root, path), 'utf8'))] as const
  })
  return new Map(await Promise.all(pages))
}

/**
 * The page with its generated parts written anew.
 * @throws Error when a part's markers are not there exactly once: its text would be missing without anybody noticing.
 */
export function withFields(kind: Kind, page: string): string {
  return parts.reduce((text, part) => {
    const between = new RegExp(`(<!-- generated: ${part} -->\\n)[^]*?(<!-- end -->)`, 'g')
    const found = text.match(between)?.length ?? 0
    if (found !== 1)
      throw new Error(
        `${specPagePath(kind)} must have <!-- generated: ${part} --> … <!-- end --> once, not ${found} times`,
      )
    return text.replace(between, (_, open: string, end: string) => `${open}${partText(kind, part)}\n${end}`)
  }, page)
}

function partText(kind: Kind, part: Part): string {
  const schemas = schemasOf(kind)
  return part === 'rules' ? rules(schemas.spec) : fields(schemas[part], 0).join('\n')
}

function schemasOf(kind: Kind): { readonly spec: Schema; readonly status: Schema } {
  const [version] = customResourceDefinition(kind).spec.versions
  if (!version) throw new TypeError(`${kind.kind} has no version`)
  const { spec, status } = version.schema.openAPIV3Schema.properties
  return { spec, status }
}

/** A nested list: one line a field. */
function fields(schema: Schema, depth: number): readonly string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const facts = [
      typeOf(field),
      schema.required?.includes(name) ? 'required' : undefined,
      field.default === undefined ? undefined : `default \`${JSON.stringify(field.default)}\``,
    ]
    const text = field.description ? `: ${escaped(field.description)}` : ''
    const line = `${'  '.repeat(depth)}- \`${name}\` (${facts.filter(Boolean).join(', ')})${text}`
    return [line, ...fields(field.items ?? field, depth + 1)]
  })
}

function typeOf(schema: Schema): string {
  if (schema['x-kubernetes-int-or-string']) return 'quantity'
  if (schema.items) return `list of ${schema.items.properties ? 'objects' : `${typeOf(schema.items)}s`}`
  if (schema.additionalProperties) return `map of ${typeOf(schema.additionalProperties)}s`
  if (schema.enum) return schema.enum.map(value => `\`${String(value)}\``).join(' or ')
  return schema.format === 'date-time' ? 'time' : (schema.type ?? 'object')
}

/** Each message of a rule with the fields that it is about. */
function rules(schema: Schema): string {
  const all = [...walk(schema, 'spec')].flatMap(([path, field]) =>
    (field['x-kubernetes-validations'] ?? []).map(({ message }) => ({ path, message })),
  )
  return [...Map.groupBy(all, ({ message }) => message)]
    .map(([message, some]) => `- ${some.map(({ path }) => `\`${path}\``).join(', ')}: ${escaped(message)}`)
    .join('\n')
}

function* walk(schema: Schema, path: string): Generator<readonly [path: string, schema: Schema]> {
  yield [path, schema]
  for (const [name, field] of Object.entries(schema.properties ?? {})) yield* walk(field, `${path}.${name}`)
  if (schema.items) yield* walk(schema.items, `${path}[]`)
}

/** Texts are plain: what Markdown would take for its own is escaped. */
function escaped(text: string): string {
  return text.replaceAll(/[*<]/g, character => `\\${character}`)
}
