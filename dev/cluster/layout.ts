// Addresses, names and paths of the local cluster. All addresses live in its own network namespace.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { clusterDirectory, repository, runDirectory } from '../paths.ts'

export const nodeName = 'node1'
export const nodeAddress = '10.99.0.1'
export const clusterDnsAddress = '10.96.0.2'
export const serviceRange = '10.96.0.0/16'
export const firstServiceAddress = '10.96.0.1'
export const podRange = '10.98.0.0/24'
export const apiServer = `https://${nodeAddress}:6443`

/** The cgroup below which the kubelet keeps all pods, in every hierarchy: the one name that clusters on a machine share. */
export const cgroupName = `backup-operator-${createHash('sha256').update(clusterDirectory).digest('hex').slice(0, 8)}`

export const pki = join(runDirectory, 'pki')
export const pkiFile = (name: string) => join(pki, name)
export const pool = join(runDirectory, 'pool')
export const poolImage = join(runDirectory, 'pool.img')
export const kubeletRoot = '/var/lib/kubelet'
export const containerdRoot = '/var/lib/containerd'
export const containerdSocket = '/run/containerd/containerd.sock'
export const csiDriverName = 'reflink.csi.test'
export const csiSocket = join(kubeletRoot, 'plugins', csiDriverName, 'csi.sock')
export const csiDriverSource = join(repository, 'dev/csi-driver')
