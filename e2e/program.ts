// Programs of the stories in pods of their own: TypeScript files of this repository on the operator's image, which runs them as they are.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { productImage } from '../dev/chart-image.ts'
import { repository } from '../dev/paths.ts'
import { type Manifest } from './objects.ts'

type Program = {
  /** Its path in the repository. */
  readonly file: string
  readonly args?: readonly string[]
  /** Where it listens, and its Service too. */
  readonly port: number
  /** A Secret whose keys are files below /secret. */
  readonly secret?: string
}

/** The pod and its Service, both called `name`. */
export function program(namespace: string, name: string, options: Program): readonly Manifest[] {
  const { file, args = [], port, secret } = options
  const metadata = { namespace, name, labels: { app: name } }
  // A key of a ConfigMap is not a path; the files keep their places, because they import each other by them.
  const files = [...withImports(file)].map(path => ({ path, key: path.replaceAll('/', '_') }))
  const data = Object.fromEntries(files.map(({ path, key }) => [key, sourceOf(path)]))
  const container = {
    name: 'program',
    image: productImage,
    command: ['node', `/program/${file}`, ...args],
    readinessProbe: { tcpSocket: { port }, periodSeconds: 1 },
    volumeMounts: [
      { name: 'program', mountPath: '/program' },
      ...(secret === undefined ? [] : [{ name: 'secret', mountPath: '/secret' }]),
    ],
  }
  const volumes = [
    { name: 'program', configMap: { name, items: files } },
    ...(secret === undefined ? [] : [{ name: 'secret', secret: { secretName: secret } }]),
  ]
  const spec = { terminationGracePeriodSeconds: 0, containers: [container], volumes }
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data },
    { apiVersion: 'v1', kind: 'Pod', metadata, spec },
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: metadata.labels, ports: [{ port }] } },
  ]
}

/** The file, and all files of ours that it needs when it runs: not those of which it imports types alone. */
function withImports(path: string, seen = new Set<string>()): ReadonlySet<string> {
  if (seen.has(path)) return seen
  seen.add(path)
  for (const [, imported = ''] of sourceOf(path).matchAll(/^import (?!type )[^']*'(\.[^']+)'/gm))
    withImports(join(dirname(path), imported), seen)
  return seen
}

function sourceOf(path: string): string {
  return readFileSync(join(repository, path), 'utf8')
}
