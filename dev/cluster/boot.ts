// Starts the cluster's programs. Runs inside the node's sandbox (see lifecycle.ts), and ends when the cluster works.
// usage: boot.ts IMAGE_FILES_AS_JSON; prints one line of JSON: the milliseconds after which each milestone was reached
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { Resolver } from 'node:dns/promises'
import { join } from 'node:path'
import { capture } from '../command.ts'
import { eventually } from '../eventually.ts'
import { signalProcess } from '../process-identity.ts'
import { logDirectory, runDirectory } from '../paths.ts'
import { snapshotCrds } from '../upstream-files.ts'
import { makeCgroups } from './cgroups.ts'
import { assertRuns, componentProcess, componentReady, startComponent } from './component-process.ts'
import { components, kubectlProgram, writeConfiguration } from './components.ts'
import { type ImageFile, loadImages } from './image-store.ts'
import {
  clusterDnsAddress,
  containerdSocket,
  csiDriverName,
  csiDriverSource,
  nodeAddress,
  nodeName,
  pool,
  poolImage,
} from './layout.ts'
import { kubeconfigOf, makePki } from './pki.ts'

const images = JSON.parse(process.argv[2] ?? '') as readonly ImageFile[]
const commands = components()
const milestones: Record<string, number> = {}
const began = performance.now()
const reached = (name: string) => (milestones[name] = Math.round(performance.now() - began))

await mkdir(logDirectory, { recursive: true })
await Promise.all([makeNetwork(), makePki(), makeCgroups(), makePool(), writeConfiguration()])
reached('prepared')

await mkdir('/etc/cni/net.d', { recursive: true })
await copyFile(join(runDirectory, 'cni.conflist'), '/etc/cni/net.d/pods.conflist')
start('etcd')
start('kube-apiserver')
await startContainerd()
start('kubelet')
start('csi-driver')
const imagesLoaded = loadImages(images).then(() => reached('images loaded'))
imagesLoaded.catch(() => {}) // awaited below, after what runs meanwhile

await componentReady('kube-apiserver', 60, () => kubectl('get', '--raw', '/readyz'))
reached('API server ready')
for (const name of ['kube-controller-manager', 'kube-scheduler', 'kube-proxy', 'coredns']) start(name)
const storage = startStorage()
storage.catch(() => {})

await componentReady('kubelet', 60, async () => {
  const path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
  return (await kubectl('get', 'node', nodeName, '-o', path)) === 'True'
})
reached('node Ready')
await Promise.all([imagesLoaded, storage, dnsAnswers(), serviceAccountExists()])
for (const name of Object.keys(commands)) await assertRuns(name)
reached('complete')
console.log(JSON.stringify(milestones))

function start(name: string) {
  startComponent(name, commands[name])
}

function kubectl(...args: string[]): Promise<string> {
  return capture([kubectlProgram, `--kubeconfig=${kubeconfigOf('admin')}`, '--cache-dir=/tmp/kubectl', ...args])
}

/** The kernel may have no `dummy` links: a bridge without ports holds the node's address and that of the cluster's DNS. */
async function makeNetwork() {
  const lines = [
    'link set lo up',
    'link add node0 type bridge',
    `addr add ${nodeAddress}/24 dev node0`,
    `addr add ${clusterDnsAddress}/32 dev node0`,
    'link set node0 up',
    `route add default via ${nodeAddress}`,
  ]
  await capture(['ip', '-batch', '-'], { input: `${lines.join('\n')}\n` })
  await writeFile('/proc/sys/net/ipv4/ip_forward', '1')
  await capture(['hostname', nodeName])
}

/** The storage system of the CSI driver: a sparse XFS image, because XFS copies files by reference. */
async function makePool() {
  await mkdir(pool, { recursive: true })
  await capture(['truncate', '--size', '64G', poolImage])
  await capture(['mkfs.xfs', '-q', '-f', '-m', 'reflink=1', poolImage])
  await capture(['mount', '-o', 'loop,discard', poolImage, pool])
}

/**
 * containerd keeps images from one start to the next, and with them remembers containers of a node that was switched
 * off. They are deleted while its CRI plugin has not been asked anything; the plugin then starts with an empty list.
 */
async function startContainerd() {
  start('containerd')
  await containerdAnswers()
  const stale = (await capture(['ctr', '-n', 'k8s.io', 'containers', 'ls', '-q'])).split('\n').filter(Boolean)
  if (stale.length === 0) return
  await capture(['ctr', '-n', 'k8s.io', 'containers', 'rm', ...stale])
  const old = componentProcess('containerd')
  if (old) signalProcess(old, 'SIGTERM')
  await eventually('containerd to end', () => !componentProcess('containerd'), { seconds: 10, every: 20 })
  await rm(containerdSocket, { force: true })
  start('containerd')
  await containerdAnswers()
  reached('old containers forgotten')
}

async function containerdAnswers() {
  await componentReady('containerd', 20, () => capture(['ctr', '-n', 'k8s.io', 'version']))
}

async function startStorage() {
  await kubectl('apply', '--server-side', '--filename', snapshotCrds)
  await kubectl('wait', '--for=condition=Established', '--timeout=30s', '--filename', snapshotCrds)
  start('snapshot-controller')
  await eventually(
    'the snapshot classes to be accepted',
    () => kubectl('apply', '--server-side', '--filename', join(csiDriverSource, 'classes.yaml')),
    { seconds: 15 },
  )
  // Before the kubelet has registered the driver, the provisioner would find no topology.
  await componentReady('csi-driver', 30, async () => {
    const drivers = await kubectl('get', 'csinode', nodeName, '-o', 'jsonpath={.spec.drivers[*].name}')
    return drivers.split(' ').includes(csiDriverName)
  })
  start('csi-snapshotter')
  start('csi-provisioner')
  reached('storage ready')
}

async function dnsAnswers() {
  const resolver = new Resolver({ timeout: 500, tries: 1 })
  resolver.setServers([clusterDnsAddress])
  await componentReady('coredns', 30, () => resolver.resolve4('kubernetes.default.svc.cluster.local'))
}

/** Pods cannot be created in a namespace before the controller manager has made its default service account. */
async function serviceAccountExists() {
  await componentReady('kube-controller-manager', 30, () => kubectl('get', 'serviceaccount', 'default', '-o', 'name'))
}
