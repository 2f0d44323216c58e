// What the container of a preset's script is given: variables with references, and the Secrets that are files.
import type { JobStrategy } from '../api/kinds/backup-policy-job.ts'
import type { PodVolume } from '../api/kinds/backup-policy-volumes.ts'
import type { Container, EnvVar, Volume } from '../api/kubernetes.ts'
import type { Connection, KeyReference, Password, Preset, Tls, User } from './preset.ts'

export type ContainerGift = {
  readonly env: readonly EnvVar[]
  readonly volumes: readonly Volume[]
  readonly mounts: NonNullable<Container['volumeMounts']>
}

/** What of the policy reaches the script. */
export type DumpSettings = Pick<
  JobStrategy,
  'databases' | 'excludeDatabases' | 'allowNonTransactional' | 'volumes' | 'env'
>

/** Folder of the files that are mounted for a connection; policies may not mount anything there. */
const connectionDirectory = '/.backup-connection'

/** Variables that the scripts of all presets read. */
const passwordFileVariable = 'BACKUP_PASSWORD_FILE'
const databasesVariable = 'BACKUP_DATABASES'
const excludeVariable = 'BACKUP_EXCLUDE'
const nonTransactionalVariable = 'BACKUP_ALLOW_NON_TRANSACTIONAL'

/**
 * Secrets are mounted as optional: a file that is missing is then told by the script, and not only by an event of a pod that never starts.
 * Variables that the policy sets itself win, so none of those is here.
 * @throws TypeError when the connection names a volume that the policy does not have; admission refuses that
 */
export function environmentOf(preset: Preset, connection: Connection, settings: DumpSettings): ContainerGift {
  const { variables } = preset
  const { host, port, user, password, tls } = connection
  const files = [...passwordFiles(password), ...tlsFiles(tls)]
  const env = [
    text(variables.host, host),
    text(variables.port, String(port)),
    userVariable(variables.user, user),
    ...passwordVariables(variables.password, password, settings.volumes ?? []),
    ...tlsVariables(variables, tls),
    ...list(databasesVariable, settings.databases),
    ...list(excludeVariable, settings.excludeDatabases),
    ...(settings.allowNonTransactional ? [text(nonTransactionalVariable, 'true')] : []),
  ]
  const own = new Set((settings.env ?? []).map(({ name }) => name))
  const given = volumesOf(settings.volumes ?? [])
  return {
    env: env.filter(({ name }) => !own.has(name)),
    volumes: [...given.volumes, ...files.map(volumeOfFile)],
    mounts: [...given.mounts, ...files.map(({ name }) => ({ name, mountPath: folderOf(name), readOnly: true }))],
  }
}

/** The Secrets and ConfigMaps that a policy mounts, with a preset or with a command of its own. */
export function volumesOf(volumes: readonly PodVolume[]): Pick<ContainerGift, 'volumes' | 'mounts'> {
  return {
    volumes: volumes.map(({ name, secret, configMap, optional }) => ({
      name,
      ...(secret ? { secret: { secretName: secret.name, items: secret.items, optional, defaultMode: 0o444 } } : {}),
      ...(configMap
        ? { configMap: { name: configMap.name, items: configMap.items, optional, defaultMode: 0o444 } }
        : {}),
    })),
    mounts: volumes.map(({ name, mountPath }) => ({ name, mountPath, readOnly: true })),
  }
}

/** Values are public: what is secret is a reference. `$` is doubled, because Kubernetes expands `$(NAME)` in values. */
function text(name: string, value: string): EnvVar {
  return { name, value: value.replaceAll('$', '$$$$') }
}

function fromKey(name: string, { kind, name: object, key }: KeyReference, optional?: true): EnvVar {
  const reference = { name: object, key, ...(optional ? { optional } : {}) }
  return { name, valueFrom: kind === 'Secret' ? { secretKeyRef: reference } : { configMapKeyRef: reference } }
}

/** One name a line. */
function list(name: string, names: readonly string[] | undefined): readonly EnvVar[] {
  return names && names.length > 0 ? [text(name, names.join('\n'))] : []
}

function userVariable(name: string, user: User): EnvVar {
  return user.is === 'named' ? text(name, user.name) : fromKey(name, user.reference, user.optional)
}

function passwordVariables(name: string, password: Password, volumes: readonly PodVolume[]): readonly EnvVar[] {
  switch (password.is) {
    case 'key':
      return [fromKey(name, password.reference)]
    case 'file':
      return [text(passwordFileVariable, `${folderOf(passwordVolume)}/password`)]
    case 'volume': {
      const volume = volumes.find(each => each.name === password.volume)
      if (!volume) throw new TypeError(`the policy has no volume ${password.volume}; admission requires it`)
      return [text(passwordFileVariable, `${volume.mountPath}/${password.path}`)]
    }
    case 'none':
      return []
  }
}

function tlsVariables(variables: Preset['variables'], tls: Tls | undefined): readonly EnvVar[] {
  if (!tls) return []
  const path = (name: string, volume: string, file: string) => text(name, `${folderOf(volume)}/${file}`)
  const { tlsAuthority, tlsCertificate, tlsKey } = variables
  return [
    ...(tls.mode === undefined ? [] : [text(variables.tlsMode, tls.mode)]),
    ...(tls.secretName === undefined
      ? []
      : [
          path(tlsAuthority, tlsVolume, 'ca.crt'),
          path(tlsCertificate, tlsVolume, 'tls.crt'),
          path(tlsKey, tlsVolume, 'tls.key'),
        ]),
    ...(tls.authority ? [path(tlsAuthority, authorityVolume, 'ca.crt')] : []),
    ...(tls.certificate ? [path(tlsCertificate, certificateVolume, 'tls.crt')] : []),
    ...(tls.key ? [path(tlsKey, keyVolume, 'tls.key')] : []),
  ]
}

// ── files. Names of volumes start with backup-, which admission keeps free.

const passwordVolume = 'backup-password'
const tlsVolume = 'backup-tls'
const authorityVolume = 'backup-tls-ca'
const certificateVolume = 'backup-tls-crt'
const keyVolume = 'backup-tls-key'

type File = { readonly name: string } & (
  | { readonly reference: KeyReference; readonly path: string }
  | { readonly secretName: string }
)

function passwordFiles(password: Password): readonly File[] {
  return password.is === 'file' ? [{ name: passwordVolume, reference: password.reference, path: 'password' }] : []
}

function tlsFiles(tls: Tls | undefined): readonly File[] {
  if (!tls) return []
  const { secretName, authority, certificate, key } = tls
  return [
    ...(secretName === undefined ? [] : [{ name: tlsVolume, secretName }]),
    ...(authority ? [{ name: authorityVolume, reference: authority, path: 'ca.crt' }] : []),
    ...(certificate ? [{ name: certificateVolume, reference: certificate, path: 'tls.crt' }] : []),
    ...(key ? [{ name: keyVolume, reference: key, path: 'tls.key' }] : []),
  ]
}

function volumeOfFile(file: File): Volume {
  const common = { optional: true, defaultMode: 0o444 }
  if ('secretName' in file) return { name: file.name, secret: { secretName: file.secretName, ...common } }
  const { kind, name, key } = file.reference
  const items = [{ key, path: file.path }]
  return kind === 'Secret'
    ? { name: file.name, secret: { secretName: name, items, ...common } }
    : { name: file.name, configMap: { name, items, ...common } }
}

function folderOf(volume: string): string {
  return `${connectionDirectory}/${volume.slice('backup-'.length)}`
}
