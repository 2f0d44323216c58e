// Who may connect to a server, and where the password is: found in the environment of its container, never taken out of it.
import type { Account, Credentials, KeyReference, Password, Preset, Problem, User } from './preset.ts'
import type { Server } from './servers.ts'
import { fileSource, publicValue, sourcesOf, variable } from './variables.ts'

/** User and password apart: a policy may state the one that is missing. */
export type FoundAccount = {
  readonly user: User | Problem
  readonly password: Password | Problem
  readonly notes: readonly string[]
}

export type FoundAccounts = {
  readonly dump: FoundAccount
  /** Who a restore connects as. */
  readonly administrator: Credentials | Problem
}

const userField = 'strategy.job.connection.user'
const passwordField = 'strategy.job.connection.passwordFrom'
/** Of a Restore. */
const restoreField = 'into.credentials'

/** The accounts that the environment of a server tells of. The first one makes the dump; it need not be the administrator. */
export function accountsOf(preset: Preset, server: Server): FoundAccounts {
  const found = preset.accounts.flatMap(account => {
    const one = stated(account, server)
    return one ? [{ account, one }] : []
  })
  if (found.length === 0) {
    const assumed = preset.accounts.find(account => account.assumed !== undefined)
    const one = assumed && inEnvFrom(assumed, server)
    if (assumed && one) found.push({ account: assumed, one })
  }
  const administrator = found.find(({ account, one }) =>
    account.isAdministrator('is' in one.user && one.user.is === 'named' ? one.user.name : undefined, server.isBitnami),
  )
  const [first] = found
  return {
    dump: first ? withLimits(first.one, first === administrator) : nobody(preset, server),
    administrator: administrator ? whole(administrator.one) : noAdministrator(server),
  }
}

function withLimits(account: FoundAccount, isAdministrator: boolean): FoundAccount {
  if (isAdministrator) return account
  const note = `the dump is made as a user of the application, because the environment of the server tells of no administrator: it holds what that user may read; state another one in ${userField} and ${passwordField}`
  return { ...account, notes: [...account.notes, note] }
}

function whole({ user, password }: FoundAccount): Credentials | Problem {
  if ('reason' in user) return forRestore(user)
  return 'reason' in password ? forRestore(password) : { user, password }
}

function forRestore({ reason, message }: Problem): Problem {
  const words = message.replaceAll(passwordField, restoreField).replaceAll(userField, restoreField)
  return { reason, message: words, field: restoreField }
}

/** The account, if variables of its own stand in the container. */
function stated(account: Account, server: Server): FoundAccount | undefined {
  const password = passwordOf(account, server)
  if (!password) return undefined
  const user = userOf(account, server)
  return user && { user, password, notes: [] }
}

function passwordOf({ passwordVariables, withoutPassword }: Account, server: Server): Password | Problem | undefined {
  const { container, pod } = server
  for (const name of passwordVariables) {
    const found = variable(container, name)
    if (found.is === 'key') return found
    if (found.is === 'literal')
      return problem(
        'LiteralPassword',
        `the password stands in the pod, in the variable ${name} of container ${container.name}, from where it is not copied; put it into a Secret and refer to that in ${passwordField}`,
        passwordField,
      )
    if (found.is === 'unreadable')
      return problem(
        'CredentialsUnknown',
        `the variable ${name} of container ${container.name} is put together of others, or comes from elsewhere; refer to the Secret with the password in ${passwordField}`,
        passwordField,
      )
    const file = `${name}_FILE`
    if (variable(container, file).is === 'absent') continue
    const path = publicValue(container, file) ?? ''
    const reference = path.startsWith('/') ? fileSource(pod, container, path) : undefined
    if (reference) return { is: 'file', reference }
    return problem(
      'CredentialsUnknown',
      `the file that the variable ${file} of container ${container.name} names is of no Secret or ConfigMap that the pod mounts; refer to a Secret with the password in ${passwordField}`,
      passwordField,
    )
  }
  const free = withoutPassword.some(({ name, value }) => value.test(publicValue(container, name) ?? ''))
  return free ? { is: 'none' } : undefined
}

function userOf({ userVariables, defaultUser, assumed }: Account, { container }: Server): User | Problem | undefined {
  for (const name of userVariables) {
    const found = variable(container, name)
    if (found.is === 'key') return found
    if (found.is === 'unreadable')
      return problem(
        'CredentialsUnknown',
        `the variable ${name} of container ${container.name} is put together of others, or comes from elsewhere; write the user into ${userField}`,
        userField,
      )
    const value = publicValue(container, name)
    if (value !== undefined) return { is: 'named', name: value }
    if (variable(container, `${name}_FILE`).is !== 'absent')
      return problem(
        'CredentialsUnknown',
        `the user stands in the file that the variable ${name}_FILE of container ${container.name} names; write it into ${userField}`,
        userField,
      )
  }
  if (defaultUser === undefined) return undefined
  const sources = assumed?.user === undefined ? [] : sourcesOf(container, assumed.user)
  const [source, ...others] = sources
  if (!source) return { is: 'named', name: defaultUser }
  if (others.length === 0) return { is: 'key', reference: source, optional: true }
  return problem(
    'CredentialsUnknown',
    `the user may be in any of ${listed(sources)}, whose keys the operator does not read; write it into ${userField}`,
    userField,
  )
}

function inEnvFrom(account: Account, server: Server): FoundAccount | undefined {
  if (!account.assumed) return undefined
  const sources = sourcesOf(server.container, account.assumed.password)
  const secrets = sources.filter(({ kind }) => kind === 'Secret')
  const [reference, ...others] = secrets.length > 0 ? secrets : sources
  const user = userOf(account, server)
  if (!reference || others.length > 0 || !user) return undefined
  const note = `the password is assumed to be the key ${reference.key} of ${reference.kind} ${reference.name}, from where the server gets its environment; if it is another, refer to it in ${passwordField}`
  return { user, password: { is: 'key', reference }, notes: [note] }
}

function nobody(preset: Preset, server: Server): FoundAccount {
  const { container } = server
  const names = preset.accounts.flatMap(({ passwordVariables }) => passwordVariables)
  const sources = [...new Set(names.flatMap(name => sourcesOf(container, name).map(source => listed([source]))))]
  const where = sources.length > 0 ? `; it may be in ${sources.join(', ')}, whose keys the operator does not read` : ''
  const message = `no variable of container ${container.name} tells the password (looked for ${names.join(', ')}, and each with _FILE)${where}; refer to the Secret with the password in ${passwordField}, and write the user into ${userField} if it is not the administrator`
  return {
    user: probableUser(preset, server),
    password: problem('CredentialsUnknown', message, passwordField),
    notes: [],
  }
}

/** Whom variables name, else the administrator as the image calls it. */
function probableUser({ accounts }: Preset, server: Server): User | Problem {
  const all = accounts.filter(({ defaultUser }) => defaultUser !== undefined)
  const said = all.find(({ userVariables }) =>
    userVariables.some(name => variable(server.container, name).is !== 'absent'),
  )
  const account = said ?? all[0]
  return (
    (account && userOf(account, server)) ?? problem('CredentialsUnknown', `write the user into ${userField}`, userField)
  )
}

function noAdministrator({ container }: Server): Problem {
  return problem(
    'CredentialsUnknown',
    `no variable of container ${container.name} tells the password of an administrator; refer to it in ${restoreField}`,
    restoreField,
  )
}

export function problem(reason: Problem['reason'], message: string, field: string): Problem {
  return { reason, message, field }
}

function listed(sources: readonly KeyReference[]): string {
  return sources.map(({ kind, name }) => `${kind} ${name}`).join(', ')
}
