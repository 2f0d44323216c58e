/** What is in a backup: by its manifest, or where it is encrypted by its artifacts themselves, whose ends are read first. */
import type { ArtifactFacts, BackupArtifact, BackupRecord, Engine } from '../../api/record.ts'
import { misplacedBy } from '../../api/sealed-artifact.ts'
import { MoverFailure } from '../failure.ts'
import { decoderOf } from './artifact.ts'
import type { PartsOptions } from './parts.ts'
import type { OpenedArtifact } from './sealed.ts'

export interface Content {
  readonly artifact: BackupArtifact
  readonly name: string | undefined
  readonly facts: ArtifactFacts | undefined
  /** Absent where it is not encrypted. */
  readonly opened?: OpenedArtifact
}

export interface Contents {
  readonly artifacts: readonly Content[]
  readonly engine: Engine | undefined
  readonly isEncrypted: boolean
}

/**
 * @param directory of the identities that are given; undefined where there are none
 * @throws MoverFailure FormatUnsupported, NoIdentityMatches, DataTampered; StoreError: before anybody is given anything.
 */
export async function openContents(
  record: BackupRecord,
  directory: string | undefined,
  options: PartsOptions,
): Promise<Contents> {
  const { artifacts, engine } = record
  for (const artifact of artifacts) decoderOf(artifact)
  const encrypted = artifacts.filter(({ codecs }) => codecs.includes('age'))
  if (encrypted.length === 0) {
    const all = artifacts.map(artifact => ({ artifact, name: artifact.name, facts: artifact.facts }))
    return { artifacts: all, engine, isEncrypted: false }
  }
  if (encrypted.length < artifacts.length)
    throw new MoverFailure('DataTampered', 'some artifacts of the backup are encrypted, and others are not')
  return openAll(record, directory, options)
}

async function openAll(record: BackupRecord, directory: string | undefined, options: PartsOptions): Promise<Contents> {
  const [{ readIdentities }, { openSealed }] = await Promise.all([import('./identities.ts'), import('./sealed.ts')])
  const identities = await readIdentities(directory)
  const contents: (Content & { readonly opened: OpenedArtifact })[] = []
  const names = new Set<string>()
  for (const [index, artifact] of record.artifacts.entries()) {
    options.signal.throwIfAborted()
    const opened = await openSealed(artifact, identities, options)
    const { name, facts } = opened.sealed
    const other = misplacedBy(opened.sealed, record, index)
    if (other !== undefined) throw foreign(index, `it was written for another ${other} than the manifest says`)
    if (names.has(name)) throw foreign(index, 'one before it has the same name')
    names.add(name)
    contents.push({ artifact, name, facts, opened })
  }
  const engine = contents.findLast(({ opened }) => opened.sealed.engine)?.opened.sealed.engine
  return { artifacts: contents, engine, isEncrypted: true }
}

function foreign(index: number, why: string): MoverFailure {
  return new MoverFailure('DataTampered', `artifact ${index + 1} of the backup does not belong to it: ${why}`)
}
