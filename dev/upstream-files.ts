// Files of other projects that are read, not built: the snapshot CRDs and the CSI protocol. They come from Go modules
// and are copied into the cache, because the cluster's sandbox has no Go.
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { goModuleDirectory } from './go-tools.ts'
import { withLock } from './lock.ts'
import { cacheDirectory } from './paths.ts'

const snapshotClient = 'v8.7.0'
const csiSpecification = 'v1.13.0'
const kubelet = 'v0.37.2'

const folder = join(cacheDirectory, 'tools', `upstream-files-${snapshotClient}-${csiSpecification}-${kubelet}`)

/** A folder with the CRDs of VolumeSnapshot and its relatives. */
export const snapshotCrds = join(folder, 'crds')
export const csiProtocol = join(folder, 'csi.proto')
export const registrationProtocol = join(folder, 'registration.proto')

export async function copyUpstreamFiles(): Promise<void> {
  if (existsSync(folder)) return
  await withLock('upstream-files', async () => {
    if (!existsSync(folder)) await copy()
  })
}

async function copy(): Promise<void> {
  const partial = `${folder}.partial`
  await rm(partial, { recursive: true, force: true })
  await mkdir(join(partial, 'crds'), { recursive: true })
  const client = await goModuleDirectory(`github.com/kubernetes-csi/external-snapshotter/client/v8@${snapshotClient}`)
  const crds = join(client, 'config/crd')
  for (const file of await readdir(crds))
    if (file.endsWith('.yaml') && file !== 'kustomization.yaml')
      await copyFile(join(crds, file), join(partial, 'crds', file))
  const specification = await goModuleDirectory(`github.com/container-storage-interface/spec@${csiSpecification}`)
  await copyFile(join(specification, 'csi.proto'), join(partial, 'csi.proto'))
  const registration = join(
    await goModuleDirectory(`k8s.io/kubelet@${kubelet}`),
    'pkg/apis/pluginregistration/v1/api.proto',
  )
  await copyFile(registration, join(partial, 'registration.proto'))
  await mkdir(dirname(folder), { recursive: true })
  await rename(partial, folder)
}
