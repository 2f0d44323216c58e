// JSON schemas for kubeconform, made from what an API server says of itself, so that no network is needed and our own kinds are there.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ControlPlane } from './control-plane.ts'

type Schema = { [key: string]: unknown }
type OpenApi = { readonly components: { readonly schemas: Readonly<Record<string, Schema>> } }
type GroupVersionKind = { readonly group: string; readonly version: string; readonly kind: string }

/** What `-schema-location` takes for the folder that `writeSchemas` filled. The core group is called by its version there. */
export const schemaLocation = (directory: string) =>
  join(directory, '{{.ResourceKind}}-{{.ResourceAPIVersion}}-{{.Group}}.json')

/** Writes a schema for every kind of the named API groups (`api/v1`, `apis/apps/v1`). Fields that no schema names are refused. */
export async function writeSchemas(plane: ControlPlane, groups: readonly string[], directory: string): Promise<void> {
  await mkdir(directory, { recursive: true })
  for (const group of groups) {
    const document = JSON.parse(await plane.kubectl(['get', '--raw', `/openapi/v3/${group}`])) as OpenApi
    const { schemas } = document.components
    const shared = `${group.replaceAll('/', '_')}.json`
    const strict = Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, refuseUnknown(schema)]))
    await writeFile(join(directory, shared), JSON.stringify({ components: { schemas: strict } }))
    for (const [name, schema] of Object.entries(schemas))
      for (const { group: of, version, kind } of (schema['x-kubernetes-group-version-kind'] ??
        []) as readonly GroupVersionKind[]) {
        const file = `${kind.toLowerCase()}-${version}-${of || version}.json`
        await writeFile(join(directory, file), JSON.stringify({ $ref: `${shared}#/components/schemas/${name}` }))
      }
  }
}

/** An object with named fields has no others, as the API server's strict validation sees it. */
function refuseUnknown(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(refuseUnknown)
  if (typeof node !== 'object' || node === null) return node
  const copy: Schema = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, refuseUnknown(value)]))
  // Defaults and examples are values, and `properties` is a map of names; only schemas close.
  if (
    copy.type === 'object' &&
    copy.properties &&
    !copy['x-kubernetes-preserve-unknown-fields'] &&
    !copy.additionalProperties
  )
    copy.additionalProperties = false
  return copy
}
