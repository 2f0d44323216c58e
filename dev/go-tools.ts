// Builds the programs of a Kubernetes cluster, and the test tools, from Go modules at pinned versions.
// Each lands in `<cache>/tools/<name>-<version>/`; a folder appears in one rename, so a killed build leaves nothing that looks done.
import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { withLock } from './lock.ts'
import { cacheDirectory } from './paths.ts'

const run = promisify(execFile)

type GoTool = {
  readonly name: string
  readonly module: string
  readonly version: string
  readonly packages: readonly string[]
  /** Where the binary's own name says too little (etcd's is `server`). */
  readonly rename?: Readonly<Record<string, string>>
  readonly linkerFlags?: string
  /** Kubernetes replaces its staging modules by local folders; published, they carry this version. */
  readonly stagingVersion?: string
  /** Rough build time on 2 cores, for the progress line. Seconds. */
  readonly seconds: number
  /** Needed by tests only: built at the first `make test`, not by `make demo`. */
  readonly testOnly?: true
}

const versionPackage = 'k8s.io/component-base/version'
const kubernetes = 'v1.37.2'
const snapshotter = 'github.com/kubernetes-csi/external-snapshotter/v8'

export const goTools = [
  {
    name: 'kubernetes',
    module: 'k8s.io/kubernetes',
    version: kubernetes,
    stagingVersion: 'v0.37.2',
    seconds: 420,
    packages: ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy', 'kubectl'].map(
      command => `k8s.io/kubernetes/cmd/${command}`,
    ),
    linkerFlags: `-X ${versionPackage}.gitVersion=${kubernetes} -X ${versionPackage}.gitMajor=1 -X ${versionPackage}.gitMinor=37 -X k8s.io/client-go/pkg/version.gitVersion=${kubernetes}`,
  },
  {
    name: 'etcd',
    module: 'go.etcd.io/etcd/server/v3',
    version: 'v3.6.5',
    packages: ['go.etcd.io/etcd/server/v3'],
    rename: { server: 'etcd' },
    seconds: 70,
  },
  {
    name: 'coredns',
    module: 'github.com/coredns/coredns',
    version: 'v1.15.0',
    packages: ['github.com/coredns/coredns'],
    seconds: 120,
  },
  { name: 'helm', module: 'helm.sh/helm/v4', version: 'v4.3.1', packages: ['helm.sh/helm/v4/cmd/helm'], seconds: 120 },
  {
    name: 'snapshotter',
    module: snapshotter,
    version: 'v8.7.0',
    packages: [`${snapshotter}/cmd/snapshot-controller`, `${snapshotter}/cmd/csi-snapshotter`],
    seconds: 180,
  },
  {
    name: 'provisioner',
    module: 'github.com/kubernetes-csi/external-provisioner/v6',
    version: 'v6.3.0',
    packages: ['github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner'],
    seconds: 150,
  },
  {
    name: 'minio',
    module: 'github.com/minio/minio',
    version: 'v0.0.0-20260212201848-7aac2a2c5b7c',
    packages: ['github.com/minio/minio'],
    seconds: 150,
  },
  {
    name: 'versitygw',
    module: 'github.com/versity/versitygw',
    version: 'v1.8.0',
    packages: ['github.com/versity/versitygw/cmd/versitygw'],
    seconds: 120,
    testOnly: true,
  },
  {
    name: 'actionlint',
    module: 'github.com/rhysd/actionlint',
    version: 'v1.7.12',
    packages: ['github.com/rhysd/actionlint/cmd/actionlint'],
    seconds: 30,
    testOnly: true,
  },
  {
    name: 'kubeconform',
    module: 'github.com/yannh/kubeconform',
    version: 'v0.8.0',
    packages: ['github.com/yannh/kubeconform/cmd/kubeconform'],
    seconds: 30,
    testOnly: true,
  },
  {
    name: 'age',
    module: 'filippo.io/age',
    version: 'v1.3.1',
    packages: ['filippo.io/age/cmd/age', 'filippo.io/age/cmd/age-keygen'],
    seconds: 20,
    testOnly: true,
  },
  {
    name: 'csi-sanity',
    module: 'github.com/kubernetes-csi/csi-test/v5',
    version: 'v5.6.0',
    packages: ['github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity'],
    seconds: 60,
    testOnly: true,
  },
] as const satisfies readonly GoTool[]

export type GoToolName = (typeof goTools)[number]['name']

/** The folder with the built binaries of a tool; `buildGoTool` fills it. */
export function goToolDirectory(name: GoToolName): string {
  return join(cacheDirectory, 'tools', `${name}-${find(name).version}`)
}

/**
 * Builds one tool unless it is in the cache already, or waits for the process that builds it.
 * @throws Error with the end of the build's output and the path of the whole log.
 */
export async function buildGoTool(name: GoToolName, say: (line: string) => void): Promise<void> {
  const target = goToolDirectory(name)
  if (existsSync(target)) return
  await withLock(`build-${name}`, async () => {
    if (!existsSync(target)) await build(find(name), target, say)
  })
}

async function build(tool: GoTool, target: string, say: (line: string) => void): Promise<void> {
  const work = join(cacheDirectory, 'work', `${tool.name}-${tool.version}`)
  const log = join(cacheDirectory, 'work', `${tool.name}-${tool.version}.log`)
  await rm(work, { recursive: true, force: true })
  await mkdir(join(work, 'bin'), { recursive: true })
  say(
    `building ${tool.name} ${tool.version} from Go modules (about ${Math.ceil(tool.seconds / 60)} min on 2 cores; log: ${log})`,
  )
  const started = performance.now()
  await writeModule(tool, work)
  const flags = [
    'build',
    '-mod=mod',
    '-trimpath',
    '-ldflags',
    ['-s -w', tool.linkerFlags].join(' '),
    '-o',
    `${join(work, 'bin')}/`,
    ...tool.packages,
  ]
  await logged(log, 'go', flags, work, line => say(`  ${tool.name}: ${line}`))
  for (const [from, to] of Object.entries(tool.rename ?? {}))
    await rename(join(work, 'bin', from), join(work, 'bin', to))
  await mkdir(join(cacheDirectory, 'tools'), { recursive: true })
  await rename(join(work, 'bin'), target)
  await rm(work, { recursive: true, force: true })
  say(`built ${tool.name} in ${Math.round((performance.now() - started) / 1000)} s`)
}

/** The folder of a module's source in Go's module cache, downloaded when missing. */
export async function goModuleDirectory(moduleAtVersion: string): Promise<string> {
  const { Dir } = await download(moduleAtVersion)
  return Dir
}

function find(name: GoToolName): GoTool {
  const tool = goTools.find(candidate => candidate.name === name)
  if (!tool) throw new Error(`no Go tool named ${name}`)
  return tool
}

/** `go install` refuses modules whose go.mod has replace directives, so a module of our own repeats them. */
async function writeModule(tool: GoTool, work: string) {
  const { GoMod } = await download(`${tool.module}@${tool.version}`)
  const { stdout } = await run('go', ['mod', 'edit', '-json', GoMod])
  const original = JSON.parse(stdout) as {
    Go?: string
    Replace?: { Old: { Path: string; Version?: string }; New: { Path: string; Version?: string } }[]
  }
  const replaces = (original.Replace ?? []).flatMap(({ Old, New }) => {
    const version = New.Version ?? tool.stagingVersion
    if (!version) return []
    const to = New.Version ? New.Path : Old.Path
    return [`replace ${Old.Path}${Old.Version ? ` ${Old.Version}` : ''} => ${to} ${version}`]
  })
  const debug = tool.stagingVersion ? ['godebug default=go1.26'] : []
  await writeFile(
    join(work, 'go.mod'),
    [
      `module local/${tool.name}`,
      `go ${original.Go ?? '1.26.0'}`,
      ...debug,
      `require ${tool.module} ${tool.version}`,
      ...replaces,
      '',
    ].join('\n'),
  )
  const imports = tool.packages.map(path => `import _ "${path}"`)
  await writeFile(join(work, 'tools.go'), ['//go:build tools', 'package tools', ...imports, ''].join('\n'))
  await logged(join(work, 'tidy.log'), 'go', ['mod', 'tidy'], work)
}

async function download(moduleAtVersion: string): Promise<{ readonly Dir: string; readonly GoMod: string }> {
  const { stdout } = await run('go', ['mod', 'download', '-json', moduleAtVersion], { cwd: '/' })
  return JSON.parse(stdout)
}

async function logged(
  log: string,
  command: string,
  args: readonly string[],
  cwd: string,
  heartbeat?: (line: string) => void,
) {
  const file = await open(log, 'w')
  const started = performance.now()
  const timer =
    heartbeat &&
    setInterval(() => heartbeat(`still building, ${Math.round((performance.now() - started) / 1000)} s`), 60_000)
  try {
    const child = spawn(command, args, {
      cwd,
      stdio: ['ignore', file.fd, file.fd],
      env: { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'local' },
    })
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject)
      child.on('exit', resolve)
    })
    if (code === 0) return
  } finally {
    clearInterval(timer)
    await file.close()
  }
  const tail = (await readFile(log, 'utf8')).trim().split('\n').slice(-15).join('\n')
  throw new Error(`${command} ${args[0]} failed in ${basename(cwd)}; the whole log is ${log}\n${tail}`)
}
