// The requests of the CSI protocol as this driver reads them: field names as in csi.proto, unset fields hold defaults.

export type Parameters = Readonly<Record<string, string>>

export type CapacityRange = { readonly required_bytes: number; readonly limit_bytes: number }

export type VolumeCapability = {
  readonly block?: object
  readonly mount?: { readonly mount_flags: readonly string[] }
  readonly access_mode?: { readonly mode: string } | null
}

export type Origin = { readonly snapshot_id: string } | { readonly volume_id: string }

type ContentSource = {
  readonly snapshot?: { readonly snapshot_id: string }
  readonly volume?: { readonly volume_id: string }
}

/** The request of every method that the driver implements. */
export type Requests = {
  GetPluginInfo: object
  GetPluginCapabilities: object
  Probe: object
  ControllerGetCapabilities: object
  CreateVolume: {
    readonly name: string
    readonly capacity_range: CapacityRange | null
    readonly volume_capabilities: readonly VolumeCapability[]
    readonly volume_content_source: ContentSource | null
    readonly parameters: Parameters
  }
  DeleteVolume: { readonly volume_id: string }
  ValidateVolumeCapabilities: {
    readonly volume_id: string
    readonly volume_context: Parameters
    readonly volume_capabilities: readonly VolumeCapability[]
    readonly parameters: Parameters
  }
  GetCapacity: object
  CreateSnapshot: { readonly name: string; readonly source_volume_id: string; readonly parameters: Parameters }
  DeleteSnapshot: { readonly snapshot_id: string }
  ListSnapshots: {
    readonly snapshot_id: string
    readonly source_volume_id: string
    readonly max_entries: number
    readonly starting_token: string
  }
  GroupControllerGetCapabilities: object
  CreateVolumeGroupSnapshot: {
    readonly name: string
    readonly source_volume_ids: readonly string[]
    readonly parameters: Parameters
  }
  DeleteVolumeGroupSnapshot: { readonly group_snapshot_id: string; readonly snapshot_ids: readonly string[] }
  GetVolumeGroupSnapshot: { readonly group_snapshot_id: string; readonly snapshot_ids: readonly string[] }
  NodeGetInfo: object
  NodeGetCapabilities: object
  NodeStageVolume: {
    readonly volume_id: string
    readonly staging_target_path: string
    readonly volume_capability: VolumeCapability
  }
  NodeUnstageVolume: { readonly volume_id: string; readonly staging_target_path: string }
  NodePublishVolume: {
    readonly volume_id: string
    readonly target_path: string
    readonly readonly: boolean
    readonly volume_capability: VolumeCapability
  }
  NodeUnpublishVolume: { readonly volume_id: string; readonly target_path: string }
  NodeGetVolumeStats: { readonly volume_id: string; readonly volume_path: string }
  GetInfo: object
  NotifyRegistrationStatus: { readonly plugin_registered: boolean; readonly error: string }
}

export type Method = keyof Requests

/** The methods of one service. */
export type Handlers<Name extends Method> = {
  readonly [Key in Name]: (request: Requests[Key]) => object | void | Promise<object | void>
}

/** Fields that csi.proto calls REQUIRED; gRPC itself fills in what a caller leaves out. */
export const requiredFields: { readonly [Name in Method]?: readonly (keyof Requests[Name])[] } = {
  CreateVolume: ['name', 'volume_capabilities'],
  DeleteVolume: ['volume_id'],
  ValidateVolumeCapabilities: ['volume_id', 'volume_capabilities'],
  CreateSnapshot: ['name', 'source_volume_id'],
  DeleteSnapshot: ['snapshot_id'],
  CreateVolumeGroupSnapshot: ['name', 'source_volume_ids'],
  DeleteVolumeGroupSnapshot: ['group_snapshot_id'],
  GetVolumeGroupSnapshot: ['group_snapshot_id'],
  NodeStageVolume: ['volume_id', 'staging_target_path', 'volume_capability'],
  NodeUnstageVolume: ['volume_id', 'staging_target_path'],
  NodePublishVolume: ['volume_id', 'target_path', 'volume_capability'],
  NodeUnpublishVolume: ['volume_id', 'target_path'],
  NodeGetVolumeStats: ['volume_id', 'volume_path'],
}
