// A CSI driver for tests: volumes on one node, snapshots as reflink copies, failures on demand (README.md).
import { Server } from '@grpc/grpc-js'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { csiProtocol, registrationProtocol } from '../upstream-files.ts'
import { controllerService, groupControllerService } from './controller.ts'
import { Inventory } from './inventory.ts'
import { type LayoutName, layouts } from './layouts.ts'
import { type Handlers, type Method, type Parameters, requiredFields } from './messages.ts'
import { nodeService } from './node-service.ts'
import { allDone, type AnyRequest, fail, inject, listen, loadService, serve } from './rpc.ts'

const usage = `usage: driver.ts --node NAME --pool DIRECTORY [--layout ${Object.keys(layouts).join('|')}] [--kubelet-root DIRECTORY] [--driver NAME]`
const { values } = parseArgs({
  options: {
    driver: { type: 'string', default: 'reflink.csi.test' },
    node: { type: 'string' },
    pool: { type: 'string' },
    layout: { type: 'string', default: 'image' },
    'kubelet-root': { type: 'string', default: '/var/lib/kubelet' },
  },
})
const { driver, node, pool, layout, 'kubelet-root': kubeletRoot } = values
if (!node || !pool || !(layout in layouts)) throw new Error(usage)

const socket = join(kubeletRoot, 'plugins', driver, 'csi.sock')
const registrationSocket = join(kubeletRoot, 'plugins_registry', `${driver}-reg.sock`)
const topology = { segments: { [`topology.${driver}/node`]: node } }
const inventory = new Inventory(pool, layout as LayoutName)

const identity: Handlers<'GetPluginInfo' | 'GetPluginCapabilities' | 'Probe'> = {
  GetPluginInfo: () => ({ name: driver, vendor_version: '1.0.0' }),
  GetPluginCapabilities: () => ({
    capabilities: ['CONTROLLER_SERVICE', 'GROUP_CONTROLLER_SERVICE', 'VOLUME_ACCESSIBILITY_CONSTRAINTS'].map(type => ({
      service: { type },
    })),
  }),
  Probe: () => ({ ready: { value: true } }),
}

const registration: Handlers<'GetInfo' | 'NotifyRegistrationStatus'> = {
  GetInfo: () => ({ type: 'CSIPlugin', name: driver, endpoint: socket, supported_versions: ['1.0.0'] }),
  NotifyRegistrationStatus({ plugin_registered, error }) {
    if (!plugin_registered) fail('INTERNAL', `the kubelet refused the driver: ${error}`)
  },
}

/** What every request passes first: its required fields, then the failures that class parameters ask for. */
async function admit(method: Method, request: AnyRequest) {
  for (const field of requiredFields[method] ?? []) {
    const value = request[field]
    if (!value || (Array.isArray(value) && value.length === 0)) fail('INVALID_ARGUMENT', `${field} is required`)
  }
  // Methods without parameters of their own (Delete, Node) use those that the object was created with.
  const parameters =
    (request.parameters as Parameters | undefined) ?? (await inventory.parametersOf(subjectOf(request)))
  await inject(method, request, parameters)
}

function subjectOf({ volume_id, snapshot_id }: AnyRequest): string {
  return ([volume_id, snapshot_id].find(id => typeof id === 'string' && id !== '') as string | undefined) ?? ''
}

const server = new Server()
serve(server, loadService(csiProtocol, 'csi.v1', 'Identity'), identity, admit)
serve(server, loadService(csiProtocol, 'csi.v1', 'Controller'), controllerService(inventory, topology), admit)
serve(server, loadService(csiProtocol, 'csi.v1', 'GroupController'), groupControllerService(inventory), admit)
serve(server, loadService(csiProtocol, 'csi.v1', 'Node'), nodeService(inventory, node, topology), admit)
serve(server, loadService(registrationProtocol, 'pluginregistration', 'Registration'), registration, admit)
// The kubelet looks for the second socket, and must then find the first one.
for (const path of [socket, registrationSocket]) await listen(server, path)
console.log(JSON.stringify({ time: new Date(), listening: socket, layout }))

async function stop() {
  for (const path of [registrationSocket, socket]) rmSync(path, { force: true })
  await allDone() // so that no volume stays frozen
  process.exit()
}
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop())
