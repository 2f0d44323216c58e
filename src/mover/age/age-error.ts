/** How sealing and opening fail, told by what helps. */

/** What a reader of the error can do. */
export type AgeErrorReason =
  /** Change the list of recipients: one of them, or the list as a whole, is none that we encrypt to. */
  | 'InvalidRecipients'
  /** Change the file of identities. */
  | 'InvalidIdentities'
  /** The bytes do not begin as an age file: look for another object, or at how this one came to be. */
  | 'NotAge'
  /** The file is encrypted to others, or somebody changed its header: another identity may open it. */
  | 'NoIdentityMatches'
  /** The bytes are not those that were written: cut, moved, changed, or of another file. No identity helps; another copy may. */
  | 'Tampered'

/** Messages hold no text of a recipient, an identity or a key, and there is never a `cause`: the library's errors quote what they refuse. */
export class AgeError extends Error {
  readonly reason: AgeErrorReason

  constructor(reason: AgeErrorReason, message: string) {
    super(message)
    this.name = 'AgeError'
    this.reason = reason
  }
}
