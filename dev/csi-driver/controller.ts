// The Controller and GroupController services: what exists.
import type { Inventory, Snapshot, Volume } from './inventory.ts'
import { isReady, sameSet } from './inventory.ts'
import type { Handlers, Method, VolumeCapability } from './messages.ts'
import { idFor } from './pool.ts'
import { fail, inTurn } from './rpc.ts'

export type Topology = { readonly segments: Readonly<Record<string, string>> }

type ControllerMethod = Extract<
  Method,
  | 'ControllerGetCapabilities'
  | 'CreateVolume'
  | 'DeleteVolume'
  | 'ValidateVolumeCapabilities'
  | 'GetCapacity'
  | 'CreateSnapshot'
  | 'DeleteSnapshot'
  | 'ListSnapshots'
>

export function controllerService(inventory: Inventory, topology: Topology): Handlers<ControllerMethod> {
  const { volumes, snapshots } = inventory
  return {
    ControllerGetCapabilities: () =>
      rpcCapabilities(
        'CREATE_DELETE_VOLUME',
        'CREATE_DELETE_SNAPSHOT',
        'LIST_SNAPSHOTS',
        'CLONE_VOLUME',
        'GET_CAPACITY',
        'SINGLE_NODE_MULTI_WRITER',
      ),

    CreateVolume({ name, capacity_range, volume_capabilities, volume_content_source, parameters }) {
      if (!mountable(volume_capabilities)) fail('INVALID_ARGUMENT', 'only filesystem volumes are supported')
      const id = idFor('vol', name)
      const origin = volume_content_source?.snapshot ?? volume_content_source?.volume
      return inTurn(id, async () => {
        const volume = await inventory.createVolume({ id, name, origin, parameters }, capacity_range)
        return { volume: describeVolume(volume, topology) }
      })
    },

    DeleteVolume: ({ volume_id }) =>
      inTurn(volume_id, async () => {
        if (await volumes.isStaged(volume_id)) fail('FAILED_PRECONDITION', 'the volume is still mounted')
        await volumes.remove(volume_id)
      }),

    async ValidateVolumeCapabilities({ volume_id, volume_context, volume_capabilities, parameters }) {
      await inventory.knownVolume(volume_id)
      return mountable(volume_capabilities)
        ? { confirmed: { volume_context, volume_capabilities, parameters } }
        : { message: 'only filesystem volumes are supported' }
    },

    GetCapacity: async () => ({ available_capacity: await inventory.freeBytes() }),

    async CreateSnapshot({ name, source_volume_id, parameters }) {
      return { snapshot: describeSnapshot(await inventory.takeSnapshot(name, source_volume_id, parameters)) }
    },

    async DeleteSnapshot({ snapshot_id }) {
      if ((await snapshots.get(snapshot_id))?.groupId)
        fail('INVALID_ARGUMENT', 'the snapshot can only be deleted with its group')
      await inTurn(snapshot_id, () => snapshots.remove(snapshot_id))
    },

    async ListSnapshots({ snapshot_id, source_volume_id, max_entries, starting_token }) {
      const matching = (await snapshots.list()).filter(
        ({ id, volumeId }) =>
          (!snapshot_id || id === snapshot_id) && (!source_volume_id || volumeId === source_volume_id),
      )
      const start = Number(starting_token || 0)
      const end = start + (max_entries || matching.length)
      if (!(start >= 0 && start <= matching.length)) fail('ABORTED', 'starting_token is not valid')
      return {
        entries: matching.slice(start, end).map(snapshot => ({ snapshot: describeSnapshot(snapshot) })),
        next_token: end < matching.length ? `${end}` : '',
      }
    },
  }
}

type GroupMethod = Extract<
  Method,
  | 'GroupControllerGetCapabilities'
  | 'CreateVolumeGroupSnapshot'
  | 'DeleteVolumeGroupSnapshot'
  | 'GetVolumeGroupSnapshot'
>

export function groupControllerService(inventory: Inventory): Handlers<GroupMethod> {
  const { volumes, snapshots } = inventory
  return {
    GroupControllerGetCapabilities: () => rpcCapabilities('CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT'),

    CreateVolumeGroupSnapshot({ name, source_volume_ids, parameters }) {
      const groupId = idFor('group', name)
      return inTurn(groupId, async () => {
        const earlier = (await inventory.membersOf(groupId)).map(member => member.volumeId)
        if (earlier.length > 0 && !sameSet(earlier, source_volume_ids))
          fail('ALREADY_EXISTS', `group ${name} exists with other volumes`)
        for (const volumeId of source_volume_ids) await inventory.knownVolume(volumeId)
        await volumes.frozen(source_volume_ids, async () => {
          for (const volumeId of source_volume_ids)
            await inventory.takeSnapshot(`${name}/${volumeId}`, volumeId, parameters, groupId)
        })
        return { group_snapshot: describeGroup(groupId, await inventory.membersOf(groupId)) }
      })
    },

    async DeleteVolumeGroupSnapshot({ group_snapshot_id, snapshot_ids }) {
      for (const { id } of await inventory.membersOf(group_snapshot_id, snapshot_ids)) await snapshots.remove(id)
    },

    async GetVolumeGroupSnapshot({ group_snapshot_id, snapshot_ids }) {
      const members = await inventory.membersOf(group_snapshot_id, snapshot_ids)
      if (members.length === 0) fail('NOT_FOUND', `no group ${group_snapshot_id}`)
      return { group_snapshot: describeGroup(group_snapshot_id, members) }
    },
  }
}

export function rpcCapabilities(...types: readonly string[]): object {
  return { capabilities: types.map(type => ({ rpc: { type } })) }
}

function mountable(capabilities: readonly VolumeCapability[]): boolean {
  return capabilities.every(capability => !capability.block)
}

function describeVolume({ id, bytes, origin }: Volume, topology: Topology): object {
  const content_source = origin && { ['snapshot_id' in origin ? 'snapshot' : 'volume']: origin }
  return { volume_id: id, capacity_bytes: bytes, content_source, accessible_topology: [topology] }
}

function describeSnapshot(snapshot: Snapshot): object {
  const { id, volumeId, bytes, takenAt, groupId } = snapshot
  return {
    snapshot_id: id,
    source_volume_id: volumeId,
    size_bytes: bytes,
    creation_time: timestamp(takenAt),
    ready_to_use: isReady(snapshot),
    group_snapshot_id: groupId,
  }
}

function describeGroup(groupId: string, members: readonly Snapshot[]): object {
  return {
    group_snapshot_id: groupId,
    snapshots: members.map(describeSnapshot),
    creation_time: timestamp(members[0]?.takenAt ?? 0),
    ready_to_use: members.every(isReady),
  }
}

function timestamp(milliseconds: number): object {
  return { seconds: Math.floor(milliseconds / 1000), nanos: (milliseconds % 1000) * 1e6 }
}
