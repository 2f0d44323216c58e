/** What a script tells beside its artifacts: written like an artifact whose name begins with a dot, and not stored. */
import { parseArtifactFacts, parseEngine, type ArtifactFacts, type Engine } from '../../api/record.ts'
import { MoverFailure } from '../failure.ts'
import { refusalOf } from '../protocol/refusal.ts'

const longestNote = 1 << 20
const factsPrefix = '.facts/'
/** The status with which a script ends that has refused. */
const refusedStatus = 65

export function isNote(name: string): boolean {
  return name.startsWith('.')
}

/** Whether names of artifacts may stand in messages: those of what is encrypted may not. */
export type Names = 'told' | 'secret'

/** How a note is called in messages. */
export function noteName(name: string, names: Names): string {
  return names === 'secret' && name.startsWith(factsPrefix) ? `${factsPrefix}…` : name
}

/** The text of one note while it comes. */
export class NoteText {
  readonly #name: string
  readonly #chunks: Buffer[] = []
  #bytes = 0

  constructor(name: string) {
    this.#name = name
  }

  /** Copies the bytes. @throws MoverFailure Protocol: it is too long. */
  add(bytes: Buffer) {
    this.#bytes += bytes.length
    if (this.#bytes > longestNote)
      throw new MoverFailure('Protocol', `${this.#name} has more than ${longestNote} bytes`)
    this.#chunks.push(Buffer.from(bytes))
  }

  whole(): string {
    return Buffer.concat(this.#chunks).toString()
  }
}

/** The notes of one run. */
export class Notes {
  readonly #names: Names
  readonly #facts = new Map<string, ArtifactFacts>()
  #engine: Engine | undefined

  constructor(names: Names = 'told') {
    this.#names = names
  }

  get engine(): Engine | undefined {
    return this.#engine
  }

  /**
   * `.engine`: JSON of the engine. `.facts/NAME`: JSON of the facts of the artifact NAME, before it. `.refused`: a reason, and from the
   * second line on what happened, why, and what to do.
   * @throws MoverFailure: the refusal; Protocol for what is no such note.
   */
  take(name: string, text: string) {
    if (name === '.refused') throw refusalOf(text, refusedStatus)
    if (name === '.engine') this.#engine = parsed(name, text, parseEngine, this.#names)
    else if (name.startsWith(factsPrefix))
      this.#facts.set(name.slice(factsPrefix.length), parsed(name, text, parseArtifactFacts, this.#names))
    else throw new MoverFailure('Protocol', `${JSON.stringify(name)} is no note that this mover knows`)
  }

  /** The facts of an artifact that begins now. */
  factsOf(artifact: string): ArtifactFacts | undefined {
    const facts = this.#facts.get(artifact)
    this.#facts.delete(artifact)
    return facts
  }

  /** @throws MoverFailure Protocol: facts came for an artifact that did not follow. */
  end() {
    const [artifact] = this.#facts.keys()
    if (artifact === undefined) return
    const which = this.#names === 'secret' ? 'an artifact' : JSON.stringify(artifact)
    throw new MoverFailure('Protocol', `facts came for ${which}, and no such artifact after them`)
  }
}

/** What is wrong is told in the words of the note itself, and so only where they are no secret. */
function parsed<T>(name: string, text: string, parse: (text: string) => T, names: Names): T {
  try {
    return parse(text)
  } catch (cause) {
    const what = `${JSON.stringify(noteName(name, names))} is not what it should be`
    if (names === 'secret')
      throw new MoverFailure('Protocol', `${what}: the backup is encrypted, so that no more is told`)
    throw new MoverFailure('Protocol', `${what}: ${(cause as Error).message}`, { cause })
  }
}
