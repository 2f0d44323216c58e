// The commands of the development set-up; the Makefile's targets call them.
import { spawn } from 'node:child_process'
import { parseArgs } from 'node:util'
import { chosenCluster, clusterEnvironment, inClusterNetwork } from './cluster-access.ts'
import { holder, owner } from './cluster/instance.ts'
import { loadImages, startCluster, stopCluster } from './cluster/lifecycle.ts'
import { brokenParts } from './cluster/status.ts'
import { buildGoTool } from './go-tools.ts'
import { makeClusterImages, makeProductImage, makeStoryImages } from './images.ts'
import { logDirectory } from './paths.ts'
import { preflight } from './preflight.ts'
import { makeRootFileSystems } from './root-file-systems.ts'
import { copyUpstreamFiles } from './upstream-files.ts'

const usage = `usage: node dev/main.ts COMMAND
  preflight            check this machine, and install what is missing and can be installed
  prepare              build everything that a cluster needs (first time: some 20 minutes on 2 cores)
  up [--json] [--stories]
                       prepare, then start the cluster, or load the product image into the one that runs; with --stories
                       also what only the end-to-end tests run there
  load-image           build the product image and load it into the running cluster
  status               say what runs; exits with 1 when the cluster is not in order
  exec -- COMMAND...   run a command in the cluster's network, with its KUBECONFIG, kubectl and helm
  down                 stop the cluster and delete its state
The cluster of "exec" can be another one: CLUSTER=kubeconfig:<path> CONFIRM=<context>`

const { values, positionals } = parseArgs({
  options: { json: { type: 'boolean', default: false }, stories: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const [command, ...rest] = positionals

// With --json standard output holds nothing else.
const say = (line: string) => void (values.json ? process.stderr : process.stdout).write(`${line}\n`)

try {
  await main()
} catch (error) {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    process.stderr.write(`${cause === error ? 'error' : '  because'}: ${cause.message}\n`)
  }
  process.exitCode = 1
}

async function main() {
  switch (command) {
    case 'preflight':
      return preflight(say)
    case 'prepare':
      return void (await prepare())
    case 'up':
      return up()
    case 'load-image':
      return loadImages([await makeProductImage(say)], say)
    case 'status':
      return status()
    case 'exec':
      return exec(rest)
    case 'down':
      return stopCluster()
    default:
      process.stderr.write(`${usage}\n`)
      process.exitCode = 2
  }
}

async function prepare() {
  await preflight(say)
  for (const tool of ['etcd', 'kubernetes', 'coredns', 'helm', 'snapshotter', 'provisioner', 'minio'] as const)
    await buildGoTool(tool, say)
  await copyUpstreamFiles()
  await makeRootFileSystems(say)
  const forStories = values.stories ? await makeStoryImages(say) : []
  return [...(await makeClusterImages(say)), ...forStories, await makeProductImage(say)]
}

async function up() {
  const images = await prepare()
  const { reused, milestones } = await startCluster(images, say)
  if (values.json) process.stdout.write(`${JSON.stringify({ reused, milestones })}\n`)
  else if (reused) say('the cluster runs already')
  else for (const [name, ms] of Object.entries(milestones)) say(`${(ms / 1000).toFixed(1).padStart(6)} s  ${name}`)
}

async function status() {
  const broken = await brokenParts()
  say(`checkout: ${(await owner()) ?? 'none'}`)
  say(`process:  ${holder()?.pid ?? 'none'}`)
  say(`logs:     ${logDirectory}`)
  say(`cluster:  ${broken.length === 0 ? 'in order' : broken.join('; ')}`)
  if (broken.length > 0) process.exitCode = 1
}

/** Becomes the command as far as Node can: same terminal, signals handed on, same exit status. */
async function exec(argv: readonly string[]) {
  if (argv.length === 0) throw new Error('exec needs a command: node dev/main.ts exec -- kubectl get pods')
  const cluster = chosenCluster()
  const [program = '', ...args] = inClusterNetwork(cluster, argv)
  const child = spawn(program, args, { stdio: 'inherit', env: clusterEnvironment(cluster) })
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => resolve(signal ? 128 + 15 : (code ?? 1)))
  })
}
