// The Node service: what is mounted where.
import { statfs } from 'node:fs/promises'
import { rpcCapabilities, type Topology } from './controller.ts'
import type { Inventory } from './inventory.ts'
import { unmount } from './layouts.ts'
import type { Handlers, Method } from './messages.ts'
import { fail, inTurn } from './rpc.ts'

type NodeMethod = Extract<Method, `Node${string}`>

export function nodeService(inventory: Inventory, node: string, topology: Topology): Handlers<NodeMethod> {
  const { volumes } = inventory
  return {
    NodeGetInfo: () => ({ node_id: node, accessible_topology: topology }),
    NodeGetCapabilities: () => rpcCapabilities('STAGE_UNSTAGE_VOLUME', 'GET_VOLUME_STATS', 'SINGLE_NODE_MULTI_WRITER'),

    async NodeStageVolume({ volume_id, volume_capability }) {
      await inventory.knownVolume(volume_id)
      await inTurn(volume_id, () => volumes.stage(volume_id, volume_capability.mount?.mount_flags ?? []))
    },

    NodeUnstageVolume: ({ volume_id }) => inTurn(volume_id, () => volumes.unstage(volume_id)),

    async NodePublishVolume({ volume_id, target_path, readonly, volume_capability }) {
      await inventory.knownVolume(volume_id)
      const elsewhere = (await volumes.targets(volume_id)).filter(target => target !== target_path)
      if (elsewhere.length > 0 && volume_capability.access_mode?.mode === 'SINGLE_NODE_SINGLE_WRITER')
        fail('FAILED_PRECONDITION', `the volume is already mounted at ${elsewhere.join(', ')}`)
      await inTurn(target_path, () => volumes.publish(volume_id, target_path, readonly ? ['ro'] : []))
    },

    NodeUnpublishVolume: ({ target_path }) => inTurn(target_path, () => unmount(target_path)),

    async NodeGetVolumeStats({ volume_id, volume_path }) {
      await inventory.knownVolume(volume_id)
      const { bsize, blocks, bavail, bfree, files, ffree } = await statfs(volume_path).catch(() =>
        fail('NOT_FOUND', `nothing at ${volume_path}`),
      )
      return {
        usage: [
          { unit: 'BYTES', total: blocks * bsize, available: bavail * bsize, used: (blocks - bfree) * bsize },
          { unit: 'INODES', total: files, available: ffree, used: files - ffree },
        ],
      }
    },
  }
}
